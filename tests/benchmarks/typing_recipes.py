"""Whether mypy and pyright accept the README and the recipes, and refuse misspelled parameters.

Run ``python -m tests.benchmarks.typing_recipes``. It needs ``pip install mypy pyright``, and the
extras that the recipes import. Each block of Python is a program of its own, checked with the
default settings.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from tests.docs import typing_cases as cases


def mypy_errors(folder: Path, names: list[str]) -> set[tuple[str, int]]:
    """Return file and line of each error that mypy finds."""
    config = cases.write_mypy_config(folder)
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), *names]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    found = re.findall(r"^(\w+\.py):(\d+): error: (.*)$", done.stdout, flags=re.MULTILINE)
    return {(file, int(line)) for file, line, text in found if shown("mypy", file, line, text)}


def pyright_errors(folder: Path, names: list[str]) -> set[tuple[str, int]]:
    """Return file and line of each error that pyright finds."""
    cases.write_pyright_config(folder)
    command = [sys.executable, "-m", "pyright", "--outputjson"]
    command += ["--pythonpath", sys.executable, *names]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    found = set()
    for note in json.loads(done.stdout)["generalDiagnostics"]:
        file, line = Path(note["file"]).name, note["range"]["start"]["line"] + 1
        if note["severity"] == "error" and shown("pyright", file, line, note["message"]):
            found.add((file, line))
    return found


def shown(checker: str, file: str, line: object, text: str) -> bool:
    """Print an error in a program that should have none."""
    if not file.startswith("mistakes"):
        print(f"{checker}: {file}:{line}: {text}")
    return True


def main() -> None:
    for checker, errors in (("mypy", mypy_errors), ("pyright", pyright_errors)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            programs = cases.write_programs(folder)
            mistakes, lines = cases.write_mistakes(folder)
            found = errors(folder, [*programs, mistakes.name])
        wrong = {file for file, _ in found} - {mistakes.name}
        for line in lines:
            if (mistakes.name, line) not in found:
                print(f"{checker}: not refused: {cases.MISTAKES[line - lines[0]]}")
        refused = sum((mistakes.name, line) in found for line in lines)
        title = f"{checker} {version(checker)}"
        print(f"bar: {title}, programs refused, {len(wrong)} of {len(programs)}, must 0")
        print(f"bar: {title}, mistakes refused, {refused} of {len(lines)}, must {len(lines)}")


if __name__ == "__main__":
    main()
