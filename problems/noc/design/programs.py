"""Runs another program on files in a folder, with errors that a user can act on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["find_program", "run_program"]


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
    """Run a program in a folder; return its exit code and its output.

    A RuntimeError tells that it did not end in time, and what it printed last.
    """
    try:
        finished = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        # Bytes, although the call asks for text.
        output = (error.stdout or b"").decode(errors="replace")
        raise RuntimeError(
            f"{title} did not end within {timeout_s:g} s in {folder}. It printed last: "
            f"{output[-300:]!r}"
        ) from None
    return finished.returncode, finished.stdout + finished.stderr
