"""The identity of a run in a store: whether a call continues a stored run or begins a new one."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

from pymoo.core.algorithm import Algorithm

from moela.evaluation.runners.call import worker_name
from moela.evaluation.runners.runner import Runner
from moela.evaluation.runs import mismatch, rechecks
from moela.evaluation.runs.open_run import OpenRun, Signed
from moela.evaluation.runs.records import REUSED, keep_values, stored_sources
from moela.evaluation.runs.reuse import say_what_is_not_reused, say_what_is_unseen, sources_of
from moela.evaluation.storage.errors import StoreError, StoreMismatchError
from moela.evaluation.storage.journal import Journal
from moela.evaluation.storage.rescue import rescued_copies
from moela.evaluation.storage.schema import PLANNED, RunIdentity, RunRow, planned_of, settings_of
from moela.evaluation.storage.sqlite import owner_alive
from moela.provenance import environment, renames
from moela.provenance.content import Doubts, compare
from moela.provenance.signature import (
    Json,
    Signature,
    differences,
    dump,
    of_algorithm,
    of_problem,
)
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
            return OpenRun(run, journal, True, sources=stored_sources(run) or {})
        seed, drawn = seed_of(algorithm)
        identity = RunIdentity(signed.signature, of_algorithm(algorithm), seed, drawn, settings)
        before = {
            "problem": of_problem(signed.problem, old=True),
            "algorithm": of_algorithm(algorithm, old=True),
        }
        return _open(journal, identity, before, signed, budget, on_mismatch)
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
    rechecks.recheck(opened.journal, opened.run, runner, 1 if opened.doubts else 0)


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
        k: v for k, v in (stored_sources(run) or {}).items() if isinstance(v, int)
    }
    return _begin(opened.journal, identity, budget, others)


# ---- which run it is -----------------------------------------------------------------------------


class _Match(NamedTuple):
    """A stored run, its differences from the call at hand, and the doubts about its problem."""

    run: RunRow
    changes: list[str]
    doubts: Doubts


def _open(
    journal: Journal,
    identity: RunIdentity,
    before: dict[str, Signature],
    signed: Signed,
    budget: int | None,
    on_mismatch: str,
) -> OpenRun:
    """Return the run with this identity, or a new one.

    ``before`` holds the signatures of problem and algorithm in the spelling of version 0.1.
    """
    runs, content = journal.runs(), signed.content
    wanted = json.loads(dump(asdict(identity)))
    stored = [json.loads(run.problem) for run in runs]
    problems = compare(stored, wanted["problem"], before["problem"], content, "problem")
    matches = [
        _Match(run, [*lines, *_other_differences(run, wanted, before)], about)
        for run, (lines, about) in zip(runs, problems, strict=True)
    ]
    versioned = identity.problem["version"] is not None
    same = [match for match in reversed(matches) if not match.changes]
    for match in sorted(same, key=lambda match: bool(_relevant(match.doubts, versioned))):
        opened = OpenRun(match.run, journal, True, _relevant(match.doubts, versioned))
        _take_over(opened)
        keep_values(opened, signed)
        sources = stored_sources(match.run)
        if sources is None:  # version 0.1 used the runs with the same text
            earlier = [(r, p) for r, p in zip(runs, problems, strict=True) if r.id < match.run.id]
            sources = sources_of(earlier, versioned)
        opened.sources = sources
        return opened
    if runs and on_mismatch == "raise":
        compared = [(match.changes, match.run) for match in matches]
        raise StoreMismatchError(mismatch.message(journal, compared, identity.seed_drawn))
    # One spelling per file, in which readers group the runs.
    problem = _as_stored([run.problem for run in runs], identity.problem, before["problem"])
    maker = _as_stored([run.algorithm for run in runs], identity.algorithm, before["algorithm"])
    problem = {**problem, **signed.beside()}
    sources = sources_of(list(zip(runs, problems, strict=True)), versioned)
    say_what_is_unseen(content, versioned)
    say_what_is_not_reused(list(zip(runs, problems, strict=True)), sources)
    identity = replace(identity, problem=problem, algorithm=maker)
    return _begin(journal, identity, budget, sources)


def _begin(
    journal: Journal, identity: RunIdentity, budget: int | None, sources: dict[int, int | str]
) -> OpenRun:
    problem = identity.problem | {REUSED: {str(run): state for run, state in sources.items()}}
    settings = {PLANNED: budget} | identity.settings
    run = journal.start_run(replace(identity, problem=problem, settings=settings), budget)
    logger.info("run %d begins in %s (seed %s)", run.id, journal.path, run.seed)
    return OpenRun(run, journal, False, sources=sources)


def _relevant(about: Doubts, versioned: bool) -> Doubts:
    """Return the doubts about a resumed run; a version says the same of what cannot be seen."""
    return replace(about, unseen=()) if versioned else about


# ---- continuing a run ----------------------------------------------------------------------------


def _as_stored(texts: list[str], signature: Signature, before: Signature) -> Signature:
    """Return the first stored signature that is equal to this one, else this one."""
    for text in texts:
        old = renames.without_content(json.loads(text))
        if not differences(old, signature, "", before):
            return old
    return signature


def _reopen(journal: Journal, run_id: int, problem: Signature) -> RunRow:
    for run in journal.runs():
        stored = renames.modern(json.loads(run.problem))
        if run.id == run_id and stored["class"] == problem["class"]:
            return run
    raise StoreError(
        f"The store {journal.path} does not hold run {run_id} of this problem any more. Give the "
        "algorithm a new Evaluator, or restore the file."
    )


def _other_differences(run: RunRow, wanted: Signature, before: dict[str, Signature]) -> list[str]:
    """Return the differences of a stored run in everything but the problem."""
    maker, settings = json.loads(run.algorithm), settings_of(run)
    if "chunk_size" not in wanted["settings"]:  # earlier versions stored it for all runs
        settings.pop("chunk_size", None)
    stored: dict[str, Json] = {
        "algorithm": renames.as_planned(maker, wanted["algorithm"], planned_of(run)),
        "seed": run.seed,
        "settings": settings,
    }
    return [
        line
        for name, old in stored.items()
        for line in differences(old, wanted[name], name, before.get(name, wanted[name]))
    ]


def _take_over(opened: OpenRun) -> None:
    journal, run = opened.journal, opened.run
    if opened.doubts:
        logger.warning(
            "run %d continues, although its problem may be another one than when it began: %s",
            run.id,
            opened.doubts.words(),
        )
    if owner_alive(run.owner):
        logger.warning(
            "run %d in %s seems to be written by process %s right now; two processes that make the "
            "same run do the same work twice",
            run.id,
            journal.path,
            harmless(str(run.owner)),
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
            harmless("; ".join(changes)),
        )
    n_eval = max(run.n_eval, journal.n_known(run.id))  # a killed run may have noted less
    journal.update_run(run.id, owner=worker_name(), n_eval=n_eval)
    logger.info("run %d in %s continues after %d evaluations", run.id, journal.path, n_eval)
