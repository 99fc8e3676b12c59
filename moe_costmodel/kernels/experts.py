"""Experts: the weights of an MoE layer, one expert's product, and a float64 reference layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from moe_costmodel._checks import invalid, one_of, require

__all__ = ["ACTIVATIONS", "Experts", "check_layer", "reference"]

ACTIVATIONS = ("gelu", "relu", "silu")


@dataclass(frozen=True)
class Experts:
    """Two-layer feed-forward experts, in the layout of Hugging Face transformers 5.

    Parameters
    ----------
    up : Tensor of shape (n_experts, d_ffn, d_model), or (n_experts, 2 * d_ffn, d_model) if gated
        First layers; gated ones hold the gate's rows, then the values'.
    down : Tensor of shape (n_experts, d_model, d_ffn)
        Second layers.
    activation : {"gelu", "relu", "silu"}
        Applied to the first layer's output (to the gate, if gated).
    gated : bool
        Whether the experts are gated linear units (SwiGLU and kin).

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> from moe_costmodel.kernels import Experts
    >>> experts = Experts.random(n_experts=4, d_model=8, d_ffn=16, gated=True)
    >>> experts.n_experts, experts.d_model, experts.d_ffn
    (4, 8, 16)
    """

    up: Tensor
    down: Tensor
    activation: str = "relu"
    gated: bool = False

    def __post_init__(self) -> None:
        one_of("Experts", "activation", self.activation, ACTIVATIONS)
        inner = self.down.shape[-1] * (2 if self.gated else 1)
        expected = (self.down.shape[0], inner, self.down.shape[1])
        if self.down.ndim != 3 or tuple(self.up.shape) != expected:
            raise invalid(
                "Experts",
                "up",
                f"shape {tuple(self.up.shape)}",
                f"of shape {expected}, to fit 'down' of shape {tuple(self.down.shape)}",
            )

    @classmethod
    def random(
        cls,
        n_experts: int,
        d_model: int,
        d_ffn: int,
        *,
        seed: int = 0,
        activation: str = "relu",
        gated: bool = False,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Experts:
        """Return experts with random weights, scaled so that outputs are of the inputs' size."""
        generator = torch.Generator().manual_seed(seed)
        inner = d_ffn * (2 if gated else 1)
        up = torch.randn(n_experts, inner, d_model, generator=generator) * d_model**-0.5
        down = torch.randn(n_experts, d_model, d_ffn, generator=generator) * d_ffn**-0.5
        return cls(up.to(device, dtype), down.to(device, dtype), activation, gated)

    @classmethod
    def from_module(cls, module: Any) -> Experts:
        """Return the experts of a Hugging Face module, sharing its weights.

        Parameters
        ----------
        module : Module
            An experts module of transformers 5 with ``gate_up_proj`` and ``down_proj`` (Mixtral,
            OLMoE, Qwen-MoE, DeepSeek and others).

        Raises
        ------
        ValueError
            If it stores its experts otherwise, or has an activation that is not known here.
        """
        layout = {
            "has_gate": True,
            "has_bias": False,
            "is_transposed": False,
            "is_concatenated": True,
            "has_post_expert_norm": False,
        }
        for name, wanted in layout.items():
            if getattr(module, name, wanted) != wanted:
                raise invalid("Experts.from_module", "module", not wanted, f"of {name} = {wanted}")
        if not hasattr(module, "gate_up_proj") or not hasattr(module, "down_proj"):
            raise invalid(
                "Experts.from_module",
                "module",
                type(module).__name__,
                "an experts module with gate_up_proj and down_proj",
            )
        name = type(module.act_fn).__name__.lower()
        known = [a for a in ACTIVATIONS if a in name]
        require("Experts.from_module", "module", name, bool(known), f"activated by {ACTIVATIONS}")
        return cls(module.gate_up_proj.detach(), module.down_proj.detach(), known[0], gated=True)

    @property
    def n_experts(self) -> int:
        """Number of experts."""
        return int(self.down.shape[0])

    @property
    def d_model(self) -> int:
        """Width of the tokens."""
        return int(self.down.shape[1])

    @property
    def d_ffn(self) -> int:
        """Inner width of an expert."""
        return int(self.down.shape[2])

    @property
    def expert_bytes(self) -> int:
        """Bytes of one expert's weights."""
        per_expert = self.up[0].numel() + self.down[0].numel()
        return int(per_expert * self.up.element_size())

    def to(self, *args: Any, **kwargs: Any) -> Experts:
        """Return the experts on another device or in another dtype, as ``Tensor.to`` does."""
        return replace(self, up=self.up.to(*args, **kwargs), down=self.down.to(*args, **kwargs))

    def subset(self, ids: list[int]) -> Experts:
        """Return the experts with these ids, in this order, as a copy."""
        return replace(self, up=self.up[ids], down=self.down[ids])

    def save(self, path: str | Path) -> Path:
        """Write the weights as safetensors, which :meth:`map_file` can map."""
        from safetensors.torch import save_file

        path = Path(path)
        metadata = {"activation": self.activation, "gated": str(self.gated)}
        save_file({"up": self.up.contiguous(), "down": self.down.contiguous()}, path, metadata)
        return path

    @classmethod
    def map_file(cls, path: str | Path) -> Experts:
        """Map the weights that :meth:`save` wrote: pages are read from disk as they are touched.

        Raises
        ------
        ValueError
            If the file is not one of experts.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                up, down = file.get_tensor("up"), file.get_tensor("down")
                gated = {"True": True, "False": False}[metadata["gated"]]
                return cls(up, down, metadata["activation"], gated)
        except (SafetensorError, KeyError, ValueError) as error:
            raise ValueError(
                f"{path}: must be a file written by Experts.save (tensors 'up' and 'down', "
                f"metadata 'activation' and 'gated'). Got {type(error).__name__}: {error} instead."
            ) from error

    def inner(self, hidden: Tensor) -> Tensor:
        """Return the activation of the first layer's output; may overwrite it."""
        if self.gated:
            gate, value = hidden.chunk(2, dim=-1)
            return _ACTIVATE[self.activation](gate).mul_(value)
        return _ACTIVATE[self.activation](hidden)

    def product(self, expert: int, x: Tensor) -> Tensor:
        """Return what one expert makes of tokens [n, d_model]."""
        return F.linear(self.inner(F.linear(x, self.up[expert])), self.down[expert])


def _relu_in_place(x: Tensor) -> Tensor:
    return x.relu_()


_ACTIVATE: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": _relu_in_place,
    "gelu": F.gelu,
    "silu": F.silu,
}


def check_layer(x: Tensor, ids: Tensor, weights: Tensor, experts: Experts) -> None:
    """Complain about arguments of a kernel that do not fit together.

    Ids are trusted to be in range: looking would cost a synchronization of the device.
    """
    if x.ndim != 2 or x.shape[1] != experts.d_model:
        raise invalid(
            "kernel", "x", f"shape {tuple(x.shape)}", f"of shape (tokens, {experts.d_model})"
        )
    if ids.ndim != 2 or len(ids) != len(x) or ids.dtype not in (torch.int64, torch.int32):
        raise invalid(
            "kernel",
            "ids",
            f"shape {tuple(ids.shape)}, {ids.dtype}",
            f"integers of shape ({len(x)}, k)",
        )
    if weights.shape != ids.shape or not weights.is_floating_point():
        raise invalid(
            "kernel",
            "weights",
            f"shape {tuple(weights.shape)}, {weights.dtype}",
            f"floats of shape {tuple(ids.shape)}",
        )


def reference(x: Tensor, ids: Tensor, weights: Tensor, experts: Experts) -> Tensor:
    """Return the layer's output in float64, token by token: slow, and plainly right.

    Parameters
    ----------
    x : Tensor of shape (S, d_model)
        Tokens.
    ids, weights : Tensor of shape (S, k)
        Chosen experts and their weights.
    experts : Experts
        The layer's weights.

    Returns
    -------
    Tensor of shape (S, d_model), float64

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel.kernels import Experts, reference
    >>> experts = Experts.random(n_experts=4, d_model=8, d_ffn=16)
    >>> ids, weights = torch.tensor([[0, 1], [2, 3]]), torch.full((2, 2), 0.5)
    >>> reference(torch.ones(2, 8), ids, weights, experts).dtype
    torch.float64
    """
    check_layer(x, ids, weights, experts)
    exact = experts.to(torch.float64)
    out = torch.zeros(x.shape, dtype=torch.float64, device=x.device)
    for token in range(len(x)):
        row = x[token : token + 1].double()
        for expert, weight in zip(ids[token].tolist(), weights[token].tolist(), strict=True):
            if weight:
                out[token] += weight * exact.product(expert, row)[0]
    return out
