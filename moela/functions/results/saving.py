"""Saving the table of a result as CSV or JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from moela._checks import in_folder
from moela._spelling import printed
from moela.files.replacing import replacing
from moela.quality.json_data import finite
from moela.quality.table import Table


def save_table(table: Table, path: str | Path) -> Path:
    """Write a table as a ``.csv`` or ``.json`` file, whole or not at all, and return its path."""
    path = in_folder("save", path)
    kind = path.suffix.lower()
    if kind not in (".csv", ".json"):
        raise ValueError(
            f"The 'path' parameter of save must end in .csv or .json. Got {path} instead."
        )
    if kind == ".csv":
        return table.to_csv(path)
    with replacing(path) as scratch:
        values = json.loads(json.dumps(table.rows, default=_plain))
        content = json.dumps(finite(values), indent=1, allow_nan=False)
        scratch.write_text(content + "\n", encoding="utf-8")
    return path


def _plain(value: object) -> object:
    """Return a value as JSON has it; what JSON has not becomes its text."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return printed(value)
