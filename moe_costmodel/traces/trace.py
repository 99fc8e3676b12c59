"""RoutingTrace: which experts a router chose, token by token, and what follows from it alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_costmodel._checks import check_fraction, count, one_of
from moe_costmodel.traces.checks import (
    MAX_EXPERTS,
    check_ids,
    checked_layers,
    checked_lengths,
    checked_weights,
    fault,
)

if TYPE_CHECKING:
    from moe_costmodel.traces.describe import TraceDescription

__all__ = ["Mode", "RoutingTrace"]

Mode = Literal["prefill", "decode"]
_MODES = ("prefill", "decode")


class RoutingTrace:
    """The routing of a Mixture-of-Experts model on real traffic.

    A trace holds either the choices of every token, or (a *load-only* trace, see
    :meth:`from_counts`) only how many tokens each expert received in each step.

    Parameters
    ----------
    topk_ids : array_like of shape (n_tokens, n_layers, k), integer
        Experts that each token was sent to; no expert twice. Tokens of one sequence are
        consecutive.
    topk_weights : array_like of shape (n_tokens, n_layers, k), float, optional
        Weight of each choice as the model used it; finite, not negative, not necessarily
        normalized.
    sequence_lengths : array_like of shape (n_sequences,), integer, optional
        Tokens of each sequence; they sum to ``n_tokens``. By default one sequence.
    n_experts : int
        Experts in each layer.
    layers : array_like of shape (n_layers,), integer, optional
        Number of each MoE layer within its model. By default ``0 .. n_layers - 1``.
    source : str, optional
        Where the trace is from, for messages and plots.

    Raises
    ------
    ValueError
        If a shape, an id, a weight or a length is not as described; the message names it.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import RoutingTrace
    >>> ids = np.array([[[0, 1]], [[0, 2]], [[3, 0]]])  # 3 tokens, 1 layer, 2 experts each
    >>> trace = RoutingTrace(ids, n_experts=4)
    >>> trace.loads(3, "prefill").tolist()
    [[[3, 1, 1, 1]]]
    """

    def __init__(
        self,
        topk_ids: ArrayLike,
        topk_weights: ArrayLike | None = None,
        *,
        n_experts: int,
        sequence_lengths: ArrayLike | None = None,
        layers: ArrayLike | None = None,
        source: str = "trace",
    ) -> None:
        self.source = source
        self.n_experts = count("RoutingTrace", "n_experts", n_experts)
        if self.n_experts > MAX_EXPERTS:
            raise fault(source, "n_experts", f"at most {MAX_EXPERTS}", n_experts)
        ids = np.asanyarray(topk_ids)
        check_ids(ids, self.n_experts, source)
        self._ids: NDArray[np.integer] | None = ids
        self._weights = None if topk_weights is None else checked_weights(topk_weights, ids, source)
        if sequence_lengths is None:
            sequence_lengths = [len(ids)]
        self.sequence_lengths = checked_lengths(sequence_lengths, len(ids), source)
        self.layers = checked_layers(layers, ids.shape[1], source)
        self._counts: NDArray[np.float64] | None = None

    @classmethod
    def from_counts(
        cls,
        logical_count: ArrayLike,
        *,
        layers: ArrayLike | None = None,
        source: str = "trace",
    ) -> RoutingTrace:
        """Return a load-only trace.

        Parameters
        ----------
        logical_count : array_like of shape (n_steps, n_layers, n_experts) or (n_layers, n_experts)
            Tokens that each expert received in each step (one step where 2-dimensional).
        layers : array_like of shape (n_layers,), integer, optional
            Number of each MoE layer within its model.
        source : str, optional
            Where the counts are from.

        Returns
        -------
        RoutingTrace

        Raises
        ------
        ValueError
            If the counts are not finite, negative, empty, ragged, or all zero.
        """
        try:
            counts = np.asarray(logical_count)
            if counts.dtype.kind not in "uif":
                raise ValueError(f"dtype {counts.dtype}")
            counts = counts.astype(np.float64)
        except ValueError as error:
            raise fault(source, "logical_count", "a rectangular array of numbers", error) from error
        if counts.ndim == 2:
            counts = counts[None]
        if counts.ndim != 3 or counts.size == 0:
            raise fault(
                source,
                "logical_count",
                "of shape (steps, layers, experts)",
                f"shape {counts.shape}",
            )
        bad = ~(np.isfinite(counts) & (counts >= 0))
        if bad.any():
            place = tuple(int(i) for i in np.argwhere(bad)[0])
            raise fault(
                source, "logical_count", "finite and not negative", f"{counts[place]} at {place}"
            )
        if not counts.any():
            raise fault(source, "logical_count", "above zero somewhere", "zeros only")
        trace = cls.__new__(cls)
        trace.source = source
        trace.n_experts = counts.shape[2]
        trace._ids = trace._weights = None
        trace._counts = counts
        trace.sequence_lengths = np.zeros(0, dtype=np.int64)
        trace.layers = checked_layers(layers, counts.shape[1], source)
        return trace

    @classmethod
    def load(cls, path: str | Path, *, mmap: bool = False) -> RoutingTrace:
        """Read a trace from a file; see :func:`moe_costmodel.traces.files.load_trace`."""
        from moe_costmodel.traces.files import load_trace

        return load_trace(path, mmap=mmap)

    def save(self, path: str | Path, *, compress: bool = True) -> Path:
        """Write the trace as npz; see :func:`moe_costmodel.traces.files.save_trace`."""
        from moe_costmodel.traces.files import save_trace

        return save_trace(self, path, compress=compress)

    @classmethod
    def record(cls, model: Any, batches: Iterable[Any], **options: Any) -> RoutingTrace:
        """Run a model and record its routing; see :func:`moe_costmodel.traces.record.record`."""
        from moe_costmodel.traces.record import record

        return record(model, batches, **options)

    @classmethod
    def example(cls, domain: Literal["prose", "code"] = "code") -> RoutingTrace:
        """Return the routing of the packaged example model on text that it never saw.

        Parameters
        ----------
        domain : {"prose", "code"}
            Help topics, or library source, of CPython.

        Returns
        -------
        RoutingTrace
            6 layers of 32 experts, 4 of which every token is sent to.
        """
        from moe_costmodel.example import trace_path

        trace = cls.load(trace_path(domain))
        trace.source = f"example model on {domain}"
        return trace

    @property
    def is_load_only(self) -> bool:
        """Whether only loads are known, not the choices of each token."""
        return self._ids is None

    @property
    def topk_ids(self) -> NDArray[np.integer]:
        """Chosen experts, (n_tokens, n_layers, k); a ValueError on a load-only trace."""
        if self._ids is None:
            raise ValueError(
                f"{self.source}: field 'topk_ids' is needed here, but this trace holds loads only. "
                "Record one per token (SGLang: mode per_token; or RoutingTrace.record)."
            )
        return self._ids

    @property
    def topk_weights(self) -> NDArray[np.floating]:
        """Weights of the choices, (n_tokens, n_layers, k); a ValueError where there are none."""
        if self._weights is None:
            raise ValueError(
                f"{self.source}: field 'topk_weights' is needed here, but this trace has none. "
                "Record one with weights (RoutingTrace.record keeps them)."
            )
        return self._weights

    @property
    def has_weights(self) -> bool:
        """Whether the weights of the choices are known."""
        return self._weights is not None

    @property
    def n_layers(self) -> int:
        """Number of MoE layers."""
        return len(self.layers)

    @property
    def n_tokens(self) -> int:
        """Number of tokens; 0 on a load-only trace."""
        return 0 if self._ids is None else len(self._ids)

    @property
    def k(self) -> int:
        """Experts that each token is sent to."""
        return int(self.topk_ids.shape[2])

    def __repr__(self) -> str:
        if self._counts is not None:
            shape = "{} steps x {} layers x {} experts, loads only".format(*self._counts.shape)
        else:
            shape = (
                f"{self.n_tokens} tokens in {len(self.sequence_lengths)} sequences x "
                f"{self.n_layers} layers, top-{self.k} of {self.n_experts} experts"
                f"{'' if self.has_weights else ', no weights'}"
            )
        return f"RoutingTrace({self.source!r}: {shape})"

    def head(self, fraction: float = 0.5) -> RoutingTrace:
        """Return the first `fraction` of the trace; see :meth:`split`."""
        return self.split(fraction)[0]

    def tail(self, fraction: float = 0.5) -> RoutingTrace:
        """Return the last `fraction` of the trace; see :meth:`split`."""
        return self.split(1.0 - check_fraction("tail", "fraction", fraction))[1]

    def split(self, fraction: float = 0.5) -> tuple[RoutingTrace, RoutingTrace]:
        """Cut the trace in two, in time.

        Parameters
        ----------
        fraction : float
            Share of the tokens (steps, for a load-only trace) in the first part. The cut is at
            the sequence boundary nearest to it; a single sequence is cut inside.

        Returns
        -------
        tuple of RoutingTrace
            The first part and the rest; neither is empty.

        Raises
        ------
        ValueError
            If `fraction` is not strictly between 0 and 1, or there is nothing to cut.
        """
        fraction = check_fraction("split", "fraction", fraction)
        n = len(self._counts) if self._counts is not None else self.n_tokens
        if n < 2:
            raise ValueError(f"{self.source}: at least two tokens or steps are needed to split.")
        if len(self.sequence_lengths) > 1:
            ends = np.cumsum(self.sequence_lengths)[:-1]
            n_first = int(np.abs(ends - fraction * n).argmin()) + 1
            cut = int(ends[n_first - 1])
            lengths = self.sequence_lengths[:n_first], self.sequence_lengths[n_first:]
        else:
            cut = min(max(round(fraction * n), 1), n - 1)
            lengths = np.array([cut]), np.array([n - cut])
        return self._part(slice(cut), lengths[0]), self._part(slice(cut, None), lengths[1])

    def _part(self, rows: slice, lengths: NDArray[np.int64]) -> RoutingTrace:
        if self._counts is not None:
            part = self._counts[rows]
            return RoutingTrace.from_counts(part, layers=self.layers, source=self.source)
        # The parent was checked, so a view of its rows needs no second pass over them.
        trace = RoutingTrace.__new__(RoutingTrace)
        trace.__dict__.update(self.__dict__)
        trace._ids = self.topk_ids[rows]
        trace._weights = None if self._weights is None else self._weights[rows]
        trace.sequence_lengths = lengths
        return trace

    def steps(
        self, size: int, mode: Mode = "decode", *, drop_last: bool = True
    ) -> NDArray[np.int64]:
        """Say in which step of a server each token is computed.

        Parameters
        ----------
        size : int
            Prefill: tokens a step. Decode: sequences decoded together.
        mode : {"prefill", "decode"}
            Prefill takes consecutive tokens (chunked prefill). Decode keeps `size` slots, takes
            one token of every slot a step, and refills a slot with the next sequence as soon as
            its sequence ends (continuous batching).
        drop_last : bool
            Drop steps that are not full: those at the end, when the traffic runs out.

        Returns
        -------
        ndarray of shape (n_tokens,), int64
            Step of each token, from 0; -1 for a token in a dropped step.

        Raises
        ------
        ValueError
            If the trace is load-only, a parameter is wrong, or no step is full.
        """
        size = count("batches", "size", size)
        one_of("batches", "mode", mode, _MODES)
        n = len(self.topk_ids)
        if mode == "prefill":
            step = np.arange(n) // size
        else:
            step = _decode_steps(self.sequence_lengths, size)
        if drop_last:
            full = np.bincount(step) == size
            if not full.any():
                what = "tokens" if mode == "prefill" else "sequences at once"
                raise ValueError(
                    f"The 'size' parameter of batches must leave a full step: {self.source} never "
                    f"has {size} {what}. Take a smaller size, or drop_last=False."
                )
            number = np.where(full, np.cumsum(full) - 1, -1)
            step = number[step]
        return step

    def batches(
        self, size: int, mode: Mode = "decode", *, drop_last: bool = True
    ) -> list[NDArray[np.int64]]:
        """Return the tokens of each step, by index; parameters as in :meth:`steps`."""
        step = self.steps(size, mode, drop_last=drop_last)
        order = np.argsort(step, kind="stable")
        order = order[np.count_nonzero(step < 0) :]
        return np.split(order, np.flatnonzero(np.diff(step[order])) + 1)

    def loads(
        self,
        size: int | None = None,
        mode: Mode = "decode",
        *,
        drop_last: bool = True,
        keep: NDArray[np.bool_] | None = None,
    ) -> NDArray[Any]:
        """Count the tokens that each expert receives in each step.

        Parameters
        ----------
        size, mode, drop_last
            As in :meth:`steps`; `size` None takes the whole trace as one step. A load-only trace
            has its steps already and takes None only.
        keep : ndarray of shape (n_tokens, n_layers, k), bool, optional
            Choices that are computed, where a threshold drops some
            (:func:`moe_costmodel.keep_choices`).

        Returns
        -------
        ndarray of shape (n_steps, n_layers, n_experts)
            int32 (float64 for a load-only trace).
        """
        if self._counts is not None:
            if size is not None:
                raise ValueError(
                    f"The 'size' parameter of loads must be None on a load-only trace. Got {size} "
                    f"instead; {self.source} has {len(self._counts)} recorded steps."
                )
            return self._counts
        if size is None:
            step = np.zeros(self.n_tokens, dtype=np.int64)
        else:
            step = self.steps(size, mode, drop_last=drop_last)
        out = np.zeros((int(step.max()) + 1, self.n_layers, self.n_experts), dtype=np.int32)
        ids = np.ascontiguousarray(self.topk_ids)
        if keep is None:
            keep = np.ones((1, 1, 1), dtype=np.bool_)
        elif keep.shape != ids.shape or keep.dtype != np.bool_:
            raise ValueError(
                f"The 'keep' parameter of loads must be booleans of shape {ids.shape}. "
                f"Got shape {keep.shape}, {keep.dtype} instead."
            )
        _count(ids, step, np.broadcast_to(keep, ids.shape), out)
        return out

    def shares(self) -> NDArray[np.float64]:
        """Return each expert's share of its layer's load over the whole trace, (layers, experts).

        A layer that routed nothing (a dense layer in a published dump) is a row of zeros.
        """
        total = self.loads().sum(axis=0, dtype=np.float64)
        sums = total.sum(axis=1, keepdims=True)
        return np.divide(total, sums, out=np.zeros_like(total), where=sums > 0)

    def drift(self, other: RoutingTrace) -> NDArray[np.float64]:
        """Return how far the load of another trace is from this one's, layer by layer.

        Returns
        -------
        ndarray of shape (n_layers,)
            Total variation distance between the load shares: 0 where the experts are used alike,
            1 where they are disjoint; the share of the traffic that has moved to other experts.

        Raises
        ------
        ValueError
            If the two differ in layers or experts.
        """
        if (self.n_layers, self.n_experts) != (other.n_layers, other.n_experts):
            raise ValueError(
                f"The 'other' parameter of drift must have {self.n_layers} layers of "
                f"{self.n_experts} experts. Got {other.n_layers} of {other.n_experts} instead."
            )
        return 0.5 * np.abs(self.shares() - other.shares()).sum(axis=1)

    def describe(self, size: int | None = None, mode: Mode = "decode") -> TraceDescription:
        """Characterize the trace; see :func:`moe_costmodel.traces.describe.describe`."""
        from moe_costmodel.traces.describe import describe

        return describe(self, size, mode)


@numba.njit(cache=True)
def _decode_steps(lengths: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Continuous batching: the slot that is free first (the lowest of them) takes the next."""
    free_at = np.zeros(size, dtype=np.int64)
    step = np.empty(lengths.sum(), dtype=np.int64)
    token = 0
    for length in lengths:
        slot = free_at.argmin()
        for i in range(length):
            step[token + i] = free_at[slot] + i
        free_at[slot] += length
        token += length
    return step


@numba.njit(cache=True)
def _count(
    ids: NDArray[Any], step: NDArray[np.int64], keep: NDArray[np.bool_], out: NDArray[np.int32]
) -> None:
    for token in range(ids.shape[0]):
        if step[token] >= 0:
            for layer in range(ids.shape[1]):
                for j in range(ids.shape[2]):
                    if keep[token, layer, j]:
                        out[step[token], layer, ids[token, layer, j]] += 1
