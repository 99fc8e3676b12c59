"""Cache-aware gating: routers that prefer resident experts, with the measured loss.

An expert that the router chose gives way to a resident one whose probability is at most a factor
lower. The first choices of a token stay (Skliar et al., arXiv 2412.00099, with a factor on
probabilities in place of a bias on logits). Residents follow LRU over the experts that are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel._checks import check_number, count, invalid, require
from moela.compilation.jit import cached_njit
from moela.heartbeat.working import long_work

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

__all__ = ["CacheAwareGating", "LossWithCache", "loss_with_cache"]


@dataclass(frozen=True)
class CacheAwareGating:
    """A preference of routers for resident experts.

    Parameters
    ----------
    tolerance : float
        A resident expert is preferred if its probability is at least ``1 - tolerance`` times that
        of the expert that it replaces; from 0 (no preference) to below 1.
    keep : int
        First choices of each token that are never replaced.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> from moe_costmodel import CacheAwareGating
    >>> CacheAwareGating(0.5)
    CacheAwareGating(tolerance=0.5, keep=1)
    """

    tolerance: float
    keep: int = 1

    def __post_init__(self) -> None:
        value = check_number("CacheAwareGating", "tolerance", self.tolerance)
        expected = "a number from 0 to below 1"
        require("CacheAwareGating", "tolerance", value, 0.0 <= value < 1.0, expected)
        count("CacheAwareGating", "keep", self.keep, at_least=0)


@dataclass(frozen=True)
class LossWithCache:
    """Loss and misses of a model under cache-aware gating.

    Attributes
    ----------
    loss : float
        Nats per token.
    misses, accesses : float
        Of a token, in all layers together.

    Examples
    --------
    >>> from moe_costmodel import LossWithCache
    >>> LossWithCache(loss=1.5, misses=6.0, accesses=24.0).miss_rate
    0.25
    """

    loss: float
    misses: float
    accesses: float

    @property
    def miss_rate(self) -> float:
        """Share of the used experts that are missed."""
        return self.misses / self.accesses


@cached_njit(nogil=True)
def _choose(
    probabilities: Floats, order: Ints, k: int, keep: int, factor: float, slots: int, used_at: Ints,
    clock: int, chosen: Ints,
) -> tuple[int, int]:  # fmt: skip
    """Choose experts token by token, and update the residents; return misses and the clock.

    Parameters
    ----------
    probabilities : float array [n_tokens, n_experts]
    order : int array [n_tokens, n_experts]
        The experts of each token, the most probable first.
    factor : float
        Factor on the probabilities of resident experts.
    used_at : int array [n_experts]
        Time of each expert's last use, -1 if it is not resident; changed.
    chosen : int array [n_tokens, k]
        Output, in descending order of probability.
    """
    n_experts = probabilities.shape[1]
    misses = 0
    score = np.empty(n_experts)
    for token in range(len(probabilities)):
        for expert in range(n_experts):
            p = probabilities[token, expert]
            score[expert] = p * factor if used_at[expert] >= 0 else p
        for i in range(min(keep, k)):
            score[order[token, i]] = np.inf
        is_chosen = np.zeros(n_experts, dtype=np.bool_)
        for _ in range(k):
            best = -1
            for expert in range(n_experts):
                if not is_chosen[expert] and (best < 0 or score[expert] > score[best]):
                    best = expert
            is_chosen[best] = True
        place = 0
        for expert in order[token]:
            if is_chosen[expert]:
                chosen[token, place] = expert
                place += 1
        clock += 1
        for i in range(k):
            misses += used_at[chosen[token, i]] < 0
            used_at[chosen[token, i]] = clock
        n_resident = (used_at >= 0).sum()
        while n_resident > slots:
            oldest, when = -1, clock + 1
            for expert in range(n_experts):
                if 0 <= used_at[expert] < when:
                    oldest, when = expert, used_at[expert]
            used_at[oldest] = -1
            n_resident -= 1
    return misses, clock


_ROUTERS = (
    "of a family whose routers choose the experts of largest probability and weigh them in its "
    "proportion: a softmax of logits, without groups, sigmoids or corrections of scores"
)
_CLOSE = 0.02  # several times the rounding of bfloat16


def _are_largest(probabilities: Floats, ids: Tensor, weights: Tensor) -> bool:
    """Tell whether each token has its most probable experts, weighted by their probabilities."""
    own = np.take_along_axis(probabilities, ids.long().cpu().numpy(), axis=1)
    given = weights.double().cpu().numpy()
    largest = -np.partition(-probabilities, own.shape[1] - 1, axis=1)[:, : own.shape[1]]
    apart = own / own.sum(axis=1, keepdims=True) - given / given.sum(axis=1, keepdims=True)
    least = (1 - _CLOSE) * largest.sum(axis=1)
    return bool((np.abs(apart) <= _CLOSE).all() and (own.sum(axis=1) >= least).all())


@long_work("measuring the loss with a cache")
def loss_with_cache(
    model: Module,
    batches: Iterable[Tensor],
    gating: CacheAwareGating | Sequence[CacheAwareGating],
    slots: int,
) -> LossWithCache:
    """Measure loss and misses of a causal language model, one sequence at a time.

    Parameters
    ----------
    model : Module
        The packaged example model, or one of a family whose routers return logits or probabilities
        of all experts, weights, and ids. The experts of a token must be those of largest
        probability, weighted in its proportion, so DeepSeek-V3 and others with groups, sigmoids or
        corrections of scores are refused.
    batches : iterable of Tensor of shape (1, length), int64
        Sequences, each predicted from its beginning. Residents stay from one to the next.
    gating : CacheAwareGating or sequence of CacheAwareGating
        Of all layers, or of each MoE layer.
    slots : int
        Experts of each layer that fit.

    Returns
    -------
    LossWithCache

    Raises
    ------
    ValueError
        If a batch holds several sequences, there is none, or the model or the number of gatings
        does not fit.

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel import CacheAwareGating, loss_with_cache
    >>> from moe_costmodel.example import load_model
    >>> text = [torch.arange(64)[None]]
    >>> plain = loss_with_cache(load_model(), text, CacheAwareGating(0.0), slots=16)
    >>> aware = loss_with_cache(load_model(), text, CacheAwareGating(0.8), slots=16)
    >>> aware.misses < plain.misses
    True
    """
    import torch
    from torch.nn import functional as F

    from moe_costmodel.traces.families import find_routers

    slots = count("loss_with_cache", "slots", slots)
    sequences = list(batches)
    good = bool(sequences) and all(
        b.ndim == 2 and len(b) == 1 and b.shape[1] > 1 for b in sequences
    )
    require("loss_with_cache", "batches", len(sequences), good, "sequences of shape (1, 2 or more)")
    _, routers = find_routers(model)
    each = [gating] * len(routers) if isinstance(gating, CacheAwareGating) else list(gating)
    if len(each) != len(routers):
        expected = f"{len(routers)} gatings, one for each MoE layer"
        raise invalid("loss_with_cache", "gating", len(each), expected)
    gating_of = dict(zip(routers, each, strict=True))
    # Time of the last use of each expert, -1 if it is not resident, and the last time of all.
    used_at: dict[str, Ints] = {}
    clocks: dict[str, int] = {}
    misses, accesses = 0, 0

    def hook_of(name: str):  # type: ignore[no-untyped-def]
        def hook(module: Module, inputs: object, output: object) -> object:
            nonlocal misses, accesses
            if not isinstance(output, tuple) or len(output) != 3:
                raise invalid("loss_with_cache", "model", type(module).__name__, _ROUTERS)
            first, weights, ids = output
            probabilities = first.float()
            if not bool(((probabilities.sum(-1) - 1.0).abs() < 1e-3).all()):
                probabilities = probabilities.softmax(-1)
            flat = probabilities.reshape(-1, probabilities.shape[-1]).double().cpu().numpy()
            k = ids.shape[-1]
            if not _are_largest(flat, ids.reshape(-1, k), weights.reshape(-1, k)):
                raise invalid("loss_with_cache", "model", type(module).__name__, _ROUTERS)
            order = np.argsort(-flat, axis=1, kind="stable")
            used = used_at.setdefault(name, np.full(flat.shape[1], -1, dtype=np.int64))
            chosen = np.empty((len(flat), k), dtype=np.int64)
            own = gating_of[name]
            factor = 1.0 / (1.0 - own.tolerance)
            missed, clocks[name] = _choose(
                flat, order, k, own.keep, factor, slots, used, clocks.get(name, 0), chosen
            )
            misses += missed
            accesses += chosen.size
            picked = torch.from_numpy(chosen).to(ids.device)
            values = probabilities.reshape(len(flat), -1).gather(1, picked)
            # Scaled to the sum that the model gave its own choices.
            values = (
                values
                / values.sum(-1, keepdim=True)
                * weights.reshape(len(flat), k).sum(-1, keepdim=True)
            )
            return (
                first,
                values.to(weights.dtype).view_as(weights),
                picked.to(ids.dtype).view_as(ids),
            )

        return hook

    handles = [router.register_forward_hook(hook_of(name)) for name, router in routers.items()]
    total, n_tokens, n_routed = 0.0, 0, 0
    try:
        with torch.no_grad():
            for batch in sequences:
                answer = model(batch[:, :-1])
                logits = getattr(answer, "logits", answer).flatten(0, 1).float()
                total += float(F.cross_entropy(logits, batch[:, 1:].flatten(), reduction="sum"))
                n_tokens += batch.shape[1] - 1
                n_routed += batch.shape[1] - 1
    finally:
        for handle in handles:
            handle.remove()
    return LossWithCache(total / n_tokens, misses / n_routed, accesses / n_routed)
