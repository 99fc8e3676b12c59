"""Dumps of SGLang's expert distribution recorder that hold a record a forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe_costmodel.traces.checks import fault
from moe_costmodel.traces.trace import RoutingTrace

__all__ = ["as_array", "from_detail_dump"]


def as_array(source: str, field: str, value: Any) -> NDArray[Any]:
    """Return a tensor or list of a dump as an array, or complain."""
    try:
        return np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise fault(source, field, "a plain tensor", f"{type(error).__name__}: {error}") from error


def from_detail_dump(content: dict[Any, Any], *, source: str) -> RoutingTrace:
    """Turn a dump with a record a forward pass into a trace.

    Parameters
    ----------
    content : dict
        With ``records`` and ``last_physical_to_logical_map``, as modes *per_token* and *per_pass*
        write them.
    source : str
        The file, for messages.

    Raises
    ------
    ValueError
        If a field is missing or wrong; the message names it.
    """
    records = content["records"]
    if not isinstance(records, Sequence) or isinstance(records, str | bytes) or not records:
        raise fault(source, "records", "a non-empty list", type(records).__name__)
    to_logical = as_array(
        source, "last_physical_to_logical_map", content.get("last_physical_to_logical_map")
    )
    if to_logical.ndim != 2 or to_logical.dtype.kind not in "ui" or to_logical.size == 0:
        raise fault(
            source,
            "last_physical_to_logical_map",
            "integers of shape (layers, physical experts)",
            f"shape {to_logical.shape}, dtype {to_logical.dtype}",
        )
    if to_logical.min() < 0 or to_logical.max() >= to_logical.shape[1]:
        raise fault(
            source,
            "last_physical_to_logical_map",
            f"in 0 .. {to_logical.shape[1] - 1}",
            f"{to_logical.min()} .. {to_logical.max()}",
        )
    first = records[0]
    if isinstance(first, dict) and "topk_ids_of_layer" in first:
        return _tokens(records, to_logical, source)
    return _counts(records, to_logical, source)


def _tokens(records: Sequence[Any], to_logical: NDArray[np.integer], source: str) -> RoutingTrace:
    """Put the choices of every token in the order of sequences (-1 marks what was not routed)."""
    passes = [
        _physical_ids(source, i, record, to_logical.shape) for i, record in enumerate(records)
    ]
    if len({ids.shape[2] for ids in passes}) > 1:
        raise fault(
            source, "topk_ids_of_layer", "as wide in every record", {i.shape[2] for i in passes}
        )
    order, lengths = _sequences(source, records, [len(ids) for ids in passes])
    physical = np.concatenate(passes)[order]
    routed_layers = (physical >= 0).any(axis=(0, 2))
    used = (physical[:, routed_layers] >= 0).any(axis=(0, 1))
    if not used.any():
        raise fault(source, "topk_ids_of_layer", "routed somewhere", "-1 only")
    physical = physical[:, routed_layers][:, :, used]
    kept = (physical >= 0).all(axis=(1, 2))
    if not kept.any():
        raise fault(source, "topk_ids_of_layer", "complete for some token", "a -1 in every token")
    layers = np.flatnonzero(routed_layers)
    logical = np.stack(
        [to_logical[layer][physical[kept, i]] for i, layer in enumerate(layers)], axis=1
    )
    sequence = np.repeat(np.arange(len(lengths)), lengths)[kept]
    lengths = np.unique(sequence, return_counts=True)[1]
    return RoutingTrace(
        logical,
        n_experts=int(to_logical.max()) + 1,
        sequence_lengths=lengths,
        layers=layers,
        source=source,
    )


def _counts(records: Sequence[Any], to_logical: NDArray[np.integer], source: str) -> RoutingTrace:
    """Add each pass's tokens of physical experts up by logical expert; a pass is a step."""
    n_experts = int(to_logical.max()) + 1
    layer = np.arange(len(to_logical))[:, None]
    steps: dict[object, NDArray[np.float64]] = {}
    for i, record in enumerate(records):
        field = f"records[{i}].global_physical_count"
        if not isinstance(record, dict) or "global_physical_count" not in record:
            raise fault(source, field, "present (or topk_ids_of_layer)", "none")
        counts = as_array(source, field, record["global_physical_count"])
        if counts.shape != to_logical.shape or counts.dtype.kind not in "ui":
            raise fault(
                source,
                field,
                f"integers of shape {to_logical.shape}, that of last_physical_to_logical_map",
                f"shape {counts.shape}, dtype {counts.dtype}",
            )
        if counts.min() < 0:
            raise fault(source, field, "0 or more tokens", counts.min())
        # A pass may be recorded in parts, under the same number.
        number = record.get("forward_pass_id")
        key: object = number if isinstance(number, int) else (i,)
        step = steps.setdefault(key, np.zeros((len(to_logical), n_experts)))
        np.add.at(step, (layer, to_logical), counts)
    return RoutingTrace.from_counts(np.stack(list(steps.values())), source=source)


def _physical_ids(
    source: str, i: int, record: Any, map_shape: tuple[int, ...]
) -> NDArray[np.integer]:
    if not isinstance(record, dict) or "topk_ids_of_layer" not in record:
        raise fault(
            source, f"records[{i}].topk_ids_of_layer", "present (as in the first record)", "none"
        )
    ids = as_array(source, f"records[{i}].topk_ids_of_layer", record["topk_ids_of_layer"])
    if ids.ndim != 3 or ids.dtype.kind != "i" or len(ids) != map_shape[0]:
        raise fault(
            source,
            f"records[{i}].topk_ids_of_layer",
            f"signed integers of shape ({map_shape[0]} layers, tokens, k)",
            f"shape {ids.shape}, dtype {ids.dtype}",
        )
    if ids.size and (ids.min() < -1 or ids.max() >= map_shape[1]):
        raise fault(
            source,
            f"records[{i}].topk_ids_of_layer",
            f"in -1 .. {map_shape[1] - 1}",
            f"{ids.min()} .. {ids.max()}",
        )
    return ids.transpose(1, 0, 2)


def _sequences(
    source: str, records: Sequence[Any], sizes: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order the tokens of the recorded passes by sequence.

    The recorder keeps no request ids. A prefill pass says how long its sequences are; in a decode
    pass, the token in a slot continues the slot's sequence where its position is the next one.
    """
    sequences: list[list[int]] = []
    slots: dict[int, tuple[int, int]] = {}
    first = 0
    for i, (record, size) in enumerate(zip(records, sizes, strict=True)):
        lengths = record.get("extend_seq_lens")
        positions = record.get("positions")
        if lengths is not None:
            lengths = as_array(source, f"records[{i}].extend_seq_lens", lengths)
            if lengths.dtype.kind not in "ui" or lengths.ndim != 1 or lengths.sum() != size:
                raise fault(
                    source, f"records[{i}].extend_seq_lens", f"{size} tokens in all", lengths
                )
            for part in np.split(np.arange(first, first + size), np.cumsum(lengths)[:-1]):
                sequences.append(part.tolist())
            slots.clear()
        elif positions is None:
            sequences.append(list(range(first, first + size)))
        else:
            positions = as_array(source, f"records[{i}].positions", positions)
            if positions.shape != (size,) or positions.dtype.kind not in "ui":
                raise fault(source, f"records[{i}].positions", f"{size} integers", positions.shape)
            for slot, position in enumerate(positions.tolist()):
                sequence, last = slots.get(slot, (-1, -2))
                if position != last + 1:
                    sequence = len(sequences)
                    sequences.append([])
                sequences[sequence].append(first + slot)
                slots[slot] = (sequence, position)
        first += size
    sequences = [sequence for sequence in sequences if sequence]
    order = np.array([token for sequence in sequences for token in sequence], dtype=np.int64)
    return order, np.array([len(sequence) for sequence in sequences], dtype=np.int64)
