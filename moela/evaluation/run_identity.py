"""The identity of a run in a store: whether a call continues a stored run or begins a new one.

It also decides of which other runs the evaluations may answer a run: of those whose problem is the
same as far as can be seen, and whose evaluation still gives the stored results.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from pymoo.core.algorithm import Algorithm
from pymoo.core.problem import Problem

from moela.evaluation import rechecks
from moela.evaluation.runners.call import worker_name
from moela.evaluation.runners.runner import Runner
from moela.evaluation.storage.errors import StoreError, StoreMismatchError
from moela.evaluation.storage.journal import Journal
from moela.evaluation.storage.rescue import rescued_copies
from moela.evaluation.storage.schema import PLANNED, RunIdentity, RunRow, planned_of, settings_of
from moela.evaluation.storage.sqlite import owner_alive
from moela.provenance import environment, renames
from moela.provenance.content import CONTENT, Content, Doubts, Fingerprint, compare, content_of
from moela.provenance.scalars import Arrays
from moela.provenance.signature import (
    VALUES,
    Json,
    Signature,
    differences,
    dump,
    each_once,
    of_algorithm,
    of_problem,
    values_of,
)
from moela.quality.words import harmless

logger = logging.getLogger("moela.evaluator")

# Where the JSON of a problem keeps the runs whose results may be reused.
_REUSED = "reused"
# Designs of another run that are evaluated again before its results are used: one if nothing speaks
# against it, more if only the `version` of the problem says that it is the same.
_CHECKS, _MORE_CHECKS = 1, 2


@dataclass
class OpenRun:
    """A run of a store, its open journal, and what is known of its problem."""

    run: RunRow
    journal: Journal
    resumed: bool  # whether the run had begun before
    doubts: Doubts = field(default_factory=Doubts)  # whether the problem is still the one stored
    # By number of another run: the designs to evaluate again before its results are used, or, if
    # they may not be used, the reason.
    sources: dict[int, int | str] = field(default_factory=dict)


class Signed(NamedTuple):
    """A problem with its signature and its content."""

    problem: Problem
    signature: Signature
    content: Content

    def beside(self) -> Signature:
        """Return what a store keeps of a problem beside its signature."""
        values = values_of(self.problem)
        return {CONTENT: self.content.record(), **({VALUES: values} if values else {})}


def sign(problem: Problem) -> Signed:
    """Return a problem with its signature and its content."""
    arrays: Arrays = {}
    content = content_of(problem, arrays)
    return Signed(problem, of_problem(problem, arrays=arrays), content)


def changes(signature: Signature, fingerprint: Fingerprint | None, new: Signed) -> list[str]:
    """List the differences between two problems of one run.

    Without a fingerprint of the old content, only the signatures are compared.
    """
    lines = differences(signature, new.signature, "problem")
    if lines or fingerprint is None:
        return lines
    versioned = new.signature["version"] is not None
    differs = new.content.fingerprint().differs(fingerprint, versioned=versioned)
    return ["its content, or parts that cannot be seen into"] if differs else []


def enter(
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
            return OpenRun(run, journal, True, sources=_stored_sources(run) or {})
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
        k: v for k, v in (_stored_sources(run) or {}).items() if isinstance(v, int)
    }
    return _begin(opened.journal, identity, budget, others)


def trusted(opened: OpenRun, source: int, runner: Runner | None) -> bool:
    """Return whether results of another run may be used, after evaluating some of it again.

    Without a runner nothing is evaluated, so that only runs without any doubt are used.
    """
    state = opened.sources.get(source, "")
    if isinstance(state, str):
        return False
    if state == 0 or (runner is None and state == _CHECKS):
        return True
    difference = "it was not evaluated again, because of recheck=False"
    if runner is not None:
        salt = f"{opened.run.id} {opened.run.seed}"
        rows = rechecks.sample(opened.journal, source, opened.run.base, state, salt)
        difference, _ = rechecks.compare(opened.journal, rows, runner)
        opened.sources[source] = difference or 0
        _keep_sources(opened)
    if difference:
        logger.warning(
            "results of run %d are not reused in run %d: a design of it, evaluated again, has "
            "another result: %s",
            source,
            opened.run.id,
            difference,
        )
    return not difference


def remember(opened: OpenRun, content: Content) -> None:
    """Keep the digests of what has changed in the problem while the run was going on."""
    problem = _stored_problem(opened)
    record = problem.get(CONTENT)
    if record is None:
        return
    changed = content.remembered(record)
    if changed is not None:
        opened.journal.update_run(opened.run.id, problem=dump(problem | {CONTENT: changed}))


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
        _keep_values(opened, signed)
        sources = _stored_sources(match.run)
        if sources is None:  # version 0.1 used the runs with the same text
            earlier = [(r, p) for r, p in zip(runs, problems, strict=True) if r.id < match.run.id]
            sources = _sources(earlier, versioned)
        opened.sources = sources
        return opened
    if runs and on_mismatch == "raise":
        compared = [(match.changes, match.run) for match in matches]
        raise StoreMismatchError(_mismatch(journal, compared, identity.seed_drawn))
    # One spelling per file, in which readers group the runs.
    problem = _as_stored([run.problem for run in runs], identity.problem, before["problem"])
    maker = _as_stored([run.algorithm for run in runs], identity.algorithm, before["algorithm"])
    problem = {**problem, **signed.beside()}
    sources = _sources(list(zip(runs, problems, strict=True)), versioned)
    _say_what_is_unseen(content, versioned)
    _say_what_is_not_reused(list(zip(runs, problems, strict=True)), sources)
    identity = replace(identity, problem=problem, algorithm=maker)
    return _begin(journal, identity, budget, sources)


def _begin(
    journal: Journal, identity: RunIdentity, budget: int | None, sources: dict[int, int | str]
) -> OpenRun:
    problem = identity.problem | {_REUSED: {str(run): state for run, state in sources.items()}}
    settings = {PLANNED: budget} | identity.settings
    run = journal.start_run(replace(identity, problem=problem, settings=settings), budget)
    logger.info("run %d begins in %s (seed %s)", run.id, journal.path, run.seed)
    return OpenRun(run, journal, False, sources=sources)


def _relevant(about: Doubts, versioned: bool) -> Doubts:
    """Return the doubts about a resumed run; a version says the same of what cannot be seen."""
    return replace(about, unseen=()) if versioned else about


# ---- whose results may be used -------------------------------------------------------------------


def _sources(
    runs: Sequence[tuple[RunRow, tuple[list[str], Doubts]]], versioned: bool
) -> dict[int, int | str]:
    """Return the runs whose results may be used, and how many designs to evaluate again before."""
    sources: dict[int, int | str] = {}
    for run, (changes, about) in runs:
        if changes:
            continue
        only_sources = not replace(about, sources=())
        if not about:
            sources[run.id] = _CHECKS
        elif versioned or only_sources:
            sources[run.id] = _MORE_CHECKS
    return sources


def _stored_sources(run: RunRow) -> dict[int, int | str] | None:
    stored = json.loads(run.problem).get(_REUSED)
    return None if stored is None else {int(key): value for key, value in stored.items()}


def _keep_sources(opened: OpenRun) -> None:
    problem = _stored_problem(opened)
    problem[_REUSED] = {str(run): state for run, state in opened.sources.items()}
    opened.journal.update_run(opened.run.id, problem=dump(problem))


def _keep_values(opened: OpenRun, signed: Signed) -> None:
    """Add the names behind digests to a run of a version that kept the digests only."""
    problem = json.loads(opened.run.problem)
    values = values_of(signed.problem)
    if values and VALUES not in problem:
        opened.journal.update_run(opened.run.id, problem=dump(problem | {VALUES: values}))


def _stored_problem(opened: OpenRun) -> dict[str, Any]:
    run = next(run for run in opened.journal.runs() if run.id == opened.run.id)
    problem: dict[str, Any] = json.loads(run.problem)
    return problem


def _say_what_is_unseen(content: Content, versioned: bool) -> None:
    if content.unseen and not versioned:
        listed = ", ".join(f"{path} ({kind})" for path, kind in [*content.unseen.items()][:5])
        logger.warning(
            "the store cannot see into %s: give the problem a 'version' that changes whenever its "
            "evaluation does, or a method signature(); until then, this run can be resumed, but "
            "its results are not reused by other runs",
            listed,
        )


def _say_what_is_not_reused(
    runs: Sequence[tuple[RunRow, tuple[list[str], Doubts]]], sources: Mapping[int, object]
) -> None:
    reasons: dict[str, list[int]] = {}
    for run, (changes, about) in runs:
        if not changes and run.id not in sources:
            reasons.setdefault(about.words(), []).append(run.id)
    for words, numbers in reasons.items():
        logger.warning(
            "results of run %s are not reused: %s. Give the problem a 'version' that changes "
            "whenever its evaluation does, and it decides",
            ", ".join(map(str, numbers[:5])),
            words,
        )


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
    maker = json.loads(run.algorithm)
    stored: dict[str, Json] = {
        "algorithm": renames.as_planned(maker, wanted["algorithm"], planned_of(run)),
        "seed": run.seed,
        "settings": settings_of(run),
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
    newest = journal.newest(run.id, journal.last_id())  # a killed run may have noted less
    n_eval = max(run.n_eval, 0 if newest is None else newest + 1)
    journal.update_run(run.id, owner=worker_name(), n_eval=n_eval)
    logger.info("run %d in %s continues after %d evaluations", run.id, journal.path, n_eval)


def _distance(entry: tuple[list[str], RunRow]) -> tuple[int, int]:
    """Return how far a run is from the call at hand: classes that differ, then all changes."""
    changes, _ = entry
    return sum(change.split(":")[0].endswith(".class") for change in changes), len(changes)


def _mismatch(journal: Journal, compared: list[tuple[list[str], RunRow]], seed_drawn: bool) -> str:
    changes, run = min(reversed(compared), key=_distance)
    if seed_drawn and run.seed_drawn and [line.split(":")[0] for line in changes] == ["seed"]:
        return (
            f"Run {run.id} in {journal.path} has this problem and algorithm and drew its seed, "
            f"{run.seed}. Pass seed={run.seed} to continue it, or on_mismatch='new' to begin "
            "another run in the same file."
        )
    if seed_drawn:
        changes = [f"{line} (drawn)" if line.startswith("seed:") else line for line in changes]
    lines = "\n".join(f"  {line}" for line in each_once(changes))
    return (
        f"The store {journal.path} does not hold this run. The most similar one, run {run.id}, "
        f"differs (stored -> now):\n{lines}\n"
        "To continue that run, undo these changes. (An attribute that changes while the object is "
        "used is not a setting: start its name with an underscore.) To begin a new run in the same "
        "file, pass Evaluator(on_mismatch='new'); it reuses the stored evaluations of the same "
        "problem. To keep the runs apart, name another file. To start a new run from the results "
        "of an old one, pass sampling=EvaluationStore(path).front() to the algorithm."
    )
