"""Dynamic gating: sort the choices by expert, and compute only the chosen experts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from moe_costmodel._checks import invalid, one_of
from moe_costmodel.kernels.experts import Experts, check_layer, needs_gradient
from moe_costmodel.kernels.sorting import bags_of, rows_of, sort_choices

__all__ = ["combine", "dynamic_gating", "expert_products", "products_of", "sort_by_expert"]

Product = Callable[[Tensor, Tensor, Experts], Tensor]
_ALIGNED = 16  # bytes, of torch.nn.functional.grouped_mm
_fastest: dict[tuple[object, ...], str] = {}


def sort_by_expert(ids: Tensor, weights: Tensor, n_experts: int) -> tuple[Tensor, Tensor]:
    """Return the choices whose weight is not 0 sorted by expert, and their number for each expert.

    The choices are flat indices into `ids` and `weights`, both (S, k); all results are int64.
    """
    expert = ids.reshape(-1)
    if expert.is_cpu:
        kept = (weights.detach().reshape(-1) != 0).numpy()
        sorted_, of_expert = sort_choices(expert.numpy(), kept, n_experts)
        return torch.from_numpy(sorted_), torch.from_numpy(of_expert)
    # Narrow keys sort several times faster, if there are enough of them.
    narrow = torch.int16 if n_experts < torch.iinfo(torch.int16).max else torch.int32
    kept = weights.reshape(-1) != 0
    if bool(kept.all()):
        order = (expert if len(expert) < 1024 else expert.to(narrow)).argsort(stable=True)
        return order, torch.bincount(expert, minlength=n_experts)
    expert = torch.where(kept, expert, n_experts)
    counts = torch.bincount(expert, minlength=n_experts + 1)[:n_experts]
    return expert.to(narrow).argsort(stable=True)[: int(counts.sum())], counts


def expert_products(
    tokens: Tensor, counts: Tensor, experts: Experts, *, product: str = "auto"
) -> Tensor:
    """Return the outputs of all experts, each for its own tokens.

    Parameters
    ----------
    tokens : Tensor of shape (n, d_model)
        Tokens sorted by expert.
    counts : Tensor of shape (n_experts,), integer
        Number of tokens of each expert, at least 0; in all, n.
    experts : Experts
        The layer's weights.
    product : {"auto", "grouped", "loop"}
        ``torch.nn.functional.grouped_mm``, or a loop over the experts that have tokens. "auto"
        takes the faster one, measured once for each device, dtype, and size, and on a CPU for each
        number of active experts (both to a factor of two). If gradients are needed, it takes the
        loop.

    Returns
    -------
    Tensor of shape (n, d_model)

    Raises
    ------
    ValueError
        If torch has no such product of these types and widths, or `counts` are not so (on a GPU,
        the values are not checked, because the check would synchronize it).

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel.kernels import Experts, expert_products
    >>> experts = Experts.random(n_experts=4, d_model=8, d_ffn=16)
    >>> expert_products(torch.ones(3, 8), torch.tensor([2, 0, 1, 0]), experts, product="loop").shape
    torch.Size([3, 8])
    """
    _check_counts(tokens, counts, experts)
    return products_of(tokens, counts, experts, product=product)


def products_of(
    tokens: Tensor, counts: Tensor, experts: Experts, *, product: str = "auto"
) -> Tensor:
    """Return what :func:`expert_products` does, of counts that are known to be right."""
    owner = "expert_products"
    one_of(owner, "product", product, ("auto", *_RUN))
    if product == "grouped" and (lacking := _lacks_grouped(tokens, experts)):
        expected = f"'loop' or 'auto', since this torch has no grouped product of {lacking}"
        raise invalid(owner, "product", "'grouped'", expected)
    if not len(tokens):
        return torch.empty_like(tokens)
    if product != "grouped" and needs_gradient(tokens, experts.up, experts.down):
        return _differentiable(tokens, counts, experts)
    if product == "auto":
        product = _choose(tokens, counts, experts)
    return _RUN[product](tokens, counts, experts)


def _check_counts(tokens: Tensor, counts: Tensor, experts: Experts) -> None:
    """Raise unless the counts of experts can be those of the tokens."""
    owner, dtype = "expert_products", counts.dtype
    if dtype.is_floating_point or dtype.is_complex or dtype == torch.bool:
        raise invalid(owner, "counts", str(dtype), "integers")
    if counts.shape != (experts.n_experts,):
        expected = f"of shape ({experts.n_experts},), a number for each expert"
        raise invalid(owner, "counts", f"shape {tuple(counts.shape)}", expected)
    if counts.is_cpu:
        sizes = counts.numpy()
        if sizes.min(initial=0) < 0 or sizes.sum() != len(tokens):
            expected = f"at least 0, and {len(tokens)} in all, as many as the tokens"
            raise invalid(owner, "counts", sizes.tolist(), expected)


def _loop(tokens: Tensor, counts: Tensor, experts: Experts) -> Tensor:
    """Compute the active experts one after another, both layers in their own loop.

    The activation of all rows is then one operation, and an expert costs two products and nothing
    else. If few experts are active, that is faster than a grouped product, whose time on a CPU
    grows with all experts.
    """
    up, down = experts.transposed
    sizes = counts.tolist()
    active = [expert for expert, size in enumerate(sizes) if size]
    rows = [sizes[expert] for expert in active]
    hidden = tokens.new_empty(len(tokens), experts.up.shape[1])
    for expert, x, y in zip(active, tokens.split(rows), hidden.split(rows), strict=True):
        torch.mm(x, up[expert], out=y)
    out = tokens.new_empty(len(tokens), experts.d_model)
    inner = experts.inner(hidden)
    for expert, x, y in zip(active, inner.split(rows), out.split(rows), strict=True):
        torch.mm(x, down[expert], out=y)
    return out


def _differentiable(tokens: Tensor, counts: Tensor, experts: Experts) -> Tensor:
    """Compute the active experts one after another, with operations that autograd can follow."""
    up, down = experts.up.unbind(0), experts.down.unbind(0)
    parts = tokens.split(counts.tolist())
    return torch.cat(
        [
            F.linear(experts.inner(F.linear(part, up[expert])), down[expert])
            for expert, part in enumerate(parts)
            if len(part)
        ]
    )


def _grouped(tokens: Tensor, counts: Tensor, experts: Experts) -> Tensor:
    ends = counts.cumsum(0).to(torch.int32)
    hidden = F.grouped_mm(tokens, experts.up.transpose(1, 2), offs=ends)
    return F.grouped_mm(experts.inner(hidden), experts.down.transpose(1, 2), offs=ends)


_RUN: dict[str, Product] = {"loop": _loop, "grouped": _grouped}


def _lacks_grouped(tokens: Tensor, experts: Experts) -> str:
    """Return the kind of tensors of which torch has no grouped product; empty if it has one."""
    dtype, size = tokens.dtype, tokens.element_size()
    if not hasattr(F, "grouped_mm") or dtype == torch.float64:
        return str(dtype)
    strides = [max(part.stride()[-2:]) for part in (tokens, experts.up, experts.down)]
    if any(stride * size % _ALIGNED for stride in (*strides, experts.d_ffn)):
        return f"rows of {dtype} that are no multiples of {_ALIGNED} bytes"
    return ""


def _choose(tokens: Tensor, counts: Tensor, experts: Experts) -> str:
    """Return the faster product for this kind of call, measured once."""
    size = len(tokens).bit_length()
    # Counting the active experts would wait for a GPU, where the grouped product is the faster one
    # however many there are.
    active = int(np.count_nonzero(counts.numpy())).bit_length() if counts.is_cpu else 0
    key = (tokens.device.type, tokens.dtype, tuple(experts.up.shape), size, active)
    if key not in _fastest:
        if _lacks_grouped(tokens, experts):
            _fastest[key] = "loop"
        else:
            seconds = {"loop": _best_of(_loop, tokens, counts, experts)}
            # Some devices lack the grouped product of some types.
            with contextlib.suppress(RuntimeError):
                seconds["grouped"] = _best_of(_grouped, tokens, counts, experts)
            _fastest[key] = min(seconds, key=seconds.__getitem__)
    return _fastest[key]


def _best_of(product: Product, tokens: Tensor, counts: Tensor, experts: Experts) -> float:
    # On the CPU, other processes do not disturb the time of this process.
    clock = time.perf_counter if tokens.is_cuda else time.process_time
    seconds = []
    for _ in range(4):
        started = clock()
        product(tokens, counts, experts)
        if tokens.is_cuda:
            torch.cuda.synchronize(tokens.device)
        seconds.append(clock() - started)
    return min(seconds[1:])


def dynamic_gating(
    x: Tensor, ids: Tensor, weights: Tensor, experts: Experts, *, product: str = "auto"
) -> Tensor:
    """Compute an MoE layer by dynamic gating (arXiv 2303.06182, section 4).

    The choices are sorted by expert, each expert runs on its own tokens, and the results are added
    up. There is no capacity, no mask and no dropped token. Beside the products, the costs are
    O(S D + S log S).

    Parameters
    ----------
    x : Tensor of shape (S, d_model)
        Tokens, of the experts' type.
    ids, weights : Tensor of shape (S, k)
        Chosen experts and their weights. A choice of weight 0 is not computed; its id must be one
        of an expert, too. Every other weight counts, negative ones and NaN included.
    experts : Experts
        The layer's weights.
    product : {"auto", "grouped", "loop"}
        As for :func:`expert_products`.

    Returns
    -------
    Tensor of shape (S, d_model)

    Raises
    ------
    ValueError
        If shapes or types do not fit, torch has no such product of these types and widths, or an id
        is not in 0 .. n_experts - 1 (which is checked on a CPU only, because the check would
        synchronize another device).

    Notes
    -----
    Autograd follows the kernel to `x`, `weights` and the weights of `experts`. The gradient of a
    choice of weight 0 is 0.

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel.kernels import Experts, dynamic_gating, reference
    >>> experts = Experts.random(n_experts=4, d_model=8, d_ffn=16)
    >>> x, ids, weights = torch.ones(2, 8), torch.tensor([[0, 1], [2, 3]]), torch.full((2, 2), 0.5)
    >>> y = dynamic_gating(x, ids, weights, experts)
    >>> torch.allclose(y.double(), reference(x, ids, weights, experts), atol=1e-5)
    True
    """
    check_layer(x, ids, weights, experts)
    order, counts = sort_by_expert(ids, weights, experts.n_experts)
    tokens = x.index_select(0, order // ids.shape[1])
    return combine(products_of(tokens, counts, experts, product=product), order, weights)


def combine(computed: Tensor, order: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum of each token's outputs, (S, d_model).

    Row i of `computed` (n, d_model) is the output for the choice ``order[i]``, a flat index into
    `weights` (S, k); other choices have weight 0.
    """
    if not len(order):
        return computed.new_zeros(len(weights), computed.shape[1])
    # embedding_bag does the inverse indexing and the weighted sum in one pass.
    weights = weights.to(computed.dtype)
    if len(order) == weights.numel():
        if order.is_cpu:
            rows = torch.from_numpy(rows_of(order.numpy()))
        else:
            rows = torch.empty_like(order)
            rows[order] = torch.arange(len(order), device=order.device)
        rows = rows.view_as(weights)
        return F.embedding_bag(rows, computed, mode="sum", per_sample_weights=weights)
    # Choices of weight 0 are left out: 0 times an infinite output would be NaN.
    bags, chosen, rows = _bags(order, *weights.shape)
    weights = weights.reshape(-1)[chosen]
    return F.embedding_bag(rows, computed, bags, mode="sum", per_sample_weights=weights)


def _bags(order: Tensor, n_tokens: int, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return where each token's choices begin, the choices by token, and their rows of `order`."""
    if order.is_cpu:
        bags, chosen, rows = bags_of(order.numpy(), n_tokens, k)
        return torch.from_numpy(bags), torch.from_numpy(chosen), torch.from_numpy(rows)
    return _bags_on_device(order, n_tokens, k)


def _bags_on_device(order: Tensor, n_tokens: int, k: int) -> tuple[Tensor, Tensor, Tensor]:
    chosen, rows = order.sort()
    first = torch.arange(0, n_tokens * k, k, device=order.device)
    return torch.searchsorted(chosen, first), chosen, rows
