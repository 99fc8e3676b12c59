"""Versions of installed packages: the distribution of a file, and digests of files without one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from moela.provenance.sources import SUFFIXES

UNKNOWN = "unknown"
"""The text that stands for a version that cannot be found."""

_FILES = "files "


class Installed(NamedTuple):
    """A distribution to which a module belongs, and its version."""

    name: str  # empty if no distribution lists the module
    version: str


@lru_cache(maxsize=1000)
def installed(module: str, file: str) -> Installed:
    """Return the distribution of an installed module.

    The version of a distribution that did not come from a package index may stay while its code
    changes, so a digest of its files is added. Without a distribution, the digest stands alone.
    """
    found = _distribution(module.partition(".")[0], file)
    if found is None:
        return Installed("", _digest_of(_top(module, file)))
    version = found.version
    if found.read_text("direct_url.json") is not None:
        files = tuple((path.as_posix(), str(found.locate_file(path))) for path in found.files or ())
        version += f", {_FILES}{_combined(files)}"
    return Installed(found.metadata["Name"], version)


def same_release(version: str, other: str) -> bool:
    """Return whether two versions are the same, but only one of them has a digest of the files."""
    short, long = sorted((version, other), key=len)
    return long.startswith(f"{short}, {_FILES}")


# ---- which distribution --------------------------------------------------------------------------


def _distribution(package: str, file: str) -> metadata.Distribution | None:
    """Return the distribution to which a file belongs, since several may share a package."""
    for found in _candidates(package):
        try:
            complete = bool(found.version and found.metadata["Name"])
            if complete and _lists(found, package, file):
                return found
        except Exception:  # what an interrupted installation has left
            continue
    return None


def _candidates(package: str) -> Iterator[metadata.Distribution]:
    # Most have the name of their package.
    with suppress(metadata.PackageNotFoundError):
        yield metadata.distribution(package)
    yield from metadata.distributions()


def _lists(found: metadata.Distribution, package: str, file: str) -> bool:
    top = (found.read_text("top_level.txt") or "").split()
    if top and package not in top:
        return False
    record = found.read_text("RECORD")
    if record is not None and package not in record:  # to parse all of them takes a second
        return False
    if found.files is None:  # without a record, the place of the package decides
        home = str(found.locate_file(package))
        same_name = found.metadata["Name"].replace("-", "_") == package
        return (bool(top) or same_name) and file.startswith((home + os.sep, home + "."))
    parent, name = _parts(file)
    return any(
        path.name == name and _parts(str(found.locate_file(path)))[0] == parent
        for path in found.files
    )


def _parts(file: str) -> tuple[str, str]:
    """Return the folder of a file without links, and its name, which may be a link."""
    return os.path.realpath(os.path.dirname(file)), os.path.basename(file)


# ---- digests of files ----------------------------------------------------------------------------


def _top(module: str, file: str) -> Path:
    """Return the folder of a package, or the file of a module that is in none."""
    path = Path(file)
    n_levels = module.count(".") + path.name.startswith("__init__.")
    if n_levels == 0:
        return path
    folder = path.parents[n_levels - 1]
    return folder if folder.name == module.partition(".")[0] else path


@lru_cache(maxsize=1000)
def _digest_of(top: Path) -> str:
    """Return a digest of all code in a folder, or of a file."""
    paths = top.rglob("*") if top.is_dir() else [top]
    digest = _combined(
        tuple((path.relative_to(top.parent).as_posix(), str(path)) for path in paths)
    )
    return UNKNOWN if digest is None else _FILES + digest


@lru_cache(maxsize=100)
def _combined(files: tuple[tuple[str, str], ...]) -> str | None:
    """Return a digest of those of the named files that hold code, None if none does."""
    whole, n_files = blake2b(digest_size=8), 0
    for name, file in sorted(files):
        path = Path(file)
        if name.endswith(SUFFIXES) and "__pycache__" not in path.parts and path.is_file():
            whole.update(f"{name}\n".encode())
            whole.update(blake2b(path.read_bytes()).digest())
            n_files += 1
    return whole.hexdigest() if n_files else None
