"""LayerShape: the sizes of an MoE layer on one device."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._checks import count, invalid, one_of
from moe_costmodel._fields import made_in
from moela.files.guard import brief

__all__ = ["DTYPE_BYTES", "MAX_EXPERTS", "OPERAND_BYTES", "LayerShape", "power_law_counts"]

# Of traces and files: far above any model. A damaged file that claims more would need terabytes.
MAX_EXPERTS = 65_536
_MAX_WIDTH = 2**31

# Bytes of a weight with its share of the scales: blocks of 16 (nvfp4) or 32 (mxfp4) have one of 8
# bits, groups of integers ("_g128") one of 16, and those of 64 and 128 a zero of 4 or 8, as AWQ and
# GPTQ store them. Types without a size of groups count without scales.
DTYPE_BYTES: dict[str, float] = {
    "float64": 8.0,
    "float32": 4.0,
    "bfloat16": 2.0,
    "float16": 2.0,
    "fp8": 1.0,
    "fp8_block": 1.0,
    "int8_wo": 1.0,
    "nvfp4": 0.5 + 1 / 16,
    "w4a16_nvfp4": 0.5 + 1 / 16,
    "w4a16_mxfp4": 0.5 + 1 / 32,
    "w4a8_mxfp4_mxfp8": 0.5 + 1 / 32,
    "w4afp8": 0.5,
    "int4_wo": 0.5,
    "int4_wo_g32": 0.5 + 2 / 32,
    "int4_wo_g64": 0.5 + 2.5 / 64,
    "int4_wo_g128": 0.5 + 2.5 / 128,
    "int8_wo_g64": 1.0 + 3 / 64,
    "int8_wo_g128": 1.0 + 3 / 128,
}
# Bytes of a value as it enters a product: weights alone may be quantized ("_wo", "w4a16").
OPERAND_BYTES: dict[str, float] = DTYPE_BYTES | {
    "int8_wo": 2.0,
    "nvfp4": 0.5,
    "w4a16_nvfp4": 2.0,
    "w4a16_mxfp4": 2.0,
    "w4a8_mxfp4_mxfp8": 1.0,
    "w4afp8": 1.0,
    "int4_wo": 2.0,
    "int4_wo_g32": 2.0,
    "int4_wo_g64": 2.0,
    "int4_wo_g128": 2.0,
    "int8_wo_g64": 2.0,
    "int8_wo_g128": 2.0,
}


@dataclass(frozen=True, kw_only=True)
class LayerShape:
    """Sizes of an MoE layer on one device.

    Parameters
    ----------
    n_experts : int
        Experts that the router chooses from.
    k : int
        Experts per token.
    d_model, d_ffn : int
        Width of the tokens, and inner width of one expert on this device.
    n_local : int, optional
        Experts on this device; by default all.
    gated : bool
        Whether experts have a gate (three matrices instead of two).
    dtype : str
        Type of the weights; a key of :data:`DTYPE_BYTES`.

    Raises
    ------
    ValueError
        If a size is not positive, k above n_experts, or the dtype unknown.

    Examples
    --------
    >>> from moe_costmodel import LayerShape
    >>> shape = LayerShape(n_experts=8, k=2, d_model=64, d_ffn=128, gated=True)
    >>> shape.n_local, shape.expert_bytes
    (8, 98304.0)
    """

    n_experts: int
    k: int
    d_model: int
    d_ffn: int
    n_local: int = 0
    gated: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("n_experts", "k", "d_model", "d_ffn"):
            count("LayerShape", name, getattr(self, name))
        if count("LayerShape", "n_local", self.n_local, 0) == 0:
            object.__setattr__(self, "n_local", self.n_experts)
        if self.k > self.n_experts:
            raise invalid("LayerShape", "k", self.k, f"at most n_experts = {self.n_experts}")
        if not isinstance(self.gated, bool):
            raise invalid("LayerShape", "gated", brief(self.gated), "True or False")
        one_of("LayerShape", "dtype", self.dtype, DTYPE_BYTES)

    @property
    def parameters(self) -> int:
        """Weights of one expert."""
        return (3 if self.gated else 2) * self.d_model * self.d_ffn

    @property
    def expert_bytes(self) -> float:
        """Bytes of one expert."""
        return self.parameters * DTYPE_BYTES[self.dtype]

    def to_dict(self) -> dict[str, object]:
        """Return the sizes as a plain dictionary."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: object, *, source: str | Path, field: str) -> LayerShape:
        """Return the shape that a field of a file describes; errors name `source` and `field`."""
        most = {"n_experts": MAX_EXPERTS, "n_local": MAX_EXPERTS}
        return made_in(
            source, field, content, cls, most | dict.fromkeys(("d_model", "d_ffn"), _MAX_WIDTH)
        )


def power_law_counts(
    n_tokens: int, shape: LayerShape, exponent: float, random_state: np.random.Generator
) -> NDArray[np.int64]:
    """Draw the tokens of each expert in a step, (n_experts,).

    The popularity of the r-th expert is r ** -exponent. The sum is ``n_tokens * k``, and no expert
    has more than ``n_tokens``.
    """
    popularity = np.arange(1, shape.n_experts + 1, dtype=np.float64) ** -exponent
    random_state.shuffle(popularity)
    noise = random_state.gumbel(size=(n_tokens, shape.n_experts))
    chosen = np.argpartition(-(np.log(popularity) + noise), shape.k - 1, axis=1)[:, : shape.k]
    return np.bincount(chosen.ravel(), minlength=shape.n_experts)
