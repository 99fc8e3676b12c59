"""ServerSettings: everything that the command line of an engine says about one replica."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from moe_costmodel._checks import check_fraction, check_number, count, one_of, require
from moe_costmodel.plans.engines.export import NOT_EXPORTED
from moe_costmodel.silicon.layout import Layout

__all__ = ["ServerSettings"]

ROLES = ("both", "prefill", "decode")
KV_TYPES = ("bfloat16", "fp8")


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Settings of one replica of a served model.

    Parameters
    ----------
    model : str
        Folder or name that the engine loads.
    layout : Layout
        Division of one replica over GPUs.
    sequences : int
        Sequences that run together, on all data-parallel ranks and in all pipeline stages; 0 for
        the engine's own number.
    architecture : str
        ``model_type`` of its config.json; empty if unknown.
    chunk_tokens : int
        Most new tokens of a step on one data-parallel rank; 0 for the engine's own number.
    context : int
        Longest sequence, prompt and answer together; 0 for the model's own.
    redundant_experts : int
        Slots of a layer beyond one for each expert.
    location : Path or None
        File of the placement, as the engine reads it.
    n_experts, k, n_moe_layers : int
        Experts of a layer, experts of a token, and layers with experts; 0 if unknown.
    moe_layers : tuple of int
        Numbers of the layers with experts within the model, ascending from 0; empty if unknown.
    resident_experts : int
        Experts of each layer in the GPU's memory; 0 if all are.
    expert_bytes : float
        Bytes of one expert; 0 if unknown.
    thresholds : bool
        Whether the plan drops choices by gate rules.
    memory_fraction : float
        Part of a GPU's memory that weights and cache may take.
    memory_bytes, weight_bytes : float
        Memory of a GPU, and weights on it; 0 if unknown.
    kv_dtype : {"bfloat16", "fp8"}
        Type of the cache.
    role : {"both", "prefill", "decode"}
        Phases of requests that the replica serves.
    gpus_per_node : int
        GPUs of one machine.
    replicas : int
        How many such replicas the plan starts.

    Raises
    ------
    ValueError
        If a setting is out of its range.

    Examples
    --------
    >>> from moe_costmodel import Layout, ServerSettings
    >>> settings = ServerSettings(model="org/model", layout=Layout(dp=8, moe_ep=8), sequences=256)
    >>> settings.sequences_per_rank, settings.n_nodes
    (32, 1)
    """

    model: str
    layout: Layout
    sequences: int = 0
    architecture: str = ""
    chunk_tokens: int = 0
    context: int = 0
    redundant_experts: int = 0
    location: Path | None = None
    n_experts: int = 0
    k: int = 0
    n_moe_layers: int = 0
    resident_experts: int = 0
    expert_bytes: float = 0.0
    thresholds: bool = False
    memory_fraction: float = 0.9
    memory_bytes: float = 0.0
    weight_bytes: float = 0.0
    kv_dtype: str = "bfloat16"
    role: str = "both"
    gpus_per_node: int = 8
    replicas: int = 1
    moe_layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        owner = "ServerSettings"
        for name in ("model", "architecture"):
            value = getattr(self, name)
            require(owner, name, value, isinstance(value, str), "a text")
        require(owner, "model", self.model, bool(self.model), "a folder or a name")
        require(owner, "layout", self.layout, isinstance(self.layout, Layout), "a Layout")
        for name in ("gpus_per_node", "replicas"):
            count(owner, name, getattr(self, name))
        for name in ("sequences", "chunk_tokens", "context", "redundant_experts", "n_experts", "k",
                     "n_moe_layers", "resident_experts"):  # fmt: skip
            count(owner, name, getattr(self, name), 0)
        for name in ("expert_bytes", "memory_bytes", "weight_bytes"):
            number = check_number(owner, name, getattr(self, name))
            require(owner, name, number, number >= 0, "a number of at least 0")
        check_fraction(owner, "memory_fraction", self.memory_fraction)
        one_of(owner, "kv_dtype", self.kv_dtype, KV_TYPES)
        one_of(owner, "role", self.role, ROLES)
        ascending = list(self.moe_layers) == sorted(set(self.moe_layers))
        fits = ascending and len(self.moe_layers) in (0, self.n_moe_layers)
        expected = f"the ascending numbers of {self.n_moe_layers} layers, or none"
        require(owner, "moe_layers", self.moe_layers, fits, expected)

    @property
    def n_slots(self) -> int:
        """Slots of a layer."""
        return self.n_experts + self.redundant_experts

    @property
    def is_paged(self) -> bool:
        """Whether a GPU keeps fewer experts than are placed on it."""
        return 0 < self.resident_experts < self.n_slots // self.layout.moe_ep

    @property
    def stage_gpus(self) -> int:
        """GPUs of one pipeline stage, which engines call the size of tensor parallelism."""
        return self.layout.tp * self.layout.dp

    @property
    def sequences_per_rank(self) -> int:
        """Sequences that run together on one data-parallel rank, rounded up."""
        return -(-self.sequences // self.layout.dp)

    @property
    def sequences_per_stage(self) -> int:
        """Sequences of one data-parallel rank in each pipeline stage, rounded up."""
        return -(-self.sequences_per_rank // self.layout.pp)

    @property
    def n_nodes(self) -> int:
        """Machines of one replica. Each holds whole pipeline stages, or an equal part of one."""
        layout = self.layout
        fewest = -(-layout.n_gpus // self.gpus_per_node)
        return next(
            n
            for n in range(fewest, layout.n_gpus + 1)
            if layout.pp % n == 0 or (n % layout.pp == 0 and not self.stage_gpus % (n // layout.pp))
        )

    @property
    def free_fraction(self) -> float:
        """Part of the memory that the weights leave free, that the cache may take."""
        if not self.memory_bytes:
            return self.memory_fraction
        free = self.memory_bytes - self.weight_bytes
        usable = self.memory_fraction * self.memory_bytes - self.weight_bytes
        return min(max(usable / free, 0.01), 0.99) if free > 0 else 0.01

    def common_notes(self) -> list[str]:
        """Return notes that hold for every engine."""
        notes = []
        if self.thresholds:
            notes.append(NOT_EXPORTED)
        if self.replicas > 1:
            n = self.layout.n_gpus
            notes.append(
                f"start {self.replicas} such servers, each on {'a GPU' if n == 1 else f'{n} GPUs'} "
                "of its own, behind a router that spreads the requests"
            )
        return notes
