"""How the measured points were measured: settings of engines in a public benchmark's scripts."""

from __future__ import annotations

from moe_costmodel.models.shape import ModelShape
from moe_costmodel.silicon.closed_loop import ClosedLoop
from moe_costmodel.silicon.layout import Layout

__all__ = ["cache_dtype", "loop_of"]

_POLICIES = {"vllm": "mixed", "sglang": "prompts first", "trtllm": "whole prompts"}
_BLACKWELL = ("b200_sxm", "b300_sxm", "gb200")
_STEP = 8192
_MOST_REQUESTS = 20000  # beyond ten requests for each in flight, simulated
_MOST_RANKS = 8  # simulated; of more ranks, one is


def loop_of(
    *, shape: ModelShape, layout: Layout, gpu: str, backend: str, input_tokens: int,
    output_tokens: int, concurrency: int, published: bool,
) -> ClosedLoop:  # fmt: skip
    """Return how a point was measured.

    Rows of InferenceX (formerly InferenceMAX, SemiAnalysis) were measured by its scripts, which are
    public (Apache-2.0): ten requests for each in flight, all at once, lengths from 0.8 of the most.
    The scripts set how often SGLang looks for requests, how long TensorRT-LLM waits for more
    prompts, and the tokens of a step. Other rows are taken to be measured with an engine's
    defaults.
    """
    found: dict[str, object] = {"step_tokens": _STEP}
    if published:
        given = shape, layout, gpu, input_tokens, output_tokens, concurrency
        found |= {"sglang": _sglang, "trtllm": _trtllm, "vllm": _vllm}[backend](*given)
    n_ranks = layout.dp
    if n_ranks > _MOST_RANKS:
        concurrency, n_ranks = max(concurrency // n_ranks, 1), 1
    n_requests = min(10 * concurrency, max(_MOST_REQUESTS, 2 * concurrency))
    return ClosedLoop(
        concurrency=concurrency, n_ranks=n_ranks, n_requests=n_requests, input_tokens=input_tokens,
        output_tokens=output_tokens, policy=_POLICIES[backend], **found,  # type: ignore[arg-type]
    )  # fmt: skip


def cache_dtype(shape: ModelShape, gpu: str, backend: str, published: bool) -> str:
    """Return the type of the cache, which decides how many requests fit."""
    if published:
        narrow = gpu in _BLACKWELL or (backend == "trtllm" and shape.name != "gpt_oss")
    else:
        part = "experts" if shape.experts else "dense"
        narrow = backend == "trtllm" and shape.dtypes[part] != "bfloat16"
    return "fp8" if narrow else "bfloat16"


def _sglang(
    shape: ModelShape, layout: Layout, gpu: str, inputs: int, outputs: int, concurrency: int
) -> dict[str, object]:
    blackwell, deepseek = gpu in _BLACKWELL, shape.name == "deepseek_v3"
    if shape.name == "glm_moe_dsa":
        return {"step_tokens": 32768 if blackwell else _STEP}
    four_bits = deepseek and shape.dtypes["experts"] == "nvfp4"
    if deepseek and layout.tp == 4 and not four_bits:
        return {"step_tokens": 8192, "poll_steps": 10}
    poll = (30 if concurrency >= 16 else 10) if blackwell else 1
    wide = (blackwell or deepseek) and not four_bits
    return {"step_tokens": 32768 if wide else 16384, "poll_steps": poll}


def _trtllm(
    shape: ModelShape, layout: Layout, gpu: str, inputs: int, outputs: int, concurrency: int
) -> dict[str, object]:
    short = inputs == outputs == 1024
    if shape.name == "gpt_oss":
        return {"step_tokens": 20000}
    if shape.name != "deepseek_v3":
        tokens = max(_STEP, inputs + outputs + 200)
        if gpu == "h200_sxm" and short and layout.tp < 8:
            return {"step_tokens": tokens, "wait_steps": 20, "wait_tokens": int(0.9 * tokens)}
        return {"step_tokens": tokens}
    tokens = max(_STEP, (concurrency + inputs + 127) // 64 * 64)
    if layout.dp > 1:
        return {"step_tokens": tokens, "wait_steps": 60, "balanced": True}
    if gpu == "b200_sxm" and short and concurrency >= 64 and shape.dtypes["experts"] != "nvfp4":
        return {"step_tokens": tokens, "wait_steps": 40, "wait_tokens": int(0.8 * tokens)}
    return {"step_tokens": tokens}


def _vllm(
    shape: ModelShape, layout: Layout, gpu: str, inputs: int, outputs: int, concurrency: int
) -> dict[str, object]:
    return {"step_tokens": 2 * inputs if shape.name == "minimax_m2" else _STEP}
