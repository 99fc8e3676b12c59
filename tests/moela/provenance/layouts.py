"""Ways in which code lies on a disk, and processes that import it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from moela.provenance import code, distributions, sources

CACHES = (
    code._file,
    code._read,
    code._combined,
    code.code_of_ours,
    distributions.installed,
    distributions._digest_of,
    distributions._combined,
    sources.is_library,
    sources.is_ours,
    sources.is_installed,
)


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files by their paths below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def install(
    site: Path,
    name: str,
    version: str,
    files: Mapping[str, str | bytes],
    **more: str | None,
) -> None:
    """Write what the installation of a wheel leaves in a folder ``site-packages``.

    `more` holds other files of the folder ``dist-info``, None for one that is missing.
    """
    for old in site.glob(f"{name.replace('-', '_')}-*.dist-info/*"):
        old.unlink()
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    about: dict[str, str | None] = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "RECORD": "".join(f"{path},,\n" for path in [*files, f"{info}/METADATA"]),
        **more,
    }
    write(site, files)
    write(site, {f"{info}/{key}": text for key, text in about.items() if text is not None})


@contextmanager
def process(*folders: Path) -> Iterator[None]:
    """Behave like a new process whose path begins with these folders."""
    path, written = sys.path[:], sys.dont_write_bytecode
    sys.path[:0] = map(str, folders)
    sys.dont_write_bytecode = True  # a file may be written again within a second
    _forget()
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, written
        starts = tuple(map(str, folders))
        for name in [name for name, module in sys.modules.items() if _is_below(module, starts)]:
            del sys.modules[name]
        _forget()


def _forget() -> None:
    importlib.invalidate_caches()
    for function in CACHES:
        function.cache_clear()


def _is_below(module: ModuleType, folders: tuple[str, ...]) -> bool:
    places = [vars(module).get("__file__"), *vars(module).get("__path__", ())]
    return any(str(place).startswith(folders) for place in places if folders)
