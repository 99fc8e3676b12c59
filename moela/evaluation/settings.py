"""Checks of the settings of an Evaluator."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from moela._checks import require
from moela.evaluation.storage.errors import StoreError
from moela.evaluation.storage.sqlite import check_file
from moela.quality.words import of_kind

_CHOICES = {
    "dedupe": (False, True),
    "retry_failed": (False, True),
    "recheck": (False, True),
    "progress": (None, False, True),
    "on_error": ("raise", "infeasible"),
    "on_mismatch": ("raise", "new"),
    "on_interrupt": ("raise", "finish"),
}
_RANGES = {
    "n_jobs": "an integer other than 0, or None",
    "chunk_size": "'auto' or a positive integer",
    "retries": "a non-negative integer",
    "inner_max_num_threads": "a positive integer, or None",
}


def check_settings(settings: dict[str, object]) -> None:
    """Raise a ValueError that names the first setting outside its range.

    Numbers of numpy become those of Python.
    """
    for name, expected in _RANGES.items():
        value = settings[name]
        if isinstance(value, np.integer | np.floating):
            value = settings[name] = value.item()
        require("Evaluator", name, value, _in_range(name, value), expected)
    for name, choices in _CHOICES.items():
        value = settings[name]
        # By type, too, since True and False equal 1 and 0.
        holds = any(type(value) is type(choice) and value == choice for choice in choices)
        require("Evaluator", name, value, holds, f"one of {', '.join(map(repr, choices))}")


def _in_range(name: str, value: object) -> bool:
    if value is None:
        return name in ("n_jobs", "inner_max_num_threads")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return name == "chunk_size" and value == "auto"
    lowest = 0 if name == "retries" else 1
    return isinstance(value, int) and (value >= lowest or (name == "n_jobs" and value < 0))


def check_name(owner: str, store: object, what: str = "the path of a file") -> None:
    """Raise a ValueError if a store has the name by which SQLite stands for memory, or none."""
    name = os.fspath(store) if isinstance(store, str | os.PathLike) else None
    require(owner, "store", store, name not in ("", ":memory:"), f"{what}, or left out")


def check_store(owner: str, store: object) -> None:
    """Raise an error if a store cannot be one: no path, a folder, in no folder, another file."""
    if store is None:
        return
    if not isinstance(store, str | os.PathLike):
        raise TypeError(
            f"The 'store' parameter of {owner} must be the path of a file, such as 'run.db'. Got "
            f"{of_kind(store)} instead."
        )
    check_name(owner, store)
    scheme, _, rest = os.fspath(store).partition(":///")
    if rest:
        raise StoreError(
            f"The 'store' parameter of {owner} must be the path of a file. Got the address "
            f"{os.fspath(store)!r} instead; write {rest if scheme == 'sqlite' else 'run.db'!r}."
        )
    path = os.path.expanduser(store)
    if os.path.isdir(path):
        raise StoreError(
            f"The 'store' parameter of {owner} must be the path of a file. Got the folder "
            f"{os.fspath(store)!r} instead; write {os.path.join(os.fspath(store), 'run.db')!r}."
        )
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise StoreError(
            f"The 'store' parameter of {owner} must lie in a folder that exists. Got "
            f"{os.fspath(store)!r} instead; make the folder {folder!r} first."
        )
    check_file(Path(path).absolute())
