"""Names and objects of the public packages, for the reference and its tests."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

PACKAGES = (
    "moela",
    "moela.plots",
    "moela.plugins",
    "moela.rivals",
    "moela.testing",
    "problems",
    "problems.noc",
    "problems.moe",
    "problems.moe_on_chip",
    "problems.classic",
    "problems.engineering",
    "moe_costmodel",
    "moe_costmodel.kernels",
    "moe_costmodel.example",
)
# Packages of more names are grouped by folder.
_MANY = 60


def public_names() -> dict[str, list[str]]:
    """Return the names in `__all__` of each public package, dunders left out."""
    return {
        package: [name for name in import_module(package).__all__ if not name.startswith("__")]
        for package in PACKAGES
    }


def public_objects() -> dict[str, Any]:
    """Return each public object once, by its full name in the first package that has it."""
    objects: dict[str, Any] = {}
    for package, names in public_names().items():
        for name in names:
            value = getattr(import_module(package), name)
            if not any(value is old for old in objects.values()):
                objects[f"{package}.{name}"] = value
    return objects


def _group(value: Any) -> str:
    if inspect.isclass(value):
        return "Errors" if issubclass(value, Exception) else "Classes"
    return "Functions" if callable(value) else "Constants"


def _sentence(module: str) -> str:
    """Return the first line of the docstring of a module."""
    return (import_module(module).__doc__ or "").strip().partition("\n")[0]


def groups_of(package: str, names: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    """Return the classes and functions of a package in groups: title, sentence, names.

    Packages of many names are grouped by the folders that define them, others by kind.
    """
    members = {key: value for key, value in names.items() if _group(value) != "Constants"}
    if len(members) <= _MANY:
        kinds = {key: _group(value) for key, value in members.items()}
        order = ("Classes", "Functions", "Errors")
        sentences = dict.fromkeys(order, "")
    else:
        depth = package.count(".") + 2
        kinds = {
            key: ".".join(value.__module__.split(".")[:depth]) for key, value in members.items()
        }
        order = tuple(sorted(set(kinds.values())))
        sentences = {kind: _sentence(kind) for kind in order}
    groups = []
    for kind in order:
        if found := [key for key in members if kinds[key] == kind]:
            title = kind.rpartition(".")[2].replace("_", " ").capitalize()
            groups.append((title, sentences[kind], found))
    return groups


def _shown(item: Any) -> str:
    """Return the name of a function or of a named item, else its text."""
    return str(getattr(item, "__name__", None) or getattr(item, "name", None) or item)


def _listed(value: Any) -> list[str]:
    """Return what a constant holds in reStructuredText, with a list item for each of its items."""
    if isinstance(value, Mapping):
        return [f"- ``{key}``: {getattr(item, 'words', item)}" for key, item in value.items()]
    if isinstance(value, tuple):
        return [f"- ``{_shown(item)}``" for item in value]
    return [f"``{value!r}``"]


def write_reference(app: Any, config: Any) -> None:
    """Write a page for each package, with a table of its names."""
    folder = Path(app.srcdir) / "reference" / "packages"
    folder.mkdir(parents=True, exist_ok=True)
    every = public_objects()
    for package in PACKAGES:
        title = f"``{package}``"
        lines = [title, "=" * len(title), "", f".. automodule:: {package}", "   :no-members:", ""]
        names = {key: value for key, value in every.items() if key.rpartition(".")[0] == package}
        for group, sentence, members in groups_of(package, names):
            lines += [group, "-" * len(group), "", sentence, "", ".. autosummary::"]
            lines += ["   :toctree: ../generated", "   :nosignatures:", ""]
            lines += [f"   {key.rpartition('.')[2]}" for key in members] + [""]
        constants = {key: value for key, value in names.items() if _group(value) == "Constants"}
        if constants:
            lines += ["Constants", "---------", ""]
        for key, value in constants.items():
            lines += [f".. py:data:: {key.rpartition('.')[2]}", ""]
            lines += [f"   {line}" for line in _listed(value)] + [""]
        text = "\n".join(lines)
        path = folder / f"{package}.rst"
        # An unchanged page keeps its time stamp, so that the next build is quick.
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app: Any) -> dict[str, Any]:
    """Write the pages before Sphinx collects its sources."""
    app.connect("config-inited", write_reference)
    return {"parallel_read_safe": True}
