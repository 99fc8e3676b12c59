"""Layout: how a model is divided over GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from moe_costmodel._checks import count, invalid, require
from moe_costmodel.models.shape import ModelShape

__all__ = ["Layout", "check_sizes", "heads_divide"]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Degrees of parallelism of one replica of a model.

    Parameters
    ----------
    tp : int
        Tensor parallelism of attention and of dense parts.
    dp : int
        Data parallelism of attention: groups of `tp` GPUs that each hold their own sequences and
        take each step together.
    moe_tp, moe_ep : int
        Tensor and expert parallelism of the experts; together ``tp * dp``.
    pp : int
        Pipeline stages, each of ``tp * dp`` GPUs.

    Raises
    ------
    ValueError
        If a degree is not a positive integer, or the experts are divided over another number of
        GPUs than attention.

    Examples
    --------
    >>> from moe_costmodel import Layout
    >>> Layout(tp=1, dp=8, moe_ep=8).n_gpus
    8
    """

    tp: int = 1
    dp: int = 1
    moe_tp: int = 1
    moe_ep: int = 1
    pp: int = 1

    def __post_init__(self) -> None:
        for name in ("tp", "dp", "moe_tp", "moe_ep", "pp"):
            count("Layout", name, getattr(self, name))
        if self.moe_tp * self.moe_ep != self.tp * self.dp:
            expected = f"such that moe_tp * moe_ep = tp * dp = {self.tp * self.dp}"
            raise invalid("Layout", "moe_ep", f"moe_tp = {self.moe_tp}, moe_ep = {self.moe_ep}",
                          expected)  # fmt: skip

    @property
    def n_gpus(self) -> int:
        """GPUs of one replica."""
        return self.tp * self.dp * self.pp

    def __str__(self) -> str:
        return f"tp {self.tp}, dp {self.dp}, moe tp {self.moe_tp}, ep {self.moe_ep}, pp {self.pp}"


def check_sizes(shape: ModelShape, layout: Layout, owner: str) -> None:
    """Raise a ValueError if a model's heads, widths or layers cannot be divided by a layout.

    Any number of GPUs divides the experts, since some may have copies. Which layouts an engine runs
    is the matter of `moe_costmodel.serving.layouts`.
    """
    require(owner, "layout", layout, isinstance(layout, Layout), "a Layout")
    experts = shape.experts
    expected = ""
    if not all(heads_divide(shape, layout.tp)):
        expected = "whose tp divides the heads of attention and the widths of dense layers"
    elif experts is not None and experts.d_ffn % layout.moe_tp:
        expected = f"whose moe_tp divides the width of an expert, {experts.d_ffn}"
    elif layout.pp > shape.n_layers:
        expected = f"of at most {shape.n_layers} stages (pp), the layers of the model"
    if expected:
        raise invalid(owner, "layout", f"({layout}) for {shape.name}", f"one {expected}")


def heads_divide(shape: ModelShape, tp: int) -> Iterator[bool]:
    """Yield whether heads, and widths of dense layers, divide over tensor parallelism."""
    for block in shape.blocks:
        attention = block.attention
        yield attention.n_heads % tp == 0
        if attention.kind == "compressed":
            yield attention.output_groups % tp == 0
        if attention.kind != "mla":
            yield attention.n_kv_heads % tp == 0 or tp % attention.n_kv_heads == 0
        if block.experts is None:
            yield block.d_ffn % tp == 0
