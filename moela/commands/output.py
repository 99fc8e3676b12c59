"""Output of commands: text for people or JSON on standard output, and files that can be written."""

from __future__ import annotations

import argparse
import errno
import json
import logging
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path

import numpy as np

from moela.files.replacing import check_writable
from moela.quality.words import encodable, harmless_lines

_FULL = (errno.ENOSPC, errno.EDQUOT)


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add the option ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON, and all else to stderr")


def print_json(value: object) -> None:
    """Print a value as JSON; numbers that are not finite are null."""
    print(json.dumps(plain(value), indent=2, allow_nan=False, default=str))


def plain(value: object) -> object:
    """Return a value as JSON has it: arrays as lists, dataclasses as objects, NaN as None.

    Texts have escapes for what UTF-8 cannot hold, such as bytes of file names.
    """
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, Mapping):
        return {encodable(str(key)): plain(item) for key, item in value.items()}
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


def file_to_write(option: str, path: str | Path | None, suffix: str = "") -> None:
    """Raise a ValueError, before the work begins, if an option's file cannot be written.

    Its folder is made if it is missing. The name must end in `suffix`.
    """
    if path is None:
        return
    file = Path(path)
    if file.is_dir():
        raise ValueError(
            f"{option} must be a file to write. Got the folder {file} instead; add the name of a "
            "file."
        )
    if file.exists() and not file.is_file():  # a device or a pipe
        return
    if suffix and file.suffix != suffix:
        raise ValueError(f"{option} must be a file that ends in {suffix}. Got {file} instead.")
    with _naming(option, "file", file):
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists() and not os.access(file, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        check_writable(file.parent)


def picture_to_write(option: str, path: str | Path | None) -> None:
    """Raise a ValueError if an option's picture cannot be written, also for its type."""
    if path is None:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    kinds = [f".{kind}" for kind in sorted(FigureCanvasAgg.get_supported_filetypes())]
    if not Path(path).is_dir() and Path(path).suffix.lower() not in kinds:
        raise ValueError(f"{option} must end in {', '.join(kinds)}. Got {path} instead.")
    file_to_write(option, path)


def folder_to_write(option: str, path: str | Path | None) -> None:
    """Raise a ValueError if an option's folder cannot be made, or no file written into it."""
    if path is None:
        return
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{option} must be a folder. Got the file {folder} instead.")
    with _naming(option, "folder", folder):
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not there.is_dir():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(there))
        check_writable(there)


@contextmanager
def _naming(option: str, kind: str, path: Path) -> Iterator[None]:
    """Turn an OSError into a ValueError that names an option, its path, and the reason."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if isinstance(error, FileExistsError):  # in the place of a folder
            reason = f"{error.filename} is a file"
        advice = ", or free some space" if error.errno in _FULL else ""
        raise ValueError(
            f"{option} must be a {kind} that can be written. Got {path} instead ({reason}). Name "
            f"another {kind}{advice}."
        ) from error


class LineFormatter(logging.Formatter):
    """Formats log lines without control characters, which a name in a file may hold.

    Of a message that an error repeats later, only its `brief` form is shown.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        if (brief := getattr(record, "brief", None)) is not None:
            record = logging.makeLogRecord({**vars(record), "msg": brief, "args": ()})
        return harmless_lines(super().format(record))
