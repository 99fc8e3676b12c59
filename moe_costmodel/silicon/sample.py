"""Measured serving points of aiconfigurator-core, with their damaged columns repaired."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from moe_costmodel.models.shape import ModelShape
from moe_costmodel.silicon.closed_loop import ClosedLoop
from moe_costmodel.silicon.layout import Layout
from moe_costmodel.silicon.recipes import loop_of
from moe_costmodel.silicon.tables.package import silicon_root
from moela.files.guard import invalid_file
from moela.files.text import number_of, read_text

__all__ = ["ServingPoint", "read_sample"]

# Which packaged config.json holds the sizes, and which the types at each precision.
_CONFIGS = {
    "deepseek-ai/DeepSeek-R1": "deepseek-ai--DeepSeek-R1",
    "deepseek-ai/DeepSeek-V3": "deepseek-ai--DeepSeek-V3",
    "nvidia/DeepSeek-R1-NVFP4": "deepseek-ai--DeepSeek-R1",
    "nvidia/DeepSeek-V3.1-NVFP4": "deepseek-ai--DeepSeek-V3",
    "MiniMaxAI/MiniMax-M2.5": "MiniMaxAI--MiniMax-M2.5",
    "openai/gpt-oss-120b": "openai--gpt-oss-120b",
    "meta-llama/Llama-3.1-70B": "meta-llama--Meta-Llama-3.1-70B",
    "meta-llama/Llama-3.1-8B-Instruct": "meta-llama--Meta-Llama-3.1-8B",
    "nvidia/Llama-3.1-8B-Instruct-FP8": "meta-llama--Meta-Llama-3.1-8B",
    "Qwen/Qwen3-32B": "Qwen--Qwen3-32B",
    "nvidia/Qwen3-32B-NVFP4": "Qwen--Qwen3-32B",
    "Qwen/Qwen3.5-397B-A17B": "Qwen--Qwen3.5-397B-A17B",
    "moonshotai/Kimi-K2.5": "moonshotai--Kimi-K2.5",
    "Qwen/Qwen3-235B-A22B-FP8": "Qwen--Qwen3-235B-A22B-FP8",
    "zhipuai/GLM-5": "zai-org--GLM-5-FP8",
}
_ARCHITECTURES = {"deepseek-ai--DeepSeek-R1": "deepseek-ai--DeepSeek-V3"}
# Quantizations to four bits leave attention of latent models in bfloat16.
_PARTS = ("attention", "dense", "experts", "shared")


@dataclass(frozen=True, kw_only=True)
class ServingPoint:
    """A measured point of a serving system.

    Attributes
    ----------
    name : str
        Its id in the file.
    architecture, gpu, backend, version : str
        Sizes of the model (models of equal sizes share them), GPU, engine, and its version; empty
        if unknown.
    shape : ModelShape
        The model, with the types of the precision that it ran at.
    layout : Layout
        Division of one replica.
    known_layout : bool
        False if the row gives a count of GPUs only, as those of disaggregated systems do.
    input_tokens, output_tokens : int
        Tokens of each prompt and answer.
    concurrency : int
        Requests in flight.
    ttft, tpot : float
        Mean seconds to the first token, and per later token.
    year : float
        When it was measured, as a year with fraction; 0 if unknown.
    published : bool
        Whether the public benchmark InferenceX measured it, whose scripts say how.
    benchmark : ClosedLoop or None
        How it was measured; None for the scripts' settings if `published`, else the engine's
        defaults.

    Examples
    --------
    >>> from moe_costmodel import ServingPoint, read_sample
    >>> isinstance(read_sample()[0], ServingPoint)  # doctest: +SKIP
    True
    """

    name: str
    architecture: str
    gpu: str
    backend: str
    version: str
    shape: ModelShape
    layout: Layout
    known_layout: bool
    input_tokens: int
    output_tokens: int
    concurrency: int
    ttft: float
    tpot: float
    year: float
    published: bool = False
    benchmark: ClosedLoop | None = None

    @property
    def loop(self) -> ClosedLoop:
        """How it was measured."""
        if self.benchmark is not None:
            return self.benchmark
        return loop_of(
            shape=self.shape, layout=self.layout, gpu=self.gpu, backend=self.backend,
            input_tokens=self.input_tokens, output_tokens=self.output_tokens,
            concurrency=self.concurrency, published=self.published,
        )  # fmt: skip

    @property
    def sequences(self) -> float:
        """Requests in flight on each data-parallel rank, at least one."""
        return max(self.concurrency / self.layout.dp, 1.0)


def read_sample(root: str | Path | None = None) -> list[ServingPoint]:
    """Return the aggregated points of ``silicon_sample.csv``.

    The columns are repaired as follows; ``docs/whole_models.md`` says how often.

    - Requests in flight are those that ``silicon_data_source`` names. `batch_size` is the same in
      most rows; where attention is data-parallel, it is that of one rank.
    - Where `moe_tp_size` = `moe_ep_size` = w > 1 and `tp_size` or `attention_dp_size` is w * w, the
      two degrees were multiplied: the system had w GPUs and expert parallelism w. The ids of such
      rows (``tpW_epW``) say so, and rows that are otherwise equal have the same times.
    - Where `attention_dp_size` = `tp_size` = w and `moe_ep_size` = w * w (vLLM): w GPUs.
    - Null `attention_dp_size`: as many as ``moe_tp_size * moe_ep_size / tp_size``, or as many times
      as the concurrency exceeds `batch_size`; else one.
    - Counts of GPUs that no degree of tensor parallelism can be (12, 20, ..., 72) are those of
      disaggregated systems. Such rows are read as data-parallel attention with expert parallelism
      over all, and are marked.
    - Null precisions are bfloat16.
    - Rows whose source is a file of one person's folder were measured by another client than those
      of InferenceX.

    Parameters
    ----------
    root : str or Path, optional
        Folder of the tables; by default that of the installed package.

    Returns
    -------
    list of ServingPoint
        In the order of the file.

    Raises
    ------
    ModuleNotFoundError
        If the package is not installed and no folder is given.
    ValueError
        If the file is damaged.

    Examples
    --------
    >>> from moe_costmodel import read_sample
    >>> len(read_sample())  # doctest: +SKIP
    3619
    """
    folder = silicon_root(root)
    path = folder / "silicon_sample.csv"
    shapes: dict[tuple[str, str, str, str], ModelShape] = {}
    points = []
    lines = read_text(path).splitlines()
    header = lines[0].split(",")
    for number, line in enumerate(lines[1:], 2):
        cells = line.split(",")
        if len(cells) != len(header):
            raise invalid_file(path, len(cells), f"{len(header)} cells", f"line {number}")
        row = dict(zip(header, cells, strict=True))
        if row["mode"] != "agg":
            continue
        kind = (row["model_path"], row["precision"], row["gemm_quant_mode"], row["moe_quant_mode"])
        if kind not in shapes:
            shapes[kind] = _shape(folder, *kind)
        points.append(_point(path, number, row, shapes[kind]))
    return points


def _shape(folder: Path, model: str, precision: str, gemm: str, moe: str) -> ModelShape:
    """Return the sizes of a model, with the types that it ran at."""
    config = folder.parent / "model_configs" / f"{_CONFIGS[model]}_config.json"
    shape = ModelShape.from_config(config)
    types = dict(shape.dtypes)
    latent = any(block.attention.kind == "mla" for block in shape.blocks)
    if shape.name == "gpt_oss":
        types["experts"] = "w4a16_mxfp4"
    elif precision == "fp4":
        types |= dict.fromkeys(_PARTS, "nvfp4") | ({"attention": "bfloat16"} if latent else {})
    elif precision == "int4":
        types |= {"experts": "int4_wo"}
    elif precision == "fp8":
        blocks = shape.experts is not None
        types |= dict.fromkeys(_PARTS, "fp8_block" if blocks else "fp8")
    else:
        types |= dict.fromkeys(_PARTS, "bfloat16")
    return replace(shape, dtypes=types)


def _point(path: Path, number: int, row: dict[str, str], shape: ModelShape) -> ServingPoint:
    def value(name: str, default: float = 0.0) -> float:
        if row[name] == "":
            return default
        found = number_of(row[name])
        if found is None:
            raise invalid_file(path, row[name], "a number", f"line {number}, column '{name}'")
        return found

    source = row["silicon_data_source"]
    match = re.search(r"silicon_concurrency=(\d+)", source)
    batch = int(value("batch_size", 1))
    concurrency = int(match[1]) if match else batch * int(max(value("attention_dp_size"), 1))
    layout, known = _layout(row, value, batch, concurrency, shape)
    date = re.search(r"measured=(\d{4})-(\d\d)", source)
    config = _CONFIGS[row["model_path"]]
    return ServingPoint(
        name=row["id"],
        architecture=_ARCHITECTURES.get(config, config),
        gpu=row["system"],
        backend=row["backend"],
        version=row["backend_version"],
        shape=shape,
        layout=layout,
        known_layout=known,
        input_tokens=int(value("isl")),
        output_tokens=int(value("osl")),
        concurrency=concurrency,
        ttft=value("silicon_ttft_ms") / 1e3,
        tpot=value("silicon_tpot_ms") / 1e3,
        year=int(date[1]) + (int(date[2]) - 1) / 12 if date else 0.0,
        published="source_file=/" not in source,
    )


def _layout(
    row: dict[str, str], value: object, batch: int, concurrency: int, shape: ModelShape
) -> tuple[Layout, bool]:
    """Return the repaired division over GPUs, and whether it is known."""
    assert callable(value)
    tp, dp = int(value("tp_size", 1)) or 1, int(value("attention_dp_size"))
    moe_tp, moe_ep = int(value("moe_tp_size", 1)) or 1, int(value("moe_ep_size", 1)) or 1
    if shape.experts is None:
        return Layout(tp=tp, moe_tp=tp), True
    if tp >= 12 and moe_ep == 1:
        return Layout(dp=tp, moe_ep=tp), False
    if moe_tp == moe_ep > 1 and moe_tp * moe_ep in (tp, dp):
        w = moe_tp
        return Layout(tp=w, moe_ep=w) if tp == w * w else Layout(dp=w, moe_ep=w), True
    if dp > 1 and dp == tp:
        return Layout(dp=tp, moe_ep=tp), True
    if dp == 0:
        dp = max(1, moe_tp * moe_ep // tp)
        if dp == 1 and concurrency == batch * tp and tp > 1:
            dp, tp = tp, 1
    if moe_tp * moe_ep != tp * dp:
        moe_tp, moe_ep = (1, tp * dp) if moe_ep > 1 else (tp * dp, 1)
    return Layout(tp=tp, dp=dp, moe_tp=moe_tp, moe_ep=moe_ep), True
