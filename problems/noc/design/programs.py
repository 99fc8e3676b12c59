"""Running another program on files in a folder, with errors that a user can act on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

__all__ = ["find_program", "run_program"]


def find_program(title: str, names: Sequence[str], without: str) -> str:
    """Return the path of a program, under any of its names.

    Raises
    ------
    FileNotFoundError
        None of them is on the PATH; ``without`` says what works all the same.
    """
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        raise FileNotFoundError(
            f"No program named {' or '.join(names)} is on the PATH. Build {title} and put it "
            f"there; {without} writes its input without it."
        )
    return found


def run_program(
    title: str, words: Sequence[str], folder: Path, timeout_s: float
) -> tuple[int, str]:
    """Run a program in a folder; return its exit code and what it printed.

    Raises
    ------
    RuntimeError
        It did not end in time; the message ends with what it said last.
    """
    try:
        done = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        # Bytes, although text was asked for.
        said = (error.stdout or b"").decode(errors="replace")
        raise RuntimeError(
            f"{title} did not end within {timeout_s:g} s in {folder}. It printed last: "
            f"{said[-300:]!r}"
        ) from None
    return done.returncode, done.stdout + done.stderr
