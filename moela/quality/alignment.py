"""Runs on one problem, brought to the same objectives in the same order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from moela._arrays import Ints
from moela.quality.runs import ComparedRun, History, by_problem
from moela.quality.words import directions

# Names that say no more than the position of an objective.
_POSITION = re.compile(r"f_?\d+", re.IGNORECASE)
_OTHER_NAMES = (
    'Give different problems different names: {"problem": {"algorithm": runs}}. Columns of tables '
    "are named by objectives= (--objectives)."
)


def aligned(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """Return the runs with the objectives of each problem in the order of its first named run.

    Objectives without names, or with names such as ``f1``, are taken by their position.

    Raises
    ------
    ValueError
        Two runs on a problem differ in the number, the names, or the directions of the objectives.
    """
    first: dict[str, ComparedRun] = {}
    for problem, group in by_problem(list(runs)):
        first[problem] = next((run for run in group if is_named(run)), group[0])
        known = next((run for run in group if run.signs is not None), None)
        for run in group:
            _check_number(problem, group[0], run)
            if is_named(run):
                _check_names(problem, first[problem], run)
            if known is not None and run.signs is not None:
                _check_signs(problem, known, run)
    return [in_order(run, first[run.problem].names or ()) for run in runs]


def is_named(run: ComparedRun) -> bool:
    """Return whether each objective of a run has a name of its own, more than a position."""
    names = run.names or ()
    if len(names) != run.F.shape[1] or len(set(names)) < len(names):
        return False
    return not all(_POSITION.fullmatch(name) for name in names)


def in_order(run: ComparedRun, names: Sequence[str]) -> ComparedRun:
    """Return a run with its objectives in the order of these names, if they are its own."""
    own = run.names or ()
    if not is_named(run) or own == tuple(names) or set(own) != set(names):
        return run
    order = np.array([own.index(name) for name in names])
    point, signs = run.ref_point, run.signs
    return replace(
        run,
        F=run.F[:, order],
        names=tuple(names),
        signs=None if signs is None else tuple(signs[j] for j in order),
        ref_point=None if point is None or len(point) != len(order) else point[order],
        history=None if run.history is None else _ordered(run.history, order),
    )


def _ordered(history: History, order: Ints) -> History:
    return replace(history, load=lambda: history.load()[:, order])


def _check_number(problem: str, first: ComparedRun, other: ComparedRun) -> None:
    if other.F.shape[1] != first.F.shape[1]:
        raise ValueError(
            f"The fronts of a problem must have the same number of objectives. On {problem!r}, "
            f"{first.label} has {first.F.shape[1]} and {other.label} has {other.F.shape[1]}. "
            'Give different problems different names: {"problem": {"algorithm": runs}}.'
        )


def _check_names(problem: str, first: ComparedRun, other: ComparedRun) -> None:
    ours, theirs = first.names or (), other.names or ()
    if set(ours) != set(theirs):
        raise ValueError(
            f"The fronts of a problem must have the same objectives. On {problem!r}, {first.label} "
            f"has {', '.join(ours)}, and {other.label} has {', '.join(theirs)} instead. "
            f"{_OTHER_NAMES}"
        )


def _check_signs(problem: str, first: ComparedRun, other: ComparedRun) -> None:
    ours, theirs = _senses(first), _senses(other)
    by_name = is_named(first) and is_named(other)
    if ours != theirs if by_name else [*ours.values()] != [*theirs.values()]:
        raise ValueError(
            f"The fronts of a problem must have objectives of the same directions. On {problem!r}, "
            f"{first.label} has {directions(ours)}, and {other.label} has {directions(theirs)} "
            f"instead. {_OTHER_NAMES}"
        )


def _senses(run: ComparedRun) -> dict[str, float]:
    signs = run.signs or ()
    names = run.names if run.names and len(run.names) == len(signs) else map(str, range(len(signs)))
    return dict(zip(names, signs, strict=True))
