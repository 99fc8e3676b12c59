"""Reading and writing routing traces: npz, and formats of other programs. No file can run code."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from moe_costmodel._arrays import Array
from moe_costmodel._checks import first_where, invalid, shape_of
from moe_costmodel._fields import array_in, only
from moe_costmodel.traces.members import Member, stored_members
from moe_costmodel.traces.recorders.lines import (
    LAB_FORMAT,
    load_field,
    of_lab_lines,
    of_load_lines,
    read_llama_csv,
)
from moe_costmodel.traces.recorders.recorded import Recorded, Sizes, joined
from moe_costmodel.traces.recorders.responses import is_response, of_responses
from moe_costmodel.traces.sglang import from_detail_dump, tensor_in
from moe_costmodel.traces.torch_file import read_torch
from moe_costmodel.traces.trace import RoutingTrace
from moela.files.arrays import open_arrays, read_array
from moela.files.guard import brief, check_size, invalid_file, open_file
from moela.files.text import lines_of, parse_json, read_text

__all__ = ["load_trace", "read_trace", "save_trace", "trace_of"]

_ARRAYS = (
    "topk_ids", "topk_weights", "n_experts", "sequence_lengths", "layers", "logical_count"
)  # fmt: skip
_OF_LAYERS = ("topk_ids", "topk_weights", "logical_count")
_BYTES_OF_TOKEN = 32
_HEADER_BYTES = 10_000  # longer ones are not those of arrays of numbers
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0
}  # fmt: skip


def load_trace(path: str | Path, *, mmap: bool = False, sizes: Sizes | None = None) -> RoutingTrace:
    """Read a routing trace.

    Parameters
    ----------
    path : str or Path
        - ``.npz``: ``topk_ids`` and ``n_experts``, optionally ``topk_weights``,
          ``sequence_lengths`` and ``layers`` (as :func:`save_trace` writes them), or
          ``logical_count``.
        - ``.npy``: integers of shape (tokens, layers, k), such as routed experts of vLLM.
        - ``.pt``: a dump of SGLang's expert distribution recorder; only plain containers and
          dense tensors are read. Modes *stat* and *stat_approx* (``logical_count``) and *per_pass*
          (``records`` with ``global_physical_count``) give a load-only trace; mode *per_token*
          (``records`` with ``topk_ids_of_layer``) one without weights. Physical experts are mapped
          back to logical ones.
        - ``.json`` or ``.jsonl``: ``logical_count`` of shape (layers, experts) or (steps, layers,
          experts); responses of vLLM or SGLang with routed experts; lines of moe-cache-lab; lines
          of vLLM's expert loads.
        - ``.csv``: rows ``layer,expert`` of llama.cpp's moe-trace.
    mmap : bool
        Map the arrays of an npz from disk instead of reading them; the file must be uncompressed
        (``save(..., compress=False)``), and may be of any size. The arrays of other files may take
        256 MiB, times the number in the environment variable ``MOELA_FILE_LIMIT_FACTOR``.
    sizes : Sizes, optional
        Sizes of the model, where a format does not hold them; those that the file holds must be
        the same. Without the number of experts, it is one more than the largest id.

    Raises
    ------
    ValueError
        If the file is damaged, or contradicts `sizes`.
    """
    return read_trace(path, mmap=mmap, sizes=sizes)[0]


def read_trace(
    path: str | Path, *, mmap: bool = False, sizes: Sizes | None = None
) -> tuple[RoutingTrace, str]:
    """Read a routing trace, and name its format; parameters as for :func:`load_trace`."""
    path, sizes = Path(path), sizes or Sizes()
    trace, kind = _read(path, mmap, sizes)
    _check_sizes(trace, sizes, path)
    return trace, kind


def _read(path: Path, mmap: bool, sizes: Sizes) -> tuple[RoutingTrace, str]:
    if path.suffix == ".npz":
        return _load_npz(path, mmap), "npz"
    if path.suffix not in (".pt", ".json", ".jsonl", ".csv", ".npy"):
        known = ".csv, .json, .jsonl, .npy, .npz, .pt"
        raise invalid_file(path, repr(path.suffix), f"a trace, whose name ends in one of {known}")
    if mmap:
        raise invalid("load", "mmap", True, f"False for {path}, which is no npz")
    if path.suffix == ".pt":
        return _load_pt(path), "SGLang dump"
    recorded = _read_recorded(path, sizes)
    return trace_of(recorded, path), recorded.format


def _check_sizes(trace: RoutingTrace, sizes: Sizes, path: Path) -> None:
    """Raise if a trace contradicts the sizes that were given of its model."""
    found = {"n_experts": trace.n_experts, "n_layers": trace.n_layers}
    if not trace.is_load_only:
        found["k"] = trace.k
    for name, held in found.items():
        given = getattr(sizes, name)
        if given is not None and held != given:
            expected = f"the {held} that {path} holds (or not given)"
            raise invalid("load_trace", f"sizes.{name}", given, expected)
    if trace.is_load_only and sizes.k is not None:
        of_layer = trace.loads().sum(axis=2)
        uneven = first_where(of_layer, of_layer % sizes.k != 0)
        if uneven:
            expected = f"a divisor of each layer's load in {path}, {uneven} (or not given)"
            raise invalid("load_trace", "sizes.k", sizes.k, expected)


def trace_of(recorded: Recorded, source: str | Path) -> RoutingTrace:
    """Return the trace of what a reader of another program's files has found."""
    if recorded.counts is not None:
        return _of_counts(Path(source), recorded.counts)
    ids = recorded.ids
    assert ids is not None
    if ids.size == 0:
        expected = "of at least one token, layer and choice"
        raise invalid_file(source, f"shape {ids.shape}", expected, "topk_ids")
    if negative := first_where(ids, ids < 0):
        expected = "experts from 0 (remove tokens of padding, whose choices are often -1)"
        raise invalid_file(source, negative, expected, "topk_ids")
    n_experts = recorded.n_experts or max(int(ids.max()) + 1, ids.shape[2])
    return RoutingTrace(
        ids.astype(np.min_scalar_type(n_experts)),
        recorded.weights,
        n_experts=n_experts,
        sequence_lengths=recorded.lengths,
        layers=recorded.layers,
        source=str(source),
    )


def _read_recorded(path: Path, sizes: Sizes) -> Recorded:
    """Find the format of a text file or array by its content, and read it."""
    if path.suffix == ".csv":
        return read_llama_csv(path, sizes)
    if path.suffix == ".npy":
        ids = read_array(path)
        if ids.ndim != 3 or ids.dtype.kind not in "ui":
            raise invalid_file(path, shape_of(ids), "integers of shape (tokens, layers, k)")
        return joined(path, "array of routed experts", [("array", ids.astype(np.int64))], sizes)
    contents = _json_values(path)
    first = contents[0]
    if isinstance(first, dict) and first.get("format") == LAB_FORMAT:
        found = of_lab_lines(contents, path)
        return replace(found, n_experts=found.n_experts or sizes.n_experts)
    if is_response(first):
        return of_responses(contents, path, sizes)
    # A single count may be that of several steps, which a line of vLLM's is not.
    if (name := load_field(first)) and (len(contents) > 1 or name != "logical_count"):
        return of_load_lines(contents, path)
    if len(contents) == 1 and isinstance(first, dict) and "logical_count" in first:
        counts = array_in(path, "logical_count", first["logical_count"], ndim=(2, 3))
        return Recorded("JSON of counts", counts=counts)
    got = only(first) if isinstance(first, dict) else brief(first)
    expected = (
        "present (or routed_experts of vLLM and SGLang, expert_load of vLLM, or lines of "
        "moe-cache-lab)"
    )
    raise invalid_file(path, got, expected, "logical_count")


def _json_values(path: Path) -> list[object]:
    """Return the values of a JSON file: one, those of a list, or one a line."""
    text = read_text(path)
    lines = [(number, line) for number, line in lines_of(text) if line.strip()]
    first = lines[0][1].strip() if lines else ""
    if path.suffix == ".jsonl" or (len(lines) > 1 and first[:1] == "{" and first[-1:] == "}"):
        if not lines:
            raise invalid_file(path, "an empty file", "a JSON value a line")
        return [parse_json(line, path, f"line {number}") for number, line in lines]
    content = parse_json(text, path)
    if isinstance(content, list) and content and isinstance(content[0], dict):
        return list(content)
    return [content]


def save_trace(trace: RoutingTrace, path: str | Path, *, compress: bool = True) -> Path:
    """Write a trace as npz; :func:`load_trace` can map an uncompressed file from disk."""
    path = Path(path)
    if path.suffix != ".npz":
        raise invalid("save", "path", path, "a file that ends in .npz")
    arrays: dict[str, Array] = {"layers": trace.layers.astype(np.int32)}
    if trace.is_load_only:
        arrays["logical_count"] = trace.loads()
    else:
        arrays["n_experts"] = np.asarray(np.int64(trace.n_experts))
        arrays["topk_ids"] = trace.topk_ids.astype(np.min_scalar_type(trace.n_experts - 1))
        arrays["sequence_lengths"] = trace.sequence_lengths.astype(np.int32)
        if trace.has_weights:
            arrays["topk_weights"] = trace.topk_weights
    (np.savez_compressed if compress else np.savez)(path, **arrays)  # type: ignore[arg-type]
    return path


def _load_npz(path: Path, mmap: bool) -> RoutingTrace:
    with _mapped(path) if mmap else open_arrays(path) as file:
        names = set(file)
        arrays = {name: file[name] for name in _ARRAYS if name in names}
    got = f"only {', '.join(map(repr, sorted(names)))}" if names else "none"
    arrays = arrays if mmap else _by_layer(arrays)
    layers = arrays.get("layers")
    if "topk_ids" not in arrays:
        if "logical_count" not in arrays:
            raise invalid_file(path, got, "present (or logical_count)", "topk_ids")
        return _of_counts(path, arrays["logical_count"], layers)
    if "n_experts" not in arrays:
        raise invalid_file(path, got, "present", "n_experts")
    n_experts = arrays["n_experts"]
    if n_experts.ndim != 0 or n_experts.dtype.kind not in "ui" or n_experts < 1:
        got = shape_of(n_experts) if n_experts.ndim else str(n_experts)
        raise invalid_file(path, got, "a positive integer", "n_experts")
    ids = arrays["topk_ids"]
    if not mmap:
        # Whatever is computed of a trace takes several numbers for each token.
        check_size(path, _BYTES_OF_TOKEN * len(np.atleast_1d(ids)), "arrays", "topk_ids")
    return RoutingTrace(
        ids,
        arrays.get("topk_weights"),
        n_experts=int(n_experts),
        sequence_lengths=arrays.get("sequence_lengths"),
        layers=layers,
        source=str(path),
    )


def _by_layer(arrays: dict[str, Array]) -> dict[str, Array]:
    """Return the arrays of a trace in ascending order of layers, as far as they fit together."""
    layers = arrays.get("layers")
    if layers is None or layers.ndim != 1 or bool((layers[1:] > layers[:-1]).all()):
        return arrays
    order = np.argsort(layers, kind="stable")
    return {
        name: array[order]
        if name == "layers"
        else np.take(array, order, axis=-2)
        if name in _OF_LAYERS and array.ndim > 1 and array.shape[-2] == len(order)
        else array
        for name, array in arrays.items()
    }


def _of_counts(path: Path, counts: Array, layers: Array | None = None) -> RoutingTrace:
    check_size(path, 8 * counts.size, "arrays", "logical_count")  # counts are kept as floats
    return RoutingTrace.from_counts(counts, layers=layers, source=str(path))


@contextmanager
def _mapped(path: Path) -> Iterator[Mapping[str, Array]]:
    """Map the arrays of an uncompressed npz from disk."""
    with open_file(path) as file:
        members = stored_members(
            file, path, "a complete npz, written with compress=False to map it"
        )
        yield {
            name: _map(file, members[f"{name}.npy"], path, name)
            for name in _ARRAYS
            if f"{name}.npy" in members
        }


def _map(file: IO[bytes], member: Member, path: Path, name: str) -> Array:
    expected = "a complete array without Python objects"
    file.seek(member.start)
    header = io.BytesIO(file.read(min(member.size, _HEADER_BYTES)))
    try:
        reader = _READERS[np.lib.format.read_magic(header)]
        shape, fortran, dtype = reader(header, max_header_size=_HEADER_BYTES)
    # numpy reads a header as a Python literal, whose errors are of many kinds.
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
        raise invalid_file(path, got, expected, name) from error
    start, count = header.tell(), math.prod(shape)
    if dtype.hasobject or dtype.itemsize == 0:
        raise invalid_file(path, f"dtype {dtype}", expected, name)
    if count < 1 or start + count * dtype.itemsize != member.size:
        got = f"{member.size - start} bytes for shape {shape}, dtype {dtype}"
        raise invalid_file(path, got, expected, name)
    return np.memmap(path, dtype, "r", member.start + start, shape, order="F" if fortran else "C")


def _load_pt(path: Path) -> RoutingTrace:
    content = read_torch(path)
    if isinstance(content, dict) and "logical_count" in content:
        counts = tensor_in(path, "logical_count", content["logical_count"], ndim=(2, 3))
        return _of_counts(path, counts)
    if isinstance(content, dict) and "records" in content:
        return from_detail_dump(content, source=path)
    got = only(content) if isinstance(content, dict) else brief(content)
    raise invalid_file(path, got, "present (or records)", "logical_count")
