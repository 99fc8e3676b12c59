"""Damaged files for every loader: errors that name file and field, in little memory and time.

python -m tests.benchmarks.survival mutants [--fraction .1] [--seed 1] [--processes 2]

A mutant that loads must be valid data: it is evaluated or saved. Each loader runs in a process of
its own, which is ended if a mutant takes too long, and started again behind it. Seconds are those
of the processor, since others may share the machine; a loader that waits is ended by the clock.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.benchmarks.survival import damage
from tests.benchmarks.survival.bars import Bar, Options
from tests.benchmarks.survival.loader import Loader

# Modules with a list LOADERS, and a function `mutate` where damage.mutate does not fit.
MODULES = ("loaders", "cost_loaders", "serving_loaders", "store_mutants")
N_MUTANTS = 2_000
MOST_SECONDS, MOST_MIB = 10.0, 1024.0
_MAKING_SECONDS = 300.0
# A process that needs more address space is broken anyway; threads reserve some, too.
_ADDRESS_SPACE = 8 * 2**30

Mutate = Callable[[Path, Path, np.random.Generator], str]


def loaders() -> Iterator[tuple[Loader, Mutate]]:
    """Yield the loaders of all modules, with what damages their files.

    A module is imported when its loaders are asked for: some import torch.
    """
    for name in MODULES:
        module = importlib.import_module(f"tests.benchmarks.survival.{name}")
        mutate = getattr(module, "mutate", damage.mutate)
        yield from ((loader, mutate) for loader in module.LOADERS)


def loader_of(name: str) -> tuple[Loader, Mutate]:
    """Return the loader of a name, with what damages its files."""
    return next(pair for pair in loaders() if pair[0].name == name)


# ----------------------------------------------------------------------------------- one mutant

# Words that lead to the place of a fault inside a file.
_PLACE = re.compile(
    r"field '[^']+"  # the form of moela.files
    r"|\b(line|row|column|entry|position|byte|char|index|link|tile|unit|point|evaluation|run|table"
    r"|array|key|seed) '?[\w(\[]"
    r"|The '[^']+' (parameter )?of"  # of a class that is made from the file
    r"|\bmust have (the|no) fields?"
    r"|\bmust print '"  # a line of a program's output
    r"|SQLite (file|database)"  # the structure of a store, below its tables
    r"|'[a-z_]+' must"  # a rule of a design
    r"|The links of Platform"
)
# The file as a whole is of the wrong kind.
_WHOLE = re.compile(
    r"^: must (be|hold|have) (text in UTF-8|JSON\b|a JSON object|a regular file|at most|a complete"
    r"|an? instance|rows of numbers|mutually non-dominated|a table of|a PE id|numbers\b|an array"
    r"|some traffic|a JSON value a line|rows layer,expert|a price list of|a largest number"
    r"|\d+ rows)"
)


def verdict(error: Exception, path: Path, loader: Loader) -> str:
    """Return "refused" if an error names file and field, else "unnamed" or "raw"."""
    if not isinstance(error, loader.errors):
        return "raw"
    text = str(error)
    # The name of a file that was not damaged may come first.
    head, found, rest = text.partition(str(path))
    named = bool(found) and bool(_PLACE.search(head + rest) or _WHOLE.match(rest))
    return "refused" if named else "unnamed"


def attempt(loader: Loader, path: Path) -> tuple[str, str]:
    """Load a damaged file, and return what came of it, and the message."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(None):
            warnings.simplefilter("error")
            loader.load(path)
    except Exception as error:
        outcome, text = verdict(error, path, loader), f"{type(error).__name__}: {error}"
        if outcome == "raw":
            text += " @ " + " < ".join(
                f"{Path(f.filename).name}:{f.lineno}"
                for f in reversed(traceback.extract_tb(error.__traceback__))
            )
        return outcome, text
    return "loaded", ""


def mutants(
    name: str, seed: int, first: int, count: int, folder: Path
) -> Iterator[tuple[int, str, str, str]]:
    """Make and load mutants `first` to `first + count` of a loader's file.

    Yields number, damage, outcome and message. A mutant depends on the seed and its number only.
    """
    loader, mutate = loader_of(name)
    (good := folder / "good").mkdir()
    source = loader.write(good)
    outcome, text = attempt(loader, source)
    assert outcome == "loaded", f"The good file of {name} does not load: {text}"
    shutil.rmtree(good)
    good.mkdir()
    source = loader.write(good)
    for number in range(first, first + count):
        rng = np.random.default_rng([seed, number, *name.encode()])
        place = folder / "bad"
        shutil.copytree(good, place)
        what = mutate(source, place / source.name, rng)
        yield number, what, "", ""
        yield number, what, *attempt(loader, place / source.name)
        shutil.rmtree(place)


def main() -> None:
    """Try mutants as the command line says, and print a line of JSON before and after each."""
    name, seed, first, count = sys.argv[1], *map(int, sys.argv[2:5])
    with contextlib.suppress(ImportError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    with tempfile.TemporaryDirectory() as folder:
        start = 0.0
        for number, what, outcome, text in mutants(name, seed, first, count, Path(folder)):
            seconds = time.process_time() - start
            peak = _peak_mib()
            line = [number, what, outcome, text[:400], round(seconds, 3), round(peak)]
            print(json.dumps(line), flush=True)
            if not outcome:
                _forget_peak()
                start = time.process_time()


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_mib() -> float:
    """Return the largest memory of this process since `_forget_peak`."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


# ------------------------------------------------------------------------------------- many mutants


@dataclass
class Tally:
    """Outcomes of the mutants of a loader."""

    name: str
    counts: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    seconds: float = 0.0  # of the slowest mutant
    mib: float = 0.0  # of the largest

    def add(self, number: int, what: str, outcome: str, text: str, seconds: float, mib: float):
        self.counts[outcome] = self.counts.get(outcome, 0) + 1
        self.seconds, self.mib = max(self.seconds, seconds), max(self.mib, mib)
        bad = outcome not in ("loaded", "refused")
        if bad or seconds > MOST_SECONDS or mib > MOST_MIB:
            self.examples.append(
                f"{number} ({what}): {outcome}, {seconds:.1f} s, {mib:.0f} MiB {text}"
            )

    def bar(self) -> Bar:
        n = {k: self.counts.get(k, 0) for k in ("refused", "loaded", "raw", "unnamed", "ended")}
        value = (
            f"{n['raw']} raw, {n['unnamed']} unnamed, {n['ended']} ended of "
            f"{sum(self.counts.values())} ({n['loaded']} load); at most {self.mib:.0f} MiB, "
            f"{self.seconds:.1f} s"
        )
        must = f"0 raw, unnamed or ended; under {MOST_MIB:.0f} MiB, {MOST_SECONDS:.0f} s"
        bad = n["raw"] + n["unnamed"] + n["ended"]
        holds = bad == 0 and self.mib < MOST_MIB and self.seconds < MOST_SECONDS
        return Bar(f"mutants of {self.name}", value, must, holds)


def attack(name: str, seed: int, count: int) -> Tally:
    """Try mutants of one loader in processes of their own."""
    tally, first = Tally(name), 0
    while first < count:
        command = [sys.executable, "-m", __spec__.name if __spec__ else __name__]
        command += [name, str(seed), str(first), str(count - first)]
        with (
            tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as printed,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=printed, text=True, encoding="utf-8"
            ) as process,
        ):
            last = _follow(process, tally)
            printed.seek(0)
            said = printed.read()
        number, what, done = last or (first - 1, "", True)
        if done and number + 1 < count:
            # Not a loader failed, but what attacks it.
            raise RuntimeError(f"The attack on {name} ended after mutant {number}:\n{said[-2000:]}")
        # The mutant that the process did not survive counts; the next process goes on behind it.
        if not done:
            tally.add(number, what, "ended", said[-200:], MOST_SECONDS, 0.0)
        first = number + 1
    return tally


def _follow(process: subprocess.Popen[str], tally: Tally) -> tuple[int, str, bool] | None:
    """Read the lines of a process until it ends or a mutant takes too long."""
    assert process.stdout is not None
    # Before the first mutant, the process imports and compiles; between two, it makes the next one.
    deadline, ended = [time.monotonic() + _MAKING_SECONDS], threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            if time.monotonic() > deadline[0]:
                process.kill()

    threading.Thread(target=watch, daemon=True).start()
    last: tuple[int, str, bool] | None = None
    for line in process.stdout:
        number, what, outcome, text, seconds, mib = json.loads(line)
        last = number, what, bool(outcome)
        deadline[0] = time.monotonic() + (_MAKING_SECONDS if outcome else 4 * MOST_SECONDS)
        if outcome:
            tally.add(number, what, outcome, text, seconds, mib)
    process.wait()
    ended.set()
    return last


def bars(options: Options) -> Iterator[Bar]:
    """Yield a bar for each loader."""
    count = options.share(N_MUTANTS, at_least=30)
    names = [loader.name for loader, _ in loaders()]
    with ThreadPoolExecutor(options.processes) as pool:
        for tally in pool.map(lambda name: attack(name, options.seed, count), names):
            for example in tally.examples[:10]:
                print(f"  {tally.name}: {example}", flush=True)
            yield tally.bar()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
