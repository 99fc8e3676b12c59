"""ServingPlan: how a whole model is served on GPUs, with what is predicted of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from moe_costmodel._checks import check_number, count, invalid, one_of, require
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.models.shape import ModelShape
from moe_costmodel.objectives import SERVING_OBJECTIVES, Predicted
from moe_costmodel.placement.placement import Placement
from moe_costmodel.plans import serving_export, serving_files, serving_text
from moe_costmodel.plans.engines.export import Export
from moe_costmodel.silicon.layout import Layout
from moela.notebook import html

if TYPE_CHECKING:
    from moe_costmodel.silicon.tables.gpu import Gpu

__all__ = ["MODES", "ServingPlan", "ServingPool"]

MODES = ("prefill", "decode", "mixed", "disaggregated")
ROLES = ("prefill", "decode", "mixed")


@dataclass(frozen=True, kw_only=True, eq=False)
class ServingPool:
    """Equal instances of a model that serve one part of the requests.

    Parameters
    ----------
    role : {"mixed", "prefill", "decode"}
        Whether an instance computes prompts, answers, or both.
    layout : Layout
        Division of one instance over its GPUs.
    replicas : int
        Instances.
    concurrency : int
        Requests in flight on one instance, all data-parallel ranks and pipeline stages together;
        of prefill, the prompts of one step, of which as many are under way as there are stages.
    max_num_batched_tokens : int
        Most tokens of a step on one data-parallel rank.
    redundant_experts : int
        Slots of an MoE layer beyond one per expert, over all ranks of expert parallelism.
    placement : Placement, optional
        Expert in each slot of each MoE layer; its devices are the ranks of expert parallelism.
        None leaves the engine's own order.

    Raises
    ------
    ValueError
        If a part is out of its range, or the placement has other ranks or slots than the layout.

    Examples
    --------
    >>> from moe_costmodel import Layout, ServingPool
    >>> pool = ServingPool(
    ...     role="mixed", layout=Layout(tp=8, moe_ep=8), replicas=2, concurrency=64,
    ...     max_num_batched_tokens=8192,
    ... )
    >>> pool.n_gpus, pool.max_num_seqs
    (16, 64)
    """  # fmt: skip

    role: str
    layout: Layout
    replicas: int
    concurrency: int
    max_num_batched_tokens: int
    redundant_experts: int = 0
    placement: Placement | None = None

    def __post_init__(self) -> None:
        owner = "ServingPool"
        one_of(owner, "role", self.role, ROLES)
        require(owner, "layout", self.layout, isinstance(self.layout, Layout), "a Layout")
        for name in ("replicas", "concurrency", "max_num_batched_tokens"):
            count(owner, name, getattr(self, name))
        count(owner, "redundant_experts", self.redundant_experts, 0)
        held = self.placement
        if held is None:
            return
        require(owner, "placement", held, isinstance(held, Placement), "a Placement, or None")
        got = (held.n_devices, held.n_slots - held.n_experts)
        wanted = (self.layout.moe_ep, self.redundant_experts)
        if got != wanted:
            expected = f"of {wanted[0]} ranks with {wanted[1]} redundant experts"
            raise invalid(owner, "placement", f"{got[0]} with {got[1]}", expected)

    @property
    def n_gpus(self) -> int:
        """GPUs of all instances."""
        return self.layout.n_gpus * self.replicas

    @property
    def max_num_seqs(self) -> int:
        """Requests of `concurrency` on one data-parallel rank, rounded up."""
        return -(-self.concurrency // self.layout.dp)


@dataclass(frozen=True, kw_only=True, eq=False)
class ServingPlan:
    """A deployment of a whole model on GPUs, with predicted objectives.

    Parameters
    ----------
    shape : ModelShape
        The model; its name is that of the architecture.
    gpu, backend : str
        Kind of GPU and engine, as :class:`moe_costmodel.SiliconModel` names them.
    n_gpus : int
        GPUs at hand; the pools may leave some idle.
    mode : {"prefill", "decode", "mixed", "disaggregated"}
        Parts of serving that the plan covers. A disaggregated plan has a pool for each.
    input_tokens, output_tokens : int
        Tokens of each prompt and answer.
    pools : tuple of ServingPool
        The instances.
    gates : tuple of GateRule or None
        Rule of each MoE layer; empty without rules.
    kv_dtype : str
        Type of the cache.
    objectives : dict of str to Predicted
        Predicted values by name, such as "tokens_per_s_per_gpu".
    ungated : dict of str to float
        The same values without the rules, at which an exported command runs, since no engine takes
        rules; empty if the plan has none.
    limits : dict of str to float
        Upper limits of some of the values, such as that of "ttft".
    kernels : dict of str to str
        Kernel and table of each operator, by pool, step and operator.
    outside : dict of str to float
        Factor by which an operator lies beyond what was measured, for those that do; infinity if
        no table has it.
    notes : tuple of str
        Assumptions of the prediction.

    Raises
    ------
    ValueError
        If a part is out of its range, or the parts do not fit one another.

    Examples
    --------
    >>> from moe_costmodel import ServingPlan
    >>> plan = ServingPlan.load("plan.json")  # doctest: +SKIP
    >>> plan.pools[0].layout, plan.objectives["tokens_per_s_per_gpu"].value  # doctest: +SKIP
    """

    shape: ModelShape
    gpu: str
    backend: str
    n_gpus: int
    mode: str
    input_tokens: int
    output_tokens: int
    pools: tuple[ServingPool, ...]
    gates: tuple[GateRule | None, ...] = ()
    kv_dtype: str = "bfloat16"
    objectives: dict[str, Predicted] = field(default_factory=dict)
    ungated: dict[str, float] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    kernels: dict[str, str] = field(default_factory=dict)
    outside: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        owner = "ServingPlan"
        require(owner, "shape", self.shape, isinstance(self.shape, ModelShape), "a ModelShape")
        one_of(owner, "mode", self.mode, MODES)
        for name in ("n_gpus", "input_tokens", "output_tokens"):
            count(owner, name, getattr(self, name))
        roles = ("prefill", "decode") if self.mode == "disaggregated" else (self.mode,)
        if tuple(pool.role for pool in self.pools) != roles:
            got = ", ".join(pool.role for pool in self.pools) or "none"
            raise invalid(owner, "pools", got, f"pools with the roles {', '.join(roles)}")
        used = sum(pool.n_gpus for pool in self.pools)
        require(owner, "n_gpus", self.n_gpus, used <= self.n_gpus, f"at least {used}, as the pools")
        n_layers, experts = self.shape.n_moe_layers, self.shape.experts
        if len(self.gates) not in (0, n_layers):
            expected = f"empty, or one rule for each of {n_layers} MoE layers"
            raise invalid(owner, "gates", f"{len(self.gates)} of them", expected)
        for pool in self.pools:
            held = pool.placement
            if held is not None:
                wanted = (n_layers, experts.n_experts if experts else 0)
                if (held.n_layers, held.n_experts) != wanted:
                    got = f"{held.n_layers} layers of {held.n_experts}"
                    expected = f"pools with placements of {wanted[0]} layers of {wanted[1]} experts"
                    raise invalid(owner, "pools", got, expected)
        for part, known in (("ungated", self.objectives), ("limits", SERVING_OBJECTIVES)):
            for name, value in getattr(self, part).items():
                one_of(owner, part, name, known)
                check_number(owner, f"{part}[{name!r}]", value)
        for name, factor in self.outside.items():
            # An operator that no table has is infinitely far from what was measured.
            if factor != float("inf"):
                check_number(owner, f"outside[{name!r}]", factor)

    @property
    def model(self) -> str:
        """Name of the model's architecture."""
        return self.shape.name

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == other.to_dict() if isinstance(other, ServingPlan) else False

    __hash__ = None  # type: ignore[assignment]

    def to_dict(self) -> dict[str, object]:
        """Return the plan as plain values, as :meth:`save` writes them."""
        return serving_files.to_dict(self)

    def save(self, path: str | Path) -> Path:
        """Write the plan as JSON."""
        return serving_files.save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> ServingPlan:
        """Read a plan from JSON.

        Raises
        ------
        ValueError
            If the file is not such a plan. The message names the file, the field, the expected
            value and the actual one.
        """
        return serving_files.load(path, cls, ServingPool)

    def export(
        self,
        folder: str | Path,
        *,
        model: str,
        engine: str | None = None,
        gpu: Gpu | None = None,
        layers: Sequence[int] | None = None,
        name: str = "",
    ) -> tuple[Export, ...]:
        """Write the plan's files for an engine, and return the whole command of each pool.

        Parameters
        ----------
        folder : str or Path
            Folder for the files: placements, and options that have no flag.
        model : str
            Folder or name of the model that the engine loads.
        engine : {"sglang", "vllm", "trtllm", "llamacpp", "ktransformers"}, optional
            The engine; by default the plan's.
        gpu : Gpu, optional
            Figures of the GPU, for the GPUs of a machine and the memory that weights leave free.
            By default eight to a machine.
        layers : sequence of int, optional
            Numbers of the layers with experts within the model, for placements; by default those
            after the layers without. A plan for an architecture that has layers without experts
            among the others needs them.
        name : str
            Beginning of the files' names.

        Returns
        -------
        tuple of Export

        Raises
        ------
        ValueError
            If the engine is unknown, or cannot express the plan at all, or if `layers` are needed.
        """
        return serving_export.export_serving(
            self, folder, model=model, engine=engine, gpu=gpu, layers=layers, name=name
        )

    def summary(self) -> str:
        """Return the plan in one line."""
        return serving_text.summary(self)

    def __str__(self) -> str:
        return serving_text.table(self)

    def __repr__(self) -> str:
        return f"ServingPlan: {self.summary()}"

    def _repr_html_(self) -> str:
        return html.lines(str(self))
