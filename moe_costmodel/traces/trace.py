"""RoutingTrace: the experts that a model's routers chose, token by token."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_costmodel._arrays import Array, Floats, Ints
from moe_costmodel._checks import check_fraction, count, invalid, one_of
from moe_costmodel.shapes import MAX_EXPERTS
from moe_costmodel.traces.checks import (
    checked_counts,
    checked_ids,
    checked_layers,
    checked_lengths,
    checked_weights,
)
from moe_costmodel.traces.steps import Mode, cut_at, full_steps, loads_of, steps_of, tokens_of
from moela.files.guard import FACTOR_VARIABLE, brief, invalid_file, limit_of

if TYPE_CHECKING:
    from torch.nn import Module

    from moe_costmodel.traces.describe import TraceDescription
    from moe_costmodel.traces.record import Batch

__all__ = ["Mode", "RoutingTrace"]

Domain = Literal["prose", "code"]
_EXAMPLES = Path(__file__).parents[1] / "example" / "data"


class RoutingTrace:
    """The routing of a Mixture-of-Experts model on real traffic.

    A trace holds the choices of every token. A *load-only* trace (:meth:`from_counts`) holds only
    the number of tokens that each expert received in each step.

    Parameters
    ----------
    topk_ids : array_like of shape (n_tokens, n_layers, k), integer
        Experts that each token was sent to, all different. Tokens of one sequence are consecutive.
    topk_weights : array_like of shape (n_tokens, n_layers, k), float, optional
        Weight of each choice as the model used it: finite and not negative, but not necessarily
        normalized. Weights of torch in bfloat16 become float32.
    sequence_lengths : array_like of shape (n_sequences,), integer, optional
        Tokens of each sequence; they sum to ``n_tokens``. By default one sequence.
    n_experts : int
        Experts in each layer.
    layers : array_like of shape (n_layers,), integer, optional
        Ascending numbers of the MoE layers within their model. By default ``0 .. n_layers - 1``.
    source : str, optional
        Name of the trace in messages and plots.

    Raises
    ------
    ValueError
        If a shape, an id, a weight or a length is not as described. The message names the field.

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
            expected = f"at most {MAX_EXPERTS}"
            raise invalid_file(source, brief(n_experts), expected, "n_experts")
        ids = checked_ids(topk_ids, self.n_experts, source)
        self._ids: NDArray[np.integer] | None = ids
        self._weights = None if topk_weights is None else checked_weights(topk_weights, ids, source)
        if sequence_lengths is None:
            sequence_lengths = [len(ids)]
        self.sequence_lengths = checked_lengths(sequence_lengths, len(ids), source)
        self.layers = checked_layers(layers, ids.shape[1], source)
        self._counts: Floats | None = None

    @classmethod
    def from_counts(
        cls, logical_count: ArrayLike, *, layers: ArrayLike | None = None, source: str = "trace"
    ) -> RoutingTrace:
        """Return a load-only trace.

        Parameters
        ----------
        logical_count : array_like of shape (n_steps, n_layers, n_experts) or (n_layers, n_experts)
            Tokens that each expert received in each step (2-dimensional: in the only step): finite,
            not negative, and not all zero.
        layers, source
            As for the class.
        """
        counts = checked_counts(logical_count, source)
        trace = cls.__new__(cls)
        trace.source, trace.n_experts = source, counts.shape[2]
        trace._ids, trace._weights, trace._counts = None, None, counts
        trace.sequence_lengths = np.zeros(0, dtype=np.int64)
        trace.layers = checked_layers(layers, counts.shape[1], source)
        return trace

    @classmethod
    def load(cls, path: str | Path, *, mmap: bool = False) -> RoutingTrace:
        """Read a trace from a file. No file runs code.

        Parameters
        ----------
        path : str or Path
            An npz of :meth:`save`, an npy of chosen experts (n_tokens, n_layers, k), a ``.pt`` of
            SGLang's recorder, a JSON, JSON lines or CSV file; `moela trace convert` reads the same.
        mmap : bool
            Whether to map an npz that was saved with ``compress=False`` from disk. It may be of any
            size; the arrays of other files may take 256 MiB, times the number in the environment
            variable ``MOELA_FILE_LIMIT_FACTOR``.

        Raises
        ------
        ValueError
            If the file is damaged. The message names the file and the field.
        """
        from moe_costmodel.traces.files import load_trace

        return load_trace(path, mmap=mmap)

    def save(self, path: str | Path, *, compress: bool = True) -> Path:
        """Write the trace as npz, and return the path.

        Parameters
        ----------
        path : str or Path
        compress : bool
            Whether to compress the file. :meth:`load` can map an uncompressed one from disk.
        """
        from moe_costmodel.traces.files import save_trace

        return save_trace(self, path, compress=compress)

    @classmethod
    def record(
        cls,
        model: Module,
        batches: Iterable[Batch],
        *,
        part: str | None = None,
        source: str | None = None,
    ) -> RoutingTrace:
        """Run a model on batches and record the choices of its routers.

        Parameters
        ----------
        model : Module
            A Hugging Face MoE model of one of :data:`moe_costmodel.FAMILIES`, or a model whose
            routers return the same (logits, weights, indices).
        batches : iterable
            Each the token ids of a batch, (batch, length) or (length,), or a mapping of the model's
            arguments. Every row is a sequence. Padding that an attention mask marks is left out.
        part : {"encoder", "decoder"}, optional
            Half of an encoder-decoder model to record; required for such a model.
        source : str, optional
            Name of the trace; by default the model's class.

        Raises
        ------
        ValueError
            If the model is of no known family, or a batch is not as described.
        """
        from moe_costmodel.traces.record import record

        return record(model, batches, part=part, source=source)

    @classmethod
    def example(cls, domain: Domain = "code") -> RoutingTrace:
        """Return the routing of the packaged example model on text that was held out of training.

        The text is help topics ("prose") or library source ("code") of CPython. The model has 6
        layers of 32 experts, and every token is sent to 4 of them.
        """
        one_of("example", "domain", domain, get_args(Domain))
        trace = cls.load(_EXAMPLES / f"trace_{domain}.npz")
        trace.source = f"example model on {domain}"
        return trace

    @property
    def is_load_only(self) -> bool:
        """Whether the trace has only loads, and not the choices of each token."""
        return self._ids is None

    @property
    def topk_ids(self) -> NDArray[np.integer]:
        """Chosen experts, (n_tokens, n_layers, k); a ValueError on a load-only trace."""
        if self._ids is None:
            raise ValueError(
                f"{self.source}: field 'topk_ids' is needed, but this trace holds loads only. "
                "Record a trace with the choices of each token (RoutingTrace.record; SGLang: mode "
                "per_token)."
            )
        return self._ids

    @property
    def topk_weights(self) -> NDArray[np.floating]:
        """Weights of the choices, (n_tokens, n_layers, k); a ValueError if they are missing."""
        if self._weights is None:
            raise ValueError(
                f"{self.source}: field 'topk_weights' is needed, but this trace has no weights. "
                "Record a trace with weights (RoutingTrace.record keeps them)."
            )
        return self._weights

    @property
    def has_weights(self) -> bool:
        """Whether the trace has the weights of the choices."""
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
    def mean_context(self) -> float:
        """Mean position of a token in its sequence, from 1; NaN of a load-only trace."""
        lengths = self.sequence_lengths
        return (
            float((lengths * (lengths + 1) / 2).sum() / lengths.sum()) if len(lengths) else np.nan
        )

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
        """Cut the trace in two at a point in time; neither part is empty.

        Parameters
        ----------
        fraction : float
            Share of the tokens (load-only trace: of the steps) in the first part, strictly between
            0 and 1. The cut is at the nearest boundary between sequences; a single sequence is cut
            inside.
        """
        fraction = check_fraction("split", "fraction", fraction)
        n = len(self._counts) if self._counts is not None else self.n_tokens
        if n < 2:
            raise ValueError(f"{self.source}: splitting needs at least two tokens or steps.")
        cut, lengths = cut_at(self.sequence_lengths, n, fraction)
        return self._part(slice(cut), lengths[0]), self._part(slice(cut, None), lengths[1])

    def _part(self, rows: slice, lengths: Ints) -> RoutingTrace:
        if self._counts is not None:
            return self.from_counts(self._counts[rows], layers=self.layers, source=self.source)
        # The parent was checked, so a view of its rows needs no second pass over them.
        trace = RoutingTrace.__new__(RoutingTrace)
        trace.__dict__.update(self.__dict__)
        trace._ids = self.topk_ids[rows]
        trace._weights = None if self._weights is None else self._weights[rows]
        trace.sequence_lengths = lengths
        return trace

    def steps(self, batch_size: int, mode: Mode = "decode", *, drop_last: bool = True) -> Ints:
        """Return the step of a server in which each token is computed.

        Parameters
        ----------
        batch_size : int
            Prefill: tokens per step. Decode: sequences that are decoded together.
        mode : {"prefill", "decode"}
            Prefill takes consecutive tokens (chunked prefill). Decode keeps `batch_size` slots and
            takes one token of every slot per step; when a sequence ends, the next one takes its
            slot (continuous batching).
        drop_last : bool
            Drop the steps at the end that are not full because the traffic runs out.

        Returns
        -------
        ndarray of shape (n_tokens,), int64
            Step of each token, starting at 0; -1 for a token in a dropped step.

        Raises
        ------
        ValueError
            If the trace is load-only, a parameter is wrong, or no step is full.
        """
        batch_size = count("steps", "batch_size", batch_size)
        one_of("steps", "mode", mode, get_args(Mode))
        n = len(self.topk_ids)  # a ValueError on a load-only trace
        step = steps_of(self.sequence_lengths, n, batch_size, mode)
        if not drop_last:
            return step
        units = "tokens" if mode == "prefill" else "sequences at once"
        return full_steps(step, batch_size, f"{self.source} never has {batch_size} {units}")

    def batches(
        self, batch_size: int, mode: Mode = "decode", *, drop_last: bool = True
    ) -> list[Ints]:
        """Return the tokens of each step, by index; parameters as in :meth:`steps`."""
        return tokens_of(self.steps(batch_size, mode, drop_last=drop_last))

    def loads(
        self,
        batch_size: int | None = None,
        mode: Mode = "decode",
        *,
        drop_last: bool = True,
        keep: ArrayLike | None = None,
    ) -> Array:
        """Count the tokens that each expert receives in each step.

        Parameters
        ----------
        batch_size, mode, drop_last
            As in :meth:`steps`; None takes the whole trace as one step. A load-only trace has
            recorded steps, and accepts only None.
        keep : array_like of shape (n_tokens, n_layers, k), bool, optional
            Choices that gate rules keep (:func:`moe_costmodel.keep_choices`); by default all.

        Returns
        -------
        ndarray of shape (n_steps, n_layers, n_experts)
            int32 (float64 for a load-only trace).
        """
        if self._counts is not None:
            if batch_size is not None:
                expected = f"None, since {self.source} is load-only and has recorded steps"
                raise invalid("loads", "batch_size", batch_size, expected)
            return self._counts
        if batch_size is None:
            step = np.zeros(self.n_tokens, dtype=np.int64)
        else:
            step = self.steps(batch_size, mode, drop_last=drop_last)
        self.check_loads(int(step.max()) + 1, batch_size)
        return loads_of(self.topk_ids, step, self.n_experts, keep)

    def step_loads(self, batch_size: int, mode: Mode = "decode") -> Array:
        """Return the loads of steps of `batch_size`, or those nearest to them that were recorded.

        These are the recorded steps of a load-only trace, and the largest steps that the sequences
        fill if they cannot fill one of `batch_size`; shapes as of :meth:`loads`.
        """
        if self.is_load_only:
            return self.loads()
        most = len(self.sequence_lengths) if mode == "decode" else self.n_tokens
        return self.loads(min(batch_size, most), mode)

    def check_loads(self, n_steps: int, batch_size: int | None) -> None:
        """Raise ValueError if the loads of some steps take too much memory.

        A small file may describe many steps of many experts. The limit is 1 GiB, times the number
        in the environment variable ``MOELA_FILE_LIMIT_FACTOR``.
        """
        a_step, most = self.n_layers * self.n_experts, limit_of("arrays")
        if n_steps * a_step > most:
            expected = (
                f"so large that the trace has at most {most // a_step:,} steps of {self.n_layers} "
                f"layers of {self.n_experts} experts (the environment variable {FACTOR_VARIABLE} "
                "multiplies this limit)"
            )
            got = f"{batch_size} for {self.source}, which gives {n_steps:,}"
            raise invalid("loads", "batch_size", got, expected)

    def shares(self) -> Floats:
        """Return each expert's share of its layer's load over the whole trace, (layers, experts).

        The row of a layer without tokens (a dense layer in a published dump) is zero.
        """
        total = self.loads().sum(axis=0, dtype=np.float64)
        sums = total.sum(axis=1, keepdims=True)
        return np.divide(total, sums, out=np.zeros_like(total), where=sums > 0)

    def drift(self, other: RoutingTrace) -> Floats:
        """Return the distance between the loads of this trace and another, (n_layers,).

        It is the total variation distance between the load shares, from 0 (equal) to 1 (disjoint):
        the share of the traffic that has moved to other experts. Both traces must have the same
        layers and experts.
        """
        if (self.n_layers, self.n_experts) != (other.n_layers, other.n_experts):
            expected = f"of {self.n_layers} layers of {self.n_experts} experts"
            raise invalid("drift", "other", f"{other.n_layers} of {other.n_experts}", expected)
        return 0.5 * np.abs(self.shares() - other.shares()).sum(axis=1)

    def describe(self, batch_size: int | None = None, mode: Mode = "decode") -> TraceDescription:
        """Describe the traffic: waste, idle experts, skew and persistence.

        Parameters
        ----------
        batch_size, mode
            As in :meth:`steps`. By default 8 sequences (prefill: 256 tokens), or all that the trace
            has if these are fewer. A load-only trace is described by its recorded steps.
        """
        from moe_costmodel.traces.describe import describe

        return describe(self, batch_size, mode)
