"""Replay of offloaded experts: misses and uploads by policy, admission, and number of slots.

The experts of a layer lie in slow memory, and some of them in the slots of fast memory, too. An
expert that is not resident when a step needs it is a *miss*: it is computed where its weights lie,
or fetched for this step. An *upload* copies it into a slot, for the steps to come.

Events are atomic (Zhang, When does trace-driven evaluation mislead MoE expert caching?, arXiv
2608.07911). The rules that the replay keeps are

1. an event is the set of different experts that one layer needs in one step;
2. hits and misses are decided by what is resident when the event begins, so that no expert of an
   event evicts another one before it has run;
3. each expert counts once in an event, however many tokens choose it;
4. priorities are updated with the whole event, and then uploads are decided;
5. uploads go from the highest priority down, each in place of the resident expert of lowest
   priority. An expert that has the lowest priority itself is not uploaded;
6. ties are broken by fixed rules: the later event first, then the higher id;
7. layers do not share slots, and first contents are charged to nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray

from moe_costmodel._arrays import Bools, Floats, Ints
from moe_costmodel._checks import check_number, invalid, one_of, require, several_of
from moe_costmodel.buffering.kernels import sum_by_step
from moe_costmodel.buffering.replay import ExpertStream
from moe_costmodel.offloading.counting import totals
from moe_costmodel.offloading.policies import OFFLOAD_POLICIES, Admission, check_admissions
from moe_costmodel.offloading.settings import settings_of

__all__ = [
    "OFFLOAD_POLICIES",
    "Admission",
    "OffloadCurves",
    "OffloadEvents",
    "offload_curves",
    "offload_events",
]

_MOST_EXPERTS = np.iinfo(np.int16).max  # the compiled replay's lists of contents are int16


@dataclass(frozen=True)
class OffloadEvents:
    """Misses and uploads of one layer, access by access.

    Attributes
    ----------
    missed, uploaded : ndarray of shape (n_accesses, n_capacities, n_admissions), bool

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import Admission, ExpertStream, offload_events
    >>> stream = ExpertStream(ids=np.array([0, 1, 0, 2]), bounds=np.array([0, 2, 4]), n_experts=3)
    >>> events = offload_events(stream, [2], "lru", [Admission()])
    >>> events.missed.ravel().tolist()
    [True, True, False, True]
    """

    missed: Bools
    uploaded: Bools


@dataclass(frozen=True)
class OffloadCurves:
    """Misses and uploads of one policy, for all numbers of slots and admissions.

    Attributes
    ----------
    policy : str
        One of :data:`OFFLOAD_POLICIES`.
    capacities : ndarray of shape (n_capacities,), int64
        Slots of a layer.
    admissions : tuple of Admission
    misses, uploads : ndarray of shape (n_streams, n_capacities, n_admissions), int64
        Sums over the whole trace.
    accesses : ndarray of shape (n_streams,), int64
        Needed experts over the whole trace, each once in a step.
    n_steps : int
    step_misses, step_uploads : ndarray (n_steps, n_streams, n_capacities, n_admissions), or None
        int32; of each step, if `per_step` was set.

    Examples
    --------
    >>> from moe_costmodel import Admission, RoutingTrace, expert_streams, offload_curves
    >>> loads = RoutingTrace.example().loads(1)
    >>> streams = [row[0] for row in expert_streams(loads, [0] * 32, 1)]
    >>> lru = offload_curves(streams, [16], policies=["lru"], admissions=[Admission()])["lru"]
    >>> lru.misses.shape
    (6, 1, 1)
    """

    policy: str
    capacities: Ints
    admissions: tuple[Admission, ...]
    misses: Ints
    uploads: Ints
    accesses: Ints
    n_steps: int
    step_misses: NDArray[np.int32] | None = None
    step_uploads: NDArray[np.int32] | None = None


def offload_events(
    stream: ExpertStream,
    capacities: ArrayLike,
    policy: str,
    admissions: Sequence[Admission],
    *,
    start: ArrayLike | None = None,
    start_weight: float = 0.0,
    half_life: float = 1024.0,
) -> OffloadEvents:
    """Replay one layer, and return every miss and upload.

    Parameters
    ----------
    stream : ExpertStream
        Experts that the layer needs, step by step.
    capacities : array_like of shape (n_capacities,), integer
        Slots, at least 1.
    policy : str
        One of :data:`OFFLOAD_POLICIES`.
    admissions : sequence of Admission
        Rules, each replayed with each capacity.
    start : array_like of shape (n_experts,), float, optional
        Uses of each expert in a step that an earlier trace promises. The replay begins with the
        experts of most uses resident; by default it begins empty.
    start_weight : float
        Steps that the `start` counts as in the policies "lfu" and "decay".
    half_life : float
        Steps in which counts lose half their weight ("decay").

    Returns
    -------
    OffloadEvents

    Raises
    ------
    ValueError
        If a parameter is wrong, or an admission has a margin but the policy does not count.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import Admission, ExpertStream, offload_events
    >>> stream = ExpertStream(ids=np.array([0, 1, 0, 2]), bounds=np.array([0, 2, 4]), n_experts=3)
    >>> once = offload_events(stream, [1], "lfu", [Admission(after=2)])
    >>> once.uploaded.ravel().tolist()
    [False, False, True, False]
    """
    owner = "offload_events"
    _check_streams(owner, [stream])
    sizes = _checked_capacities(owner, capacities)
    one_of(owner, "policy", policy, OFFLOAD_POLICIES)
    check_admissions(owner, [policy], admissions)
    rates = None
    if start is not None:
        rates = _checked_start(owner, start, [stream])[0]
    unit_factor = _unit_factor(owner, policy, half_life)
    shape = (len(stream.ids), len(sizes), len(admissions))
    missed, uploaded = np.empty((2, *shape), dtype=np.bool_)
    for part, settings in settings_of(sizes, admissions):
        bits = settings.replay(stream, policy, rates, start_weight, unit_factor)
        shifts = np.arange(len(settings.capacities), dtype=np.uint64)
        for out, words in zip((missed, uploaded), bits, strict=True):
            flags = (words[:, None] >> shifts & np.uint64(1)).astype(np.bool_)
            out.reshape(len(words), shape[1] * shape[2])[:, part] = flags
    return OffloadEvents(missed, uploaded)


def offload_curves(
    streams: Sequence[ExpertStream],
    capacities: ArrayLike,
    *,
    policies: Sequence[str] = tuple(OFFLOAD_POLICIES),
    admissions: Sequence[Admission] = (Admission(),),
    start: ArrayLike | None = None,
    start_weight: float = 0.0,
    half_life: float = 1024.0,
    per_step: bool = False,
    n_jobs: int = 1,
) -> dict[str, OffloadCurves]:
    """Return misses and uploads of several policies, numbers of slots, and admissions.

    Parameters
    ----------
    streams : sequence of ExpertStream
        One for each layer, all of as many steps; see :func:`moe_costmodel.expert_streams`.
    capacities, admissions, start_weight, half_life
        As for :func:`offload_events`.
    policies : sequence of str
        Names from :data:`OFFLOAD_POLICIES`; by default all.
    start : array_like of shape (n_streams, n_experts), float, optional
        As for :func:`offload_events`, for each layer.
    per_step : bool
        Keep the misses and uploads of each step, too.
    n_jobs : int
        Threads over layers; -1 for one per processor.

    Returns
    -------
    dict of str to OffloadCurves

    Raises
    ------
    ValueError
        As for :func:`offload_events`.

    Examples
    --------
    >>> from moe_costmodel import Admission, RoutingTrace, expert_streams, offload_curves
    >>> loads = RoutingTrace.example().loads(1)
    >>> streams = [row[0] for row in expert_streams(loads, [0] * 32, 1)]
    >>> gates = [Admission(), Admission(after=4)]
    >>> curves = offload_curves(streams, [8, 16], policies=["lru", "lfu"], admissions=gates)
    >>> uploads = curves["lfu"].uploads.sum(axis=0)
    >>> bool((uploads[:, 1] < uploads[:, 0]).all())
    True
    """
    owner = "offload_curves"
    _check_streams(owner, streams)
    sizes = _checked_capacities(owner, capacities)
    policies = several_of(owner, "policies", policies, OFFLOAD_POLICIES)
    check_admissions(owner, policies, admissions)
    rates = None if start is None else _checked_start(owner, start, streams)
    weight = check_number(owner, "start_weight", start_weight)
    require(owner, "start_weight", start_weight, weight >= 0, "at least 0")
    shape = (len(streams), len(sizes), len(admissions))
    n_steps = len(streams[0].bounds) - 1
    accesses = np.array([len(stream.ids) for stream in streams], dtype=np.int64)
    curves = {}
    for policy in policies:
        steps = np.zeros((2, n_steps, *shape), dtype=np.int32) if per_step else (None, None)
        sums = np.empty((2, *shape), dtype=np.int64)
        curves[policy] = OffloadCurves(
            policy, sizes, tuple(admissions), sums[0], sums[1], accesses, n_steps, *steps
        )
    parts = list(settings_of(sizes, admissions))
    factors = {policy: _unit_factor(owner, policy, half_life) for policy in policies}

    def replay_stream(i: int) -> None:
        start_of = None if rates is None else rates[i]
        for policy, curve in curves.items():
            for part, settings in parts:
                bits = settings.replay(streams[i], policy, start_of, weight, factors[policy])
                n = len(settings.capacities)
                sums = ((curve.misses, curve.step_misses), (curve.uploads, curve.step_uploads))
                for words, (total, steps) in zip(bits, sums, strict=True):
                    total[i].reshape(-1)[part] = totals(words, n)
                    if steps is not None:
                        out = np.zeros((n_steps, n), dtype=np.int32)
                        sum_by_step(words, streams[i].bounds, out)
                        at = np.arange(part.start, part.stop)
                        steps[:, i, at // len(admissions), at % len(admissions)] = out

    Parallel(n_jobs=n_jobs, require="sharedmem")(
        delayed(replay_stream)(i) for i in range(len(streams))
    )
    return curves


def _unit_factor(owner: str, policy: str, half_life: float) -> float:
    """Return the factor by which the unit of counts grows in a step."""
    steps = check_number(owner, "half_life", half_life)
    require(owner, "half_life", half_life, steps >= 1, "at least 1")
    return 2.0 ** (1.0 / steps) if policy == "decay" else 1.0


def _checked_capacities(owner: str, capacities: ArrayLike) -> Ints:
    array = np.asarray(capacities)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "ui" or array.min() < 1:
        raise invalid(owner, "capacities", array, "a list of positive integers")
    return array.astype(np.int64)


def _check_streams(owner: str, streams: Sequence[ExpertStream]) -> None:
    """Raise a ValueError unless the compiled replay can go through the streams."""
    require(owner, "streams", streams, len(streams) > 0, "at least one ExpertStream")
    numbers = sorted({len(stream.bounds) - 1 for stream in streams})
    require(owner, "streams", numbers, len(numbers) == 1, "streams of one number of steps")
    most = max(stream.n_experts for stream in streams)
    expected = f"streams of at most {_MOST_EXPERTS:,} experts"
    require(owner, "streams", most, most <= _MOST_EXPERTS, expected)


def _checked_start(owner: str, start: ArrayLike, streams: Sequence[ExpertStream]) -> Floats:
    array = np.atleast_2d(np.asarray(start, dtype=np.float64))
    shape = (len(streams), streams[0].n_experts)
    numbers = sorted({stream.n_experts for stream in streams})
    require(owner, "start", numbers, len(numbers) == 1, "None for streams of different n_experts")
    if array.shape != shape or not (np.isfinite(array) & (array >= 0)).all():
        expected = f"finite numbers of at least 0, of shape {shape}"
        raise invalid(owner, "start", f"shape {array.shape}", expected)
    return array
