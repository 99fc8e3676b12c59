"""Reading dumps of SGLang's expert distribution recorder with one record per forward pass."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Array, Ints
from moe_costmodel._checks import shape_of
from moe_costmodel._fields import array_in
from moe_costmodel.shapes import MAX_EXPERTS
from moe_costmodel.traces.torch_file import Unsupported
from moe_costmodel.traces.trace import RoutingTrace
from moela.files.guard import brief, check_size, invalid_file

__all__ = ["from_detail_dump", "tensor_in"]

_MAP = "last_physical_to_logical_map"


def tensor_in(source: str | Path, field: str, value: object, *, ndim: Collection[int]) -> Array:
    """Return a tensor, or lists of numbers, of a dump as an array; errors name the field."""
    if isinstance(value, np.ndarray):
        if value.ndim not in ndim:
            expected = f"a tensor of {' or '.join(map(str, ndim))} dimensions"
            raise invalid_file(source, shape_of(value), expected, field)
        return value
    if isinstance(value, Unsupported):
        raise invalid_file(source, f"one of torch.{value.name}", "a tensor of numbers", field)
    return array_in(source, field, value, ndim=ndim)


def from_detail_dump(content: dict[object, object], *, source: str | Path) -> RoutingTrace:
    """Return the trace of a dump in mode *per_token* or *per_pass*; errors name `source`."""
    records = content["records"]
    if not isinstance(records, list) or not records:
        raise invalid_file(source, brief(records), "a non-empty list", "records")
    to_logical = tensor_in(source, _MAP, content.get(_MAP), ndim=(2,))
    if to_logical.dtype.kind not in "ui" or to_logical.size == 0:
        expected = "integers of shape (layers, physical experts)"
        raise invalid_file(source, shape_of(to_logical), expected, _MAP)
    if to_logical.min() < 0 or to_logical.max() >= min(to_logical.shape[1], MAX_EXPERTS):
        got = f"{to_logical.min()} .. {to_logical.max()}"
        expected = f"in 0 .. {min(to_logical.shape[1], MAX_EXPERTS) - 1}"
        raise invalid_file(source, got, expected, _MAP)
    if isinstance(records[0], dict) and "topk_ids_of_layer" in records[0]:
        return _tokens(records, to_logical, source)
    return _counts(records, to_logical, source)


def _field(source: str | Path, i: int, record: object, name: str, hint: str) -> tuple[str, object]:
    """Return the place and the value of a field of a record."""
    place = f"records[{i}].{name}"
    if not isinstance(record, dict) or name not in record:
        raise invalid_file(source, "none", f"present ({hint})", place)
    return place, record[name]


def _tokens(
    records: Sequence[object], to_logical: NDArray[np.integer], source: str | Path
) -> RoutingTrace:
    """Return the choices of all tokens, ordered by sequence (-1 marks a missing choice)."""
    field = "topk_ids_of_layer"
    passes = [_physical_ids(source, i, record, to_logical) for i, record in enumerate(records)]
    if len(widths := {ids.shape[2] for ids in passes}) > 1:
        raise invalid_file(source, f"{sorted(widths)}", "as wide in every record", field)
    # Several records may hold the same tensor; each of them counts.
    check_size(source, sum(8 * ids.size + 32 * len(ids) for ids in passes), "arrays", field)
    sequence = _sequences(source, records, [len(ids) for ids in passes])
    order = np.argsort(sequence, kind="stable")
    physical = np.concatenate(passes)[order]
    routed_layers = (physical >= 0).any(axis=(0, 2))
    used = (physical[:, routed_layers] >= 0).any(axis=(0, 1))
    if not used.any():
        raise invalid_file(source, "-1 only", "routed somewhere", field)
    physical = physical[:, routed_layers][:, :, used]
    complete = (physical >= 0).all(axis=(1, 2))
    if not complete.any():
        raise invalid_file(source, "a -1 in every token", "complete for some token", field)
    layers = np.flatnonzero(routed_layers)
    return RoutingTrace(
        to_logical[layers[:, None], physical[complete]],
        n_experts=int(to_logical.max()) + 1,
        sequence_lengths=np.unique(sequence[order][complete], return_counts=True)[1],
        layers=layers,
        source=str(source),
    )


def _counts(
    records: Sequence[object], to_logical: NDArray[np.integer], source: str | Path
) -> RoutingTrace:
    """Return the tokens of each logical expert in each pass; a pass is a step."""
    n_experts = int(to_logical.max()) + 1
    layer = np.arange(len(to_logical))[:, None]
    passes: list[tuple[object, Array]] = []
    for i, record in enumerate(records):
        name = "global_physical_count"
        field, value = _field(source, i, record, name, "or topk_ids_of_layer")
        counts = tensor_in(source, field, value, ndim=(2,))
        if counts.shape != to_logical.shape or counts.dtype.kind not in "ui":
            expected = f"integers of shape {to_logical.shape}, that of {_MAP}"
            raise invalid_file(source, shape_of(counts), expected, field)
        if counts.min() < 0:
            raise invalid_file(source, f"{counts.min()}", "0 or more tokens", field)
        # A pass may be recorded in several parts with the same number.
        number = record.get("forward_pass_id") if isinstance(record, dict) else None
        passes.append((number if isinstance(number, int) else (i,), counts))
    step_of = {key: step for step, key in enumerate(dict.fromkeys(key for key, _ in passes))}
    shape = (len(step_of), len(to_logical), n_experts)
    check_size(source, 8 * shape[0] * shape[1] * shape[2], "arrays", "records")
    steps = np.zeros(shape)
    for key, counts in passes:
        np.add.at(steps[step_of[key]], (layer, to_logical), counts)
    return RoutingTrace.from_counts(steps, source=str(source))


def _physical_ids(
    source: str | Path, i: int, record: object, to_logical: Array
) -> NDArray[np.integer]:
    """Return the choices of one pass, (tokens, layers, k)."""
    n_layers, n_physical = to_logical.shape
    field, value = _field(source, i, record, "topk_ids_of_layer", "as in the first record")
    ids = tensor_in(source, field, value, ndim=(3,))
    if ids.dtype.kind != "i" or len(ids) != n_layers:
        expected = f"signed integers of shape ({n_layers} layers, tokens, k)"
        raise invalid_file(source, shape_of(ids), expected, field)
    if ids.size and (ids.min() < -1 or ids.max() >= n_physical):
        expected = f"in -1 .. {n_physical - 1}"
        raise invalid_file(source, f"{ids.min()} .. {ids.max()}", expected, field)
    return ids.transpose(1, 0, 2)


def _sequences(source: str | Path, records: Sequence[object], sizes: list[int]) -> Ints:
    """Return the number of each recorded token's sequence, in the order in which they begin.

    The recorder keeps no request ids. A prefill pass records the lengths of its sequences. In a
    decode pass, a token continues the sequence of its slot if its position is the next one.
    """
    parts: list[Ints] = []
    n_sequences = 0
    sequence_of = np.zeros(0, dtype=np.int64)  # of each slot
    last = np.zeros(0, dtype=np.int64)  # position of each slot's newest token
    for i, (record, size) in enumerate(zip(records, sizes, strict=True)):
        assert isinstance(record, dict)
        if record.get("extend_seq_lens") is not None:
            field = f"records[{i}].extend_seq_lens"
            lengths = tensor_in(source, field, record["extend_seq_lens"], ndim=(1,))
            good = lengths.dtype.kind in "ui" and bool(((lengths >= 0) & (lengths <= size)).all())
            if not good or lengths.sum(dtype=np.int64) != size:
                raise invalid_file(source, brief(lengths), f"{size} tokens in all", field)
            parts.append(n_sequences + np.repeat(np.arange(len(lengths)), lengths))
            n_sequences += len(lengths)
            sequence_of, last = sequence_of[:0], last[:0]
        elif record.get("positions") is None:
            parts.append(np.full(size, n_sequences))
            n_sequences += 1
        else:
            field = f"records[{i}].positions"
            positions = tensor_in(source, field, record["positions"], ndim=(1,))
            if positions.shape != (size,) or positions.dtype.kind not in "ui":
                raise invalid_file(source, shape_of(positions), f"{size} integers", field)
            if ((positions < 0) | (positions >= 2**62)).any():
                raise invalid_file(source, f"{positions.min()}", "0 or more", field)
            new = max(0, size - len(last))
            sequence_of = np.append(sequence_of, np.zeros(new, dtype=np.int64))
            last = np.append(last, np.full(new, -2))
            begins = positions.astype(np.int64) != last[:size] + 1
            sequence_of[:size][begins] = n_sequences + np.arange(np.count_nonzero(begins))
            last[:size] = positions
            parts.append(sequence_of[:size].copy())
            n_sequences += int(np.count_nonzero(begins))
    return np.concatenate(parts)
