"""Results of other runs of the same evaluation, which answer a run once designs of them agree."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence

from moela.evaluation.runners.runner import Runner
from moela.evaluation.runs import rechecks
from moela.evaluation.runs.open_run import OpenRun, Signed, definition
from moela.evaluation.storage.schema import RunRow
from moela.provenance.signature import differences

logger = logging.getLogger("moela.evaluator")

# Designs of another run that are evaluated again before its results are used: one if nothing speaks
# against it, more if its code has changed or cannot be compared.
_CHECKS, _MORE_CHECKS = 1, 2


def sources_of(runs: Sequence[RunRow], signed: Signed) -> dict[int, int | str]:
    """Return the runs of the same evaluation, and how many designs to evaluate again before use."""
    sources: dict[int, int | str] = {}
    for run in runs:
        stored = json.loads(run.problem)
        if not differences(definition(stored), signed.signature, "problem"):
            sources[run.id] = _MORE_CHECKS if signed.doubt(stored) else _CHECKS
    return sources


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
        opened.keep_sources()
    if difference:
        logger.warning(
            "results of run %d are not reused in run %d: a design of it, evaluated again, has "
            "another result: %s",
            source,
            opened.run.id,
            difference,
        )
    return not difference
