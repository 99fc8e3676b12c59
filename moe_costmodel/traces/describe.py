"""Description of a routing trace in the terms of arXiv 2303.06182: waste, idle and hot experts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from moe_costmodel._arrays import Array, Floats, Ints
from moe_costmodel._checks import require
from moe_costmodel.traces.steps import count_choices
from moe_costmodel.traces.trace import Mode, RoutingTrace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TraceDescription", "describe", "static_waste"]

_PART = 2**22  # numbers of loads that are counted at once


@dataclass(frozen=True, kw_only=True)
class TraceDescription:
    """The traffic of a trace as a server sees it, step by step.

    Attributes
    ----------
    source : str
        Name of the trace.
    n_steps, n_layers, n_experts : int
        Steps, layers with tokens, and experts of a layer.
    k : int or None
        Experts per token; None for a load-only trace.
    batch_size : int or None
        Sequences (decode) or tokens (prefill) per step; None for recorded steps.
    mode : str
        "prefill", "decode", or "recorded".
    layers : ndarray of shape (n_layers,), int64
        Numbers of the layers within the model.
    inactive : ndarray of shape (n_layers,)
        Mean share of the experts that get no token in a step (sparsity by layer).
    hottest_over_mean : ndarray of shape (n_layers,)
        Mean over steps of the hottest expert's load divided by the mean load.
    waste_factor : ndarray of shape (n_layers,)
        Slots that static gating computes for each slot used, at the smallest capacity that never
        drops a token: E C / k with C the largest share of a step's tokens that one expert takes.
    persistence : ndarray of shape (n_layers,)
        Share of a step's hot experts (the busiest tenth, at least one) that are hot in the next
        step too. NaN if there is a single step.
    chance_persistence : float
        Expected `persistence` if hot experts were drawn at random.
    mean_load : ndarray of shape (n_layers, n_experts)
        Share of the layer's load that each expert takes.

    Examples
    --------
    >>> from moe_costmodel import RoutingTrace
    >>> description = RoutingTrace.example("code").describe(batch_size=8)
    >>> description.mode, description.inactive.shape
    ('decode', (6,))
    """

    source: str
    n_steps: int
    n_layers: int
    n_experts: int
    k: int | None
    batch_size: int | None
    mode: str
    layers: Ints
    inactive: Floats
    hottest_over_mean: Floats
    waste_factor: Floats
    persistence: Floats
    chance_persistence: float
    mean_load: Floats

    def to_dict(self) -> dict[str, object]:
        """Return all attributes as values for JSON; NaN becomes None."""
        return {
            name: [None if v != v else v for v in value.tolist()]
            if isinstance(value, np.ndarray)
            else value
            for name, value in vars(self).items()
        }

    def __str__(self) -> str:
        top = "" if self.k is None else f", top-{self.k}"
        units = "sequences" if self.mode == "decode" else "tokens"
        recorded = self.mode == "recorded"
        step = "as recorded" if recorded else f"{self.batch_size} {units} per step"
        lines = [
            self.source,
            f"  {self.n_layers} layers of {self.n_experts} experts{top}; "
            f"{self.n_steps} steps ({self.mode}: {step})",
            "                                          mean     min     max   (over layers)",
        ]
        rows = {
            "experts inactive in a step": self.inactive,
            "hottest expert over the mean": self.hottest_over_mean,
            "waste factor of static gating": self.waste_factor,
            "hot experts still hot a step later": self.persistence,
        }
        for name, values in rows.items():
            known = values[~np.isnan(values)]
            cells = [f"{f(known):8.3f}" if len(known) else f"{'-':>8}" for f in (np.mean, min, max)]
            lines.append(f"  {name:<36}{''.join(cells)}")
        chance = f"{self.chance_persistence:.1%}"
        return "\n".join([*lines, f"  ({chance} of the hot experts would stay hot by chance)"])

    def plot(self) -> Figure:
        """Draw load by layer and expert, sparsity by layer, skew and persistence."""
        from moela.notebook.style import COLORS, SMALL, TEXT, dress, literal, new_figure

        figure = new_figure(14.0, 9.0)
        load, inactive, skew, persistence = figure.subplots(2, 2).flat
        figure.suptitle(literal(self.source), fontsize=TEXT)
        over = self.mean_load * self.n_experts
        image = load.imshow(over, aspect="auto", cmap="viridis", vmin=0)
        dress(load, "expert", "MoE layer", "Load over a uniform load")
        load.grid(visible=False)
        figure.colorbar(image, ax=load).ax.tick_params(labelsize=SMALL)
        position = np.arange(self.n_layers)
        inactive.bar(position, self.inactive, color=COLORS[0])
        dress(inactive, "MoE layer", "", "Experts inactive in a step")
        first, second = ({"color": color, "lw": 2, "ms": 7} for color in COLORS[:2])
        skew.plot(position, self.hottest_over_mean, "o-", **first, label="hottest / mean")
        skew.plot(position, self.waste_factor, "s--", **second, label="waste of static gating")
        dress(skew, "MoE layer", "", "Skew")
        skew.set_ylim(bottom=0)
        persistence.plot(position, self.persistence, "o-", **first, label="this trace")
        persistence.axhline(self.chance_persistence, ls=":", lw=2, color="0.4", label="by chance")
        dress(persistence, "MoE layer", "", "Hot experts hot again")
        for axes in (inactive, persistence):
            axes.set_ylim(0, 1)
        for axes in (skew, persistence):
            axes.legend(fontsize=SMALL, framealpha=0.85, edgecolor="none")
        return figure


class _LayerLoads(NamedTuple):
    """The loads of one layer, step by step, as far as a description needs them."""

    totals: Array  # (n_steps,)
    hottest: Array  # of the busiest expert, (n_steps,)
    still_hot: Ints  # hot experts that were hot in the step before, (n_steps - 1,)
    n_idle: int  # experts without a token, all steps together

    @classmethod
    def of(cls, parts: Iterable[Array], n_hot: int) -> _LayerLoads:
        """Sum the loads of a layer, which come in parts of (steps, n_experts)."""
        totals, hottest, still_hot, n_idle = [], [], [], 0
        was_hot = None
        for loads in parts:
            hot = np.argpartition(loads, -n_hot, axis=1)[:, -n_hot:]
            is_hot = np.zeros(loads.shape, dtype=bool)
            np.put_along_axis(is_hot, hot, True, axis=1)
            before = is_hot if was_hot is None else np.concatenate((was_hot, is_hot))
            still_hot.append((before[1:] & before[:-1]).sum(axis=1))
            was_hot = is_hot[-1:]
            totals.append(loads.sum(axis=1))
            hottest.append(loads.max(axis=1))
            n_idle += loads.size - int(np.count_nonzero(loads))
        join = np.concatenate
        return cls(join(totals), join(hottest), join(still_hot), n_idle)


def _loads_by_layer(
    trace: RoutingTrace, batch_size: int | None, mode: Mode
) -> Iterator[Iterator[Array]]:
    """Yield the loads of each layer, in parts of (steps, experts).

    The loads of all steps may take far more memory than the trace.
    """
    rows = max(1, _PART // trace.n_experts)
    if trace.is_load_only:
        loads = trace.loads(batch_size)
        for i in range(trace.n_layers):
            yield (loads[first : first + rows, i] for first in range(0, len(loads), rows))
        return
    assert batch_size is not None
    step = trace.steps(batch_size, mode)
    order = np.argsort(step, kind="stable")[np.count_nonzero(step < 0) :]
    step = step[order]
    n_steps = int(step[-1]) + 1
    trace.check_loads(n_steps, batch_size)
    firsts = range(0, n_steps, rows)
    ends = np.searchsorted(step, [*firsts, n_steps])

    def part(layer: int, first: int, tokens: slice) -> Array:
        out = np.zeros((min(rows, n_steps - first), 1, trace.n_experts), dtype=np.int32)
        ids = np.ascontiguousarray(trace.topk_ids[order[tokens], layer : layer + 1])
        keep = np.broadcast_to(np.True_, ids.shape)
        count_choices(ids, step[tokens] - first, keep, out)
        return out[:, 0]

    for i in range(trace.n_layers):
        spans = zip(firsts, ends[:-1].tolist(), ends[1:].tolist(), strict=True)
        yield (part(i, first, slice(begin, end)) for first, begin, end in spans)


def describe(
    trace: RoutingTrace, batch_size: int | None = None, mode: Mode = "decode"
) -> TraceDescription:
    """Describe a trace as the paper describes its workloads (arXiv 2303.06182, section 3).

    Parameters
    ----------
    trace : RoutingTrace
        The trace; a load-only trace is described by its recorded steps.
    batch_size, mode
        As for :meth:`RoutingTrace.steps`. By default 8 sequences or 256 tokens, or all that the
        trace has if these are fewer.
    """
    if trace.is_load_only:
        label, k = "recorded", None
    else:
        label, k = mode, trace.k
        if batch_size is None:
            batch_size = min(8, len(trace.sequence_lengths)) if mode == "decode" else 256
            batch_size = min(batch_size, trace.n_tokens)
    n_hot = max(1, trace.n_experts // 10)
    layers = [_LayerLoads.of(parts, n_hot) for parts in _loads_by_layer(trace, batch_size, mode)]
    # Layers without tokens (dense layers in a published dump) are left out.
    busy = np.array([layer.totals.any() for layer in layers])
    layers = [layer for layer in layers if layer.totals.any()]
    totals, hottest, still_hot = (
        np.array([getattr(layer, name) for layer in layers]).T
        for name in ("totals", "hottest", "still_hot")
    )
    mean = np.maximum(totals / trace.n_experts, np.finfo(float).tiny)
    n_steps = len(totals)
    persistence = np.full(len(layers), np.nan)
    if n_steps > 1:
        persistence = still_hot.mean(axis=0) / n_hot
    return TraceDescription(
        source=trace.source,
        n_steps=n_steps,
        n_layers=len(layers),
        n_experts=trace.n_experts,
        k=k,
        batch_size=batch_size,
        mode=label,
        layers=trace.layers[busy],
        inactive=np.array([x.n_idle / (n_steps * trace.n_experts) for x in layers]),
        hottest_over_mean=(hottest / mean).mean(axis=0),
        # E C / k with C = max over steps of (hottest / tokens), and k tokens = the total load.
        waste_factor=trace.n_experts * (hottest / np.maximum(totals, 1)).max(axis=0),
        persistence=persistence,
        chance_persistence=n_hot / trace.n_experts,
        mean_load=trace.shares()[busy],
    )


def static_waste(n_experts: int, k: int, capacity_factor: float) -> float:
    """Return the waste factor of static gating, E C / k (arXiv 2303.06182, section 3).

    Parameters
    ----------
    n_experts, k : int
        Experts of a layer, and experts that each token is sent to.
    capacity_factor : float
        Tokens that each expert computes, as a share of the step's tokens.

    Returns
    -------
    float
        Token slots computed for each slot needed: 12.8 for the paper's language model (512, 2,
        0.05), 64 for its translation model (128, 2, 1).

    Raises
    ------
    ValueError
        If a parameter is not positive, or k above n_experts.

    Examples
    --------
    >>> from moe_costmodel import static_waste
    >>> static_waste(n_experts=512, k=2, capacity_factor=0.05)
    12.8
    """
    require("static_waste", "k", k, 0 < k <= n_experts, f"in 1 .. {n_experts}")
    require("static_waste", "capacity_factor", capacity_factor, capacity_factor > 0, "positive")
    return n_experts * capacity_factor / k
