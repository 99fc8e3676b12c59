"""Reading and writing routing traces: npz, SGLang dumps, JSON counts. No file can run code.

A damaged file makes the readers of numpy and torch raise errors of nearly every kind.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np

from moe_costmodel._arrays import Array
from moe_costmodel._checks import invalid, invalid_field, read_json
from moe_costmodel.traces.sglang import as_array, from_detail_dump
from moe_costmodel.traces.trace import RoutingTrace

__all__ = ["load_trace", "save_trace"]


def load_trace(path: str | Path, *, mmap: bool = False) -> RoutingTrace:
    """Read a routing trace.

    Parameters
    ----------
    path : str or Path
        - ``.npz``: ``topk_ids`` and ``n_experts``, optionally ``topk_weights``,
          ``sequence_lengths`` and ``layers`` (as :func:`save_trace` writes them), or
          ``logical_count``.
        - ``.pt``: a dump of SGLang's expert distribution recorder, read with
          ``weights_only=True``. Modes *stat* and *stat_approx* (``logical_count``) and *per_pass*
          (``records`` with ``global_physical_count``) give a load-only trace; mode *per_token*
          (``records`` with ``topk_ids_of_layer``) one without weights. Physical experts are mapped
          back to logical ones.
        - ``.json``: ``logical_count`` of shape (layers, experts) or (steps, layers, experts).
    mmap : bool
        Map ids and weights of an npz from disk instead of reading them; the file must be
        uncompressed (``save(..., compress=False)``).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the file of the trace does not exist.")
    if path.suffix == ".npz":
        return _load_npz(path, mmap)
    readers = {".pt": _load_pt, ".json": _load_json}
    if path.suffix not in readers:
        raise ValueError(
            f"{path}: a trace must be a file ending in one of {sorted([*readers, '.npz'])}. "
            f"Got {path.suffix!r} instead."
        )
    if mmap:
        raise ValueError(f"{path}: the 'mmap' parameter must be False for this format.")
    return readers[path.suffix](path)


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
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name[:-4] for name in archive.namelist() if name.endswith(".npy")]
    except Exception as error:
        raise ValueError(
            f"{path}: must be a complete npz file (a zip of arrays). Got {_message(error)} "
            "instead; the file may have been cut short."
        ) from error
    fields, source = f"fields {sorted(names)}", str(path)
    small = {name: _member(path, name) for name in ("sequence_lengths", "layers") if name in names}
    if "topk_ids" not in names:
        if "logical_count" not in names:
            raise invalid_field(path, "topk_ids", fields, "present (or logical_count)")
        counts = _member(path, "logical_count")
        return RoutingTrace.from_counts(counts, layers=small.get("layers"), source=source)
    if "n_experts" not in names:
        raise invalid_field(path, "n_experts", fields, "present")
    n_experts = _member(path, "n_experts")
    if n_experts.ndim != 0 or n_experts.dtype.kind not in "ui" or n_experts < 1:
        raise invalid_field(path, "n_experts", repr(n_experts), "a positive integer")
    big = [name for name in ("topk_ids", "topk_weights") if name in names]
    routing = [_mapped(path, name) if mmap else _member(path, name) for name in big]
    return RoutingTrace(*routing, n_experts=int(n_experts), source=source, **small)


def _member(path: Path, name: str) -> Array:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return np.asarray(archive[name])
    except Exception as error:
        expected = "a complete array without pickles"
        raise invalid_field(path, name, _message(error), expected) from error


def _mapped(path: Path, name: str) -> Array:
    """Map one uncompressed member of an npz."""
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            member = archive.getinfo(f"{name}.npy")
            if member.compress_type != zipfile.ZIP_STORED:
                raise ValueError("a compressed array; save it with compress=False to map it")
            # The extra field of the local header may have another length than that of the central
            # directory, so the offset of the data must be read from the local header.
            file.seek(member.header_offset)
            name_length, extra_length = struct.unpack("<26xHH", file.read(30))
            file.seek(member.header_offset + 30 + name_length + extra_length)
            version, npy = np.lib.format.read_magic(file), np.lib.format
            readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
            shape, fortran, dtype = readers[version](file)
            if dtype.hasobject:
                raise ValueError("an array of Python objects")
            return np.memmap(path, dtype, "r", file.tell(), shape, order="F" if fortran else "C")
    except Exception as error:
        raise invalid_field(path, name, _message(error), "an uncompressed array") from error


def _message(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _load_json(path: Path) -> RoutingTrace:
    content = read_json(path)
    if not isinstance(content, dict) or "logical_count" not in content:
        keys = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise invalid_field(path, "logical_count", keys, "present")
    return RoutingTrace.from_counts(content["logical_count"], source=str(path))


def _load_pt(path: Path) -> RoutingTrace:
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"{path}: must be a torch file of plain tensors and containers, readable with "
            f"weights_only=True. Got {_message(error).splitlines()[0]} instead; the file is "
            "damaged, or loading it would run code."
        ) from error
    if isinstance(content, dict) and "logical_count" in content:
        counts = as_array(str(path), "logical_count", content["logical_count"])
        return RoutingTrace.from_counts(counts, source=str(path))
    if isinstance(content, dict) and "records" in content:
        return from_detail_dump(content, source=str(path))
    keys = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
    raise invalid_field(path, "logical_count", keys, "present (or records)")
