"""Checking what an Evaluator is told."""

from __future__ import annotations

from typing import Any

_ALLOWED = {
    "n_jobs": "an integer other than 0, or None",
    "chunk_size": "'auto' or a positive integer",
    "on_error": "'raise' or 'infeasible'",
    "retries": "a non-negative integer",
    "timeout": "a positive number of seconds, or None",
    "on_mismatch": "'raise' or 'new'",
    "inner_max_num_threads": "a positive integer, or None",
    "dedupe": "True or False",
    "retry_failed": "True or False",
    "recheck": "True or False",
    "progress": "True, False or None",
}


def check_settings(**settings: Any) -> None:
    """Raise a ValueError that names the first setting which is out of its range."""
    for name, value in settings.items():
        if not _right(name, value):
            raise ValueError(
                f"The '{name}' parameter of Evaluator must be {_ALLOWED[name]}. "
                f"Got {value!r} instead."
            )


def _right(name: str, value: Any) -> bool:
    boolean = isinstance(value, bool)
    integer = isinstance(value, int) and not boolean
    match name:
        case "dedupe" | "retry_failed" | "recheck":
            return boolean
        case "progress":
            return boolean or value is None
        case "n_jobs":
            return value is None or (integer and value != 0)
        case "chunk_size":
            return value == "auto" or (integer and value > 0)
        case "retries":
            return integer and value >= 0
        case "inner_max_num_threads":
            return value is None or (integer and value > 0)
        case "timeout":
            return value is None or (isinstance(value, int | float) and value > 0 and not boolean)
        case "on_error":
            return value in ("raise", "infeasible")
        case _:
            return value in ("raise", "new")
