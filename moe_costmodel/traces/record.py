"""Recording or editing the routing of a running model through hooks on its routers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import Module

from moe_costmodel._checks import invalid, shape_of
from moe_costmodel.traces.families import Family, RouterOutput, Routing, count_experts, find_routers
from moe_costmodel.traces.trace import RoutingTrace
from moela.files.guard import brief
from moela.heartbeat.working import long_work

__all__ = ["Batch", "edit_routing", "layer_numbers", "record", "token_batches"]

Batch: TypeAlias = Tensor | Mapping[str, Tensor] | ArrayLike
_IDS = ("input_ids", "decoder_input_ids")
_MASKS = ("attention_mask", "decoder_attention_mask")


@long_work("recording a routing trace")
def record(
    model: Module, batches: Iterable[Batch], *, part: str | None = None, source: str | None = None
) -> RoutingTrace:
    """Run a model on batches and return the choices of its routers.

    Parameters
    ----------
    model : Module
        A Hugging Face MoE model of one of :data:`moe_costmodel.FAMILIES`, or a model whose routers
        return the same (logits, weights, indices), such as the packaged example model.
    batches : iterable
        Each the token ids of a batch (a Tensor, array or nested lists of shape (batch, length), or
        (length,) for one sequence), or a mapping of the model's arguments (``input_ids``,
        ``attention_mask``, ``decoder_input_ids``, ...). Every row is a sequence. Padding that an
        attention mask marks is left out.
    part : {"encoder", "decoder"}, optional
        Half of an encoder-decoder model to record; required for such a model.
    source : str, optional
        Name of the trace; by default the model's class.

    Raises
    ------
    ValueError
        If the model is of no known family, or a batch has no token ids, ids that the model does not
        know, or a mask of another shape or of other numbers than 0 and 1.

    Notes
    -----
    The weights are those that the model used. A choice that the model's own capacity dropped
    (Switch, NLLB-MoE) is kept with weight 0, since the router asked for it.

    transformers 5.24 sends every token of NLLB-MoE to experts 0 and 1. While such a model is
    recorded or edited, its experts are computed as its routers ask.
    """
    family, routers = find_routers(model, part=part)
    collected: dict[str, list[Routing]] = {name: [] for name in routers}

    def watch(name: str, ids: Tensor, weights: Tensor) -> None:
        collected[name].append((ids.cpu(), weights.float().cpu()))

    masks: list[Tensor] = []
    device = next(model.parameters()).device
    vocabulary = _vocabulary(model)
    if not isinstance(batches, Iterable) or isinstance(batches, str):
        raise invalid("record", "batches", brief(batches), "a list of batches of token ids")
    for i, batch in enumerate([batches] if isinstance(batches, Mapping) else batches):
        arguments = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in _arguments(batch, f"batches[{i}]", vocabulary).items()
        }
        masks.append(_token_mask(arguments, part).cpu())
        # The hooks stay for this call only, because `batches` may run the model to generate text.
        with _hooks(model, family, routers, watch), torch.no_grad():
            model(**arguments)
    lengths = [n for mask in masks for n in mask.sum(dim=1).tolist() if n]
    if not lengths:
        raise invalid("record", "batches", "none", "at least one batch with a token")
    is_token = torch.cat([mask.flatten() for mask in masks])
    for name, parts in collected.items():
        if (seen := sum(len(ids) for ids, _ in parts)) != len(is_token):
            got = f"{type(model).__name__}, whose router {name!r} saw {seen} of {len(is_token)}"
            raise invalid("record", "model", got, "one whose routers each see all tokens")

    def of_tokens(which: int) -> Tensor:
        """Return the ids (0) or weights (1) of all batches, (tokens, layers, k)."""
        layers = [torch.cat([routing[which] for routing in parts]) for parts in collected.values()]
        return torch.stack(layers, dim=1)[is_token]

    n_experts = count_experts(routers)
    return RoutingTrace(
        of_tokens(0).numpy().astype(np.min_scalar_type(n_experts - 1)),
        of_tokens(1).numpy(),
        n_experts=n_experts,
        sequence_lengths=lengths,
        layers=layer_numbers(list(routers)),
        source=source or type(model).__name__,
    )


@contextmanager
def edit_routing(
    model: Module, rule: Callable[[int, Tensor, Tensor], Routing], *, part: str | None = None
) -> Iterator[None]:
    """Change the choices of a model's routers while the context lasts.

    Parameters
    ----------
    model : Module
        As for :meth:`RoutingTrace.record`.
    rule : callable
        ``rule(layer, ids [S, k], weights [S, k]) -> (ids, weights)``; the first layer is 0. A
        weight of 0 takes an expert out of the sum, though the model may still compute it.
    part : {"encoder", "decoder"}, optional
        Half of an encoder-decoder model to edit; required for such a model.

    Yields
    ------
    None

    Raises
    ------
    ValueError
        If the model is of no known family.

    Examples
    --------
    >>> from moe_costmodel import edit_routing
    >>> def keep_first(layer, ids, weights):
    ...     weights = weights.clone()
    ...     weights[:, 1:] = 0
    ...     return ids, weights
    >>> with edit_routing(model, keep_first):  # doctest: +SKIP
    ...     model(tokens)
    """
    family, routers = find_routers(model, part=part)
    number = {name: i for i, name in enumerate(routers)}

    def edit(name: str, ids: Tensor, weights: Tensor) -> Routing:
        return rule(number[name], ids, weights)

    with _hooks(model, family, routers, edit):
        yield


@contextmanager
def _hooks(
    model: Module,
    family: Family,
    routers: dict[str, Module],
    act: Callable[[str, Tensor, Tensor], Routing | None],
) -> Iterator[None]:
    """Call `act` on every router's choices; if it returns others, they replace the choices."""

    def hook_of(name: str) -> Callable[[Module, object, RouterOutput], RouterOutput | None]:
        def hook(module: Module, inputs: object, output: RouterOutput) -> RouterOutput | None:
            try:
                ids, weights = family.read(output)
            except ValueError as error:
                kind = type(module).__name__
                raise invalid("record", "model", f"{kind}: {error}", "of a known family") from None
            changed = act(name, ids, weights)
            return None if changed is None else family.write(output, *changed)

        return hook

    if family.at_experts:
        handles = [
            experts.register_forward_pre_hook(_before_experts(hook_of(name)), with_kwargs=True)
            for name, experts in routers.items()
        ]
    else:
        handles = [router.register_forward_hook(hook_of(name)) for name, router in routers.items()]
    handles += [
        module.register_forward_hook(family.fix)
        for module in model.modules()
        if family.fix is not None and type(module).__name__ == family.experts
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _before_experts(hook: Callable[..., RouterOutput | None]) -> Callable[..., object]:
    """Return a hook of experts that passes their arguments on as the output of a router."""
    names = ("hidden_states", "top_k_index", "top_k_weights")

    def before(
        module: Module, arguments: tuple[object, ...], others: dict[str, object]
    ) -> tuple[tuple[object, ...], dict[str, object]] | None:
        given = dict(zip(names, arguments, strict=False)) | others
        x, ids, weights = (given.pop(name) for name in names)
        changed = hook(module, arguments, (x, weights, ids))
        return None if changed is None else ((x, changed[2], changed[1]), given)

    return before


def token_batches(model: Module, batches: Iterable[Tensor], owner: str) -> list[Tensor]:
    """Return batches of token ids that a model knows, each (batch, length), int64.

    A ValueError in the name of `owner` is raised if a batch is none.
    """
    if not isinstance(model, Module):
        raise invalid(owner, "model", brief(model), "a Module of torch")
    if not isinstance(batches, Iterable) or isinstance(batches, str | Mapping):
        raise invalid(owner, "batches", brief(batches), "a list of batches of token ids")
    vocabulary = _vocabulary(model)
    return [
        _token_ids(batch, f"batches[{i}]", vocabulary, owner) for i, batch in enumerate(batches)
    ]


def _vocabulary(model: Module) -> int:
    """Return the number of token ids that a model knows, or that of all if it does not tell."""
    embedding: object = None
    if hasattr(model, "get_input_embeddings"):
        with suppress(NotImplementedError):
            embedding = model.get_input_embeddings()
    else:
        named = [part for name, part in model.named_modules() if name.endswith("embed_tokens")]
        embedding = named[0] if named else None
    return int(getattr(embedding, "num_embeddings", 2**31))


def _arguments(batch: Batch, place: str, vocabulary: int) -> dict[str, object]:
    """Return the model's arguments of a batch; ids and masks are tensors (batch, length)."""
    given = dict(batch) if isinstance(batch, Mapping) else {"input_ids": batch}
    arguments: dict[str, object] = {}
    for name, value in given.items():
        where = f"{place}[{name!r}]" if isinstance(batch, Mapping) else place
        if name in _IDS and value is not None:
            arguments[name] = _token_ids(value, where, vocabulary)
        elif name in _MASKS and value is not None:
            arguments[name] = mask = _rows(value, where, "biuf", "a mask")
            if (wrong := mask[(mask != 0) & (mask != 1)]).numel():
                expected = "of 1 for tokens and 0 for padding"
                raise invalid("record", where, f"a mask with {wrong[0].item():g}", expected)
        else:
            arguments[name] = value
    return arguments


def _token_ids(value: object, place: str, vocabulary: int, owner: str = "record") -> Tensor:
    """Return token ids, (batch, length), int64."""
    ids = _rows(value, place, "iu", "integers, the ids of tokens,", owner)
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= vocabulary:
        expected = f"ids of tokens in 0 .. {vocabulary - 1}, those of the model"
        raise invalid(owner, place, f"{low} .. {high}", expected)
    return ids.long()


def _rows(value: object, place: str, kinds: str, what: str, owner: str = "record") -> Tensor:
    """Return a batch of one or more rows as a tensor of two dimensions."""
    expected = f"{what} of shape (batch, length) with at least one token"
    if isinstance(value, Tensor):
        rows = value
    else:
        try:
            array = np.asarray(value)
        except ValueError:
            raise invalid(owner, place, "rows of different lengths", expected) from None
        if array.dtype.kind not in kinds:
            raise invalid(owner, place, shape_of(array), expected)
        rows = torch.from_numpy(array.astype(np.float32 if array.dtype.kind == "f" else np.int64))
    kind = "f" if rows.is_floating_point() else "b" if rows.dtype == torch.bool else "iu"
    if rows.is_complex() or kind not in kinds or rows.ndim not in (1, 2) or not rows.numel():
        got = f"shape {tuple(rows.shape)}, {rows.dtype}"
        raise invalid(owner, place, got, expected)
    return rows if rows.ndim == 2 else rows[None]


def _token_mask(arguments: Mapping[str, object], part: str | None) -> Tensor:
    """Return the positions of a batch that are tokens, (batch, length), bool."""
    prefix = "decoder_" if part == "decoder" else ""
    ids = arguments.get(f"{prefix}input_ids")
    if not isinstance(ids, Tensor):
        raise invalid("record", "batches", list(arguments), f"of mappings with {prefix}input_ids")
    mask = arguments.get(f"{prefix}attention_mask")
    if not isinstance(mask, Tensor):
        return torch.ones_like(ids, dtype=torch.bool)
    if mask.shape != ids.shape:
        got, fits = f"{prefix}attention_mask of shape {tuple(mask.shape)}", tuple(ids.shape)
        raise invalid("record", "batches", got, f"with a mask of the shape of its ids, {fits}")
    return mask.bool()


def layer_numbers(names: list[str]) -> list[int]:
    """Return the number of each router's block in the model, read from the router's name.

    If names have no numbers, or their numbers do not ascend, routers are numbered from 0.
    """
    numbers = [re.findall(r"(?:layers|block|h)\.(\d+)\.", name) for name in names]
    if all(numbers):
        found = [int(first) for first, *_ in numbers]
        if found == sorted(set(found)):
            return found
    return list(range(len(names)))
