"""Digests of results of the library, to check that a change of the code changes no result.

    python -m tests.benchmarks.digests                        # per case: digest, seconds, name
    python -m tests.benchmarks.digests --write before.json    # and the floats in before.npz
    python -m tests.benchmarks.digests --compare before.json  # exits with 1 if a result differs
    python -m tests.benchmarks.digests --only "noc*" --list
    python -m tests.benchmarks.digests --quick                # cases of less than two seconds

A digest is a hash of exact bytes. *Runs* are whole searches and must be equal bit for bit. *Values*
are objectives of fixed designs, predictions and formulas. They may differ by 1e-12 (relative), as
sums in another order do, but values that tied must still tie, and their order must stay, since
otherwise rounding makes one design dominate another. Digests of two versions are comparable only on
the same machine and with the same versions of all packages (`pip install -e ".[all,test]"`). The
cases are in `tests.benchmarks.digest_cases`.
"""

from __future__ import annotations

import os

# One thread, because sums over several threads are not repeatable; set before any import that
# starts threads.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

import json
import sys
import traceback
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from tests.benchmarks import harness
from tests.benchmarks.digest_cases import Case, all_cases, is_run
from tests.benchmarks.digest_cases.encoding import Encoding, distance

TOLERANCE = 1e-12

Encodings = dict[str, dict[str, Encoding]]


def run(cases: Mapping[str, Case]) -> Encodings:
    """Return encodings by case and part; a case that fails is left out."""
    found: Encodings = {}
    for name, case in cases.items():
        start = cpu_seconds()
        try:
            found[name] = {part: Encoding(value) for part, value in case().items()}
        except Exception:
            traceback.print_exc()
        hashes = {part: encoding.exact for part, encoding in found.get(name, {}).items()}
        shown = Encoding(hashes).exact if hashes else f"{'failed':32}"
        print(f"{shown}  {cpu_seconds() - start:6.1f} s  {name}", flush=True)
    return found


def write(path: Path, found: Encodings) -> None:
    """Write digests as JSON, and beside it the form and floats of values."""
    hashes = {name: {p: e.exact for p, e in parts.items()} for name, parts in found.items()}
    path.write_text(json.dumps(hashes, indent=1, sort_keys=True) + "\n")
    arrays = {}
    for name, parts in found.items():
        for part, encoding in parts.items():
            if not is_run(name, part):
                arrays[f"{name}: {part}"] = encoding.flat
                arrays[f"{name}: {part}, form"] = np.array(encoding.form)
    np.savez_compressed(path.with_suffix(".npz"), **arrays)


def differing(path: Path, chosen: Mapping[str, Case], found: Encodings) -> int:
    """Print each part that is not as it was written; return how many differ."""
    before = json.loads(path.read_text())
    before = {name: parts for name, parts in before.items() if name in chosen}
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file}
    wrong = 0
    for name in sorted({*before, *found}):
        old, new = before.get(name, {}), found.get(name, {})
        for part in sorted({*old, *new}):
            if part not in old or part not in new:
                wrong += 1
                print(f"{name}, {part}: only {'before' if part in old else 'after'}")
            elif old[part] != new[part].exact:
                key, kind, apart = f"{name}: {part}", "run", np.inf
                if not is_run(name, part):
                    kind = "values"
                    if arrays[f"{key}, form"] == new[part].form:
                        apart = distance(arrays[key], new[part])
                differ = "differ" if apart > TOLERANCE else f"last bits differ, by {apart:.1e}"
                wrong += apart > TOLERANCE
                print(f"{name}, {part}: {kind}: {differ}")
    return wrong


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its finished child processes."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    parser = harness.script_parser(__doc__)
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--only", metavar="PATTERN", default="", help="cases with this in the name")
    parser.add_argument("--quick", action="store_true", help="cases of less than two seconds")
    parser.add_argument("--write", metavar="FILE", type=Path, help="save digests and floats")
    parser.add_argument("--compare", metavar="FILE", type=Path, help="compare with saved ones")
    options = parser.parse_args()
    chosen = {
        name: case
        for name, case in all_cases(quick=options.quick).items()
        if options.only in name or fnmatch(name, options.only)
    }
    if options.list:
        print("\n".join(chosen))
        return
    found = run(chosen)
    print(f"{len(found)} cases, {cpu_seconds():.0f} s of processor time")
    if failed := [name for name in chosen if name not in found]:
        sys.exit(f"failed: {', '.join(failed)}")
    if options.write:
        write(options.write, found)
    if options.compare:
        wrong = differing(options.compare, chosen, found)
        harness.bar("parts that differ", wrong, "0")
        sys.exit(min(wrong, 1))


if __name__ == "__main__":
    main()
