"""plan_offload: which experts to keep, how many of each layer, and when to upload others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel._checks import count, invalid
from moe_costmodel.buffering.replay import ExpertStream, expert_streams
from moe_costmodel.offloading.cost import MissCost
from moe_costmodel.offloading.policies import Admission
from moe_costmodel.offloading.replay import offload_curves
from moe_costmodel.traces.trace import RoutingTrace
from moela.heartbeat.working import long_work

__all__ = ["OffloadPlan", "layer_streams", "plan_offload", "slots_by_use", "uses_of"]

STATIC = Admission(per_step=0)
_RULES = (
    STATIC,
    Admission(after=4),
    *(Admission(margin=margin) for margin in (2.0, 4.0, 6.0, 9.0, 12.0, 20.0)),
)
_GUARDS = (None, 1.1, 1.2, 1.3)
_GUARD_TOKENS = 32
"""Tokens whose expected misses must come on top before a guard opens. Within a domain, sequences of
60 to 300 tokens that miss a fifth more than the mean are common, and must not open it."""
_WEIGHTS = (0.0, 30.0)
_HALF_LIFE = 2048.0
_SURE = 0.002
"""On traffic like that of its fit, a plan takes this share less time than a static list of equal
slots, or at most this share more than the best static list."""

# What the names of predicted times stand for, when a plan is printed.
_TRAFFIC = {
    "same": "on traffic like that of the trace",
    "drifted": "on traffic that prefers other experts",
    "static": "a static list of equal slots, on traffic like that of the trace",
    "static drifted": "a static list of equal slots, on traffic that prefers other experts",
}


@dataclass(frozen=True, eq=False)
class OffloadPlan:
    """Slots, first contents, and the rule for uploads, with predicted times.

    Attributes
    ----------
    policy : str
        One of :data:`moe_costmodel.OFFLOAD_POLICIES`.
    admission : Admission
    guard : float or None
        Nothing is uploaded until misses exceed `guard` times the number that the first contents
        promise (:func:`opening_step`). None: uploads from the beginning.
    slots : ndarray of shape (n_layers,), int64
        Experts of each layer that fit.
    start : ndarray of shape (n_layers, n_experts), float64
        Uses of each expert in a step of the fitted traffic. The experts of most uses come first.
    start_weight, half_life : float
        As in :func:`moe_costmodel.offload_curves`.
    batch_size : int
        Sequences decoded together.
    predicted : dict of str to float
        Mean seconds of a step: ``"same"`` of traffic like that of the fit, ``"drifted"`` of traffic
        that prefers other experts, and both for the static list of equal slots (``"static"``,
        ``"static drifted"``).

    Examples
    --------
    >>> from moe_costmodel import MissCost, RoutingTrace, plan_offload
    >>> plan = plan_offload(RoutingTrace.example(), slots=6 * 16, cost=MissCost.published())
    >>> int(plan.slots.sum())
    96
    """

    policy: str
    admission: Admission
    guard: float | None
    slots: Ints
    start: Floats
    start_weight: float
    half_life: float
    batch_size: int
    predicted: dict[str, float] = field(default_factory=dict)

    def residents(self) -> list[list[int]]:
        """Return the experts that each layer begins with, most used first."""
        order = np.argsort(-self.start, axis=1, kind="stable")
        return [order[i, :n].tolist() for i, n in enumerate(self.slots.tolist())]

    def replay(self, trace: RoutingTrace) -> tuple[Ints, Ints]:
        """Return misses and uploads of all layers in each step of a trace, (n_steps,) each."""
        streams, opens = layer_streams(trace, self.batch_size), 0
        if self.guard is not None:
            opens = _opening(streams, self.slots, self.start, self.guard, self.batch_size)
        misses, uploads = replay_slots(
            streams, self.slots, self.policy, [replace(self.admission, opens=opens)], self.start,
            self.start_weight, self.half_life,
        )  # fmt: skip
        return misses[:, 0], uploads[:, 0]

    def seconds(self, trace: RoutingTrace, cost: MissCost) -> float:
        """Return the mean seconds of a step of a trace."""
        return float(cost.step_seconds(*self.replay(trace)).mean())

    def __str__(self) -> str:
        kept = f"{int(self.slots.sum())} experts, {self.slots.min()} to {self.slots.max()} a layer"
        when = "" if self.guard is None else f", once misses exceed the plan {self.guard:g} times"
        lines = [f"{kept}; policy {self.policy}; upload: {self.admission}{when}"]
        lines += [
            f"  {_TRAFFIC.get(name, name)}: {value * 1e3:.3f} ms a step"
            for name, value in self.predicted.items()
        ]
        return "\n".join(lines)


def layer_streams(trace: RoutingTrace, batch_size: int = 1) -> list[ExpertStream]:
    """Return the experts that each layer of a trace needs, step by step of decoding."""
    loads = trace.loads(None if trace.is_load_only else batch_size)
    return [row[0] for row in expert_streams(loads, np.zeros(trace.n_experts, dtype=int), 1)]


def uses_of(streams: Sequence[ExpertStream]) -> Floats:
    """Return the share of the steps in which each expert is needed, [n_layers, n_experts]."""
    n_steps = len(streams[0].bounds) - 1
    return np.stack([np.bincount(s.ids, minlength=s.n_experts) / n_steps for s in streams])


def slots_by_use(uses: Floats, slots: int) -> Ints:
    """Divide slots among layers so that the most used experts of all layers fit, at least one each.

    Parameters
    ----------
    uses : ndarray of shape (n_layers, n_experts)
    slots : int
        Slots in all, at least one a layer.
    """
    ranked = uses.copy()
    ranked[np.arange(len(uses)), uses.argmax(axis=1)] = np.inf
    best = np.argsort(-ranked.ravel(), kind="stable")[:slots]
    return np.bincount(best // uses.shape[1], minlength=len(uses)).astype(np.int64)


def equal_slots(n_layers: int, n_experts: int, slots: int) -> Ints:
    """Divide slots among layers evenly; the first layers take what is left over."""
    equal = np.full(n_layers, slots // n_layers, dtype=np.int64)
    equal[: slots % n_layers] += 1
    return np.minimum(equal, n_experts)


@long_work("planning offloaded experts")
def plan_offload(
    trace: RoutingTrace,
    *,
    slots: int,
    cost: MissCost,
    batch_size: int = 1,
    drift: bool = True,
    random_state: int = 0,
) -> OffloadPlan:
    """Choose slots of each layer, policy and admission by replaying all candidates.

    Candidates are fitted on the first half of the trace and replayed on the second half twice: as
    it is, and with layers exchanged and their experts renamed at random, which stands for traffic
    that prefers other experts. Among the candidates that are no slower than a static list of equal
    slots
    on the former, the plan is the fastest on the latter. It is then fitted on the whole trace.

    Parameters
    ----------
    trace : RoutingTrace
        Traffic to plan for; loads only will do.
    slots : int
        Experts of all layers together that fit, at least one a layer.
    cost : MissCost
        Cost of misses and uploads.
    batch_size : int
        Sequences decoded together.
    drift : bool
        Guard against drift. If False, the plan is the fastest on the second half as it is.
    random_state : int
        Seed of the renaming.

    Returns
    -------
    OffloadPlan

    Raises
    ------
    ValueError
        If there are fewer slots than layers, or a parameter is wrong.

    Examples
    --------
    >>> from moe_costmodel import MissCost, RoutingTrace, plan_offload
    >>> cost = MissCost.published()
    >>> plan = plan_offload(RoutingTrace.example(), slots=6 * 16, cost=cost)
    >>> plan.seconds(RoutingTrace.example("prose"), cost) < 0.006
    True
    """
    slots = count("plan_offload", "slots", slots)
    if slots < trace.n_layers:
        raise invalid("plan_offload", "slots", slots, f"at least one for {trace.n_layers} layers")
    slots = min(slots, trace.n_layers * trace.n_experts)
    first, second = (layer_streams(half, batch_size) for half in trace.split())
    generator = np.random.default_rng(random_state)
    traffic = {"same": second, "drifted": [_renamed(stream, generator) for stream in second]}
    uses = uses_of(first)
    layers = generator.permutation(trace.n_layers)
    traffic["drifted"] = [traffic["drifted"][layer] for layer in layers]
    divisions = _divisions(uses, slots)
    whole = uses_of(layer_streams(trace, batch_size))
    found: dict[_Candidate, dict[str, float]] = {}
    for name, streams in traffic.items():
        for division, sizes in divisions.items():
            for candidate, value in _scores(streams, sizes, uses, batch_size, cost):
                found.setdefault((division, *candidate), {})[name] = value
    static = found["equal", "lfu", 0.0, STATIC, None]
    least = min(found[division, "lfu", 0.0, STATIC, None]["same"] for division in divisions)
    # Of the seconds above the base, which a plan can change.
    most = max((1.0 + _SURE) * (least - cost.base), (1.0 - _SURE) * (static["same"] - cost.base))
    allowed = {k: value for k, value in found.items() if value["same"] - cost.base <= most + 1e-15}
    aim = "drifted" if drift else "same"
    division, policy, weight, rule, guard = min(allowed, key=lambda key: allowed[key][aim])
    final = _divisions(whole, slots)[division]
    predicted = {
        **found[division, policy, weight, rule, guard],
        "static": static["same"],
        "static drifted": static["drifted"],
    }
    return OffloadPlan(policy, rule, guard, final, whole, weight, _HALF_LIFE, batch_size, predicted)


def _divisions(uses: Floats, slots: int) -> dict[str, Ints]:
    """Return the divisions of the slots among layers that are tried."""
    equal, by_use = equal_slots(uses.shape[0], uses.shape[1], slots), slots_by_use(uses, slots)
    # Halfway, each layer rounded down, and those of the largest rest up.
    doubled = equal + by_use
    half = doubled // 2
    rest = np.argsort(-(doubled % 2), kind="stable")[: slots - int(half.sum())]
    half[rest] += 1
    return {"equal": equal, "half by use": half, "by use": by_use}


def _renamed(stream: ExpertStream, generator: np.random.Generator) -> ExpertStream:
    """Return a stream in which the experts have other numbers."""
    names = generator.permutation(stream.n_experts)
    step = np.repeat(np.arange(len(stream.bounds) - 1), np.diff(stream.bounds))
    ids = names[stream.ids]
    return ExpertStream(ids[np.lexsort((ids, step))], stream.bounds, stream.n_experts)


def opening_step(
    misses: ArrayLike, accesses: ArrayLike, share: float, guard: float, batch_size: int
) -> int:
    """Return the step in which a guard opens, or the number of steps if it stays closed.

    The guard sums the misses of all layers above `guard` times the expected number, and begins
    anew at zero (CUSUM; Page, Continuous inspection schemes, Biometrika 41, 1954). Nothing is
    uploaded before, so the misses are those of the first contents.

    Parameters
    ----------
    misses, accesses : array_like of shape (n_steps,)
        Misses of the first contents, and needed experts.
    share : float
        Expected misses of an access.
    guard : float
        Ratio of misses to expected ones that is accepted.
    batch_size : int
        Sequences decoded together; the guard opens after as many tokens of each batch size.
    """
    missed, needed = np.asarray(misses, dtype=float), np.asarray(accesses, dtype=float)
    height = share * needed.mean() * max(1.0, _GUARD_TOKENS / batch_size)
    # A sum that begins anew at zero is the sum above its own running minimum.
    total = np.cumsum(missed - guard * share * needed)
    above = total - np.minimum(0.0, np.minimum.accumulate(total))
    opened = np.flatnonzero(above > height)
    return int(opened[0]) if len(opened) else len(missed)


def _expected_share(uses: Floats, slots: Ints) -> float:
    """Return the share of accesses that the most used experts of each layer miss."""
    ranked = -np.sort(-uses, axis=1)
    kept = sum(row[:n].sum() for row, n in zip(ranked, slots.tolist(), strict=True))
    return float(1.0 - kept / uses.sum())


def _opening(
    streams: Sequence[ExpertStream], slots: Ints, uses: Floats, guard: float, batch_size: int
) -> int:
    """Return the step in which the guard of a static list opens."""
    lists = np.argsort(-uses, axis=1, kind="stable")
    misses, accesses = np.zeros((2, len(streams[0].bounds) - 1))
    for stream, ranked, n in zip(streams, lists, slots.tolist(), strict=True):
        missing = np.ones(stream.n_experts, dtype=np.int64)
        missing[ranked[:n]] = 0
        total = np.append(0, np.cumsum(missing[stream.ids]))
        misses += np.diff(total[stream.bounds])
        accesses += np.diff(stream.bounds)
    return opening_step(misses, accesses, _expected_share(uses, slots), guard, batch_size)


_Rule = tuple[str, float, Admission, float | None]
_Candidate = tuple[str, str, float, Admission, float | None]


def _scores(
    streams: Sequence[ExpertStream], slots: Ints, uses: Floats, batch_size: int, cost: MissCost
) -> Iterator[tuple[_Rule, float]]:
    """Yield the mean seconds of a step for each policy, weight, admission, and guard."""
    opens = {g: 0 if g is None else _opening(streams, slots, uses, g, batch_size) for g in _GUARDS}
    pairs = [(rule, guard) for guard in _GUARDS for rule in _RULES]
    rules = [replace(rule, opens=opens[guard]) for rule, guard in pairs]
    distinct = list(dict.fromkeys(rules))
    for policy in ("lfu", "decay"):
        for weight in _WEIGHTS:
            misses, uploads = replay_slots(
                streams, slots, policy, distinct, uses, weight, _HALF_LIFE
            )
            seconds = cost.step_seconds(misses, uploads).mean(axis=0)
            for pair, rule in zip(pairs, rules, strict=True):
                yield (policy, weight, *pair), float(seconds[distinct.index(rule)])


def replay_slots(
    streams: Sequence[ExpertStream],
    slots: Ints,
    policy: str,
    admissions: Sequence[Admission],
    start: Floats,
    start_weight: float,
    half_life: float,
) -> tuple[Ints, Ints]:
    """Replay each layer with its own number of slots.

    Returns
    -------
    misses, uploads : ndarray of shape (n_steps, n_admissions), int64
        Of all layers together.
    """
    shape = (len(streams[0].bounds) - 1, len(admissions))
    misses, uploads = np.zeros((2, *shape), dtype=np.int64)
    for i, stream in enumerate(streams):
        curve = offload_curves(
            [stream], slots[i : i + 1], policies=[policy], admissions=admissions,
            start=start[i : i + 1], start_weight=start_weight, half_life=half_life, per_step=True,
        )[policy]  # fmt: skip
        assert curve.step_misses is not None
        assert curve.step_uploads is not None
        misses += curve.step_misses[:, 0, 0]
        uploads += curve.step_uploads[:, 0, 0]
    return misses, uploads
