"""Digests of what the library computes, to compare before and after a change that changes nothing.

    python -m tests.benchmarks.digests                        # a line a case: digest, seconds, name
    python -m tests.benchmarks.digests --write before.json
    python -m tests.benchmarks.digests --compare before.json  # exits with 1 where a case differs
    python -m tests.benchmarks.digests --processes 2          # twice, to see that nothing is random
    python -m tests.benchmarks.digests --only "noc*" --list

A digest is over exact bytes, so two files compare only on one machine with the same versions of
everything that computes (`pip install -e ".[all,test]"`). The cases are in
`tests.benchmarks.digest_cases`; names of the library that may change are in `names` there.
"""

from __future__ import annotations

import os

# One thread each, before anything is imported that starts more: sums of several differ.
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
    """Run the cases; return the digest of each part of each, by name, and those that failed."""
    from tests.benchmarks.digest_cases import all_cases
    from tests.benchmarks.digest_cases.encoding import digest

    found: Digests = {}
    failed = []
    chosen = [item for item in all_cases().items() if matches(item[0], wanted)]
    for name, case in reversed(chosen) if backward else chosen:
        start = cpu_seconds()
        try:
            found[name] = {part: digest(value) for part, value in case().items()}
        except Exception:
            traceback.print_exc()
            failed.append(name)
        shown = digest(found[name]) if name in found else f"{'failed':32}"
        print(f"{shown}  {cpu_seconds() - start:6.1f} s  {name}", flush=True)
    return found, failed


def run_in_processes(wanted: str | None, n: int) -> Digests:
    """Run the cases in n fresh processes, with nothing compiled; every second one backward."""
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
    """Name each case that differs, and its parts that do; return whether there is one."""
    found = False
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        found = True
        if old is None or new is None:
            print(f"{name}: only {'after' if old is None else 'before'}")
            continue
        parts = [part for part in sorted({*old, *new}) if old.get(part) != new.get(part)]
        print(f"{name}: {', '.join(parts)} differ{'s' if len(parts) == 1 else ''}")
    return found


def matches(name: str, wanted: str | None) -> bool:
    """Say whether a case is wanted: by its name, by part of it, or by a pattern."""
    return wanted is None or wanted in name or fnmatch(name, wanted)


def cpu_seconds() -> float:
    """Return the processor time of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="name the cases")
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
        found = run_in_processes(options.only, options.processes)
    else:
        found, failed = run(options.only, backward=options.backward)
    print(f"{len(found)} cases, {cpu_seconds():.0f} s of processor time")
    if options.write and not failed:
        options.write.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    if options.compare:
        before = json.loads(options.compare.read_text())
        before = {name: parts for name, parts in before.items() if matches(name, options.only)}
        if different(before, found):
            sys.exit(1)
        print(f"no case differs from {options.compare}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
