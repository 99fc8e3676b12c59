"""Reading dumps of SGLang's expert distribution recorder with one record per forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Array, Floats, Ints
from moe_costmodel._checks import invalid_field, shape_of
from moe_costmodel.traces.trace import RoutingTrace

__all__ = ["as_array", "from_detail_dump"]

_MAP = "last_physical_to_logical_map"


def as_array(source: str, field: str, value: object) -> Array:
    """Return a tensor or list of a dump as an array; an error names the field."""
    try:
        return np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        got = f"{type(error).__name__}: {error}"
        raise invalid_field(source, field, got, "a plain tensor") from error


def from_detail_dump(content: Mapping[object, object], *, source: str) -> RoutingTrace:
    """Return the trace of a dump in mode *per_token* or *per_pass*; errors name `source`."""
    records = content["records"]
    if not isinstance(records, Sequence) or isinstance(records, str | bytes) or not records:
        raise invalid_field(source, "records", type(records).__name__, "a non-empty list")
    to_logical = as_array(source, _MAP, content.get(_MAP))
    if to_logical.ndim != 2 or to_logical.dtype.kind not in "ui" or to_logical.size == 0:
        expected = "integers of shape (layers, physical experts)"
        raise invalid_field(source, _MAP, shape_of(to_logical), expected)
    if to_logical.min() < 0 or to_logical.max() >= to_logical.shape[1]:
        got = f"{to_logical.min()} .. {to_logical.max()}"
        raise invalid_field(source, _MAP, got, f"in 0 .. {to_logical.shape[1] - 1}")
    if isinstance(records[0], dict) and "topk_ids_of_layer" in records[0]:
        return _tokens(records, to_logical, source)
    return _counts(records, to_logical, source)


def _tokens(
    records: Sequence[Mapping[str, object]], to_logical: NDArray[np.integer], source: str
) -> RoutingTrace:
    """Return the choices of all tokens, ordered by sequence (-1 marks a missing choice)."""
    invalid = partial(invalid_field, source, "topk_ids_of_layer")
    shape = to_logical.shape
    passes = [_physical_ids(source, i, record, shape) for i, record in enumerate(records)]
    if len(widths := {ids.shape[2] for ids in passes}) > 1:
        raise invalid(widths, "as wide in every record")
    order, lengths = _sequences(source, records, [len(ids) for ids in passes])
    physical = np.concatenate(passes)[order]
    routed_layers = (physical >= 0).any(axis=(0, 2))
    used = (physical[:, routed_layers] >= 0).any(axis=(0, 1))
    if not used.any():
        raise invalid("-1 only", "routed somewhere")
    physical = physical[:, routed_layers][:, :, used]
    complete = (physical >= 0).all(axis=(1, 2))
    if not complete.any():
        raise invalid("a -1 in every token", "complete for some token")
    layers = np.flatnonzero(routed_layers)
    sequence = np.repeat(np.arange(len(lengths)), lengths)[complete]
    return RoutingTrace(
        to_logical[layers[:, None], physical[complete]],
        n_experts=int(to_logical.max()) + 1,
        sequence_lengths=np.unique(sequence, return_counts=True)[1],
        layers=layers,
        source=source,
    )


def _counts(
    records: Sequence[object], to_logical: NDArray[np.integer], source: str
) -> RoutingTrace:
    """Return the tokens of each logical expert in each pass; a pass is a step."""
    n_experts = int(to_logical.max()) + 1
    layer = np.arange(len(to_logical))[:, None]
    steps: dict[object, Floats] = {}
    for i, record in enumerate(records):
        field = f"records[{i}].global_physical_count"
        if not isinstance(record, dict) or "global_physical_count" not in record:
            raise invalid_field(source, field, "none", "present (or topk_ids_of_layer)")
        counts = as_array(source, field, record["global_physical_count"])
        if counts.shape != to_logical.shape or counts.dtype.kind not in "ui":
            expected = f"integers of shape {to_logical.shape}, that of {_MAP}"
            raise invalid_field(source, field, shape_of(counts), expected)
        if counts.min() < 0:
            raise invalid_field(source, field, counts.min(), "0 or more tokens")
        # A pass may be recorded in several parts with the same number.
        number = record.get("forward_pass_id")
        key: object = number if isinstance(number, int) else (i,)
        step = steps.setdefault(key, np.zeros((len(to_logical), n_experts)))
        np.add.at(step, (layer, to_logical), counts)
    return RoutingTrace.from_counts(np.stack(list(steps.values())), source=source)


def _physical_ids(
    source: str, i: int, record: object, map_shape: tuple[int, ...]
) -> NDArray[np.integer]:
    """Return the choices of one pass, (tokens, layers, k)."""
    field = f"records[{i}].topk_ids_of_layer"
    if not isinstance(record, dict) or "topk_ids_of_layer" not in record:
        raise invalid_field(source, field, "none", "present (as in the first record)")
    ids = as_array(source, field, record["topk_ids_of_layer"])
    if ids.ndim != 3 or ids.dtype.kind != "i" or len(ids) != map_shape[0]:
        expected = f"signed integers of shape ({map_shape[0]} layers, tokens, k)"
        raise invalid_field(source, field, shape_of(ids), expected)
    if ids.size and (ids.min() < -1 or ids.max() >= map_shape[1]):
        expected = f"in -1 .. {map_shape[1] - 1}"
        raise invalid_field(source, field, f"{ids.min()} .. {ids.max()}", expected)
    return ids.transpose(1, 0, 2)


def _sequences(
    source: str, records: Sequence[Mapping[str, object]], sizes: list[int]
) -> tuple[Ints, Ints]:
    """Return the order of the recorded tokens by sequence, and the length of each sequence.

    The recorder keeps no request ids. A prefill pass records the lengths of its sequences. In a
    decode pass, a token continues the sequence of its slot if its position is the next one.
    """
    sequences: list[list[int]] = []
    slots: dict[int, tuple[int, int]] = {}
    first = 0
    for i, (record, size) in enumerate(zip(records, sizes, strict=True)):
        if (recorded := record.get("extend_seq_lens")) is not None:
            field = f"records[{i}].extend_seq_lens"
            lengths = as_array(source, field, recorded)
            if lengths.dtype.kind not in "ui" or lengths.ndim != 1 or lengths.sum() != size:
                raise invalid_field(source, field, lengths, f"{size} tokens in all")
            parts = np.split(np.arange(first, first + size), np.cumsum(lengths)[:-1])
            sequences += [part.tolist() for part in parts]
            slots.clear()
        elif (recorded := record.get("positions")) is None:
            sequences.append(list(range(first, first + size)))
        else:
            field = f"records[{i}].positions"
            positions = as_array(source, field, recorded)
            if positions.shape != (size,) or positions.dtype.kind not in "ui":
                raise invalid_field(source, field, positions.shape, f"{size} integers")
            for slot, position in enumerate(positions.tolist()):
                sequence, last = slots.get(slot, (-1, -2))
                if position != last + 1:
                    sequence = len(sequences)
                    sequences.append([])
                sequences[sequence].append(first + slot)
                slots[slot] = (sequence, position)
        first += size
    order = np.array([token for sequence in sequences for token in sequence], dtype=np.int64)
    return order, np.array([len(s) for s in sequences if s], dtype=np.int64)
