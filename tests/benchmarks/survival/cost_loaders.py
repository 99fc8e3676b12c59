"""The loaders of `moe_costmodel`, each with a good file for it; see `loader.Loader`."""

from __future__ import annotations

import io
import pickle
import zipfile
from functools import cache
from pathlib import Path

import numpy as np

from moe_costmodel import (
    Hardware,
    KernelTable,
    LatencyModel,
    LayerShape,
    Link,
    Measurements,
    Plan,
    RoutingTrace,
)
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.kernels.experts import Experts
from moe_costmodel.measure.measurements import Record
from moe_costmodel.objectives import Predicted
from moe_costmodel.placement.placement import Placement
from moe_costmodel.traces.saved_model import load_saved_model
from tests.benchmarks.survival import damage
from tests.benchmarks.survival.loader import Loader

__all__ = ["LOADERS", "mutate"]

SHAPE = LayerShape(n_experts=4, k=2, d_model=16, d_ffn=8, gated=True)


def mutate(source: Path, target: Path, rng: np.random.Generator) -> str:
    """Write a damaged copy of a file, with damage of their own for the binary formats."""
    structures = {".pt": _torch_damage, ".parquet": _table_damage, ".safetensors": _weights_damage}
    if source.suffix not in structures:
        try:
            return damage.mutate(source, target, rng)
        except ValueError:  # structure that cannot be written, such as a list inside itself
            changed, what = damage.byte_damage(source.read_bytes(), rng)
            target.write_bytes(changed)
            return what
    change = damage.byte_damage if rng.random() < 0.4 else structures[source.suffix]
    try:
        changed, what = change(source.read_bytes(), rng)
    except ValueError:
        changed, what = damage.byte_damage(source.read_bytes(), rng)
    target.write_bytes(changed)
    return what


def _torch_damage(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Change the pickle or a storage of a file of torch, and keep the checksums right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = next(name for name in members if name.endswith("data.pkl"))
    pickled = bytearray(members[name])
    kind = damage.pick(rng, ("bytes", "bytes", "numbers", "instructions", "storage", "deep"))
    if kind == "bytes":
        changed, kind = damage.byte_damage(bytes(pickled), rng)
        pickled = bytearray(changed)
    elif kind == "numbers":
        place = damage.pick(rng, [i for i, byte in enumerate(pickled) if byte in b"KMJ"])
        number = int(damage.pick(rng, (-1, 0, 1, 3, 255, 10**6, 2**31 - 1)))
        width = {b"K": 2, b"M": 3, b"J": 5}[bytes(pickled[place : place + 1])]
        pickled[place : place + width] = b"J" + number.to_bytes(4, "little", signed=True)
    elif kind == "instructions":
        codes = [getattr(pickle, code) for code in sorted(dir(pickle)) if code.isupper()]
        codes = [code for code in codes if isinstance(code, bytes) and len(code) == 1]
        for place in rng.integers(len(pickled), size=3).tolist():
            pickled[place : place + 1] = damage.pick(rng, codes)
    elif kind == "deep":
        pickled[2:2] = b"]" * 100_000
        pickled[-1:] = b"a" * int(rng.integers(100_000)) + b"."
    else:
        storage = damage.pick(rng, [n for n in members if "/data/" in n])
        members[storage] = members[storage][: int(rng.integers(len(members[storage])))]
    members[name] = bytes(pickled)
    with zipfile.ZipFile(out := io.BytesIO(), "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue(), f"pickle: {kind}"


def _table_damage(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Change a column of a parquet file: its values, their type, or its name."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = parquet.read_table(io.BytesIO(data)).to_pydict()
    name = damage.pick(rng, sorted(columns))
    kind = damage.pick(rng, ("value", "value", "all", "type", "drop", "rename", "rows"))
    hostile = (0, 1, -1, 3, 2**31, 2**40, 2**63 - 1, 0.5, 1e308, 1e-320, float("nan"),
               float("inf"), None, "", "x", "nan", "power_law_1e-9", "power_law_9.9", "uniform",
               "e" * 5000, True, b"x", [1], {"a": 1})  # fmt: skip
    value = damage.pick(rng, hostile)
    if kind == "value":
        columns[name][int(rng.integers(len(columns[name])))] = value
    elif kind == "all":
        columns[name] = [value] * len(columns[name])
    elif kind == "type":
        columns[name] = list(map(str, columns[name]))
    elif kind == "drop":
        del columns[name]
    elif kind == "rename":
        columns[f"{name}x"] = columns.pop(name)
    else:
        times = damage.pick(rng, (0, 1, 50))
        columns = {name: values * times for name, values in columns.items()}
    try:
        table = pa.table(columns)
    except (pa.ArrowException, OverflowError):  # a column of two types
        columns[name] = [str(value)] * len(columns[name])
        table = pa.table(columns)
    options = {"compression": damage.pick(rng, ("snappy", "zstd", "none"))}
    options["use_dictionary"] = bool(rng.random() < 0.5)
    parquet.write_table(table, out := io.BytesIO(), **options)
    return out.getvalue(), f"{kind} of {name} by {str(value)[:20]}"


def _weights_damage(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """Change the header of a safetensors file in its structure."""
    length = int.from_bytes(data[:8], "little")
    changed, what = damage.json_damage(data[8 : 8 + length].rstrip(), rng)
    return len(changed).to_bytes(8, "little") + changed + data[8 + length :], what


# ---------------------------------------------------------------------------------------- traces


@cache
def trace() -> RoutingTrace:
    rng = np.random.default_rng(0)
    ids = rng.permuted(np.broadcast_to(np.arange(8, dtype=np.uint8), (30, 3, 8)), axis=2)[:, :, :2]
    weights = rng.random(ids.shape).astype(np.float32)
    return RoutingTrace(ids, weights, n_experts=8, sequence_lengths=[10, 5, 15], layers=[1, 2, 4])


def use_trace(read: RoutingTrace) -> None:
    description = read.describe()
    assert str(description)
    assert np.isfinite(description.inactive).all()
    assert np.isfinite(read.shares()).all()
    assert read.loads().sum() > 0
    read.save(Path(read.source).parent / "again.npz")
    if not read.is_load_only:
        assert len(read.steps(2, drop_last=False)) == read.n_tokens
        assert read.topk_ids.max() < read.n_experts


def load_trace(path: Path) -> None:
    use_trace(RoutingTrace.load(path))


def map_trace(path: Path) -> None:
    use_trace(RoutingTrace.load(path, mmap=True))


def write_trace(folder: Path) -> Path:
    return trace().save(folder / "trace.npz")


def write_mapped(folder: Path) -> Path:
    return trace().save(folder / "mapped.npz", compress=False)


def write_loads(folder: Path) -> Path:
    counts = RoutingTrace.from_counts(trace().loads(5, "prefill"))
    return counts.save(folder / "loads.npz")


def write_counts(folder: Path) -> Path:
    path = folder / "counts.json"
    rows = trace().loads(5, "prefill").tolist()
    path.write_text(str({"logical_count": rows}).replace("'", '"'), encoding="utf-8")
    return path


def save_torch(value: object, path: Path) -> Path:
    import torch

    torch.save(value, path)
    return path


def write_stat(folder: Path) -> Path:
    import torch

    content = {
        "rank": 0,
        "logical_count": torch.arange(48).reshape(4, 3, 4),
        "average_utilization_rate_over_window": {10: 0.5, 100: None},
    }
    return save_torch(content, folder / "stat.pt")


def _records(field: str, values: list[object]) -> list[dict[str, object]]:
    lengths: list[object] = [[3, 2], None, None]
    positions = [[0, 1, 2, 0, 1], [3, 2], [4, 9]]
    return [
        {"forward_pass_id": i, "rank": 0, "gatherer_key": "primary", "input_ids": [7] * len(p),
         "extend_seq_lens": n, "positions": p, field: value}
        for i, (n, p, value) in enumerate(zip(lengths, positions, values, strict=True))
    ]  # fmt: skip


def write_tokens(folder: Path) -> Path:
    import torch

    ids = [torch.full((2, n, 3), -1, dtype=torch.int32) for n in (5, 2, 2)]
    for part in ids:
        part[1, :, :2] = torch.tensor([[i % 4, (i + 1) % 4] for i in range(part.shape[1])])
    to_logical = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0]])
    content = {
        "last_physical_to_logical_map": to_logical, "records": _records("topk_ids_of_layer", ids)
    }  # fmt: skip
    return save_torch(content, folder / "tokens.pt")


def write_passes(folder: Path) -> Path:
    import torch

    counts = [torch.tensor([[0, 0, 0, 0], [1, i, 3, 4]]) for i in range(3)]
    to_logical = torch.tensor([[0, 1, 2, 2], [2, 1, 0, 2]])
    content = {
        "last_physical_to_logical_map": to_logical,
        "records": _records("global_physical_count", counts),
    }
    return save_torch(content, folder / "passes.pt")


# ------------------------------------------------------------------------- machines, kernels, plans


def machine() -> Hardware:
    return Hardware(
        name="node", device="cuda", memory_bytes=80 * 2**30, slow_memory_bytes=2**40, n_devices=8,
        n_nodes=2, links={"slow_to_fast": Link(25e9, 1e-5), "node_to_node": Link(5e9)},
        versions={"torch": "2.6"},
    )  # fmt: skip


def write_hardware(folder: Path) -> Path:
    return machine().save(folder / "hardware.json")


def load_hardware(path: Path) -> None:
    read = Hardware.load(path)
    assert np.isfinite([link.seconds(1e6) for link in read.links.values()]).all()
    assert Hardware.load(read.save(path.with_name("again.json"))) == read


def write_measurements(folder: Path) -> Path:
    rng = np.random.default_rng(1)
    records = [Record("all_to_all", {"bytes": 1024}, [1e-5, 2e-5])]
    for shape in (SHAPE, LayerShape(n_experts=6, k=2, d_model=8, d_ffn=8, gated=True)):
        for tokens in (1, 4, 16):
            counts = rng.multinomial(2 * tokens, np.full(shape.n_experts, 1 / shape.n_experts))
            at = {"tokens": tokens, "counts": counts.tolist()}
            seconds = 1e-5 + 1e-6 * np.count_nonzero(counts) + 1e-7 * counts.sum()
            repeats = seconds * (1 + 0.02 * rng.random(5))
            records.append(Record("layer", at, repeats.tolist(), shape))
        at = {"tokens": 2, "counts": [[2, *[0] * (shape.n_experts - 1)]] * 3}
        at |= {"capacity": 1, "misses": 3}
        records.append(Record("buffered", at, [3e-5, 4e-5], shape))
        at = {key: at[key] for key in ("tokens", "counts", "capacity", "misses")} | {"uploads": 2}
        records.append(Record("offloaded", at, [4e-5, 5e-5], shape))
        records.append(Record("copy", {"bytes": 4096}, [1e-6, 2e-6], shape))
    measured = Measurements(machine(), records, "cpu", "2026-11-26T12:00:00+00:00", ["a note"])
    return measured.save(folder / "kernels.json")


def load_measurements(path: Path) -> None:
    read = Measurements.load(path)
    assert Measurements.load(read.save(path.with_name("again.json"))) == read
    assert all(np.isfinite([record.seconds, record.spread]).all() for record in read.records)


def fit_measurements(path: Path) -> None:
    try:
        model = LatencyModel.fit(Measurements.load(path), method="linear")
    except ValueError as error:
        # A valid file may hold too little for a model, or times that follow none.
        refusals = "The 'source' parameter of LatencyModel.fit", "LatencyModel.fit must predict"
        if not str(error).startswith(refusals):
            raise
    else:
        assert np.isfinite(model.predict(SHAPE, [[1, 2, 0, 1]]).seconds).all()


def write_table(folder: Path) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    n = 24
    columns = {
        "device": ["NVIDIA H100 80GB HBM3"] * n,
        "kernel_source": ["triton", "cutlass"] * (n // 2),
        "moe_dtype": ["bfloat16", "fp8"] * (n // 2),
        "distribution": ["balanced"] * 12 + ["power_law_1.2"] * 12,
        "num_tokens": [2**i for i in range(12)] * 2,
        "hidden_size": [2048] * n,
        "inter_size": [768] * n,
        "topk": [8] * n,
        "num_experts": [64] * n,
        "moe_tp_size": [1] * n,
        "moe_ep_size": [2] * n,
        "latency": [0.1 * (1 + i) for i in range(n)],
    }
    parquet.write_table(pa.table(columns), path := folder / "table.parquet")
    return path


def load_table(path: Path) -> None:
    table = KernelTable.from_aiconfigurator(path)
    assert str(table)
    assert np.isfinite(table.seconds).all()
    assert all(np.isfinite(values).all() for values in vars(table.work).values())


def write_plan(folder: Path) -> Path:
    plan = Plan(
        model="tiny", shape=LayerShape(n_experts=8, k=2, d_model=16, d_ffn=24, gated=True),
        mode="decode", batch_size=4, capacities=[[3, 5], [2, 4]], policy="inactive-lfu",
        placement=Placement(
            np.array([[0, 1, 2, 3, 4, 0, 5, 6, 7, 1], [7, 6, 5, 4, 3, 2, 1, 0, 7, 7]]), 2
        ),
        gates=(None, GateRule("skip", 0.3, 2)), layers=(1, 3),
        objectives={"step_p99_s": Predicted(2e-3, 1e-3, 3e-3, 2.5e-3)},
        provenance={"trace": "prose, 1234"}, versions={"moe_costmodel": "0"},
    )  # fmt: skip
    return plan.save(folder / "plan.json")


def load_plan(path: Path) -> None:
    plan = Plan.load(path)
    assert str(plan)
    assert plan.explain()
    assert hash(plan) == hash(plan)
    again = path.with_name("again")
    assert Plan.load(plan.save(again)) == plan
    plan.to_vllm(again)
    plan.to_tensorrt_llm(again)
    plan.to_sglang(again)


# ---------------------------------------------------------------------------------------- weights


def write_experts(folder: Path) -> Path:
    experts = Experts.random(2, 4, 3, gated=True, activation="silu")
    return experts.save(folder / "experts.safetensors")


def load_experts(path: Path) -> None:
    import torch

    experts = Experts.map_file(path)
    assert experts.product(0, torch.ones(1, experts.d_model).to(experts.up)).shape[0] == 1


def write_saved_model(folder: Path) -> Path:
    import tokenizers
    import transformers

    words = {word: i for i, word in enumerate(["[UNK]", "a", "b", "c"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    config = transformers.MixtralConfig(
        vocab_size=8, hidden_size=8, intermediate_size=4, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, num_local_experts=2,
        max_position_embeddings=16,
    )  # fmt: skip
    transformers.MixtralForCausalLM(config).save_pretrained(folder)
    return folder / "config.json"


def write_saved_weights(folder: Path) -> Path:
    return write_saved_model(folder).with_name("model.safetensors")


def load_model(path: Path) -> None:
    load_saved_model(path.parent)


LOADERS = [
    Loader("trace", write_trace, load_trace),
    Loader("mapped trace", write_mapped, map_trace),
    Loader("loads", write_loads, load_trace),
    Loader("counts", write_counts, load_trace),
    Loader("SGLang, stat", write_stat, load_trace),
    Loader("SGLang, per_token", write_tokens, load_trace),
    Loader("SGLang, per_pass", write_passes, load_trace),
    Loader("hardware", write_hardware, load_hardware),
    Loader("measurements", write_measurements, load_measurements),
    Loader("measurements, fitted", write_measurements, fit_measurements),
    Loader("kernel table", write_table, load_table),
    Loader("plan", write_plan, load_plan),
    Loader("experts", write_experts, load_experts),
    Loader("saved model", write_saved_model, load_model),
    Loader("weights of a saved model", write_saved_weights, load_model),
]
