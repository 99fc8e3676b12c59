"""Traffic: the loads that advice is fitted to and scored on, of layers that have tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel._checks import invalid
from moe_costmodel.advice.windows import FEWEST_STEPS
from moe_costmodel.traces.trace import Mode, RoutingTrace

__all__ = ["Traffic", "smallest_steps", "traffic_of"]


@dataclass(frozen=True)
class Traffic:
    """Loads of the layers that have tokens.

    Attributes
    ----------
    source : str
    whole, first, second : ndarray of shape (n_steps, n_layers, n_experts), float64
        Loads of all steps, and of the two halves. Without enough steps to cut, the halves are
        empty.
    others : dict of str to ndarray of shape (n_steps, n_layers, n_experts)
        Loads of other traffic, by source.
    recent : ndarray of shape (n_layers, n_experts), or None
        Choices in a short record of the traffic to come.
    layers : ndarray of shape (n_layers,), int64
        Numbers of the layers within the model.
    """

    source: str
    whole: Floats
    first: Floats
    second: Floats
    others: dict[str, Floats]
    recent: Floats | None
    layers: Ints

    @property
    def has_steps(self) -> bool:
        """Whether there are enough steps to see drift over time."""
        return len(self.first) > 0

    @property
    def n_experts(self) -> int:
        """Number of experts of a layer."""
        return int(self.whole.shape[2])


def traffic_of(
    trace: RoutingTrace,
    others: Sequence[RoutingTrace],
    recent: RoutingTrace | None,
    batch_size: int | None,
    mode: Mode,
) -> Traffic:
    """Return the loads of traces of one model, in steps of a size that all of them have."""
    named = [("others", other) for other in others]
    if recent is not None:
        named.append(("recent", recent))
    for name, other in named:
        if (other.n_layers, other.n_experts) != (trace.n_layers, trace.n_experts):
            got = f"{other.source} of {other.n_layers} layers of {other.n_experts} experts"
            expected = f"of {trace.n_layers} layers of {trace.n_experts} experts, as {trace.source}"
            raise invalid("advise", name, got, expected)
    halves = _halves(trace)
    traces = [item for item in (trace, *halves, *others) if not item.is_load_only]
    if batch_size is None and traces:
        most = min(_most(item, mode) for item in traces)
        batch_size = min(16 if mode == "decode" else 256, most)

    def loads_of(item: RoutingTrace) -> Floats:
        loads = item.loads() if item.is_load_only else item.loads(batch_size, mode)
        return loads.astype(np.float64)

    whole = loads_of(trace)
    busy = whole.sum(axis=(0, 2)) > 0
    empty = np.zeros((0, int(busy.sum()), trace.n_experts))
    first, second = (loads_of(half)[:, busy] for half in halves) if halves else (empty, empty)
    if min(len(first), len(second)) < FEWEST_STEPS:
        first = second = empty
    kept: dict[str, Floats] = {}
    for other in others:
        name = other.source if other.source not in kept else f"{other.source} ({len(kept) + 1})"
        kept[name] = loads_of(other)[:, busy]
    counts = None if recent is None else recent.loads().sum(axis=0, dtype=np.float64)[busy]
    return Traffic(trace.source, whole[:, busy], first, second, kept, counts, trace.layers[busy])


def smallest_steps(trace: RoutingTrace) -> int:
    """Return the number of the smallest steps of a trace: of one token, or as recorded."""
    return len(trace.loads()) if trace.is_load_only else trace.n_tokens


def _halves(trace: RoutingTrace) -> tuple[RoutingTrace, ...]:
    return trace.split() if smallest_steps(trace) >= 2 else ()


def _most(trace: RoutingTrace, mode: Mode) -> int:
    """Return the largest batch of which a trace has a step."""
    return trace.n_tokens if mode == "prefill" else len(trace.sequence_lengths)
