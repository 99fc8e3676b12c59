"""Printing of commands: text for people, or with ``--json`` one JSON value on standard output."""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import asdict, is_dataclass

import numpy as np

from moela.quality.words import harmless_lines


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add the option ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON, and all else to stderr")


def print_json(value: object) -> None:
    """Print a value as JSON; numbers that are not finite are null."""
    print(json.dumps(plain(value), indent=2, allow_nan=False, default=str))


def plain(value: object) -> object:
    """Return a value as JSON has it: arrays as lists, dataclasses as objects, NaN as None."""
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


@contextmanager
def only_stderr(active: bool) -> Iterator[None]:
    """Send all output to standard error, that of programs and worker processes included."""
    if not active:
        yield
        return
    with redirect_stdout(sys.stderr):
        saved = None
        with suppress(OSError):  # a process may have no standard output
            saved = os.dup(1)
            os.dup2(2, 1)
        try:
            yield
        finally:
            if saved is not None:
                os.dup2(saved, 1)
                os.close(saved)


def warn(message: str) -> None:
    """Print a warning on standard error."""
    complain(f"warning: {message}")


def complain(message: object) -> None:
    """Print a message on standard error, without control characters of a file that it quotes."""
    print(harmless_lines(f"moela: {message}"), file=sys.stderr)


class LineFormatter(logging.Formatter):
    """Formats log lines without control characters, which a name in a file may hold."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return harmless_lines(super().format(record))
