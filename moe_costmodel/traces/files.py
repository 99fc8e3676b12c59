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

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or a field of it is missing or wrong; the message names both.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: the file of the trace does not exist.")
    readers = {".npz": _load_npz, ".pt": _load_pt, ".json": _load_json}
    if path.suffix not in readers:
        raise ValueError(
            f"{path}: a trace must be a file ending in one of {sorted(readers)}. "
            f"Got {path.suffix!r} instead."
        )
    if path.suffix == ".npz":
        return _load_npz(path, mmap=mmap)
    if mmap:
        raise ValueError(f"{path}: the 'mmap' parameter must be False for this format.")
    return readers[path.suffix](path)


def save_trace(trace: RoutingTrace, path: str | Path, *, compress: bool = True) -> Path:
    """Write a trace as npz.

    Parameters
    ----------
    trace : RoutingTrace
        The trace.
    path : str or Path
        File to write; must end in ``.npz``.
    compress : bool
        Compress the file. :func:`load_trace` can map uncompressed files from disk.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If `path` does not end in ``.npz``.
    """
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


def _load_npz(path: Path, *, mmap: bool = False) -> RoutingTrace:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name[:-4] for name in archive.namelist() if name.endswith(".npy")]
    except Exception as error:
        raise ValueError(
            f"{path}: must be a complete npz file (a zip of arrays). Got {_message(error)} "
            "instead; the file may have been cut short."
        ) from error
    if "topk_ids" not in names:
        if "logical_count" in names:
            layers = _member(path, "layers") if "layers" in names else None
            return RoutingTrace.from_counts(
                _member(path, "logical_count"), layers=layers, source=str(path)
            )
        fields = f"fields {sorted(names)}"
        raise invalid_field(path, "topk_ids", fields, "present (or logical_count)")
    if "n_experts" not in names:
        raise invalid_field(path, "n_experts", f"fields {sorted(names)}", "present")
    n_experts = _member(path, "n_experts")
    if n_experts.ndim != 0 or n_experts.dtype.kind not in "ui" or n_experts < 1:
        raise invalid_field(path, "n_experts", repr(n_experts), "a positive integer")
    big = {
        name: _mapped(path, name) if mmap else _member(path, name)
        for name in ("topk_ids", "topk_weights")
        if name in names
    }
    small = {name: _member(path, name) for name in ("sequence_lengths", "layers") if name in names}
    return RoutingTrace(
        big["topk_ids"],
        big.get("topk_weights"),
        n_experts=int(n_experts),
        source=str(path),
        **small,
    )


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
            version = np.lib.format.read_magic(file)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, fortran, dtype = read(file)
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
