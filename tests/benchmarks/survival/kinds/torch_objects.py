"""Tensors, modules and compiled scripts of torch as content of a problem."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.survival.kinds.base import compiled, kind


def linear(v: int) -> Any:
    import torch

    made = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3), torch.nn.ReLU())
    with torch.no_grad():
        for i, tensor in enumerate(made.parameters()):
            tensor.copy_(torch.arange(tensor.numel()).reshape(tensor.shape) + i)
        made[0].weight[0, 0] += 1e-6 * v
    return made


@kind("weight of a module", "torch")
def _(v: int) -> Any:
    return linear(v)


@kind("buffer of a module", "torch")
def _(v: int) -> Any:
    made = linear(0)
    made[1].running_mean[1] += v
    return made


@kind("mode of a module", "torch")
def _(v: int) -> Any:
    return linear(0).train(bool(v))


@kind("hook of a module", "torch")
def _(v: int) -> Any:
    made = linear(0)
    made.register_forward_hook(compiled(f"f = lambda m, x, y: y + {v}"))
    return made


@kind("compiled module", "torch")
def _(v: int) -> Any:
    import torch

    return torch.jit.script(linear(v))


@kind("traced module", "torch")
def _(v: int) -> Any:
    import torch

    return torch.jit.trace(linear(v).eval(), torch.ones(2, 2))


@kind("compiled function of torch", "torch")
def _(v: int) -> Any:
    import torch

    return torch.jit.CompilationUnit(f"def f(x):\n  return x + {v}\n").f


@kind("tensor with gradient", "torch")
def _(v: int) -> Any:
    import torch

    return torch.tensor([1.0, 2.0 + v], requires_grad=True)


@kind("tensor of 16 bits", "torch")
def _(v: int) -> Any:
    import torch

    return torch.tensor([1.0, 2.0 + v], dtype=torch.bfloat16)


@kind("tensor of 8 bits", "torch")
def _(v: int) -> Any:
    import torch

    return torch.tensor([1.0, 2.0 + v]).to(torch.float8_e4m3fn)


@kind("sparse tensor", "torch")
def _(v: int) -> Any:
    import torch

    return (torch.eye(3) * (1 + v)).to_sparse()


@kind("generator of torch", "torch")
def _(v: int) -> Any:
    import torch

    return torch.Generator().manual_seed(v)
