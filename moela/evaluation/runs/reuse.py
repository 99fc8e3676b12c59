"""Results of other runs that may answer a run: of problems that are the same as far as can be seen.

The problem of a run in the store keeps which runs these are, so that a resumed run uses the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from moela.evaluation.runners.runner import Runner
from moela.evaluation.runs import rechecks
from moela.evaluation.runs.open_run import OpenRun
from moela.evaluation.runs.records import keep_sources
from moela.evaluation.storage.schema import RunRow
from moela.provenance.content import Content, Doubts

logger = logging.getLogger("moela.evaluator")

# Designs of another run that are evaluated again before its results are used: one if nothing speaks
# against it, more if only the `version` of the problem says that it is the same.
_CHECKS, _MORE_CHECKS = 1, 2


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
        keep_sources(opened)
    if difference:
        logger.warning(
            "results of run %d are not reused in run %d: a design of it, evaluated again, has "
            "another result: %s",
            source,
            opened.run.id,
            difference,
        )
    return not difference


def sources_of(
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


def say_what_is_unseen(content: Content, versioned: bool) -> None:
    """Warn of parts of a problem that cannot be compared, unless its `version` decides."""
    if content.unseen and not versioned:
        listed = ", ".join(f"{path} ({kind})" for path, kind in [*content.unseen.items()][:5])
        logger.warning(
            "the store cannot see into %s: give the problem a 'version' that changes whenever its "
            "evaluation does, or a method signature(); until then, this run can be resumed, but "
            "its results are not reused by other runs",
            listed,
        )


def say_what_is_not_reused(
    runs: Sequence[tuple[RunRow, tuple[list[str], Doubts]]], sources: Mapping[int, object]
) -> None:
    """Warn of runs of the same problem that are in doubt, so that they are no `sources`."""
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
