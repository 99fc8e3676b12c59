"""The identity of a run in a store: whether a call continues a stored run or begins a new one."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

from pymoo.core.algorithm import Algorithm

from moela.evaluation.runners.call import worker_name
from moela.evaluation.runners.runner import Runner
from moela.evaluation.runs import mismatch, rechecks
from moela.evaluation.runs.open_run import REUSED, OpenRun, Signed, definition, stored_sources
from moela.evaluation.runs.reuse import sources_of
from moela.evaluation.storage.errors import StoreError, StoreMismatchError
from moela.evaluation.storage.journal import Journal
from moela.evaluation.storage.rescue import rescued_copies
from moela.evaluation.storage.schema import PLANNED, RunIdentity, RunRow, settings_of
from moela.evaluation.storage.sqlite import owner_alive
from moela.provenance import environment
from moela.provenance.signature import Json, Signature, differences, dump, of_algorithm
from moela.quality.words import harmless

logger = logging.getLogger("moela.evaluator")


def continue_or_begin(
    store: Path,
    run_id: int | None,
    *,
    signed: Signed,
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
            run = _reopen(journal, run_id, signed.signature)
            return OpenRun(run, journal, True, sources=stored_sources(run))
        seed, drawn = seed_of(algorithm)
        identity = RunIdentity(signed.signature, of_algorithm(algorithm), seed, drawn, settings)
        return _open(journal, identity, signed, budget, on_mismatch)
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
    """Evaluate old designs of a resumed run again; raise if a result differs."""
    rechecks.recheck(opened.journal, opened.run, runner, opened.doubt)


def begin_again(opened: OpenRun, signed: Signed, budget: int | None) -> OpenRun:
    """Begin a new run in place of one whose problem has turned out to be another one."""
    run = opened.run
    logger.warning("run %d is not continued, and none of its results are reused", run.id)
    identity = RunIdentity(
        {**signed.signature, **signed.beside()},
        json.loads(run.algorithm),
        run.seed,
        run.seed_drawn,
        json.loads(run.settings),
    )
    others: dict[int, int | str] = {
        k: v for k, v in stored_sources(run).items() if isinstance(v, int)
    }
    return _begin(opened.journal, identity, budget, others)


# ---- which run it is -----------------------------------------------------------------------------


def _open(
    journal: Journal,
    identity: RunIdentity,
    signed: Signed,
    budget: int | None,
    on_mismatch: str,
) -> OpenRun:
    """Return the run with this identity, or a new one."""
    runs = journal.runs()
    wanted = json.loads(dump(asdict(identity)))
    changes = [(_differences(run, wanted), run) for run in runs]
    same = [run for lines, run in reversed(changes) if not lines]
    # Of equal runs, the newest whose code is the same goes on.
    for run in sorted(same, key=lambda run: bool(signed.doubt(json.loads(run.problem)))):
        doubt = signed.doubt(json.loads(run.problem))
        opened = OpenRun(run, journal, True, doubt, stored_sources(run))
        _take_over(opened)
        return opened
    if runs and on_mismatch == "raise":
        raise StoreMismatchError(mismatch.message(journal, changes, identity.seed_drawn))
    if signed.unseen and identity.problem["version"] is None:
        logger.warning(
            "the store keeps only the name of %s: give the problem a 'version' that changes "
            "whenever its evaluation does, or a method signature()",
            signed.unseen_words(),
        )
    identity = replace(identity, problem={**identity.problem, **signed.beside()})
    return _begin(journal, identity, budget, sources_of(runs, signed))


def _begin(
    journal: Journal, identity: RunIdentity, budget: int | None, sources: dict[int, int | str]
) -> OpenRun:
    problem = identity.problem | {REUSED: {str(run): state for run, state in sources.items()}}
    settings = {PLANNED: budget} | identity.settings
    run = journal.start_run(replace(identity, problem=problem, settings=settings), budget)
    logger.info("run %d begins in %s (seed %s)", run.id, journal.path, run.seed)
    return OpenRun(run, journal, False, sources=sources)


# ---- continuing a run ----------------------------------------------------------------------------


def _reopen(journal: Journal, run_id: int, problem: Signature) -> RunRow:
    for run in journal.runs():
        if run.id == run_id and json.loads(run.problem)["class"] == problem["class"]:
            return run
    raise StoreError(
        f"The store {journal.path} does not hold run {run_id} of this problem any more. Give the "
        "algorithm a new Evaluator, or restore the file."
    )


def _differences(run: RunRow, wanted: Signature) -> list[str]:
    """Return the differences of a stored run from the call at hand."""
    stored: dict[str, Json] = {
        "problem": definition(json.loads(run.problem)),
        "algorithm": json.loads(run.algorithm),
        "seed": run.seed,
        "settings": settings_of(run),
    }
    return [line for name in stored for line in differences(stored[name], wanted[name], name)]


def _take_over(opened: OpenRun) -> None:
    journal, run = opened.journal, opened.run
    if opened.doubt:
        logger.warning("run %d continues, although %s", run.id, opened.doubt)
    if owner_alive(run.owner):
        logger.warning(
            "run %d in %s seems to be written by process %s right now; two processes that make the "
            "same run do the same work twice",
            run.id,
            journal.path,
            harmless(str(run.owner)),
        )
    stored, now = json.loads(run.versions), environment.versions()
    changes = differences(stored, now, "versions")
    if changes:
        logger.warning(
            "run %d continues with other versions, so its last bits may change: %s",
            run.id,
            harmless("; ".join(changes)),
        )
    n_eval = max(run.n_eval, journal.n_known(run.id))  # a killed run may have noted less
    journal.update_run(run.id, owner=worker_name(), n_eval=n_eval)
    logger.info("run %d in %s continues after %d evaluations", run.id, journal.path, n_eval)
