"""Evaluating stored designs again, to learn whether the evaluation is still the same."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from pymoo.core.individual import calc_cv

from moela.evaluation.runners.outcome import OK, Outcome
from moela.evaluation.runners.runner import Runner
from moela.evaluation.storage.errors import StoreMismatchError
from moela.evaluation.storage.journal import Journal
from moela.evaluation.storage.schema import Row, RunRow

logger = logging.getLogger("moela.evaluator")

# Another machine or library may round differently; a changed simulator differs by more than this.
_RECHECK_RTOL = 1e-6
_ROUNDED = (
    "an old design of run %d, evaluated again, differs in its last bits: another machine or "
    "library rounds differently; the run continues, but its results may differ from those of an "
    "uninterrupted run"
)
_N_DRAWN = 8  # designs among which the cheapest are evaluated again


def recheck(journal: Journal, run: RunRow, runner: Runner, doubt: str) -> None:
    """Evaluate the cheapest design of a run again, and another one if there is a doubt.

    Raises if a result differs.
    """
    cheapest = journal.cheapest(run.id)
    if cheapest is None:
        return
    drawn = sample(journal, run.id, journal.last_id(), 1 if doubt else 0, salt=str(run.id))
    rows = [cheapest, *(row for row in drawn if row.id != cheapest.id)]
    difference, rounded = compare(journal, rows, runner)
    if difference:
        seen = f" ({doubt})" if doubt else ""
        raise StoreMismatchError(
            f"A design of run {run.id} in {journal.path}, evaluated again, has another result: "
            f"{difference}. The evaluation has changed since{seen}. Give the problem a new "
            "'version' and begin a new run with on_mismatch='new'. If the evaluation is noisy, use "
            "dedupe=False. To continue the run anyway, pass recheck=False."
        )
    if rounded:
        logger.warning(_ROUNDED, run.id)


def sample(journal: Journal, run: int, last: int, n: int, salt: str) -> list[Row]:
    """Return some successful evaluations of a run with ids up to `last`, for an evaluation again.

    They are the cheapest of a few that are drawn; feasible ones, if there are such, since a problem
    may leave its evaluation early for others. Another `salt` draws others.
    """
    newest = journal.newest(run, last) if n > 0 else None
    if newest is None:
        return []
    drawn: dict[int, Row] = {}
    for i in range(_N_DRAWN):
        number = blake2b(f"{salt} {run} {i}".encode(), digest_size=8).digest()
        row = journal.near(run, int.from_bytes(number) % (newest + 1), last) or journal.near(
            run, 0, last
        )
        if row is not None:
            drawn[row.id] = row
    return sorted(
        drawn.values(),
        key=lambda row: (not _feasible(row.outcome), row.outcome.duration, row.id),
    )[:n]


def _feasible(outcome: Outcome) -> bool:
    return bool(calc_cv(G=outcome.values.get("G"), H=outcome.values.get("H")) <= 0)


def compare(journal: Journal, rows: Sequence[Row], runner: Runner) -> tuple[str, bool]:
    """Evaluate stored designs again.

    Return the first difference, empty if there is none, and whether last bits differ.
    """
    rounded = False
    designs = [journal.design_of(row) for row in rows]
    for row, x in zip(rows, designs, strict=True):
        X = x[None] if isinstance(x, np.ndarray) else np.array([x], dtype=object)
        ((_, (new,)),) = runner.run([(0,)], X, ["F", "G", "H"])
        difference, last_bits = differences(row.outcome, new)
        if difference:
            return difference, rounded
        rounded |= last_bits
    return "", rounded


def differences(old: Outcome, new: Outcome) -> tuple[str, bool]:
    """Return how an outcome differs from the stored one, and whether only in its last bits."""
    if new.status != OK:
        return f"it fails now ({new.status}): {new.error}", False
    names = [name for name in "FGH" if name in old.values]
    pairs = [(old.values[name], new.values.get(name, np.empty(0))) for name in names]
    if all(np.array_equal(a, b, equal_nan=True) for a, b in pairs):
        return "", False
    if all(
        a.shape == b.shape and np.allclose(b, a, rtol=_RECHECK_RTOL, atol=0, equal_nan=True)
        for a, b in pairs
    ):
        return "", True
    name, (a, b) = next(
        (name, pair)
        for name, pair in zip(names, pairs, strict=True)
        if not np.array_equal(*pair, equal_nan=True)
    )
    return f"{name} = {b} instead of {name} = {a}", False
