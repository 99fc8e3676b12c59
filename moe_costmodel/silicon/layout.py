"""Layout: how a model is divided over GPUs."""

from __future__ import annotations

from dataclasses import dataclass

from moe_costmodel._checks import count, invalid

__all__ = ["Layout"]


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
