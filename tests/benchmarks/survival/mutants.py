"""Damaged files for every reader: errors that name file and field, in little memory and time.

A mutant that loads must be valid data: it is evaluated, or saved and read again. The mutants of a
reader are read in a process of its own, which is ended if one takes too long, and begun again
behind it. Seconds are those of the processor, since others may share the machine; a reader that
waits is ended by the clock.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import re
import shutil
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from tests.benchmarks.survival import Bar, Options
from tests.conformance.readers import READERS, Reader

N_MUTANTS = 2_000
MOST_SECONDS, MOST_MIB = 10.0, 1024.0
_MAKING_SECONDS = 300.0
# A process that needs more address space is broken anyway; threads reserve some, too.
_ADDRESS_SPACE = 8 * 2**30
# Processes are forked from one that has imported all readers.
_PROCESSES = multiprocessing.get_context("forkserver")

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
    r"|an object such as|\d+ rows)"
)


def verdict(error: Exception, path: Path, reader: Reader) -> str:
    """Return "refused" if an error names file and field, else "unnamed" or "raw"."""
    if not isinstance(error, reader.errors):
        return "raw"
    # The name of a file that was not damaged may come first.
    head, found, rest = str(error).partition(str(path))
    named = bool(found) and bool(_PLACE.search(head + rest) or _WHOLE.match(rest))
    return "refused" if named else "unnamed"


def attempt(reader: Reader, path: Path) -> tuple[str, str]:
    """Read a damaged file, and return what came of it, and the message."""
    said = io.StringIO()  # such as a bar of progress
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            warnings.simplefilter("error")
            read = reader.load(path)
            if reader.save:
                getattr(read, reader.save)(again := path.with_name(f"again{path.suffix}"))
                reader.load(again)
    except Exception as error:
        outcome, text = verdict(error, path, reader), f"{type(error).__name__}: {error}"
        if outcome == "raw":
            frames = reversed(traceback.extract_tb(error.__traceback__))
            text += " @ " + " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames)
        return outcome, text
    return "loaded", ""


def mutants(
    reader: Reader, seed: int, first: int, count: int, folder: Path
) -> Iterator[tuple[int, str, str, str]]:
    """Make and read mutants `first` to `first + count` of a reader's file.

    Yields number, damage, outcome and message, before (without an outcome) and after each. A mutant
    depends on the seed and its number only.
    """
    (good := folder / "good").mkdir()
    outcome, text = attempt(reader, reader.write(good))
    assert outcome == "loaded", f"The good file of {reader.name} is not read: {text}"
    shutil.rmtree(good)
    good.mkdir()
    source = reader.write(good)
    for number in range(first, first + count):
        rng = np.random.default_rng([seed, number, *reader.name.encode()])
        shutil.copytree(good, place := folder / "bad")
        what = reader.mutate(source, place / source.name, rng)
        yield number, what, "", ""
        yield number, what, *attempt(reader, place / source.name)
        shutil.rmtree(place)


def _work(out: Connection, name: str, seed: int, first: int, count: int) -> None:
    """Send what came of each mutant, with seconds and MiB, before and after it."""
    with contextlib.suppress(ImportError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    reader = next(reader for reader in READERS if reader.name == name)
    with tempfile.TemporaryDirectory() as folder:
        start = 0.0
        for number, what, outcome, text in mutants(reader, seed, first, count, Path(folder)):
            seconds = time.process_time() - start
            out.send((number, what, outcome, text[:400], seconds, _peak_mib()))
            if not outcome:
                with contextlib.suppress(OSError):  # forget the peak
                    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
                start = time.process_time()


def _peak_mib() -> float:
    """Return the largest memory of this process since it was forgotten."""
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return 0.0


@dataclass
class Tally:
    """Outcomes of the mutants of a reader."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    seconds: float = 0.0  # of the slowest mutant
    mib: float = 0.0  # of the largest

    def add(self, number: int, what: str, outcome: str, text: str, seconds: float, mib: float):
        self.counts[outcome] += 1
        self.seconds, self.mib = max(self.seconds, seconds), max(self.mib, mib)
        bad = outcome not in ("loaded", "refused")
        if bad or seconds > MOST_SECONDS or mib > MOST_MIB:
            self.examples.append(
                f"{number} ({what}): {outcome}, {seconds:.1f} s, {mib:.0f} MiB {text}"
            )

    def bar(self) -> Bar:
        bad = [f"{self.counts[kind]} {kind}" for kind in ("raw", "unnamed", "ended")]
        value = (
            f"{', '.join(bad)} of {self.counts.total()} ({self.counts['loaded']} load); at most "
            f"{self.mib:.0f} MiB, {self.seconds:.1f} s"
        )
        must = f"0 raw, unnamed or ended; under {MOST_MIB:.0f} MiB, {MOST_SECONDS:.0f} s"
        return Bar(f"mutants of {self.name}", value, must, not self.examples)


def attack(name: str, seed: int, count: int) -> Tally:
    """Try mutants of one reader in processes of their own."""
    tally, first = Tally(name), 0
    while first < count:
        ours, theirs = _PROCESSES.Pipe(duplex=False)
        process = _PROCESSES.Process(target=_work, args=(theirs, name, seed, first, count - first))
        process.start()
        theirs.close()
        number, what, outcome = first - 1, "", "none"
        # Before the first mutant, the process compiles; between two, it makes the next one.
        with contextlib.suppress(EOFError):
            while ours.poll(_MAKING_SECONDS if outcome else 4 * MOST_SECONDS):
                number, what, outcome, *rest = ours.recv()
                if outcome:
                    tally.add(number, what, outcome, *rest)
        process.kill()
        process.join()
        if outcome and number + 1 < count:
            # Not a reader failed, but what attacks it.
            raise RuntimeError(f"The attack on {name} ended after mutant {number}.")
        # The mutant that the process did not survive counts; the next process goes on behind it.
        if not outcome:
            tally.add(number, what, "ended", "", MOST_SECONDS, 0.0)
        first = number + 1
    return tally


def bars(options: Options) -> Iterator[Bar]:
    """Yield a bar for each reader."""
    _PROCESSES.set_forkserver_preload([__name__])
    count = options.share(N_MUTANTS)
    with ThreadPoolExecutor(options.processes) as pool:
        names = [reader.name for reader in READERS]
        for tally in pool.map(lambda name: attack(name, options.seed, count), names):
            for example in tally.examples[:10]:
                print(f"  {tally.name}: {example}", flush=True)
            yield tally.bar()
