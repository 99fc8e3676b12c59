"""Records of the problem of a run beside its signature: digests, names behind them, reused runs."""

from __future__ import annotations

import json
from typing import Any

from moela.evaluation.runs.open_run import OpenRun, Signed
from moela.evaluation.storage.schema import RunRow
from moela.provenance.content import CONTENT, Content
from moela.provenance.signature import VALUES, dump, values_of

# Where the JSON of a problem keeps the runs whose results may be reused.
REUSED = "reused"


def stored_sources(run: RunRow) -> dict[int, int | str] | None:
    """Return the `sources` of a stored run, None if version 0.1 has written it."""
    stored = json.loads(run.problem).get(REUSED)
    return None if stored is None else {int(key): value for key, value in stored.items()}


def keep_sources(opened: OpenRun) -> None:
    """Write the `sources` of a run to the store."""
    problem = _stored_problem(opened)
    problem[REUSED] = {str(run): state for run, state in opened.sources.items()}
    opened.journal.update_run(opened.run.id, problem=dump(problem))


def keep_values(opened: OpenRun, signed: Signed) -> None:
    """Add the names behind digests to a run of a version that kept the digests only."""
    problem = json.loads(opened.run.problem)
    values = values_of(signed.problem)
    if values and VALUES not in problem:
        opened.journal.update_run(opened.run.id, problem=dump(problem | {VALUES: values}))


def _stored_problem(opened: OpenRun) -> dict[str, Any]:
    run = next(run for run in opened.journal.runs() if run.id == opened.run.id)
    problem: dict[str, Any] = json.loads(run.problem)
    return problem


def remember(opened: OpenRun, content: Content) -> None:
    """Keep the digests of what has changed in the problem while the run was going on."""
    problem = _stored_problem(opened)
    record = problem.get(CONTENT)
    if record is None:
        return
    changed = content.remembered(record)
    if changed is not None:
        opened.journal.update_run(opened.run.id, problem=dump(problem | {CONTENT: changed}))
