"""Steady states of a serving system, composed of steps: time per token, and to the first one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from moe_costmodel._checks import count, invalid
from moe_costmodel.models.shape import ModelShape
from moe_costmodel.silicon.first_token import first_token_parts
from moe_costmodel.silicon.layout import Layout
from moe_costmodel.silicon.sample import ServingPoint
from moe_costmodel.silicon.step import SiliconModel
from moe_costmodel.silicon.step_time import Chunk, StepTime

__all__ = ["ServingEstimate", "compose_serving", "estimate_of"]

# A benchmark starts with all requests at once and runs ten times as many; lengths of answers differ
# by a fifth, which spreads the arrivals of later requests.
_BURST = 0.1
_SPREAD = 0.2


@dataclass(frozen=True)
class ServingEstimate:
    """Times of a system with a constant number of requests in flight, before any calibration.

    Attributes
    ----------
    decode : StepTime
        A step of all running sequences at their mean context.
    prefill : StepTime
        A step that computes one prompt.
    sequences : float
        Running sequences of each data-parallel rank.
    input_tokens, output_tokens : int
        Tokens of each prompt and answer.
    first_token : tuple of float
        Parts of the time to the first token, of a simulated benchmark; empty if none was simulated.

    Examples
    --------
    >>> from moe_costmodel import ServingEstimate
    >>> from moe_costmodel.silicon.step_time import StepTime
    >>> ServingEstimate(StepTime(()), StepTime(()), 4, 1024, 128).prefill_share
    0.0
    """

    decode: StepTime
    prefill: StepTime
    sequences: float
    input_tokens: int
    output_tokens: int
    first_token: tuple[float, ...] = ()

    @property
    def prefill_share(self) -> float:
        """Seconds of each token that other requests' prompts take.

        While a request decodes, each of the others on its rank brings one prompt.
        """
        return (self.sequences - 1) * self.prefill.seconds / self.output_tokens

    @property
    def tpot(self) -> float:
        """Mean seconds per token after the first."""
        return self.decode.seconds + self.prefill_share

    @property
    def ttft(self) -> float:
        """Mean seconds to the first token, without the host's part.

        A tenth of the requests arrive together. The others queue behind those that arrive within
        the spread of lengths of answers.
        """
        one, n = self.prefill.seconds, self.sequences
        burst = one * (n + 1) / 2
        spread = _SPREAD * self.output_tokens * self.tpot
        later = one * (1 + 0.5 * n * one / spread)
        return _BURST * burst + (1 - _BURST) * later + self.tpot

    @property
    def outside(self) -> float:
        """Largest extrapolation of both steps."""
        return max(self.decode.outside, self.prefill.outside)


def compose_serving(
    model: SiliconModel,
    shape: ModelShape,
    layout: Layout,
    *,
    concurrency: int,
    input_tokens: int,
    output_tokens: int,
    kv_dtype: str = "bfloat16",
) -> ServingEstimate:
    """Compose the steady state of a system with a constant number of requests in flight.

    Parameters
    ----------
    model : SiliconModel
        GPU and engine.
    shape, layout : ModelShape, Layout
        The model, and its division over GPUs.
    concurrency : int
        Requests in flight on all data-parallel ranks.
    input_tokens, output_tokens : int
        Tokens of each prompt and answer.
    kv_dtype : str
        Type of the cache.

    Returns
    -------
    ServingEstimate

    Raises
    ------
    ValueError
        If a number is not a positive integer.

    Examples
    --------
    >>> from moe_costmodel import Layout, ModelShape, SiliconModel, compose_serving
    >>> model = SiliconModel("h200_sxm", "sglang")  # doctest: +SKIP
    >>> shape = ModelShape.from_config("config.json")  # doctest: +SKIP
    >>> print(
    ...     compose_serving(
    ...         model, shape, Layout(tp=8, moe_tp=8), concurrency=64, input_tokens=1024,
    ...         output_tokens=1024,
    ...     ).tpot
    ... )  # doctest: +SKIP
    """
    for name, value in (("concurrency", concurrency), ("input_tokens", input_tokens),
                        ("output_tokens", output_tokens)):  # fmt: skip
        count("compose_serving", name, value)
    sequences = max(concurrency / layout.dp, 1.0)
    context = input_tokens + output_tokens / 2
    decode = model.decode(shape, layout, sequences, context, kv_dtype=kv_dtype)
    prefill = model.prefill(shape, layout, [Chunk(input_tokens)], kv_dtype=kv_dtype)
    return ServingEstimate(decode, prefill, sequences, input_tokens, output_tokens)


def estimate_of(
    model: SiliconModel, point: ServingPoint, *, random_state: int = 0
) -> ServingEstimate:
    """Return the uncalibrated estimate of a serving point, with a simulation of its benchmark.

    TensorRT-LLM keeps its cache in fp8 where weights are narrow; the other engines in bfloat16.

    Raises
    ------
    ValueError
        If the model is of another GPU or engine than the point.
    """
    wanted, got = (point.gpu, point.backend), (model.tables.gpu.name, model.backend)
    if wanted != got:
        expected = f"SiliconModel{wanted}, the GPU and engine of the point {point.name}"
        raise invalid("estimate_of", "model", f"SiliconModel{got}", expected)
    narrow = point.shape.dtypes["experts" if point.shape.experts else "dense"] != "bfloat16"
    kv_dtype = "fp8" if point.backend == "trtllm" and narrow else "bfloat16"
    found = compose_serving(
        model,
        point.shape,
        point.layout,
        concurrency=point.concurrency,
        input_tokens=point.input_tokens,
        output_tokens=point.output_tokens,
        kv_dtype=kv_dtype,
    )
    parts = first_token_parts(
        model, point, found.decode, found.prefill, kv_dtype=kv_dtype, random_state=random_state
    )
    return replace(found, first_token=parts)
