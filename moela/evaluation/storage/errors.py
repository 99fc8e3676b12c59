"""Errors of stores, of evaluations and of experiments."""

from __future__ import annotations


class StoreError(RuntimeError):
    """A store cannot be read or written; the message says why and what to do."""


class StoreMismatchError(StoreError):
    """The stored runs are of another problem, algorithm, seed or code than this call."""
