"""The identity of a run in a store: whether a call continues a stored run or begins a new one."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.problem import Problem

from moela.evaluation.runners.call import worker_name
from moela.evaluation.runners.outcome import OK
from moela.evaluation.runners.runner import Runner
from moela.evaluation.storage.errors import StoreError, StoreMismatchError
from moela.evaluation.storage.journal import Journal
from moela.evaluation.storage.rescue import rescued_copies
from moela.evaluation.storage.schema import RunIdentity, RunRow
from moela.evaluation.storage.sqlite import owner_alive
from moela.provenance import environment, renames
from moela.provenance.signature import Json, Signature, differences, dump, of_algorithm, of_problem

logger = logging.getLogger("moela.evaluator")

# Another machine or library may round differently; a changed simulator differs by more than this.
_RECHECK_RTOL = 1e-6
_ROUNDED = (
    "an old design of run %d, evaluated again, differs in its last bits: another machine or "
    "library rounds differently; the run continues, but its results may differ from those of an "
    "uninterrupted run"
)


class OpenRun(NamedTuple):
    """A run of a store, its open journal, and whether the run had begun before."""

    run: RunRow
    journal: Journal
    resumed: bool


def enter(
    store: Path,
    run_id: int | None,
    *,
    problem: Problem,
    signature: Signature,
    algorithm: Algorithm | None,
    settings: dict[str, Json],
    budget: int | None,
    on_mismatch: str,
) -> OpenRun:
    """Open a store and the run in it that this call continues, or begin a new run.

    ``run_id`` is the run that the evaluator was in before it was closed, copied or pickled.
    """
    copies = rescued_copies(store) if on_mismatch == "raise" and run_id is None else []
    if copies and not store.exists():
        raise StoreError(
            f"There is no store {store}, but a copy that was rescued when it was deleted or "
            f"damaged: {copies[-1]}. Rename it to {store.name} to continue its runs, or move it "
            "away, or pass on_mismatch='new', to begin with an empty store."
        )
    journal = Journal(store)
    try:
        if run_id is not None:
            return OpenRun(_reopen(journal, run_id, signature), journal, True)
        seed, drawn = seed_of(algorithm)
        identity = RunIdentity(signature, of_algorithm(algorithm), seed, drawn, settings)
        before = {
            "problem": of_problem(problem, old=True),
            "algorithm": of_algorithm(algorithm, old=True),
        }
        return _open(journal, identity, before, budget, on_mismatch)
    except BaseException:
        journal.close()
        raise


def seed_of(algorithm: Algorithm | None) -> tuple[str | None, bool]:
    """Return the seed of an algorithm that has been set up, and whether it had to be drawn.

    An algorithm without a seed has drawn its entropy from the system; that entropy, given as
    ``seed``, makes the same generator again.
    """
    if algorithm is None:
        return None, False
    if algorithm.seed is not None:
        return str(algorithm.seed), False
    sequence = getattr(getattr(algorithm.random_state, "bit_generator", None), "seed_seq", None)
    entropy = getattr(sequence, "entropy", None)
    return (str(entropy), True) if isinstance(entropy, int) else (None, False)


def recheck(opened: OpenRun, runner: Runner) -> None:
    """Evaluate the cheapest design of a run again; raise if the result differs."""
    row = opened.journal.cheapest(opened.run.id)
    if row is None:
        return
    x = opened.journal.design_of(row)
    X = x[None] if isinstance(x, np.ndarray) else np.array([x], dtype=object)
    ((_, (new,)),) = runner.run([(0,)], X, ["F", "G", "H"])
    old = row.outcome
    if new.status == OK:
        pairs = [(old.values[name], new.values[name]) for name in old.values if name in "FGH"]
        if all(np.array_equal(a, b, equal_nan=True) for a, b in pairs):
            return
        if all(np.allclose(b, a, rtol=_RECHECK_RTOL, atol=0, equal_nan=True) for a, b in pairs):
            logger.warning(_ROUNDED, opened.run.id)
            return
        result = f"F = {new.values['F']} instead of F = {old.values['F']}"
    else:
        result = f"it fails now ({new.status}): {new.error}"
    raise StoreMismatchError(
        f"A design of run {opened.run.id} in {opened.journal.path}, evaluated again, has another "
        f"result: {result}. The evaluation has changed since. Give the problem a new 'version' and "
        "begin a new run with on_mismatch='new'. If the evaluation is noisy, use dedupe=False. To "
        "continue the run anyway, pass recheck=False."
    )


def _open(
    journal: Journal,
    identity: RunIdentity,
    before: dict[str, Signature],
    budget: int | None,
    on_mismatch: str,
) -> OpenRun:
    """Return the run with this identity, or a new one.

    ``before`` holds the signatures of problem and algorithm in the spelling of version 0.1.
    """
    runs = journal.runs()
    wanted = json.loads(dump(asdict(identity)))
    compared = [(_differences(run, wanted, before), run) for run in runs]
    for changes, run in reversed(compared):
        if not changes:
            _take_over(journal, run, budget)
            return OpenRun(run, journal, True)
    if runs and on_mismatch == "raise":
        raise StoreMismatchError(_mismatch(journal, compared, identity.seed_drawn))
    # One spelling per file, because evaluations are shared by the stored text of the problem.
    problem = _as_stored([run.problem for run in runs], identity.problem, before["problem"])
    maker = _as_stored([run.algorithm for run in runs], identity.algorithm, before["algorithm"])
    run = journal.start_run(replace(identity, problem=problem, algorithm=maker), budget)
    logger.info("run %d begins in %s (seed %s)", run.id, journal.path, run.seed)
    return OpenRun(run, journal, False)


def _as_stored(texts: list[str], signature: Signature, before: Signature) -> Signature:
    """Return the first stored signature that is equal to this one, else this one."""
    stored = (json.loads(text) for text in texts)
    return next((old for old in stored if not differences(old, signature, "", before)), signature)


def _reopen(journal: Journal, run_id: int, problem: Signature) -> RunRow:
    for run in journal.runs():
        stored = renames.modern(json.loads(run.problem))
        if run.id == run_id and stored["class"] == problem["class"]:
            return run
    raise StoreError(
        f"The store {journal.path} does not hold run {run_id} of this problem any more. Give the "
        "algorithm a new Evaluator, or restore the file."
    )


def _differences(run: RunRow, wanted: dict[str, Json], before: dict[str, Signature]) -> list[str]:
    stored: dict[str, Json] = {
        "problem": json.loads(run.problem),
        "algorithm": json.loads(run.algorithm),
        "seed": run.seed,
        "settings": json.loads(run.settings),
    }
    return [
        line
        for name, old in stored.items()
        for line in differences(old, wanted[name], name, before.get(name, wanted[name]))
    ]


def _take_over(journal: Journal, run: RunRow, budget: int | None) -> None:
    if owner_alive(run.owner):
        logger.warning(
            "run %d in %s seems to be written by process %s right now; two processes that make the "
            "same run do the same work twice",
            run.id,
            journal.path,
            run.owner,
        )
    stored, now = json.loads(run.versions), environment.versions()
    both = sorted(stored.keys() & now.keys())  # the list of packages has grown since version 0.1
    changes = differences(
        {name: stored[name] for name in both}, {name: now[name] for name in both}, "versions"
    )
    if changes:
        logger.warning(
            "run %d continues with other versions, so its last bits may change: %s",
            run.id,
            "; ".join(changes),
        )
    journal.update_run(run.id, owner=worker_name(), budget=budget)
    logger.info("run %d in %s continues after %d evaluations", run.id, journal.path, run.n_eval)


def _mismatch(journal: Journal, compared: list[tuple[list[str], RunRow]], seed_drawn: bool) -> str:
    changes, run = min(reversed(compared), key=lambda entry: len(entry[0]))
    if seed_drawn and run.seed_drawn and [line.split(":")[0] for line in changes] == ["seed"]:
        return (
            f"Run {run.id} in {journal.path} has this problem and algorithm and drew its seed, "
            f"{run.seed}. Pass seed={run.seed} to continue it, or on_mismatch='new' to begin "
            "another run in the same file."
        )
    if seed_drawn:
        changes = [f"{line} (drawn)" if line.startswith("seed:") else line for line in changes]
    lines = "\n".join(f"  {line}" for line in changes)
    return (
        f"The store {journal.path} does not hold this run. The most similar one, run {run.id}, "
        f"differs (stored -> now):\n{lines}\n"
        "To continue that run, undo these changes. (An attribute that changes while the object is "
        "used is not a setting: start its name with an underscore.) To begin a new run in the same "
        "file, pass Evaluator(on_mismatch='new'); it reuses the stored evaluations of the same "
        "problem. To keep the runs apart, name another file. To start a new run from the results "
        "of an old one, pass sampling=EvaluationStore(path).front() to the algorithm."
    )
