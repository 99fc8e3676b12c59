"""Errors of stores, of evaluations and of experiments."""

from __future__ import annotations

from moela.quality.words import harmless_lines


class StoreError(RuntimeError):
    """A store cannot be read or written; the message says why and what to do.

    The message may hold texts of the store, so control characters are replaced.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(harmless_lines(message))


class StoreMismatchError(StoreError):
    """The stored runs are of another problem, algorithm, seed or code than this call."""


class DamagedError(Exception):
    """A field of a store that holds something else than moela writes."""

    def __init__(self, table: str, row: object, field: str, details: str):
        super().__init__(f"table {table}, row {row}, field {field}: {details}")
        self.table = table
        self.row = row
