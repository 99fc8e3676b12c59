"""Runs another program on files in a folder, with errors that a user can act on."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["find_program", "run_program"]

_MOST_OUTPUT = 2**20  # bytes at the end of the output, where programs print their results


def find_program(title: str, names: Sequence[str], without: str) -> str:
    """Return the path of a program, under any of its names.

    A FileNotFoundError names ``without``, the call that writes the input of the program.
    """
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        raise FileNotFoundError(
            f"No program named {' or '.join(names)} is on the PATH. Build {title} and put it "
            f"there; {without} writes its input without running it."
        )
    return path


def run_program(
    title: str, words: Sequence[str], folder: Path, timeout_s: float
) -> tuple[int, str]:
    """Run a program in a folder; return its exit code and the end of its output.

    A RuntimeError tells that it did not end in time, and what it printed last.
    """
    # In a file: the output of a program that runs away must not fill the memory.
    with tempfile.TemporaryFile() as output:
        code = None
        with suppress(subprocess.TimeoutExpired):
            code = subprocess.run(
                words,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            ).returncode
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - _MOST_OUTPUT))
        printed = output.read(_MOST_OUTPUT).decode("utf-8", errors="replace")
    if code is None:
        raise RuntimeError(
            f"{title} did not end within {timeout_s:g} s in {folder}. It printed last: "
            f"{printed[-300:]!r}"
        )
    return code, printed
