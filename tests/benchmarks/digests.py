"""Digests of results of the library, to check that a change of the code changes no result.

    python -m tests.benchmarks.digests                        # per case: digest, seconds, name
    python -m tests.benchmarks.digests --write before.json
    python -m tests.benchmarks.digests --compare before.json  # exits with 1 if a case differs
    python -m tests.benchmarks.digests --processes 2          # checks that results are repeatable
    python -m tests.benchmarks.digests --only "noc*" --list

A digest is a hash of exact bytes. Digests of two versions are comparable only on the same machine
and with the same versions of all packages (`pip install -e ".[all,test]"`). The cases are in
`tests.benchmarks.digest_cases`. Names of the library that may change are in
`tests.benchmarks.digest_cases.names`.
"""

from __future__ import annotations

import os

# One thread, because sums over several threads are not repeatable; set before any import that
# starts threads.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

import argparse
import json
import subprocess
import sys
import tempfile
import traceback
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]

Digests = dict[str, dict[str, str]]


def run(wanted: str | None, *, backward: bool = False) -> tuple[Digests, list[str]]:
    """Run the cases; return digests by case and part, and the names of the cases that failed."""
    from tests.benchmarks.digest_cases import all_cases
    from tests.benchmarks.digest_cases.encoding import digest

    digests: Digests = {}
    failed = []
    chosen = [item for item in all_cases().items() if matches(item[0], wanted)]
    for name, case in reversed(chosen) if backward else chosen:
        start = cpu_seconds()
        try:
            digests[name] = {part: digest(value) for part, value in case().items()}
        except Exception:
            traceback.print_exc()
            failed.append(name)
        shown = digest(digests[name]) if name in digests else f"{'failed':32}"
        print(f"{shown}  {cpu_seconds() - start:6.1f} s  {name}", flush=True)
    return digests, failed


def run_in_processes(wanted: str | None, n: int) -> Digests:
    """Run the cases in n new processes with empty caches; every second one runs them backward."""
    results: list[Digests] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(n):
            out = Path(folder) / f"{number}.json"
            words = [sys.executable, "-m", "tests.benchmarks.digests", "--write", str(out)]
            words += ["--only", wanted] if wanted else []
            words += ["--backward"] if number % 2 else []
            cache = Path(folder) / f"cache {number}"
            environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
            print(f"process {number + 1} of {n}", flush=True)
            if subprocess.run(words, check=False, env=environment, cwd=ROOT).returncode:
                sys.exit(1)
            results.append(json.loads(out.read_text()))
    for other in results[1:]:
        if different(results[0], other):
            sys.exit("The processes disagree, so these cases are not deterministic.")
    return results[0]


def different(before: Digests, after: Digests) -> bool:
    """Print each case that differs, with its differing parts; return whether any case differs."""
    differs = False
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        differs = True
        if old is None or new is None:
            print(f"{name}: only {'after' if old is None else 'before'}")
            continue
        parts = [part for part in sorted({*old, *new}) if old.get(part) != new.get(part)]
        print(f"{name}: {', '.join(parts)} differ{'s' if len(parts) == 1 else ''}")
    return differs


def matches(name: str, wanted: str | None) -> bool:
    """Return whether a case is selected: by its name, a part of it, or a pattern."""
    return wanted is None or wanted in name or fnmatch(name, wanted)


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its finished child processes."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--only", metavar="PATTERN", help="cases with this in their names")
    parser.add_argument("--write", metavar="FILE", type=Path, help="save the digests as JSON")
    parser.add_argument("--compare", metavar="FILE", type=Path, help="compare with saved digests")
    parser.add_argument("--processes", type=int, default=1, help="fresh processes that must agree")
    parser.add_argument("--backward", action="store_true", help="run the last case first")
    options = parser.parse_args()
    if options.list:
        from tests.benchmarks.digest_cases import all_cases

        print("\n".join(name for name in all_cases() if matches(name, options.only)))
        return
    failed: list[str] = []
    if options.processes > 1:
        digests = run_in_processes(options.only, options.processes)
    else:
        digests, failed = run(options.only, backward=options.backward)
    print(f"{len(digests)} cases, {cpu_seconds():.0f} s of processor time")
    if options.write and not failed:
        options.write.write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")
    if options.compare:
        before = json.loads(options.compare.read_text())
        before = {name: parts for name, parts in before.items() if matches(name, options.only)}
        if different(before, digests):
            sys.exit(1)
        print(f"no case differs from {options.compare}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
