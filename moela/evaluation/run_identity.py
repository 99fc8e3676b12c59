"""Which run of a store a call is: the one that it goes on with, or a new one."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from moela.evaluation.runners.outcome import OK, Outcome
from moela.evaluation.runners.runner import Runner
from moela.evaluation.storage.journal import Journal, RunRow, StoreMismatchError
from moela.evaluation.storage.sqlite import StoreError, owner, owner_alive
from moela.provenance import renames, signature

logger = logging.getLogger("moela.evaluator")

# Another machine or library may round differently; a changed simulator moves more than this.
_RECHECK_RTOL = 1e-6


def seed_of(algorithm: Any) -> tuple[str | None, bool]:
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


def enter(
    store: Path,
    run_id: int | None,
    *,
    problem: dict[str, Any],
    problem_before: dict[str, Any],
    algorithm: Any,
    settings: dict[str, Any],
    budget: int | None,
    on_mismatch: str,
) -> tuple[RunRow, bool, Journal]:
    """Open a store and the run in it that a call is: with ``run_id`` that one, else see open_run.

    ``problem_before`` is the signature of the problem in the spelling of version 0.1.

    Returns
    -------
    The run, whether it had begun before, and the journal.
    """
    journal = Journal(store)
    try:
        if run_id is not None:
            return reopen_run(journal, run_id, problem), True, journal
        seed, seed_drawn = seed_of(algorithm)
        algorithm_before = signature.of_algorithm(algorithm, old=True)
        run, resumed = open_run(
            journal,
            problem=problem,
            algorithm=signature.of_algorithm(algorithm),
            before={"problem": problem_before, "algorithm": algorithm_before},
            seed=seed,
            seed_drawn=seed_drawn,
            settings=settings,
            budget=budget,
            on_mismatch=on_mismatch,
        )
        return run, resumed, journal
    except BaseException:
        journal.close()
        raise


def recheck(journal: Journal, run: RunRow, runner: Runner) -> None:
    """Evaluate the cheapest design of a run again and compare.

    Raises
    ------
    StoreMismatchError
        The results differ by more than rounding.
    """
    cheapest = journal.cheapest(run.id)
    if cheapest is None:
        return
    x, row = cheapest
    X = x[None] if isinstance(x, np.ndarray) else np.array([x], dtype=object)
    ((_, (outcome,)),) = runner.run([(0,)], X, ["F", "G", "H"])
    compare(run, journal, row.outcome, outcome)


def open_run(
    journal: Journal,
    *,
    problem: dict[str, Any],
    algorithm: dict[str, Any],
    before: dict[str, Any],
    seed: str | None,
    seed_drawn: bool,
    settings: dict[str, Any],
    budget: int | None,
    on_mismatch: str,
) -> tuple[RunRow, bool]:
    """Return the run of a store that is this call, and whether it had begun before.

    ``before`` holds the signatures of problem and algorithm in the spelling of version 0.1.

    Raises
    ------
    StoreMismatchError
        There are runs, but none of this problem, algorithm and seed, and ``on_mismatch="raise"``.
    """
    runs = journal.runs()
    wanted = {
        "problem": problem,
        "algorithm": algorithm,
        "seed": seed,
        "settings": settings,
    }
    wanted = json.loads(signature.dump(wanted))
    compared = [(_differences(run, wanted, before), run) for run in runs]
    for found, run in reversed(compared):
        if not found:
            _take_over(journal, run, budget)
            return run, True
    if runs and on_mismatch == "raise":
        raise StoreMismatchError(_mismatch(journal, compared, seed_drawn))
    # One spelling a file: evaluations are shared, and runs grouped, by what is stored.
    problem, algorithm = (
        next((old for old in known if not signature.differences(old, now, "", then)), now)
        for known, now, then in (
            ([json.loads(run.problem) for run in runs], problem, before["problem"]),
            ([json.loads(run.algorithm) for run in runs], algorithm, before["algorithm"]),
        )
    )
    run = journal.start_run(problem, algorithm, seed, seed_drawn, settings, budget)
    logger.info("run %d begins in %s (seed %s)", run.id, journal.path, seed)
    return run, False


def reopen_run(journal: Journal, run_id: int, problem: dict[str, Any]) -> RunRow:
    """Return the run that an evaluator was in before it was closed, copied or pickled.

    Raises
    ------
    StoreError
        The store does not hold that run with that problem.
    """
    for run in journal.runs():
        stored = renames.modern(json.loads(run.problem))
        if run.id == run_id and stored["class"] == problem["class"]:
            return run
    raise StoreError(
        f"The store {journal.path} does not hold run {run_id} of this problem any more. Give the "
        "algorithm a new Evaluator, or put the file back."
    )


def compare(run: RunRow, journal: Journal, old: Outcome, new: Outcome) -> None:
    """Compare an evaluation made again with the one in the store.

    Raises
    ------
    StoreMismatchError
        They differ by more than rounding.
    """
    if new.status == OK:
        pairs = [(old.values[name], new.values[name]) for name in old.values if name in "FGH"]
        if all(np.array_equal(a, b, equal_nan=True) for a, b in pairs):
            return
        if all(np.allclose(b, a, rtol=_RECHECK_RTOL, atol=0, equal_nan=True) for a, b in pairs):
            logger.warning(
                "an evaluation of run %d made again differs in its last bits: another machine or "
                "library rounds differently, so the run goes on but not bit by bit as before",
                run.id,
            )
            return
        what = f"F = {new.values['F']} now, F = {old.values['F']} in the store"
    else:
        what = f"it fails now ({new.status}): {new.error}"
    raise StoreMismatchError(
        f"A design of run {run.id} in {journal.path}, evaluated again, has another result: {what}. "
        "The evaluation has changed since. Give the problem a new 'version' and begin a new run "
        "with on_mismatch='new'; if the evaluation is noisy, use dedupe=False; to go on all the "
        "same, pass recheck=False."
    )


def _differences(run: RunRow, wanted: dict[str, Any], before: dict[str, Any]) -> list[str]:
    old = {
        "problem": json.loads(run.problem),
        "algorithm": json.loads(run.algorithm),
        "seed": run.seed,
        "settings": json.loads(run.settings),
    }
    return [
        line
        for name in old
        for line in signature.differences(
            old[name], wanted[name], name, before.get(name, wanted[name])
        )
    ]


def _take_over(journal: Journal, run: RunRow, budget: int | None) -> None:
    if owner_alive(run.owner):
        logger.warning(
            "run %d in %s seems to be written by process %s at this moment; two processes that do "
            "the same run do the same work twice",
            run.id,
            journal.path,
            run.owner,
        )
    changed = signature.differences(json.loads(run.versions), signature.versions(), "versions")
    if changed:
        logger.warning(
            "run %d goes on with other versions, its last bits may change: %s",
            run.id,
            "; ".join(changed),
        )
    journal.update_run(run.id, owner=owner(), budget=budget)
    logger.info("run %d in %s goes on from %d evaluations", run.id, journal.path, run.n_eval)


def _mismatch(journal: Journal, compared: list[tuple[list[str], RunRow]], seed_drawn: bool) -> str:
    found, run = min(reversed(compared), key=lambda entry: len(entry[0]))
    if seed_drawn and run.seed_drawn and [line.split(":")[0] for line in found] == ["seed"]:
        return (
            f"Run {run.id} in {journal.path} is of this problem and algorithm and drew its seed, "
            f"{run.seed}. Pass seed={run.seed} to go on with it, or on_mismatch='new' to begin "
            "another run in the same file."
        )
    if seed_drawn:
        found = [line if not line.startswith("seed:") else f"{line} (drawn)" for line in found]
    lines = "\n".join(f"  {line}" for line in found)
    return (
        f"No run in {journal.path} is this one. The nearest, run {run.id}, differs in\n{lines}\n"
        "Put back what was changed to go on with it (what changes as an object is used is not a "
        "setting: start its name with an underscore). Or pass Evaluator(on_mismatch='new') to "
        "begin a new run in the same file, for which old evaluations of the same problem count as "
        "known; or name another file. To start a new run from what the old one found, pass "
        "sampling=EvaluationStore(path).front() to the algorithm."
    )
