"""Names of a package that are imported on first use, with suggestions for misspelled ones."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import lazy_loader

from moela.files.extras import needed_by

Loader = Callable[[str], object]


def attach(package: str, file: str) -> tuple[Loader, Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package with an ``__init__.pyi``.

    Modules of the package are attributes of it without an import of their own. An AttributeError
    about a public name that the package lacks names the closest one it has. A ModuleNotFoundError
    about an optional package names the extra that brings it.
    """
    load, names, known = lazy_loader.attach_stub(package, file)

    def find(name: str) -> object:
        if name not in known and not name.startswith("_"):
            if find_spec(f"{package}.{name}") is not None:  # a part, such as `moela.plugins`
                with needed_by(f"{package}.{name}"):
                    return import_module(f"{package}.{name}")
            from difflib import get_close_matches

            close = get_close_matches(name, known, n=1)
            advice = f" Did you mean {close[0]!r}?" if close else ""
            # With a name and no object, Python adds no suggestion of its own.
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}.{advice}", name=name
            )
        with needed_by(f"{package}.{name}"):
            return load(name)

    return find, names, known
