"""Experts: the weights of an MoE layer, their products, and a float64 reference layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn import functional as F

from moe_costmodel._checks import InvalidParameter, invalid, one_of
from moela.files.guard import brief, invalid_file, open_file

__all__ = ["ACTIVATIONS", "Experts", "check_layer", "reference"]


def _squared_relu(x: Tensor) -> Tensor:
    return torch.relu(x).square()


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": torch.relu_,
    "relu2": _squared_relu,
    "silu": F.silu,
}
# Where the functions of models differ: GELU from its approximations, and beyond limits such as 10.
_GATES = (-1e3, -30.0, -4.0, -2.0, -1.0, -0.3, 0.0, 0.3, 1.0, 2.0, 4.0, 8.0, 30.0, 1e3)
_VALUES = (-1e3, 0.5, 1e3)
_SUPPORTED = (
    "of experts that all have weights, (outputs, inputs) each, without biases, and with gates "
    "before values: others are neither measured nor buffered, but the choices of their routers can "
    "be recorded (RoutingTrace.record) and edited, also by a plan without buffers"
)
_TRUTHS = {"True": True, "False": False}
_HEADER_BYTES = 10_000  # many times the header of two tensors


@dataclass(frozen=True)
class Experts:
    """Two-layer feed-forward experts, in the layout of Hugging Face transformers 5.

    Parameters
    ----------
    up : Tensor of shape (n_experts, d_ffn, d_model), or (n_experts, 2 * d_ffn, d_model) if gated
        First layers; those of gated experts hold the rows of the gate, then those of the values.
    down : Tensor of shape (n_experts, d_model, d_ffn)
        Second layers.
    activation : {"gelu", "gelu_tanh", "relu", "relu2", "silu"}
        Applied to the output of the first layer (gated experts: of the gate). "gelu_tanh" is the
        approximation of GELU by tanh, "relu2" the square of ReLU.
    gated : bool
        Whether the experts are gated linear units, such as SwiGLU.

    Raises
    ------
    ValueError
        If the shapes or types do not fit.

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
        if self.down.ndim != 3:
            fits = "of shape (n_experts, d_model, d_ffn)"
            raise invalid("Experts", "down", f"shape {tuple(self.down.shape)}", fits)
        inner = self.down.shape[-1] * (2 if self.gated else 1)
        expected = (self.down.shape[0], inner, self.down.shape[1])
        if tuple(self.up.shape) != expected or self.up.dtype != self.down.dtype:
            fits = f"of shape {expected}, {self.down.dtype}, to fit 'down', {_shape(self.down)}"
            raise invalid("Experts", "up", _shape(self.up), fits)

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
        """Return experts with random weights that keep the scale of their inputs."""
        generator = torch.Generator().manual_seed(seed)
        inner = d_ffn * (2 if gated else 1)
        up = torch.randn(n_experts, inner, d_model, generator=generator) * d_model**-0.5
        down = torch.randn(n_experts, d_model, d_ffn, generator=generator) * d_ffn**-0.5
        return cls(up.to(device, dtype), down.to(device, dtype), activation, gated)

    @classmethod
    def from_module(cls, module: Module) -> Experts:
        """Return the experts of a Hugging Face module; the weights are shared.

        The module must be that of the experts in transformers 5, with ``gate_up_proj`` and
        ``down_proj`` (Mixtral, OLMoE, Qwen-MoE, DeepSeek and others), or with ``up_proj`` and
        ``down_proj`` if it has no gates (Nemotron-H). The activation is the one whose values the
        module has at some points. A ValueError names the module if none has them, or if it has
        biases, transposed weights, or experts without weights.
        """
        owner, layout = "Experts.from_module", {"is_concatenated": True}
        layout |= dict.fromkeys(("has_bias", "is_transposed", "has_post_expert_norm"), False)
        others = [name for name, usual in layout.items() if getattr(module, name, usual) != usual]
        if others:
            held = ", ".join(f"{name} = {not layout[name]}" for name in others)
            raise invalid(owner, "module", f"{type(module).__name__} with {held}", _SUPPORTED)
        gated = bool(getattr(module, "has_gate", True))
        first = "gate_up_proj" if gated else "up_proj"
        held_up, held_down = (getattr(module, name, None) for name in (first, "down_proj"))
        if not isinstance(held_up, Tensor) or not isinstance(held_down, Tensor):
            got = type(module).__name__
            raise invalid(owner, "module", got, f"of experts with {first} and down_proj")
        activation = _activation_of(module, gated)
        if not activation:
            got = f"{type(module).__name__} with {type(getattr(module, 'act_fn', None)).__name__}"
            known = " or ".join(ACTIVATIONS)
            values = "multiply {} of the gate by values" if gated else "apply {}"
            raise invalid(owner, "module", got, f"of experts that {values.format(known)}")
        try:
            return cls(held_up.detach(), held_down.detach(), activation, gated)
        except InvalidParameter:
            shapes = f"{first} {tuple(held_up.shape)}, down_proj {tuple(held_down.shape)}"
            raise invalid(
                owner, "module", f"{type(module).__name__} with {shapes}", _SUPPORTED
            ) from None

    @cached_property
    def transposed(self) -> tuple[list[Tensor], list[Tensor]]:
        """Views of each expert's first layer, (d_model, inner), and second, (d_ffn, d_model)."""
        up, down = self.up.unbind(0), self.down.unbind(0)
        return [matrix.t() for matrix in up], [matrix.t() for matrix in down]

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
        per_expert = (self.up.shape[1] + self.d_ffn) * self.d_model
        return int(per_expert * self.up.element_size())

    def to(self, *args: object, **kwargs: object) -> Experts:
        """Return the experts on another device or in another dtype, as ``Tensor.to`` does."""
        return replace(self, up=self.up.to(*args, **kwargs), down=self.down.to(*args, **kwargs))

    def pinned(self) -> Experts:
        """Return the experts in pinned CPU memory; only copies from there let the host go on."""
        return replace(self, up=self.up.pin_memory(), down=self.down.pin_memory())

    def subset(self, ids: list[int]) -> Experts:
        """Return a copy of the experts with these ids, in this order."""
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
        """Map the weights that :meth:`save` wrote; a page is read from disk when it is used.

        If the file is damaged, the ValueError names the file and the field.
        """
        from safetensors import SafetensorError, safe_open

        expected = "a complete file of Experts.save"
        with open_file(path) as opened:
            # The header is parsed into memory, and the library's own limit is 100 MB.
            header = int.from_bytes(opened.read(8), "little")
        if header > _HEADER_BYTES:
            raise invalid_file(path, f"a header of {header:,} bytes", expected)
        try:
            with safe_open(path, framework="pt") as file:
                names, metadata = set(file.keys()), file.metadata() or {}
                for name in ("up", "down"):
                    if name not in names:
                        raise invalid_file(path, f"only {sorted(names)}", "present", name)
                up, down = file.get_tensor("up"), file.get_tensor("down")
        except SafetensorError as error:
            raise invalid_file(path, str(error), expected) from error
        for name, known in (("activation", ACTIVATIONS), ("gated", _TRUTHS)):
            if metadata.get(name) not in known:
                expected = f"one of {', '.join(known)}"
                raise invalid_file(path, brief(metadata.get(name)), expected, name)
        if not up.is_floating_point() or up.dtype != down.dtype:
            got = f"{up.dtype} and {down.dtype}"
            raise invalid_file(path, got, "floats of one type, like 'down'", "up")
        try:
            return cls(up, down, metadata["activation"], _TRUTHS[metadata["gated"]])
        except InvalidParameter as error:
            raise invalid_file(path, error.got, error.expected, error.name) from error

    def inner(self, hidden: Tensor) -> Tensor:
        """Return the activation of the output of the first layer, which may be overwritten."""
        activate = ACTIVATIONS[self.activation]
        if self.gated:
            gate, value = hidden.chunk(2, dim=-1)
            if hidden.requires_grad and activate is torch.relu_:
                return torch.relu(gate) * value  # autograd forbids to overwrite a part of a tensor
            return activate(gate).mul_(value)
        return activate(hidden)

    def product(self, expert: int, x: Tensor) -> Tensor:
        """Return the output of one expert for tokens [n, d_model]."""
        return F.linear(self.inner(F.linear(x, self.up[expert])), self.down[expert])

    def products(self, slots: Tensor) -> Tensor:
        """Return the outputs of all experts, each for its own slots, [n_experts, n, d_model]."""
        hidden = self.inner(torch.bmm(slots, self.up.transpose(1, 2)))
        return torch.bmm(hidden, self.down.transpose(1, 2))


def _activation_of(module: Module, gated: bool) -> str:
    """Return the name of a module's activation, by which it gates; empty if it is none of ours."""
    axes = (torch.tensor(p, dtype=torch.float64, device="cpu") for p in (_GATES, _VALUES))
    gate, value = torch.cartesian_prod(*axes).split(1, dim=1)
    try:
        with torch.no_grad():
            # The activation does not know the limits that a model sets to gates and values.
            if not gated:
                value = torch.ones_like(gate)
                found = module.act_fn(gate)
            elif hasattr(module, "_apply_gate"):
                found = module._apply_gate(torch.cat([gate, value], dim=-1))
            else:
                found = module.act_fn(gate) * value
    except (AttributeError, RuntimeError, TypeError):  # no activation, or one with parameters
        return ""
    for name, activate in ACTIVATIONS.items():
        if torch.allclose(found, activate(gate.clone()) * value, rtol=1e-6, atol=1e-6):
            return name
    return ""


def needs_gradient(*tensors: Tensor) -> bool:
    """Return whether autograd follows an operation on some tensors."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def check_no_gradient(owner: str, x: Tensor, weights: Tensor, experts: Experts) -> None:
    """Raise if a kernel that computes no gradients is asked for them."""
    if needs_gradient(x, weights, experts.up, experts.down):
        raise invalid(
            owner,
            "x",
            "an input, weights or experts that require gradients",
            "used under torch.no_grad(), since there are no gradients (dynamic_gating has them)",
        )


def check_layer(
    x: Tensor,
    ids: Tensor,
    weights: Tensor,
    experts: Experts,
    *,
    dtype: torch.dtype | None = None,
    n_experts: int | None = None,
) -> None:
    """Raise unless the arguments of a kernel fit together.

    `dtype` and `n_experts` are those of the layer, by default those of `experts`. The range of ids
    is checked on a CPU only, because the check would synchronize another device.
    """
    dtype, n_experts = dtype or experts.up.dtype, n_experts or experts.n_experts
    if x.ndim != 2 or x.shape[1] != experts.d_model:
        raise invalid("kernel", "x", _shape(x), f"of shape (tokens, {experts.d_model})")
    if ids.ndim != 2 or len(ids) != len(x) or ids.dtype not in (torch.int64, torch.int32):
        raise invalid("kernel", "ids", _shape(ids), f"integers of shape ({len(x)}, k)")
    if weights.shape != ids.shape or not weights.is_floating_point():
        raise invalid("kernel", "weights", _shape(weights), f"floats of shape {tuple(ids.shape)}")
    if x.dtype != dtype:
        raise invalid("kernel", "x", _shape(x), f"of the experts' type, {dtype}")
    if ids.is_cpu and ids.numel():
        low, high = (int(end) for end in ids.aminmax())
        if low < 0 or high >= n_experts:
            expected = (
                f"experts in 0 .. {n_experts - 1} (to leave out a choice, give it weight 0 and any "
                "of these ids)"
            )
            raise invalid("kernel", "ids", f"{low} .. {high}", expected)


def _shape(tensor: Tensor) -> str:
    return f"shape {tuple(tensor.shape)}, {tensor.dtype}"


def reference(x: Tensor, ids: Tensor, weights: Tensor, experts: Experts) -> Tensor:
    """Return the layer's output in float64, computed token by token in the simplest way.

    Parameters
    ----------
    x, ids, weights, experts
        As for :func:`moe_costmodel.kernels.dynamic_gating`, which names the errors too; x may be of
        any type.

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
    check_layer(x, ids, weights, experts, dtype=x.dtype)
    exact = experts.to(torch.float64)
    out = torch.zeros(x.shape, dtype=torch.float64, device=x.device)
    for token in range(len(x)):
        row = x[token : token + 1].double()
        for expert, weight in zip(ids[token].tolist(), weights[token].double(), strict=True):
            if weight != 0:
                out[token] += weight * exact.product(expert, row)[0]
    return out
