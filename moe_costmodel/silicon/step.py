"""SiliconModel: the time of a whole step, composed of measured kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moe_costmodel._checks import check_number, invalid, one_of, require
from moe_costmodel.models.shape import ModelShape
from moe_costmodel.silicon.layout import Layout, check_sizes
from moe_costmodel.silicon.operators.skew import benchmark_load
from moe_costmodel.silicon.step_operators import OperatorTimes, StepOperators
from moe_costmodel.silicon.step_time import Chunk, StepTime
from moe_costmodel.silicon.tables.package import gpu_named
from moe_costmodel.silicon.tables.reader import BACKENDS, OperatorTime, Tables

__all__ = ["SiliconModel"]


@dataclass
class SiliconModel:
    """Step times of models on a GPU, composed of kernels measured on it.

    The tables are those of aiconfigurator-core (``pip install 'moela[silicon]'``), which is not
    imported.

    Parameters
    ----------
    gpu : str
        Name of the GPU, such as ``"h200_sxm"``.
    backend : {"trtllm", "sglang", "vllm"}
        Engine whose kernels are used; those of another stand in where it has none.
    root : str or Path, optional
        Folder of the tables; by default that of the installed package.

    Raises
    ------
    ModuleNotFoundError
        If the package is not installed and no folder is given.
    ValueError
        If the GPU has no tables (the message names the nearest that has), or the engine is unknown.

    Examples
    --------
    >>> from moe_costmodel import Layout, ModelShape, SiliconModel
    >>> model = SiliconModel("h200_sxm", "sglang")  # doctest: +SKIP
    >>> shape = ModelShape.from_config("config.json")  # doctest: +SKIP
    >>> step = model.decode(shape, Layout(tp=8, moe_tp=8), 32, 2048)  # doctest: +SKIP
    """

    gpu: str
    backend: str
    root: str | Path | None = None
    tables: Tables = field(init=False, repr=False)
    times: OperatorTimes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        one_of("SiliconModel", "backend", self.backend, BACKENDS)
        self.tables = Tables(gpu_named(self.gpu, self.root), self.backend)
        self.times = OperatorTimes(self.tables)

    def __reduce__(self) -> tuple[type[SiliconModel], tuple[str, str, str | Path | None]]:
        return type(self), (self.gpu, self.backend, self.root)

    def __deepcopy__(self, memo: object) -> SiliconModel:
        return self  # nothing of it changes but what it has read

    # ------------------------------------------------------------------------------------- steps

    def decode(
        self,
        shape: ModelShape,
        layout: Layout,
        n_sequences: float,
        context: float,
        *,
        kv_dtype: str = "bfloat16",
    ) -> StepTime:
        """Return the time of one token of each of `n_sequences` sequences on a data-parallel rank.

        Parameters
        ----------
        shape : ModelShape
            The model.
        layout : Layout
            Its division over GPUs.
        n_sequences : float
            Sequences on each data-parallel rank.
        context : float
            Tokens that each of them has already.
        kv_dtype : str
            Type of the cache.

        Returns
        -------
        StepTime
        """
        return self.step(shape, layout, n_sequences, context, (), kv_dtype=kv_dtype)

    def prefill(
        self,
        shape: ModelShape,
        layout: Layout,
        chunks: Sequence[Chunk],
        *,
        kv_dtype: str = "bfloat16",
    ) -> StepTime:
        """Return the time of a step that computes new tokens of prompts on each rank.

        Parameters
        ----------
        shape, layout : ModelShape, Layout
            The model, and its division over GPUs.
        chunks : sequence of Chunk
            New tokens by prompt, of one data-parallel rank; all have as many.
        kv_dtype : str
            Type of the cache.

        Returns
        -------
        StepTime
        """
        return self.step(shape, layout, 0, 1, chunks, kv_dtype=kv_dtype)

    def step(
        self,
        shape: ModelShape,
        layout: Layout,
        n_sequences: float,
        context: float,
        chunks: Sequence[Chunk],
        *,
        kv_dtype: str = "bfloat16",
        overlap: float = 0.0,
        all_tokens: float | None = None,
    ) -> StepTime:
        """Return the time of a mixed step: tokens of running sequences, and chunks of prompts.

        Parameters
        ----------
        shape, layout : ModelShape, Layout
            The model, and its division over GPUs.
        n_sequences, context : float
            Running sequences of each data-parallel rank, and the tokens that each has.
        chunks : sequence of Chunk
            New tokens of prompts on each rank.
        kv_dtype : str
            Type of the cache.
        overlap : float
            Share of the exchanges that computation hides, from 0 to 1 (two-batch overlap).
        all_tokens : float, optional
            Tokens of all data-parallel ranks together, which the experts compute; by default all
            ranks have as many as this one.

        Returns
        -------
        StepTime

        Raises
        ------
        ValueError
            If the step has no tokens, a number is out of range, or the layout does not fit.
        """
        owner = "SiliconModel.step"
        check_sizes(shape, layout, owner)
        check_number(owner, "n_sequences", n_sequences)
        check_number(owner, "context", context)
        require(owner, "overlap", overlap, 0 <= overlap <= 1, "a number from 0 to 1")
        tokens = float(n_sequences) + sum(chunk.length for chunk in chunks)
        if tokens <= 0 or n_sequences < 0:
            raise invalid(owner, "n_sequences", n_sequences, "positive if there are no chunks")
        if all_tokens is None:
            all_tokens = tokens * layout.dp
        elif check_number(owner, "all_tokens", all_tokens) < tokens:
            raise invalid(owner, "all_tokens", all_tokens, f"at least this rank's {tokens:g}")
        step = StepOperators(
            self.times,
            shape,
            layout,
            n=float(n_sequences),
            context=max(float(context), 1.0),
            chunks=tuple(chunks),
            kv_dtype=kv_dtype,
            tokens=tokens,
            all_tokens=float(all_tokens),
        )
        operators = tuple(step.each())
        exchanged = sum(o.seconds for o in operators if o.operator.startswith("exchange"))
        return StepTime(operators, overlap * exchanged)

    def experts(
        self, shape: ModelShape, layout: Layout, tokens: float
    ) -> tuple[OperatorTime, float]:
        """Return the time of the experts of one MoE layer, and the load of the busiest rank.

        Parameters
        ----------
        shape, layout : ModelShape, Layout
            A model with experts, and its division over GPUs.
        tokens : float
            Tokens of all data-parallel ranks.

        Returns
        -------
        OperatorTime
            Of the busiest rank of expert parallelism.
        float
            Choices of that rank, over the mean of all ranks, in the benchmark behind the table.
        """
        owner, experts = "SiliconModel.experts", shape.experts
        check_sizes(shape, layout, owner)
        if experts is None:
            raise invalid(owner, "shape", shape.name, "a model with experts")
        where = {"tp": layout.moe_tp, "ep": layout.moe_ep}
        dtype = shape.dtypes["experts"]
        width = experts.width(shape.d_model)
        name = self.times.experts.distribution(experts, width, **where, dtype=dtype)
        load = benchmark_load(name, experts, layout.moe_ep, tokens)
        return self.times.experts.time(experts, width, tokens, **where, dtype=dtype), load
