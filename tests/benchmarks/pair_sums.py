"""Designs until objectives of a permutation are found to be sums over pairs, with and without test.

    python -m tests.benchmarks.pair_sums --out docs/benchmarks/pair_sums.md

Objectives are flows between items times distances of their places, by a formula of their own here.
They have the distances in common or not, flows are uniform or of very different sizes, and costs of
items at places may come on top. Random designs and an exchange around each of them are shown to the
model, ten at a time, until it predicts both objectives exactly. With the test, the model may ask
for 16 designs, which count, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from moela._arrays import Floats
from moela.learning.pair_sums import PairSums
from tests.benchmarks import harness

# Whether distances are in common, whether flows differ in size, and whether there are costs.
KINDS = {
    "distances in common": (True, False, False),
    "distances in common, flows of different size": (True, True, False),
    "nothing in common": (False, False, False),
    "distances in common, and costs": (True, False, True),
    "nothing in common, and costs": (False, False, True),
}
_MOST = 4.0  # designs per m (m - 1) until a model has failed


def objectives(m: int, kind: str, rng: np.random.Generator) -> Callable[[Floats], Floats]:
    """Return a function from places [n, m] of m items to two objectives [n, 2]."""
    common, uneven, costs = KINDS[kind]
    flows = 10.0 ** rng.uniform(-2.0, 2.0, (2, m, m)) if uneven else rng.random((2, m, m))
    sites = rng.random((2, m, 2))
    if common:
        sites[1] = sites[0]
    apart = np.linalg.norm(sites[:, :, None] - sites[:, None], axis=3)
    at_places = 0.3 * m * costs * rng.random((2, m, m))

    def found(places: Floats) -> Floats:
        at = places.astype(int)
        between = apart[:, at[:, :, None], at[:, None, :]]
        total = np.einsum("kij,knij->nk", flows, between)
        return np.asarray(total + at_places[:, range(m), at].sum(axis=2).T)

    return found


def n_until_known(
    model: PairSums,
    evaluated: Callable[[Floats], Floats],
    rng: np.random.Generator,
    *,
    moves: bool = True,
) -> int | None:
    """Return the number of random designs until the model predicts all objectives; None if never.

    `moves` says whether an exchange around each design is shown to the model, too.
    """
    n, m = 0, model.m
    while n < _MOST * model.n_unknowns:
        places = rng.permuted(np.tile(np.arange(float(m)), (10, 1)), axis=1)
        F = evaluated(places)
        if moves:
            after = places.copy()
            after[:, [0, 1]] = after[:, [1, 0]]
            model.check(places, after, evaluated(after) - F)
        model.add(places, F)
        n += len(places)
        asked = model.test_designs()
        if asked is not None:
            tests = asked.astype(float)
            model.add(tests, evaluated(tests))
            n += len(asked)
        if model.complete:
            return n
    return None


def needed(m: int, kind: str, seed: int, *, tested: bool) -> float:
    """Return the designs until both objectives are predicted, per m (m - 1); inf if never."""
    rng = np.random.default_rng([seed, m])
    evaluated, model = objectives(m, kind, rng), PairSums(m, seed, testable=tested)
    n = n_until_known(model, evaluated, rng)
    return float("inf") if n is None else n / model.n_unknowns


def main() -> None:
    """Measure, and write the page."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    parser.add_argument("--seeds", type=int, default=11)
    parser.add_argument("--items", type=int, nargs="+", default=[10, 12, 16, 20])
    parser.add_argument("--out")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seeds, arguments.items = 2, [10]
    parts = [
        harness.header(
            "Designs until sums over pairs are found",
            "tests.benchmarks.pair_sums",
            "Random designs of m items until `PairSums` predicts both objectives, relative to "
            f"m (m - 1): medians of {arguments.seeds} instances, and process time of an instance. "
            "With the test, 16 designs have shown that the objectives are sums; without it, moves "
            "must confirm what is found. `inf` is for more than 4.",
        )
    ]
    for m in arguments.items:
        rows = [["objectives", "with test", "without", "seconds with test", "without"]]
        for kind in KINDS:
            medians, seconds = [], []
            for tested in (True, False):
                start = time.process_time()
                found = [needed(m, kind, seed, tested=tested) for seed in range(arguments.seeds)]
                medians.append(f"{np.median(found):.2f}")
                seconds.append(f"{(time.process_time() - start) / arguments.seeds:.2f}")
            rows.append([kind, *medians, *seconds])
            print(m, rows[-1], flush=True)
        parts += [f"## {m} items", harness.markdown(rows)]
    harness.finish(parts, arguments.out)


if __name__ == "__main__":
    main()
