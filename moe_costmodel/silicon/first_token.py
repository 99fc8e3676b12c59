"""Time to the first token: its simulated parts, and how engines weigh them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel.silicon.closed_loop import ClosedLoop, StepCurves
from moe_costmodel.silicon.memory import gpu_memory
from moe_costmodel.silicon.recipes import cache_dtype
from moe_costmodel.silicon.sample import ServingPoint
from moe_costmodel.silicon.step import SiliconModel
from moe_costmodel.silicon.step_time import Chunk, StepTime

__all__ = ["PARTS", "EngineWeights", "first_token_parts"]

PARTS = ("prompt", "launches", "first_wave", "queue", "client", "ranks", "latent", "linear")

_BATCHES = (0.25, 0.5)  # of the running sequences, whose steps are composed
_PROMPTS = (2, 4, 8)  # prompts in one step
_MOST_TOKENS = 70_000  # of a composed step of prompts
_USABLE = 0.87  # share of the memory for weights and cache
_SMALLEST = 1e-4  # seconds
_SOFT, _FAR, _SLOPE = 0.01, 1.0, 0.1  # errors beyond a factor of e count a tenth


def first_token_parts(
    model: SiliconModel,
    point: ServingPoint,
    decode: StepTime,
    prefill: StepTime,
    *,
    kv_dtype: str,
    random_state: int = 0,
) -> tuple[float, ...]:
    """Return the parts of the mean time to the first token, in seconds, by `PARTS`.

    Parameters
    ----------
    model : SiliconModel
        GPU and engine.
    point : ServingPoint
        A system.
    decode, prefill : StepTime
        Its steps of all running sequences, and of one prompt.
    kv_dtype : str
        Type of the cache.
    random_state : int
        Seed of the lengths of prompts and answers.

    Returns
    -------
    tuple of float
        Seconds of one prompt's step; of a step of one token, as a measure of how many kernels are
        launched; of the wait in the first wave, times its share of the requests; of the wait of
        later requests; a tenth if another client measured; of a token if ranks wait for each other;
        a millisecond a layer of latent attention; a tenth if there is linear attention.
    """
    curves = _curves(model, point, decode, prefill, kv_dtype)
    loop = _limited(model, point)
    times = loop.run(curves, random_state=np.random.default_rng(random_state))
    share = times.concurrency / len(times.ttft)
    kinds = {block.attention.kind for block in point.shape.blocks}
    return (
        prefill.seconds,
        curves.decode_seconds[0],
        share * times.first_wave,
        max((1 - share) * times.later - prefill.seconds, 0.0),
        0.0 if point.published else 0.1,
        10 * float(times.tpot.mean()) if point.layout.dp > 1 else 0.0,
        1e-3 * point.shape.n_layers if "mla" in kinds else 0.0,
        0.1 if kinds & {"linear", "kda"} else 0.0,
    )


def _curves(
    model: SiliconModel, point: ServingPoint, decode: StepTime, prefill: StepTime, kv_dtype: str
) -> StepCurves:
    shape, layout, n = point.shape, point.layout, point.sequences
    context = point.input_tokens + point.output_tokens / 2
    sizes = sorted({1.0, *(max(1.0, share * n) for share in _BATCHES), n})
    seconds = [
        decode.seconds if size == n
        else model.decode(shape, layout, size, context, kv_dtype=kv_dtype).seconds
        for size in sizes
    ]  # fmt: skip
    if len(sizes) == 1:
        sizes, seconds = [1.0, 2.0], seconds * 2
    tokens = point.input_tokens
    quarter = Chunk(max(1, tokens // 4))
    prompts = [model.prefill(shape, layout, [quarter], kv_dtype=kv_dtype).seconds, prefill.seconds]
    for number in _PROMPTS:
        if number > 2 and number * tokens > _MOST_TOKENS:
            prompts.append(2 * prompts[-1])
            continue
        step = model.prefill(shape, layout, [Chunk(tokens)] * number, kv_dtype=kv_dtype)
        prompts.append(step.seconds)
    mixed = model.step(shape, layout, n, context, [Chunk(tokens)], kv_dtype=kv_dtype).seconds
    return StepCurves(
        decode_sizes=tuple(sizes),
        decode_seconds=tuple(seconds),
        prompt_tokens=tuple(tokens * number for number in (0, 0.25, 1, *_PROMPTS)),
        prompt_seconds=(min(seconds[0], prompts[0]), *prompts),
        per_decoding=max(mixed - prefill.seconds, 0.0) / n,
    )


def _limited(model: SiliconModel, point: ServingPoint) -> ClosedLoop:
    """Return the loop of a point, with as many running sequences as its memory holds."""
    # Engines other than TensorRT-LLM admit a request before there is room for its whole answer.
    least = (1 + point.loop.least) / 2 if point.published else 1.0
    answer = least if point.backend == "trtllm" else least / 2
    length = int(least * point.input_tokens + answer * point.output_tokens)
    dtype = cache_dtype(point.shape, point.gpu, point.backend, point.published)
    memory = gpu_memory(point.shape, point.layout, 1, length, kv_dtype=dtype)
    most = memory.most_sequences(model.tables.gpu.memory_bytes, usable=_USABLE)
    # The point ran, so weights that fill the memory were counted too large.
    return replace(point.loop, max_num_seqs=most) if most > 2 else point.loop


class EngineWeights:
    """Weights of the parts, by engine, each tied to those that all engines share.

    The logarithms of the weights minimize a robust error of the logarithm of the time, in which
    pairs of architecture and GPU count as the root of their points. The squared distance of an
    engine's weights from the common ones counts `tie`.

    Parameters
    ----------
    tie : float
        Strength of the tie.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel.silicon.first_token import EngineWeights
    >>> parts = np.random.default_rng(0).uniform(0.1, 1.0, (200, 2))
    >>> zeros = np.zeros(200, dtype=np.int64)
    >>> model = EngineWeights(0.1).fit(parts, parts @ [2.0, 0.5], zeros, zeros)
    >>> model.weights[0].round(1)
    array([2. , 0.5])
    """

    def __init__(self, tie: float) -> None:
        self.tie = tie

    def fit(self, parts: Floats, seconds: Floats, engine: Ints, groups: Ints) -> EngineWeights:
        """Learn the weights of measured points.

        Parameters
        ----------
        parts : ndarray of shape (n, n_parts)
            Parts in seconds.
        seconds : ndarray of shape (n,)
            Measured times.
        engine, groups : ndarray of shape (n,), int64
            Number of the engine, and of the pair of architecture and GPU.

        Returns
        -------
        EngineWeights
            This object.
        """
        _, inverse, counts = np.unique(
            np.column_stack([groups, engine]), axis=0, return_inverse=True, return_counts=True
        )
        importance = 1 / np.sqrt(counts[inverse.ravel()])
        start = np.full(parts.shape[1], -0.5)
        common = _minimum(parts, seconds, importance, start, 0.0)
        self.weights = {-1: np.exp(common)}
        for number in np.unique(engine):
            rows = engine == number
            found = _minimum(parts[rows], seconds[rows], importance[rows], common, self.tie)
            self.weights[int(number)] = np.exp(found)
        return self

    def predict(self, parts: Floats, engine: Ints) -> Floats:
        """Return seconds, shape (n,); engines that were not measured have the common weights."""
        chosen = [self.weights.get(int(number), self.weights[-1]) for number in engine]
        found: Floats = (parts * np.reshape(chosen, parts.shape)).sum(axis=1) + _SMALLEST
        return found


def _minimum(
    parts: Floats, seconds: Floats, importance: Floats, start: Floats, tie: float
) -> Floats:
    from scipy.optimize import minimize

    total = importance.sum()

    def objective(logarithms: Floats) -> tuple[float, Floats]:
        weights = np.exp(logarithms)
        predicted = parts @ weights + _SMALLEST
        error = np.log(predicted / seconds)
        size = np.sqrt(error**2 + _SOFT)
        far = size > _FAR
        value = np.where(far, _FAR + _SLOPE * (size - _FAR), size)
        slope = importance * error / size * np.where(far, _SLOPE, 1.0)
        gradient = (parts * (slope / predicted)[:, None]).sum(axis=0) * weights / total
        away = logarithms - start
        loss = float((importance * value).sum() / total + tie * (away**2).sum())
        return loss, gradient + 2 * tie * away

    bounds = [(-6.0, 4.0)] * len(start)
    found: Floats = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found


def robust(errors: Floats | Sequence[float]) -> Floats:
    """Return how much errors of logarithms count: those beyond a factor of e a tenth."""
    size = np.abs(errors)
    return np.where(size > _FAR, _FAR + _SLOPE * (size - _FAR), size)
