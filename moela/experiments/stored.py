"""Stored runs of an experiment: which of them are of the same problem, algorithm and code."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from moela.evaluation.storage.errors import StoreMismatchError
from moela.experiments.files import Key, Run
from moela.experiments.tasks import Task, make_problem
from moela.provenance import renames
from moela.provenance.code import BYTECODE, GLOBALS
from moela.provenance.content import CONTENT, Doubts, compare, python
from moela.provenance.distributions import UNKNOWN, same_release
from moela.provenance.signature import differences

logger = logging.getLogger("moela.experiment")


def stored_runs(tasks: list[Task], on_mismatch: str) -> dict[Key, Run]:
    """Return the runs of these tasks that are already in the store."""
    runs, stale, doubtful, unsure = {}, [], [], []
    loaded: dict[str, list[tuple[Task, Run]]] = {}
    for task in tasks:
        assert task.store is not None
        path = task.store / task.key.file_name
        if path.exists():
            loaded.setdefault(task.key.problem, []).append((task, Run.load(path)))
    for pairs in loaded.values():
        for (task, run), compared in zip(pairs, _compared(pairs), strict=True):
            changes, about = compared.changes, compared.doubts
            if about and not changes:
                difference = _difference(task, run)
                if difference:
                    changes = [f"the problem: {about.words()}; {difference}"]
                else:
                    doubtful.append(f"{run.key}: {about.words()}")
            if changes:
                lines = "; ".join(_explained(line, task) for line in changes)
                stale.append(f"{run.path}: {lines}")
                continue
            runs[task.key] = run
            if compared.unsure:
                unsure.append(f"{run.key} ({', '.join(compared.unsure)})")
    if unsure:
        logger.warning(
            "%d stored runs are used, although the code of their algorithm cannot be compared with "
            "that of today. The first is %s. Pass another store to make them again",
            len(unsure),
            unsure[0],
        )
    if doubtful:
        logger.warning(
            "%d stored runs are used, since designs of their fronts, evaluated again, have the "
            "same results, although their problem may have changed. The first is %s. Give the "
            "problem a 'version' that changes whenever its evaluation does",
            len(doubtful),
            doubtful[0],
        )
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


class _Compared(NamedTuple):
    """The differences of a stored run from its task, and what cannot be told."""

    changes: list[str]
    doubts: Doubts  # about its problem
    unsure: tuple[str, ...]  # parts of the code of its algorithm


def _compared(pairs: list[tuple[Task, Run]]) -> list[_Compared]:
    """Compare each stored run of a problem with its task."""
    out = []
    first = pairs[0][0]  # the others have the same problem
    wanted = renames.without_content(first.settings["problem"])
    problems = compare(
        [{**run.settings["problem"], "code": {}} for _, run in pairs],
        {**wanted, "code": {}},
        {**first.before["problem"], "code": {}},
        first.content,
        "settings.problem",
    )
    for (task, run), (changes, about) in zip(pairs, problems, strict=True):
        lines, unknown = _code_differences(run, "problem", wanted["code"])
        algorithm = dict(run.settings["algorithm"])
        now = task.settings["algorithm"]
        rest, unsure = _code_differences(run, "algorithm", now["code"])
        changes = [
            *differences(vars(run.key), vars(task.key), "run"),
            *changes,
            *lines,
            *differences(
                {**algorithm, "code": {}},
                {**now, "code": {}},
                "settings.algorithm",
                {**task.before["algorithm"], "code": {}},
            ),
            *rest,
        ]
        versioned = wanted["version"] is not None
        # The digests of sources are compared as code.
        about = replace(about, sources=unknown, unseen=() if versioned else about.unseen)
        out.append(_Compared(changes, about, unsure))
    return out


def _code_differences(
    run: Run, part: str, code: dict[str, str]
) -> tuple[list[str], tuple[str, ...]]:
    """Return the differences of the code of problem or algorithm, and what cannot be compared."""
    settings = run.settings[part]
    old = {
        package: version
        for package, version in dict(settings.get("code", {})).items()
        if package not in sys.stdlib_module_names
    }
    unknown = {
        package
        for package, version in old.items()
        if package in code and (version == UNKNOWN or same_release(version, code[package]))
    }
    if run.provenance.get("python", "").split(".")[:2] != python().split("."):
        unknown |= {BYTECODE, GLOBALS} & old.keys() & code.keys()
    left_out = {*unknown}
    if GLOBALS not in old:  # or the algorithm has changed them
        left_out.add(GLOBALS)
    if settings.get(CONTENT) is None and BYTECODE not in old:  # version 0.1 had no such digest
        left_out.add(BYTECODE)
    first, second = (
        {k: v for k, v in digests.items() if k not in left_out} for digests in (old, code)
    )
    return differences(first, second, f"settings.{part}.code"), tuple(sorted(unknown))


def _difference(task: Task, run: Run) -> str:
    """Evaluate designs of the front of a stored run again; return the first difference."""
    X, F = run.front_X, run.front_F
    if not len(X):
        return "no design of it can be evaluated again, because none is feasible"
    try:
        problem = make_problem(task.key.problem, task.problem)
        for i in sorted({0, len(X) // 2}):
            x = X[i : i + 1]
            new = problem.evaluate(x, return_values_of=["F"])
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
