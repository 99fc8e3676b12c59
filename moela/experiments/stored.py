"""Stored runs of an experiment: which of them are of the same problem, algorithm and code."""

from __future__ import annotations

import logging

import numpy as np

from moela.evaluation.storage.errors import StoreMismatchError
from moela.experiments.files import Key, Run
from moela.experiments.tasks import Task, make_problem
from moela.provenance.signature import differences

logger = logging.getLogger("moela.experiment")


def stored_runs(tasks: list[Task], on_mismatch: str) -> dict[Key, Run]:
    """Return the runs of these tasks that are already in the store.

    Two designs of the front of the first run of each problem are evaluated again, unless the
    problem has a `version`, which says the same.
    """
    runs, stale = {}, []
    doubts: dict[str, str] = {}  # by problem: how designs, evaluated again, differ
    for task in tasks:
        assert task.store is not None
        path = task.store / task.key.file_name
        if not path.exists():
            continue
        run = Run.load(path)
        changes = [
            *differences(vars(run.key), vars(task.key), "run"),
            *differences(run.settings, task.settings, "settings"),
        ]
        if not changes and task.settings["problem"]["version"] is None:
            if run.key.problem not in doubts:
                doubts[run.key.problem] = _difference(task, run)
            changes = [doubts[run.key.problem]] if doubts[run.key.problem] else []
        if changes:
            stale.append(f"{path}: {'; '.join(_explained(line, task) for line in changes)}")
        else:
            runs[task.key] = run
    if stale and on_mismatch == "raise":
        more = f"\nand {len(stale) - 3} more" if len(stale) > 3 else ""
        raise StoreMismatchError(
            "The store holds runs with the same names, but of another problem, algorithm or code "
            "(stored -> now).\n" + "\n".join(stale[:3]) + f"{more}\nUse another store or other "
            'names, move the files away, or pass on_mismatch="rerun" to replace them.'
        )
    if stale:
        logger.info("%d stored runs do not match and are made again", len(stale))
    return runs


def _difference(task: Task, run: Run) -> str:
    """Evaluate designs of the front of a stored run again; return the first difference."""
    X, F = run.front_X, run.front_F
    try:
        problem = make_problem(task.key.problem, task.problem)
        for i in sorted({0, len(X) // 2}) if len(X) else ():
            new = problem.evaluate(X[i : i + 1], return_values_of=["F"])
            if not np.allclose(new, F[i], rtol=1e-6, atol=0, equal_nan=True):
                return f"a design, evaluated again, has F = {new[0]} instead of F = {F[i]}"
    except Exception as error:
        return f"a design, evaluated again, fails: {error!r}"
    return ""


def _explained(line: str, task: Task) -> str:
    """Name the class to which a difference between two digests of code belongs."""
    for part in ("problem", "algorithm"):
        if line.startswith(f"settings.{part}.code"):
            name, kind = getattr(task.key, part), task.settings[part]["class"]
            return f"the code of the {part} {name!r} ({kind}) has changed, {line}"
    return line
