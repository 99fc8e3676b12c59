"""Gate rules: thresholds that drop some of a token's chosen experts without retraining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_costmodel._arrays import Bools
from moe_costmodel._checks import check_number, count, invalid, one_of, require
from moela.compilation.jit import cached_njit
from moela.files.guard import brief

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["RULES", "GateRule", "apply_rule", "keep_mask", "rule_of_each_layer"]

RuleKind = Literal["skip", "top-p", "top-k"]
RULES: dict[str, str] = {
    "skip": "drop an expert whose weight is below `value` times the token's largest (NAEE, "
    "arXiv 2402.14800; `-ser k_min,value` in a fork of llama.cpp)",
    "top-p": "keep the fewest experts whose weights reach `value` of the token's total "
    "(arXiv 2403.07652)",
    "top-k": "keep the `value` heaviest experts",
}
_CODES = {name: code for code, name in enumerate(RULES)}


@dataclass(frozen=True)
class GateRule:
    """A rule that decides which of a token's chosen experts are computed.

    Parameters
    ----------
    kind : {"skip", "top-p", "top-k"}
        "skip" drops an expert whose weight is below `value` times the token's largest
        (arXiv 2402.14800). "top-p" keeps the fewest experts whose weights reach `value` of the
        token's total (arXiv 2403.07652). "top-k" keeps the `value` heaviest experts.
    value : float
        Threshold: beta in [0, 1], p in (0, 1], or a number of experts, at least 1.
    k_min : int
        Number of experts that are kept regardless of the threshold.

    Notes
    -----
    The kept weights are scaled so that the sum of a token's weights does not change. Normalized
    gates (Mixtral) stay normalized, and with other gates (DeepSeek-V2) the layer's output keeps
    its magnitude.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> from moe_costmodel import GateRule
    >>> GateRule("top-p", 0.9, k_min=2)
    GateRule(kind='top-p', value=0.9, k_min=2)
    >>> GateRule.keep_all().kind
    'skip'
    """

    kind: RuleKind
    value: float
    k_min: int = 1

    def __post_init__(self) -> None:
        one_of("GateRule", "kind", self.kind, RULES)
        count("GateRule", "k_min", self.k_min)
        check_number("GateRule", "value", self.value)
        expected = {
            "skip": ("in [0, 1]", 0.0 <= self.value <= 1.0),
            "top-p": ("in (0, 1]", 0.0 < self.value <= 1.0),
            "top-k": ("a whole number from 1", self.value >= 1 and self.value == int(self.value)),
        }[self.kind]
        require(f"GateRule({self.kind!r})", "value", self.value, expected[1], expected[0])

    @classmethod
    def keep_all(cls) -> GateRule:
        """Return the rule that drops nothing."""
        return cls("skip", 0.0)

    def __str__(self) -> str:
        at_least = f", at least {self.k_min}" if self.k_min > 1 else ""
        return f"{self.kind} {self.value:g}{at_least}"


def _check_rule(owner: str, rule: object) -> None:
    """Raise unless a parameter is a GateRule."""
    if not isinstance(rule, GateRule):
        raise invalid(owner, "rule", brief(rule), "a GateRule, such as GateRule('top-p', 0.8)")


def rule_of_each_layer(
    rules: GateRule | Sequence[GateRule | None] | None, n_layers: int, owner: str
) -> list[GateRule]:
    """Return one rule for each layer; `rules` may be one for all layers, and None keeps all.

    A ValueError in the name of `owner` is raised if they are no GateRules, or too few or many.
    """
    listed = [rules] * n_layers if rules is None or isinstance(rules, GateRule) else rules
    expected = f"one GateRule, or one for each of {n_layers} layers (None drops nothing)"
    if isinstance(listed, str) or not isinstance(listed, Sequence):
        raise invalid(owner, "rules", brief(rules), expected)
    if len(listed) != n_layers:
        raise invalid(owner, "rules", f"{len(listed)} rules", expected)
    for rule in listed:
        if rule is not None and not isinstance(rule, GateRule):
            raise invalid(owner, "rules", brief(rule), expected)
    return [GateRule.keep_all() if rule is None else rule for rule in listed]


def keep_mask(weights: ArrayLike, rule: GateRule) -> Bools:
    """Return which choices a rule keeps.

    Weights of any precision are rounded to float32, and all sums and comparisons are made in
    float32. A token's choices are taken in descending order of weight; among equal weights, the
    first comes first. Top-p keeps a choice if the weights before it sum to less than p times the
    token's total.

    Parameters
    ----------
    weights : array_like of shape (..., k), float
        Weights of each token's choices, in any order.
    rule : GateRule
        The rule.

    Returns
    -------
    ndarray of the shape of `weights`, bool

    Raises
    ------
    ValueError
        If the weights are not floats, or the rule is none.

    Examples
    --------
    >>> from moe_costmodel import GateRule, keep_mask
    >>> keep_mask([[0.7, 0.2, 0.1]], GateRule("top-p", 0.8)).tolist()
    [[True, True, False]]
    """
    _check_rule("keep_mask", rule)
    array = np.asarray(weights)
    if array.ndim == 0 or array.dtype.kind != "f":
        raise invalid("keep_mask", "weights", array.dtype, "floats of shape (..., k)")
    flat = np.ascontiguousarray(array.reshape(-1, array.shape[-1]), dtype=np.float32)
    kept = np.empty(flat.shape, dtype=np.bool_)
    _keep(flat, _CODES[rule.kind], float(rule.value), rule.k_min, kept)
    return kept.reshape(array.shape)


def apply_rule(weights: Tensor, rule: GateRule) -> Tensor:
    """Set the weights of dropped choices to 0, and scale the others to the same sum.

    Parameters
    ----------
    weights : Tensor of shape (..., k), float
        Weights of each token's choices, in any order.
    rule : GateRule
        The rule, as for :func:`keep_mask`.

    Returns
    -------
    Tensor of the shape and dtype of `weights`
        A kernel does not compute a choice of weight 0.

    Raises
    ------
    ValueError
        If the rule is no GateRule.

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel import GateRule
    >>> from moe_costmodel.kernels import apply_rule
    >>> apply_rule(torch.tensor([[0.75, 0.25]]), GateRule("top-k", 1)).tolist()
    [[1.0, 0.0]]
    """
    import torch

    _check_rule("apply_rule", rule)
    single = weights.detach().float()
    if weights.is_cpu and weights.dtype != torch.float64 and not weights.requires_grad:
        flat = single.reshape(-1, weights.shape[-1]).numpy()
        scaled = np.empty(flat.shape, dtype=np.float32)
        _scale(flat, _CODES[rule.kind], float(rule.value), rule.k_min, scaled)
        return torch.from_numpy(scaled).view(weights.shape).to(weights.dtype)
    if weights.is_cpu:
        mask = torch.from_numpy(keep_mask(single.numpy(), rule))
    else:  # a copy to the CPU would wait for the device
        mask = device_mask(single, rule)
    precise = weights.to(torch.promote_types(weights.dtype, torch.float32))
    kept = torch.where(mask, precise, 0)  # 0 times an infinite weight would be NaN
    # Sums in descending order do not depend on the order of the choices.
    total, rest = (
        w.sort(dim=-1, descending=True)[0].sum(-1, keepdim=True) for w in (precise, kept)
    )
    # A token whose weights are all 0 keeps them.
    scale = total / rest.clamp_min(1e-30)
    return torch.where(mask, precise * scale, 0).to(weights.dtype)


def device_mask(weights: Tensor, rule: GateRule) -> Tensor:
    """Return the mask of `keep_mask` for a tensor of float32, computed on the tensor's device.

    The sums run over the k choices one by one, as in `_keep`: a parallel sum would round
    differently, and keep other choices.
    """
    import torch

    ordered, order = weights.sort(dim=-1, descending=True, stable=True)
    threshold = torch.tensor(rule.value, dtype=torch.float32, device=weights.device)
    ranks = torch.arange(weights.shape[-1], device=weights.device)
    if rule.kind == "skip":
        keep = ordered >= threshold * ordered[..., :1]
    elif rule.kind == "top-p":
        total, before = torch.zeros_like(weights[..., 0]), [torch.zeros_like(weights[..., 0])]
        for j in range(weights.shape[-1]):
            total = total + weights[..., j]
            before.append(before[-1] + ordered[..., j])
        keep = torch.stack(before[:-1], dim=-1) < (threshold * total)[..., None]
    else:
        keep = (ranks < rule.value).expand(weights.shape)
    return torch.zeros_like(keep).scatter(-1, order, keep | (ranks < rule.k_min))


@cached_njit()
def _keep(weights: NDArray[np.float32], code: int, value: float, k_min: int, kept: Bools) -> None:
    """Write which choices of each token (n, k) are kept."""
    order = np.empty(weights.shape[1], dtype=np.int64)
    for token in range(len(weights)):
        _keep_of(weights[token], code, value, k_min, order, kept[token])


@cached_njit()
def _scale(
    weights: NDArray[np.float32], code: int, value: float, k_min: int, out: NDArray[np.float32]
) -> None:
    """Write the weights (n, k), 0 if dropped, the others scaled to their token's sum."""
    k = weights.shape[1]
    order = np.empty(k, dtype=np.int64)
    kept = np.empty(k, dtype=np.bool_)
    for token in range(len(weights)):
        row = weights[token]
        _keep_of(row, code, value, k_min, order, kept)
        # Sums in descending order do not depend on the order of the choices.
        total, rest = np.float32(0.0), np.float32(0.0)
        for j in order:
            total += row[j]
            rest += row[j] if kept[j] else np.float32(0.0)
        # A token whose weights are all 0 keeps them.
        scale = total / max(rest, np.float32(1e-30))
        for i in range(k):
            out[token, i] = row[i] * scale if kept[i] else np.float32(0.0)


@cached_njit()
def _keep_of(
    row: NDArray[np.float32],
    code: int,
    value: float,
    k_min: int,
    order: NDArray[np.int64],
    kept: Bools,
) -> None:
    """Write one token's choices in descending order, and which of them are kept."""
    threshold = np.float32(value)
    total = np.float32(0.0)
    for j in range(len(row)):
        total += row[j]
        place = j
        while place > 0:
            ahead = row[order[place - 1]]
            # NaN comes first, as in torch's sort.
            if not (ahead < row[j] or (row[j] != row[j] and ahead == ahead)):
                break
            order[place] = order[place - 1]
            place -= 1
        order[place] = j
    before = np.float32(0.0)
    for rank in range(len(row)):
        j = order[rank]
        if code == 0:
            keep = row[j] >= threshold * row[order[0]]
        elif code == 1:
            keep = before < threshold * total
        else:
            keep = rank < value
        kept[j] = keep or rank < k_min
        before += row[j]
