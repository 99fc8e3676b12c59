"""Files that anybody may have written: each loader refuses them by name, in little memory."""

from __future__ import annotations

import io
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pq = pytest.importorskip("pyarrow.parquet")
import pyarrow as pa  # noqa: E402

from moe_costmodel import Hardware, KernelTable, RoutingTrace  # noqa: E402
from moe_costmodel import hardware as hardware_module  # noqa: E402
from moe_costmodel.kernels.experts import Experts  # noqa: E402
from moe_costmodel.measure.exchange import _records  # noqa: E402
from moe_costmodel.traces.torch_file import read_torch  # noqa: E402
from moela.files.guard import FACTOR_VARIABLE  # noqa: E402

MIB = 2**20


def refused(load, path, *words):
    """Load a file, which must raise a ValueError that begins with its path, in under 64 MiB."""
    tracemalloc.start()
    with pytest.raises(ValueError, match="must ") as error:
        load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(error.value).startswith(f"{path}: ")
    assert all(word in str(error.value) for word in words), str(error.value)
    assert peak < 64 * MIB
    return str(error.value)


# ------------------------------------------------------------------------------------------ torch


def torch_file(path, pickled, storages=()):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        for name, data in storages:
            archive.writestr(f"a/data/{name}", data)
    return path


def tensor_pickle(numel, size, stride, offset=0):
    """Return the pickle of {"logical_count": tensor of int64}, with any numbers."""

    class Named:
        def __init__(self, module, name):
            self.named = module, name

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return value if isinstance(value, tuple) and value[:1] == ("storage",) else None

        def save(self, value, **options):
            if isinstance(value, Named):
                self.write(pickle.GLOBAL + "{}\n{}\n".format(*value.named).encode())
            elif isinstance(value, Call):
                self.save(value.function)
                self.save(value.arguments)
                self.write(pickle.REDUCE)
            else:
                super().save(value, **options)

    class Call:
        def __init__(self, function, *arguments):
            self.function, self.arguments = function, arguments

    storage = ("storage", Named("torch", "LongStorage"), "0", "cpu", numel)
    rebuild = Named("torch._utils", "_rebuild_tensor_v2")
    Pickler(out := io.BytesIO(), 2).dump(
        {"logical_count": Call(rebuild, storage, offset, size, stride, False, {})}
    )
    return out.getvalue()


@pytest.mark.parametrize(
    ("numel", "size", "stride", "offset", "words"),
    [
        (4, (10**6, 10**6), (0, 0), 0, "in a storage of 4 numbers"),
        (4, (2, 2), (2**40, 1), 0, "in a storage of 4 numbers"),
        (4, (2, 2), (2, 1), 2, "in a storage of 4 numbers"),
        (4, (2, 2), (-2, 1), 2, "odd numbers"),
        (4, (2**40, 0), (1, 1), 0, "a tensor of shape"),
        (10**12, (2, 2), (2, 1), 0, "a storage of 1000000000000 numbers in 32 bytes"),
    ],
)
def test_a_tensor_is_no_larger_than_its_storage(tmp_path, numel, size, stride, offset, words):
    data = np.arange(4, dtype=np.int64).tobytes()
    path = torch_file(tmp_path / "t.pt", tensor_pickle(4, (2, 2), (2, 1)), [("0", data)])
    assert RoutingTrace.load(path).loads().tolist() == [[[0, 1], [2, 3]]]
    torch_file(path, tensor_pickle(numel, size, stride, offset), [("0", data)])
    refused(RoutingTrace.load, path, "field 'data.pkl'", words)


@pytest.mark.parametrize(
    ("pickled", "words"),
    [
        # torch.load(weights_only=True) takes three gigabytes for the first of these.
        (b"\x80\x02c__builtin__\nbytearray\n\x8a\x05\x00^\xd0\xb2\x00\x85R.", "bytearray"),
        (b"\x80\x02ctorch\nTensor\nJ\x00\xca\x9a;\x85R.", "torch.Tensor"),
        (b"\x80\x02]r\xff\xff\xff\x7f.", "present"),  # an entry of the memo far behind the others
        (b"\x80\x05\x96\x00\x00\x00\x00\x01\x00\x00\x00.", "KeyError"),  # BYTEARRAY8
        (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "present"),
        (b"\x80\x02}(\x8a\x09" + (2**61 - 1).to_bytes(9, "little") + b"K\x01u.", "a key"),
        (b"\x80\x02(K\x01", "EOFError"),
    ],
)
def test_pickles_that_would_take_memory_or_run_code_are_refused(tmp_path, pickled, words):
    path = torch_file(tmp_path / "t.pt", pickled)
    assert words in refused(RoutingTrace.load, path)


def test_lists_that_hold_one_another_many_times_are_refused(tmp_path):
    """Thirty lists of two references each are a billion numbers."""
    value = [1, 1]
    for _ in range(2):
        value = [value] * 20_000
    torch.save({"logical_count": value}, path := tmp_path / "t.pt")
    refused(RoutingTrace.load, path, "field 'logical_count' must be at most 256 MiB")


def test_other_formats_of_torch_are_refused(tmp_path):
    path = tmp_path / "t.pt"
    torch.save({"logical_count": torch.ones(2, 2)}, path, _use_new_zipfile_serialization=False)
    refused(RoutingTrace.load, path, "another format than a zip file")
    sparse = torch.eye(3).to_sparse()
    torch.save({"logical_count": sparse}, path)
    refused(RoutingTrace.load, path, "_rebuild_sparse_tensor")
    torch.save({"logical_count": torch.ones(2, 2, dtype=torch.bfloat16)}, path)
    refused(RoutingTrace.load, path, "field 'logical_count'", "torch.BFloat16Storage")


def test_what_torch_writes_is_read_as_torch_reads_it(tmp_path):
    value = {
        "types": [
            torch.arange(6, dtype=t).reshape(2, 3) for t in (torch.int8, torch.int64, torch.double)
        ],
        "views": torch.arange(24).reshape(4, 6)[1:3, ::2].T,
        "plain": [None, True, 1, -1, 2**70, 0.5, "text", (1, 2), {"a": {10: 0.5}}],
        "empty": torch.zeros(2, 0, 3),
    }  # fmt: skip
    torch.save(value, path := tmp_path / "t.pt")
    expected = torch.load(path, weights_only=True)
    for protocol in (2, 4, 5):
        torch.save(value, path, pickle_protocol=protocol)
        read = read_torch(path)
        assert read["plain"] == expected["plain"]
        for ours, theirs in zip(
            [*read["types"], read["views"], read["empty"]],
            [*expected["types"], expected["views"], expected["empty"]], strict=True,
        ):  # fmt: skip
            np.testing.assert_array_equal(ours, theirs.numpy())
            assert ours.dtype == theirs.numpy().dtype


# ----------------------------------------------------------------------------- sizes across fields


def test_a_small_trace_of_many_steps_and_experts_is_refused_where_loads_are_made(tmp_path):
    """200,000 tokens compress to a kilobyte; their loads, one token a step, would take 50 GB."""
    ids = np.zeros((200_000, 1, 1), dtype=np.uint16)
    np.savez_compressed(path := tmp_path / "t.npz", topk_ids=ids, n_experts=65_536)
    trace = RoutingTrace.load(path)
    for use in (lambda: trace.loads(1), lambda: trace.describe(1)):
        with pytest.raises(ValueError, match=r"t\.npz, which gives 200,000.*") as error:
            use()
        assert FACTOR_VARIABLE in str(error.value)
    np.savez_compressed(path, topk_ids=ids[:2], n_experts=2**62)
    refused(RoutingTrace.load, path, "field 'n_experts' must be at most 65536")


def test_the_variable_and_mapping_admit_larger_traces(tmp_path, monkeypatch):
    monkeypatch.setenv(FACTOR_VARIABLE, "1e-5")  # 2,684 bytes
    small = RoutingTrace(np.zeros((2000, 2, 1), np.uint8), n_experts=3)
    path = small.save(tmp_path / "t.npz", compress=False)
    refused(RoutingTrace.load, path, FACTOR_VARIABLE)
    assert RoutingTrace.load(path, mmap=True).n_tokens == 2000
    monkeypatch.setenv(FACTOR_VARIABLE, "1")
    assert RoutingTrace.load(path).n_tokens == 2000


def test_checks_in_parts_name_the_token(tmp_path, monkeypatch):
    monkeypatch.setattr("moe_costmodel.traces.checks._PART", 8)
    ids = np.tile(np.arange(6, dtype=np.int16), (20, 1, 1))
    for bad, words in ((7, "7 at (13, 0, 2)"), (0, "at token 13, layer 0")):
        wrong = ids.copy()
        wrong[13, 0, 2] = bad
        with pytest.raises(ValueError, match="topk_ids") as error:
            RoutingTrace(wrong, n_experts=7)
        assert words in str(error.value)


def table(n, **columns):
    texts = {
        "device": "some device", "kernel_source": "a", "moe_dtype": "fp8",
        "distribution": "power_law_1.2",
    }  # fmt: skip
    numbers = dict.fromkeys(
        ("num_tokens", "hidden_size", "inter_size", "topk", "moe_tp_size", "moe_ep_size"), 1
    )
    rows = texts | numbers | {"num_experts": 8, "latency": 1.0}
    return pa.table({k: [v] * n for k, v in rows.items()} | columns)


@pytest.mark.parametrize(
    ("n", "columns", "words"),
    [
        (400_000, {}, "at most 4,000,000 cells"),
        (60, {"num_experts": [65_536] * 60, "num_tokens": range(1, 61)}, "field 'num_tokens'"),
        (2, {"kernel_source": ["a" * 300, "b"]}, "field 'kernel_source' must be at most 200"),
    ],
)
def test_small_tables_that_take_memory_or_time_are_refused(tmp_path, n, columns, words):
    pq.write_table(table(n, **columns), path := tmp_path / "t.parquet", compression="zstd")
    del columns
    assert words in refused(KernelTable.from_aiconfigurator, path)


def test_a_page_that_is_large_when_decompressed_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(FACTOR_VARIABLE, "0.01")  # 2.6 MiB
    content = table(2, kernel_source=["a" * 4 * MIB, "b"])
    pq.write_table(content, path := tmp_path / "t.parquet", compression="zstd")
    assert path.stat().st_size < MIB // 10
    refused(KernelTable.from_aiconfigurator, path, "field 'kernel_source' must be at most 3 MiB")


def test_the_header_of_weights_is_limited(tmp_path):
    (path := tmp_path / "w.safetensors").write_bytes((10**8).to_bytes(8, "little") + b"{" * 100)
    refused(Experts.map_file, path, "a header of 100,000,000 bytes")


@pytest.mark.parametrize("output", ["", "no", "[1]", "[[1, 2, 3]]", "[[1, []]]", "[[1, [-1]]]"])
def test_the_output_of_an_exchange_is_checked(output):
    with pytest.raises(ValueError, match="output of the all-to-all between two processes"):
        _records(output)
    assert _records("a warning\n[[8, [0.5]]]\n")[0].at == {"bytes": 8}


# --------------------------------------------------------------------------------- other systems


def test_hardware_is_described_where_the_system_tells_little(monkeypatch, tmp_path):
    """As on Windows: no sysconf, no /proc, and no answer about the memory."""
    monkeypatch.delattr(os, "sysconf")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(hardware_module, "_memory_of_windows", lambda: 2**34)
    monkeypatch.setattr(hardware_module, "_CPUINFO", tmp_path / "none")
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.system", lambda: "Windows")
    monkeypatch.setattr("platform.machine", lambda: "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    here = Hardware.here()
    assert (here.name, here.memory_bytes) == ("unknown CPU", 2**34)
    monkeypatch.setattr(hardware_module, "_memory_of_windows", lambda: 0)
    with pytest.raises(
        ValueError, match=r"memory of this machine is unknown: Windows .*memory_bytes"
    ):
        Hardware.here()
    assert Hardware.here(memory_bytes=5).memory_bytes == 5
