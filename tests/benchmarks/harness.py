"""The frame of every benchmark: arguments, cases that resume, tables, bars, machine, pages.

A script asks `script_parser` for its arguments and `Cases` for results that a second start finds
again. It prints `bar` lines, and writes its page with `header`, `markdown` and `finish`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from joblib import Memory

from moela.provenance.environment import provenance, version_of

RESULTS = Path(__file__).parent / "results"
PAGES = Path(__file__).parents[2] / "docs" / "benchmarks"


def script_parser(description: str | None) -> argparse.ArgumentParser:
    """Return an argument parser whose help shows the description as it is laid out."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def data_folder() -> Path:
    """Return the folder of shared instances."""
    folder = os.environ.get("MOELA_DATA")
    if not folder or not Path(folder).is_dir():
        sys.exit(
            "This table needs the shared instances: set the environment variable MOELA_DATA to "
            f"their folder. Got {folder!r} instead."
        )
    return Path(folder)


def pick(known: Mapping[str, Any], names: Sequence[str] | None, *always: str) -> dict[str, Any]:
    """Return the entries with these names, or all of them if `names` is None."""
    if names is None:
        return dict(known)
    return {name: value for name, value in known.items() if name in (*names, *always)}


def bar(what: str, value: Any, must: str) -> None:
    """Print what was measured against what it must be, in the form that all scripts share."""
    print(f"bar: {what}, {value}, {must}", flush=True)


def best_seconds(work: Callable[[], Any], rounds: int = 7) -> float:
    """Return the fewest CPU seconds of a call; the first one compiles and does not count."""
    times = []
    for _ in range(rounds + 1):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times[1:])


Case = dict[str, Any]


def computed() -> Memory:
    """Return the memory of what the packages computed; a change of their files begins a new one."""
    root = Path(__file__).parents[2]
    versions = machine("torch", "transformers", "aiconfigurator-core")
    digest = hashlib.sha256(versions.encode())
    for package in ("moela", "moe_costmodel", "problems"):
        for path in sorted((root / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return Memory(root / ".benchmarks" / "computed" / digest.hexdigest()[:16], verbose=0)


class Cases:
    """Results by name; a script that is started again takes those that it finds.

    Parameters
    ----------
    path : str or Path or None
        JSON file, created after the first case; None keeps nothing.
    show : bool
        Whether each new result is printed.
    """

    def __init__(self, path: str | Path | None, *, show: bool = True) -> None:
        self.path, self.show = None if path is None else Path(path), show
        self.results: dict[str, Case] = {}
        if self.path is not None and self.path.exists():
            self.results = json.loads(self.path.read_text(encoding="utf-8"))

    def __contains__(self, name: str) -> bool:
        return name in self.results

    def get(self, name: str, make: Callable[[], Case]) -> Case:
        """Return the result of a case, made now unless it is in the file."""
        if name not in self.results:
            self.keep(name, make())
        return self.results[name]

    def keep(self, name: str, case: Case) -> None:
        """Write the result of a case, a line of the file."""
        self.results[name] = case
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(self.results.items())]
            self.path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        if self.show:
            print(name, case, flush=True)


# ----------------------------------------------------------------------------------------- pages


def header(title: str, module: str, about: str) -> str:
    """Return the top of a report: title, description, command, machine and versions."""
    return f"# {title}\n\n{about}\n\n{made_with(module)}"


def made_with(module: str) -> str:
    """Return the line that names date, command, machine and versions of a report."""
    date = provenance()["date"][:10]
    command = f"python -m {module} {shlex.join(sys.argv[1:])}".rstrip()
    return f"Made on {date} by `{command}`, on {machine()}.\n"


def machine(*packages: str) -> str:
    """Return processor, system, and versions as text, with those of further packages."""
    made = provenance()
    computer = made["machine"]
    versions = made["versions"] | {package: version_of(package) for package in packages}
    return (
        f"{computer['processor']}, {computer['cores']} cores, {computer['system']}; "
        f"Python {made['python']}, {', '.join(f'{k} {v}' for k, v in versions.items())}"
    )


def with_sections(page: str, sections: Mapping[str, str], order: Sequence[str]) -> str:
    """Return a page in which these sections replace those of the same heading.

    Parameters
    ----------
    page : str
        The page so far; may be empty.
    sections : dict of str to str
        Text by heading, without the heading.
    order : sequence of str
        Headings in the order of the page. Other headings of the page come last.
    """
    head = f"\n{page}".split("\n## ")[0]
    texts = {t: text.strip() for t, text in (sections_of(page) | dict(sections)).items()}
    titles = [t for t in order if t in texts] + [t for t in texts if t not in order]
    parts = [head.strip(), *(f"## {title}\n\n{texts[title]}" for title in titles)]
    return "\n\n".join(part for part in parts if part) + "\n"


def sections_of(page: str) -> dict[str, str]:
    """Return the sections of a page by their headings."""
    return dict(part.partition("\n")[::2] for part in f"\n{page}".split("\n## ")[1:])


def finish(parts: Iterable[str], out: str | None) -> None:
    """Print a report, and write it to `out` if given."""
    text = "\n".join(part for part in parts if part).rstrip() + "\n"
    print(text)
    if out:
        path = Path(out)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as a Markdown table; the first row is the heading."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines) + "\n"


def titled(title: str, table: str) -> str:
    """Return a table below its title, or nothing if there is no table."""
    return f"{title}\n\n{table}" if table else ""
