"""Steps of any batch size, drawn from recorded loads or from recorded sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from moe_costmodel._arrays import Bools, Floats, Ints
from moe_costmodel._checks import count, invalid, one_of
from moe_costmodel.traces.draw_kernels import draw_choices
from moe_costmodel.traces.trace import Mode, RoutingTrace

__all__ = [
    "REPEATED",
    "LoadSteps",
    "repeated_sequences",
    "routed_layers",
    "sample_loads",
    "sample_tokens",
]

_MOST_REPEATED = 2**28  # tokens of steps that a trace cannot fill, 2 GiB
_FEW = 8  # recorded steps that are too few to show how loads vary together
# Factors by which the load of the busiest device may exceed the mean by more, or by less, than in
# drawn steps: tests/benchmarks/load_traces.py shows how often they hold.
_SPREADS = {"recorded": 1.0, "joined": 1.25, "independent": 1.35}
REPEATED = 1.25
"""The same for steps in which sequences are repeated."""


@dataclass(frozen=True)
class LoadSteps:
    """Steps of a batch size, drawn from the loads of one window.

    If the window has recorded steps of just this size, these are the steps. Of eight or more
    recorded steps of other sizes, smaller steps are parts of a recorded one, and larger ones are
    several together (of decoding: drawn at random, with replacement; of prefill: consecutive). So
    loads vary together as they did when they were recorded. The tokens of fewer recorded steps are
    drawn independently of each other, each for k different experts.

    Attributes
    ----------
    counts : ndarray of shape (n_recorded, n_layers, n_experts)
        Recorded loads.
    parts : int ndarray of shape (n_parts, 2)
        Recorded step of each part of a drawn step, and the tokens to draw from it.
    sizes : int ndarray of shape (n_recorded,)
        Tokens of each recorded step; 0 if its tokens are drawn independently.
    batch_size, k, n_steps : int
        Tokens of a step, choices of a token, and the number of steps.
    basis : {"recorded", "joined", "independent"}
        How steps follow from the loads.
    note : str
        The same in words; empty for recorded steps.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import RoutingTrace
    >>> from moe_costmodel.traces.sampling import LoadSteps
    >>> trace = RoutingTrace.from_counts([[[40, 30, 20, 10]]])
    >>> rng = np.random.default_rng(0)
    >>> steps = LoadSteps.of(trace, 8, "decode", 2, n_steps=16, random_state=rng)
    >>> steps.basis, steps.loads(0, rng).shape
    ('independent', (16, 4))
    """

    counts: Floats
    parts: Ints
    sizes: Ints
    batch_size: int
    k: int
    n_steps: int
    basis: str
    note: str

    @classmethod
    def of(
        cls,
        trace: RoutingTrace,
        batch_size: int,
        mode: Mode,
        k: int,
        *,
        n_steps: int,
        random_state: np.random.Generator,
    ) -> LoadSteps:
        """Compose steps from a load-only trace of routed layers.

        Parameters
        ----------
        trace : RoutingTrace
            Of loads only, without dense layers (:func:`routed_layers`).
        batch_size, mode
            As for :meth:`RoutingTrace.steps`.
        k : int
            Experts that each token is sent to.
        n_steps : int
            Steps to draw; recorded steps of this size are all taken.
        random_state : numpy.random.Generator
            Chooses which recorded steps are joined.
        """
        counts = trace.loads().astype(np.float64)
        _check_choices(trace, counts, k)
        full = counts.sum(axis=2)
        counts = np.ascontiguousarray(counts[(full > 0).all(axis=1)])
        if not len(counts):
            expected = "with a recorded step in which every MoE layer has tokens"
            raise invalid("LoadSteps", "trace", trace.source, expected)
        sizes = np.maximum(np.median(counts.sum(axis=2), axis=1) / k, 1.0).round().astype(np.int64)
        n, words = len(sizes), f"steps of {batch_size} token{'s' * (batch_size > 1)}"
        if (sizes == batch_size).all() and n > 1:
            parts = np.column_stack((np.arange(n), sizes))
            return cls(counts, parts, sizes, batch_size, k, n, "recorded", "")
        if n < _FEW:
            chosen = np.arange(n_steps) * n // n_steps
            parts = np.column_stack((chosen, np.full(n_steps, batch_size)))
            note = (
                f"{words} were not recorded: they are drawn from the loads of {n} recorded "
                f"step{'s' * (n > 1)}, as if their tokens were independent"
            )
            zeros = np.zeros_like(sizes)
            return cls(counts, parts, zeros, batch_size, k, n_steps, "independent", note)
        taken = _joined(sizes, batch_size, mode, n_steps, random_state)
        note = f"{words} were not recorded: they are composed of steps of {np.median(sizes):g}"
        return cls(counts, np.array(list(taken)), sizes, batch_size, k, n_steps, "joined", note)

    @property
    def spread(self) -> float:
        """Factor by which the busiest device's excess over the mean may differ."""
        return _SPREADS[self.basis]

    def choices(self, layer: int, random_state: np.random.Generator) -> Ints:
        """Return the experts of each token of one layer, (n_steps * batch_size, k)."""
        n_experts = self.counts.shape[2]
        orders = random_state.permuted(np.tile(np.arange(n_experts), (len(self.parts), 1)), axis=1)
        n_tokens = self.n_steps * self.batch_size
        out = np.empty((n_tokens, self.k), dtype=np.int64)
        uniform = random_state.random(len(self.parts) + n_tokens)
        counts = np.ascontiguousarray(self.counts[:, layer])
        draw_choices(counts, self.parts, self.sizes, self.k, orders, uniform, out)
        return out

    def loads(self, layer: int, random_state: np.random.Generator) -> Ints:
        """Return the tokens of each expert of one layer, (n_steps, n_experts)."""
        n_experts = self.counts.shape[2]
        chosen = self.choices(layer, random_state).reshape(self.n_steps, -1)
        cells = chosen + n_experts * np.arange(self.n_steps)[:, None]
        flat = np.bincount(cells.ravel(), minlength=self.n_steps * n_experts)
        return flat.reshape(self.n_steps, n_experts)


def _joined(
    sizes: Ints, batch_size: int, mode: Mode, n_steps: int, random_state: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """Yield the recorded step of each part, and its tokens, step by step."""
    n = len(sizes)
    for step in range(n_steps):
        at, missing = step * n // n_steps, batch_size
        while missing:
            take = min(int(sizes[at]), missing)
            yield at, take
            missing -= take
            at = (at + 1) % n if mode == "prefill" else int(random_state.integers(n))


def _check_choices(trace: RoutingTrace, counts: Floats, k: int) -> None:
    """Raise unless no expert gets more than one choice of each token in any recorded step."""
    share = counts.max(axis=2) / np.maximum(counts.sum(axis=2), 1e-300)
    step, layer = np.unravel_index(int(share.argmax()), share.shape)
    most, expert = float(share[step, layer]), int(counts[step, layer].argmax())
    if k * most > 1 + 1e-6:
        expected = (
            f"at most {int(1 / most)}, since expert {expert} of layer {trace.layers[layer]} gets "
            f"{most:.1%} of the choices in recorded step {step} of {trace.source}, and a token "
            "chooses it once at most"
        )
        raise invalid("LoadSteps", "k", k, expected)


def routed_layers(traces: Sequence[RoutingTrace]) -> list[RoutingTrace]:
    """Return load-only traces without the layers in which no trace has tokens (dense ones).

    Parameters
    ----------
    traces : sequence of RoutingTrace
        Traces of the same layers. Those with the choices of each token are returned as they are.

    Returns
    -------
    list of RoutingTrace

    Examples
    --------
    >>> from moe_costmodel import RoutingTrace
    >>> from moe_costmodel.traces.sampling import routed_layers
    >>> routed_layers([RoutingTrace.from_counts([[[0, 0], [3, 1]]])])[0].layers.tolist()
    [1]
    """
    loads = [trace for trace in traces if trace.is_load_only]
    if not loads or len({trace.n_layers for trace in traces}) > 1:
        return list(traces)
    busy: Bools = np.any([trace.loads().any(axis=(0, 2)) for trace in loads], axis=0)
    if busy.all():
        return list(traces)
    return [
        RoutingTrace.from_counts(
            trace.loads()[:, busy], layers=trace.layers[busy], source=trace.source
        )
        if trace.is_load_only
        else trace
        for trace in traces
    ]


def repeated_sequences(
    trace: RoutingTrace,
    batch_size: int,
    mode: Mode,
    *,
    n_steps: int,
    random_state: np.random.Generator,
) -> Ints:
    """Return the tokens of steps that are larger than the trace can fill, (n_steps, batch_size).

    Sequences are drawn with replacement. In decoding, each slot of the batch begins inside a
    sequence, at a random token, as in a server that has run for a while. In prefill, sequences
    follow each other.

    Parameters
    ----------
    trace : RoutingTrace
        With the choices of each token.
    batch_size, mode
        As for :meth:`RoutingTrace.steps`.
    n_steps : int
        Steps to make.
    random_state : numpy.random.Generator
        Source of sequences and positions.

    Returns
    -------
    ndarray of shape (n_steps, batch_size), int64
        Indices of tokens.

    Raises
    ------
    ValueError
        If the steps have more than 2**28 tokens together.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import RoutingTrace
    >>> from moe_costmodel.traces.sampling import repeated_sequences
    >>> rng = np.random.default_rng(0)
    >>> repeated_sequences(RoutingTrace.example(), 64, "decode", n_steps=9, random_state=rng).shape
    (9, 64)
    """
    if n_steps * batch_size > _MOST_REPEATED:
        expected = f"at most {_MOST_REPEATED // n_steps:,}, beyond which steps take 2 GiB"
        raise invalid("repeated_sequences", "batch_size", batch_size, expected)
    lengths = trace.sequence_lengths
    starts = np.cumsum(lengths) - lengths
    n_slots, length = (batch_size, n_steps) if mode == "decode" else (1, n_steps * batch_size)
    slots = np.empty((n_slots, length), dtype=np.int64)
    for slot in slots:
        # A sequence is met at a time in proportion to its length.
        first = int(random_state.choice(len(lengths), p=lengths / lengths.sum()))
        begin = int(random_state.integers(lengths[first]))
        filled = min(int(lengths[first]) - begin, length)
        slot[:filled] = starts[first] + begin + np.arange(filled)
        while filled < length:
            i = int(random_state.integers(len(lengths)))
            n = min(int(lengths[i]), length - filled)
            slot[filled : filled + n] = starts[i] + np.arange(n)
            filled += n
    return np.ascontiguousarray(slots.T) if mode == "decode" else slots.reshape(n_steps, -1)


def sample_loads(
    trace: RoutingTrace,
    batch_size: int,
    mode: Mode = "decode",
    *,
    k: int | None = None,
    n_steps: int = 512,
    random_state: np.random.Generator | int,
) -> Ints:
    """Draw the loads of steps of any batch size.

    If the trace has recorded steps of just this size, these are the steps. Of eight or more
    recorded steps of other sizes, smaller steps are parts of one, and larger ones are several
    together. The tokens of fewer recorded steps are drawn independently of each other.

    Parameters
    ----------
    trace : RoutingTrace
        Of loads only, or with the choices of each token, whose sequences are then repeated.
    batch_size : int
        Prefill: tokens per step. Decode: sequences that are decoded together.
    mode : {"prefill", "decode"}
        Phase of serving.
    k : int, optional
        Experts that each token is sent to; needed for a trace of loads.
    n_steps : int
        Steps to draw.
    random_state : numpy.random.Generator or int
        Source of the draws.

    Returns
    -------
    ndarray of shape (n_steps, n_layers, n_experts), int64

    Raises
    ------
    ValueError
        If k is missing, or so large that an expert would serve a token twice.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import RoutingTrace, sample_loads
    >>> trace = RoutingTrace.from_counts([[[400, 300, 200, 100]]])
    >>> loads = sample_loads(trace, 8, k=2, n_steps=9, random_state=np.random.default_rng(0))
    >>> loads.shape, loads.sum(axis=2).ravel().tolist()
    ((9, 1, 4), [16, 16, 16, 16, 16, 16, 16, 16, 16])
    """
    owner = "sample_loads"
    batch_size, n_steps = _checked(owner, batch_size, mode, n_steps)
    random_state = np.random.default_rng(random_state)
    if trace.is_load_only:
        steps = _steps_of(owner, trace, batch_size, mode, k, n_steps, random_state)
        layers = trace.loads().any(axis=(0, 2))
        drawn = np.zeros((steps.n_steps, trace.n_layers, trace.n_experts), dtype=np.int64)
        for place, layer in enumerate(np.flatnonzero(layers)):
            drawn[:, layer] = steps.loads(place, random_state)
        return drawn
    tokens = sample_tokens(trace, batch_size, mode, n_steps=n_steps, random_state=random_state)
    return tokens.loads(batch_size, mode).astype(np.int64)


def sample_tokens(
    trace: RoutingTrace,
    batch_size: int,
    mode: Mode = "decode",
    *,
    k: int | None = None,
    n_steps: int = 64,
    random_state: np.random.Generator | int,
) -> RoutingTrace:
    """Draw tokens whose steps of `batch_size` are those of :func:`sample_loads`.

    Parameters
    ----------
    trace, batch_size, mode, k, n_steps, random_state
        As for :func:`sample_loads`.

    Returns
    -------
    RoutingTrace
        Of `n_steps` full steps, with weights if the trace has them. Tokens that are drawn from
        loads have no order: a sequence of them is no text, and shows no reuse of experts. Layers
        without loads (dense ones) are left out.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import RoutingTrace, sample_tokens
    >>> trace = RoutingTrace.from_counts([[[400, 300, 200, 100]]])
    >>> drawn = sample_tokens(trace, 8, k=2, n_steps=9, random_state=np.random.default_rng(0))
    >>> drawn.topk_ids.shape
    (72, 1, 2)
    """
    owner = "sample_tokens"
    batch_size, n_steps = _checked(owner, batch_size, mode, n_steps)
    random_state = np.random.default_rng(random_state)
    if trace.is_load_only:
        steps = _steps_of(owner, trace, batch_size, mode, k, n_steps, random_state)
        n_steps, n_layers = steps.n_steps, steps.counts.shape[1]
        chosen = [steps.choices(layer, random_state) for layer in range(n_layers)]
        ids, weights = np.stack(chosen, axis=1), None
        layers = routed_layers([trace])[0].layers
        order = np.arange(len(ids)).reshape(n_steps, batch_size)
    else:
        order = repeated_sequences(
            trace, batch_size, mode, n_steps=n_steps, random_state=random_state
        )
        ids, layers = np.asarray(trace.topk_ids), trace.layers
        weights = np.asarray(trace.topk_weights) if trace.has_weights else None
    # A slot of decoding is a sequence, which the trace holds token after token.
    places = order.T.ravel() if mode == "decode" else order.ravel()
    return RoutingTrace(
        ids[places],
        None if weights is None else weights[places],
        n_experts=trace.n_experts,
        sequence_lengths=np.full(batch_size, n_steps) if mode == "decode" else [len(places)],
        layers=layers,
        source=trace.source,
    )


def _checked(owner: str, batch_size: object, mode: str, n_steps: object) -> tuple[int, int]:
    one_of(owner, "mode", mode, get_args(Mode))
    return count(owner, "batch_size", batch_size), count(owner, "n_steps", n_steps)


def _steps_of(
    owner: str,
    trace: RoutingTrace,
    batch_size: int,
    mode: Mode,
    k: int | None,
    n_steps: int,
    random_state: np.random.Generator,
) -> LoadSteps:
    if k is None:
        expected = f"the experts of a token, which the loads of {trace.source} do not tell"
        raise invalid(owner, "k", k, expected)
    routed = routed_layers([trace])[0]
    return LoadSteps.of(
        routed, batch_size, mode, count(owner, "k", k), n_steps=n_steps, random_state=random_state
    )
