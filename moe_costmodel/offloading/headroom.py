"""headroom: what lists, policies, admission, and perfect knowledge would bring on a trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel._checks import check_fraction, count, invalid
from moe_costmodel.offloading.bound import least_seconds
from moe_costmodel.offloading.cost import MissCost
from moe_costmodel.offloading.planner import OffloadPlan, layer_streams, plan_offload, uses_of
from moe_costmodel.offloading.policies import Admission
from moe_costmodel.offloading.replay import offload_curves
from moe_costmodel.offloading.sums import list_misses, list_seconds, needed_of_step
from moe_costmodel.traces.trace import RoutingTrace
from moela.heartbeat.working import long_work

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Headroom", "HeadroomRow", "headroom"]

_STATIC = "static list"
# Name, policy, admission.
_RULES = (
    (_STATIC, "lfu", Admission(per_step=0)),
    ("LRU, every miss uploaded", "lru", Admission()),
    ("LFU, every miss uploaded", "inactive-lfu", Admission()),
    ("LFU, uploaded at the fourth miss", "lfu", Admission(after=4)),
    ("MIN, knows what is evicted best", "min", Admission()),
)
# Rules that do not know the future, other than the list.
_UNAWARE = [name for name, policy, rule in _RULES if policy != "min" and name != _STATIC]
_NONE, _PLAN, _PREFETCH, _BOUND = (
    "none resident", "plan", "perfect prefetch", "bound for every plan"
)  # fmt: skip
_WORTH = 0.05
"""Share of a static list's seconds from which a policy is worth building."""
_SHARES = np.linspace(0.125, 0.875, 7)
_FEWEST_STEPS = 4
"""Steps from which loads are taken as steps of a server; fewer are sums over many of them."""


@dataclass(frozen=True)
class HeadroomRow:
    """Misses and uploads of a step, and its time, under one rule.

    Attributes
    ----------
    name : str
    misses, uploads : float
        Means of a step, of all layers together; NaN for the bound.
    seconds : float
        Mean seconds of a step.

    Examples
    --------
    >>> from moe_costmodel import RoutingTrace, headroom
    >>> rows = headroom(RoutingTrace.example(), slots=16).rows
    >>> rows["static list"].uploads
    0.0
    """

    name: str
    misses: float
    uploads: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Headroom:
    """Times of a step under several rules, on traffic that none was fitted to.

    Attributes
    ----------
    source : str
        Fitted and scored traffic.
    slots, n_experts, n_layers, batch_size : int
        Experts of a layer that fit, experts of a layer, layers, and sequences decoded together.
    rows : dict of str to HeadroomRow
    plan : OffloadPlan or None
        The plan of row "plan"; None for a trace that is a sum over steps.
    residents : tuple of tuple of int
        Experts to keep in each layer, most used first.
    shares : ndarray of shape (n_sizes,)
        Shares of the experts that fit, for :meth:`plot`.
    curves : dict of str to ndarray of shape (n_sizes,)
        Mean seconds of a step at these shares.

    Examples
    --------
    >>> from moe_costmodel import RoutingTrace, headroom
    >>> print(headroom(RoutingTrace.example(), slots=16).verdict()[:5])
    Don't
    """

    source: str
    slots: int
    n_experts: int
    n_layers: int
    batch_size: int
    rows: dict[str, HeadroomRow]
    plan: OffloadPlan | None
    shares: Floats
    curves: dict[str, Floats]
    residents: tuple[tuple[int, ...], ...] = ()

    def verdict(self) -> str:
        """Return one sentence: whether a policy is worth building, and why."""
        if self.slots >= self.n_experts:
            return "Don't build it: all experts are in fast memory, so that no step misses one."
        static = self.rows[_STATIC].seconds
        if self.plan is None:
            saved = _saved(static, self.rows[_NONE].seconds)
            return (
                f"Keep a static list, which saves {saved:.0%}. Sums over steps do not tell whether "
                "more is worth building: record each token's choices."
            )
        rules = [self.rows[_PLAN], *(self.rows[name] for name in _UNAWARE)]
        row = min(rules, key=lambda row: row.seconds)
        best, most = _saved(row.seconds, static), _saved(self.rows[_BOUND].seconds, static)
        if best >= _WORTH:
            name = "the plan" if row.name == _PLAN else f'"{row.name}"'
            return (
                f"Build it: {name} takes {best:.0%} less time than a static list of the same size "
                f"({_milliseconds(row.seconds)} instead of {_milliseconds(static)} a step); no "
                f"plan can save more than {most:.0%}."
            )
        if most < _WORTH:
            return (
                f"Don't build it: even a plan that knows the future saves at most {most:.1%} of a "
                "static list's time."
            )
        return (
            f"Don't build it: a static list is as good as it gets without knowing the future (the "
            f"best rule saves {best:.1%}, and no plan can save more than {most:.0%})."
        )

    def __str__(self) -> str:
        lines = [
            f"{self.source}",
            f"{self.slots} of {self.n_experts} experts in each of {self.n_layers} layers, "
            f"{self.batch_size} sequence{'s' * (self.batch_size > 1)} together; of a step:",
            f"  {'':34s}{'misses':>9s}{'uploads':>9s}{'ms':>9s}{'tokens/s':>10s}",
        ]
        for row in self.rows.values():
            known = [
                f"{v:9.2f}" if np.isfinite(v) else f"{'':9s}" for v in (row.misses, row.uploads)
            ]
            rate = self.batch_size / row.seconds if row.seconds else np.inf
            lines.append(f"  {row.name:34s}{''.join(known)}{row.seconds * 1e3:9.3f}{rate:10.1f}")
        if self.plan is not None:
            lines.append(f"plan: {str(self.plan).splitlines()[0]}")
        return "\n".join([*lines, self.verdict()])

    def plot(self) -> Figure:
        """Draw the time of a step over the share of the experts that fit."""
        from moela.notebook.style import COLORS, MARKERS, SMALL, dress, new_figure

        figure = new_figure(11.0, 5.6)
        axes = figure.subplots()
        dress(axes, "experts in fast memory (%)", "step (ms)", self.source)
        for i, (name, seconds) in enumerate(self.curves.items()):
            style = "--" if name in (_PREFETCH, _BOUND) or name.startswith("MIN") else "-"
            axes.plot(
                100 * self.shares, 1e3 * seconds, style, color=COLORS[i % len(COLORS)],
                marker=MARKERS[i % len(MARKERS)], lw=2, ms=6, label=name,
            )  # fmt: skip
        if self.plan is not None:
            seconds_ = 1e3 * self.rows[_PLAN].seconds
            axes.plot(100 * self.slots / self.n_experts, seconds_, "k*", ms=17, label=_PLAN)
        figure.legend(loc="outside right upper", fontsize=SMALL, frameon=False)
        return figure


def _saved(new: float, old: float) -> float:
    """Return the share of the old time that the new one saves; nothing of no time."""
    # Rounded, so that no saving is printed as -0.0%.
    return round(1.0 - new / old, 9) + 0.0 if old else 0.0


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"


@long_work("measuring the headroom of a trace")
def headroom(
    trace: RoutingTrace,
    *,
    slots: int | None = None,
    share: float = 0.5,
    cost: MissCost | None = None,
    batch_size: int = 1,
    against: RoutingTrace | None = None,
    top_k: int | None = None,
) -> Headroom:
    """Return what rules for resident experts would bring on traffic that they were not fitted to.

    Lists and plans are fitted on the first half of the trace and scored on the second half, or
    fitted on the whole trace and scored on other traffic.

    Parameters
    ----------
    trace : RoutingTrace
        Recorded routing. Of loads in few steps (published sums), only static lists can be told,
        for tokens that choose independently.
    slots : int, optional
        Experts of each layer that fit. By default `share` of them.
    share : float
        Share of the experts that fit, strictly between 0 and 1.
    cost : MissCost, optional
        Cost of misses and uploads; by default the published one of a small GPU and a CPU.
    batch_size : int
        Sequences decoded together.
    against : RoutingTrace, optional
        Other traffic of the same model to score on. Sums are scored on themselves without it.
    top_k : int, optional
        Experts of a token; needed for sums over steps.

    Returns
    -------
    Headroom

    Raises
    ------
    ValueError
        If a parameter is wrong, the traces are of different models, or `top_k` is missing.

    Examples
    --------
    >>> from moe_costmodel import RoutingTrace, headroom
    >>> found = headroom(RoutingTrace.example(), slots=16)
    >>> found.rows["bound for every plan"].seconds < found.rows["plan"].seconds
    True
    """
    owner = "headroom"
    if slots is None:
        slots = max(1, round(check_fraction(owner, "share", share) * trace.n_experts))
    slots = count(owner, "slots", slots)
    if slots > trace.n_experts:
        raise invalid(owner, "slots", slots, f"at most the {trace.n_experts} experts of a layer")
    if against is not None:
        sizes = (trace.n_layers, trace.n_experts)
        if sizes != (against.n_layers, against.n_experts):
            got = f"{against.source} of {against.n_layers} layers of {against.n_experts} experts"
            raise invalid(owner, "against", got, "of {} layers of {} experts".format(*sizes))
    cost = cost or MissCost.published()
    if trace.is_load_only and len(trace.loads()) < _FEWEST_STEPS:
        return _of_sums(trace, against or trace, slots, cost, batch_size, top_k)
    fitted, scored = trace.split() if against is None else (trace, against)
    total = slots * trace.n_layers
    plan = plan_offload(fitted, slots=total, cost=cost, batch_size=batch_size)
    streams = layer_streams(scored, batch_size)
    n_steps = len(streams[0].bounds) - 1
    needed = sum(len(stream.ids) for stream in streams) / n_steps
    uses = uses_of(layer_streams(fitted, batch_size))
    sizes_ = _sizes(trace.n_experts, slots)
    rows = {_NONE: HeadroomRow(_NONE, needed, 0.0, float(cost.step_seconds(needed, 0.0)))}
    curves: dict[str, Floats] = {}
    at = int(np.searchsorted(sizes_, slots))
    for name, policy, rule in _RULES:
        found = offload_curves(
            streams, sizes_, policies=[policy], admissions=[rule], start=uses, per_step=True
        )[policy]
        assert found.step_misses is not None
        assert found.step_uploads is not None
        misses, uploads = (
            found.step_misses[..., 0].sum(axis=1),
            found.step_uploads[..., 0].sum(axis=1),
        )
        rows[name], curves[name] = _row(name, misses, uploads, cost, at)
        if policy == "min":
            # Whatever MIN misses has to be uploaded before it is needed.
            rows[_PREFETCH], curves[_PREFETCH] = _row(_PREFETCH, 0 * misses, misses, cost, at)
    misses, uploads = plan.replay(scored)
    rows[_PLAN], _ = _row(_PLAN, misses[:, None], uploads[:, None], cost, 0)
    curves[_BOUND] = np.array(
        [least_seconds(streams, int(size) * trace.n_layers, cost) for size in sizes_]
    )
    rows[_BOUND] = HeadroomRow(_BOUND, np.nan, np.nan, float(curves[_BOUND][at]))
    source = f"{fitted.source}, fitted on the first half, scored on the second"
    if against is not None:
        source = f"{fitted.source}, scored on {scored.source}"
    return Headroom(
        source, slots, trace.n_experts, trace.n_layers, batch_size, rows, plan,
        sizes_ / trace.n_experts, curves, tuple(map(tuple, plan.residents())),
    )  # fmt: skip


def _row(
    name: str, misses: Ints, uploads: Ints, cost: MissCost, at: int
) -> tuple[HeadroomRow, Floats]:
    """Return the row of one size, and the seconds of all, from (n_steps, n_sizes)."""
    seconds = np.asarray(cost.step_seconds(misses, uploads)).mean(axis=0)
    missed, uploaded = (float(values[:, at].mean()) for values in (misses, uploads))
    return HeadroomRow(name, missed, uploaded, float(seconds[at])), seconds


def _sizes(n_experts: int, slots: int) -> Ints:
    sizes = np.maximum(1, np.round(_SHARES * n_experts)).astype(np.int64)
    return np.unique(np.append(sizes, slots))


def _of_sums(
    trace: RoutingTrace,
    scored: RoutingTrace,
    slots: int,
    cost: MissCost,
    batch_size: int,
    top_k: int | None,
) -> Headroom:
    """Return what static lists bring on traffic that is a sum over steps."""
    owner = "headroom"
    if not scored.is_load_only:
        raise invalid(owner, "against", f"{scored.source}, of tokens", "a sum, as the trace is")
    if top_k is None:
        got = f"{trace.source}, the loads of {len(trace.loads())} step(s)"
        expected = "a trace of each token's choices, the loads of many steps, or given with top_k "
        expected += "(--top-k): a sum over steps does not tell which experts meet in one"
        raise invalid(owner, "trace", got, expected)
    fitted = trace.shares()
    needed = needed_of_step(
        scored, count(owner, "top_k", top_k), count(owner, "batch_size", batch_size)
    )
    total, missed = float(needed.sum()), list_misses(fitted, needed, slots)
    rows = {
        name: HeadroomRow(name, misses, 0.0, float(cost.step_seconds(misses, 0.0)))
        for name, misses in ((_NONE, total), (_STATIC, missed))
    }
    sizes = _sizes(trace.n_experts, slots)
    curve = np.array([list_seconds(fitted, needed, int(size), cost) for size in sizes])
    source = f"{trace.source}, scored on {scored.source}"
    if scored is trace:
        source = f"{trace.source}, a sum, scored on itself"
    order = np.argsort(-fitted, axis=1, kind="stable")[:, :slots]
    return Headroom(
        source, slots, trace.n_experts, int((needed.sum(axis=1) > 0).sum()), batch_size, rows,
        None, sizes / trace.n_experts, {_STATIC: curve}, tuple(map(tuple, order.tolist())),
    )  # fmt: skip
