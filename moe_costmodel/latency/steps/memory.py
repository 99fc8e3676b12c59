"""MemoryModel: the bytes of a model on one device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import check_number, count, invalid, one_of, require
from moe_costmodel.shapes import DTYPE_BYTES, LayerShape

__all__ = ["MemoryModel", "bytes_beside_experts"]


@dataclass(frozen=True, kw_only=True)
class MemoryModel:
    """Bytes of a model on one device.

    Parameters
    ----------
    shape : LayerShape
        An MoE layer; its `n_local` experts are the device's share.
    n_moe_layers : int
        MoE layers.
    rest_parameters : int
        Weights on the device, without those of experts.
    n_attention_layers : int
        Layers with a KV cache.
    kv_width : int
        Values that a token keeps per layer: 2 x key-value heads x head size (of a compressed
        cache, the values that are cached).
    kv_dtype : str
        Type of the cache.

    Raises
    ------
    ValueError
        If a number is negative or not finite, or the type unknown.

    Examples
    --------
    >>> from moe_costmodel import LayerShape, MemoryModel
    >>> shape = LayerShape(n_experts=8, k=2, d_model=64, d_ffn=128)
    >>> memory = MemoryModel(
    ...     shape=shape, n_moe_layers=4, rest_parameters=10_000, n_attention_layers=4, kv_width=128
    ... )
    >>> float(memory.kv_bytes(batch_size=2, context=100))
    204800.0
    """

    shape: LayerShape
    n_moe_layers: int
    rest_parameters: int
    n_attention_layers: int
    kv_width: int
    kv_dtype: str = "float16"

    def __post_init__(self) -> None:
        for name in ("n_moe_layers", "n_attention_layers"):
            count("MemoryModel", name, getattr(self, name))
        for name in ("rest_parameters", "kv_width"):
            value = check_number("MemoryModel", name, getattr(self, name))
            require("MemoryModel", name, value, value >= 0, "0 or more")
        one_of("MemoryModel", "kv_dtype", self.kv_dtype, DTYPE_BYTES)

    @property
    def weight_bytes(self) -> float:
        """Bytes of the weights without those of experts."""
        return self.rest_parameters * DTYPE_BYTES[self.shape.dtype]

    def expert_bytes(self, resident: ArrayLike, replicas: ArrayLike = 0) -> Floats:
        """Return the bytes of experts in fast memory.

        Parameters
        ----------
        resident : array_like of shape (..., n_moe_layers)
            Experts (buffer slots) that the device keeps of each layer.
        replicas : array_like, broadcast to `resident`
            Replicas beside them.
        """
        slots = np.asarray(resident, float) + np.asarray(replicas, float)
        if slots.shape[-1:] != (self.n_moe_layers,):
            raise invalid(
                "MemoryModel", "resident", slots.shape, f"of shape (..., {self.n_moe_layers})"
            )
        return slots.sum(axis=-1) * self.shape.expert_bytes

    def kv_bytes(self, batch_size: ArrayLike, context: ArrayLike) -> Floats:
        """Return the bytes of the KV cache of `batch_size` sequences of `context` tokens."""
        tokens = np.asarray(batch_size, float) * np.asarray(context, float)
        return tokens * self.n_attention_layers * self.kv_width * DTYPE_BYTES[self.kv_dtype]

    def activation_bytes(
        self,
        tokens: ArrayLike,
        *,
        gating: str = "dynamic",
        capacity_factor: float = 1.0,
        kept: float | None = None,
    ) -> Floats:
        """Return the peak of the activations of one MoE layer; layers run one after another.

        Parameters
        ----------
        tokens : array_like
            Tokens of the step on this device.
        gating : {"dynamic", "static"}
            Dynamic gating holds the chosen rows: gathered, inner and computed. Static gating holds
            its (tokens, experts, capacity) mask as weights, as zeros and ones, and, while it
            combines, as the copy that the product makes; and every expert's full capacity.
        capacity_factor : float
            Capacity factor of static gating.
        kept : float, optional
            Mean number of experts per token under a threshold; by default all k.
        """
        one_of("MemoryModel", "gating", gating, ("dynamic", "static"))
        s = self.shape
        n = np.asarray(tokens, float)
        element = max(DTYPE_BYTES[s.dtype], 2.0)
        inner = (3 if s.gated else 1) * s.d_ffn
        if gating == "dynamic":
            rows = n * (s.k if kept is None else kept) * s.n_local / s.n_experts
            return element * rows * (2 * s.d_model + inner)
        capacity = np.maximum(1, np.ceil(capacity_factor * n))
        slots = s.n_local * capacity
        mask = n * s.n_experts * capacity
        combining = 3 * mask + slots * (2 * s.d_model + s.d_ffn)
        computing = 2 * mask + slots * (s.d_model + inner)
        return element * np.maximum(combining, computing)


def bytes_beside_experts(
    shape: LayerShape,
    rows: int,
    memory: MemoryModel | None,
    sequences: float,
    context: int,
    n_devices: int,
) -> float:
    """Return the memory of a device beside its experts: activations, and what `memory` holds.

    Parameters
    ----------
    shape : LayerShape
    rows : int
        Token-expert pairs of the device.
    memory : MemoryModel or None
    sequences, context : float, int
        Sequences of all devices, and the length that the KV cache is sized for.
    n_devices : int
        Devices over which the sequences are spread evenly.
    """
    inner = (3 if shape.gated else 1) * shape.d_ffn
    row = max(DTYPE_BYTES[shape.dtype], 2.0) * (2 * shape.d_model + inner)
    total = row * rows
    if memory is not None:
        kv = float(memory.kv_bytes(sequences, context))
        total += memory.weight_bytes + kv / n_devices
    return float(total)
