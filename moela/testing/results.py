"""Checks of algorithms: the front, callbacks, history and display of a run."""

from __future__ import annotations

import contextlib
import io

import moocore
import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.callback import Callback
from pymoo.core.problem import Problem
from pymoo.util.display.multi import MultiObjectiveOutput

from moela.testing.drive import (
    N_EVAL,
    MakeAlgorithm,
    as_set,
    dominated,
    key,
    run,
)
from moela.testing.toys import ToyInfeasible, ToyReal


def check_front(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that the front is non-dominated, feasible, and made of designs that were evaluated."""
    res, recorder = run(make, problem, N_EVAL)
    if res.F is None:
        assert not recorder.front(), "Feasible designs were found, so res.F must not be None."
        return
    assert not dominated(res.F).any(), "res.F must hold non-dominated rows only."
    assert (np.asarray(res.CV) <= 0.0).all(), "res must hold feasible designs only."
    evaluated = {
        (design, tuple(F.tolist())) for design, F in zip(recorder.designs, recorder.F, strict=True)
    }
    for x, F in zip(res.X, res.F, strict=True):
        assert (key(x), tuple(F.tolist())) in evaluated, (
            f"Every design of the front must have been evaluated with these objectives. {key(x)} "
            f"with F = {F} was not."
        )


def check_nothing_is_lost(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that the front is that of all evaluated designs, not of the last population."""
    res, recorder = run(make, problem, N_EVAL)
    front = recorder.front()
    got = set() if res.F is None else as_set(res.F)
    assert got == front, (
        f"The result must be the non-dominated of all evaluated designs, {len(front)} of them. Got "
        f"{len(got)}, of which {len(got & front)} belong there."
    )


def check_infeasible(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that without a feasible design the result is empty, or the least infeasible front."""
    problem = ToyInfeasible()
    res, _ = run(make, problem, N_EVAL)
    assert res.F is None, f"res.F must be None if nothing is feasible. Got {res.F} instead."
    res, recorder = run(make, problem, N_EVAL, return_least_infeasible=True)
    assert res.F is not None and len(res.F), "return_least_infeasible=True must give designs."  # noqa: PT018
    least, got = min(recorder.CV), float(np.min(res.CV))
    assert got <= least + 1e-12, f"The least violation found was {least}. The result has {got}."
    sampled = float(np.median(recorder.CV[:10]))
    assert least < sampled, f"The violation must fall below the sample's {sampled}. It did not."


def check_scale(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that an objective in units a million times smaller does not dominate the search."""
    volumes = []
    for scale in (1.0, 2.0**20):
        res, _ = run(make, ToyReal(scale), 400)
        F = res.F / np.array([1.0, scale])
        volumes.append(moocore.hypervolume(F, ref=np.array([5.0, 5.0])))
    ratio = volumes[1] / volumes[0]
    assert ratio > 0.95, (
        f"With one objective times 2**20 a run must reach at least 95 % of the hypervolume. It "
        f"reached {100 * ratio:.0f} %."
    )


def check_callback(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that a callback sees every evaluation once, in `algorithm.off`."""
    callback = _Collect()
    _, recorder = run(make, problem, N_EVAL, callback=callback)
    assert callback.designs == recorder.designs, (
        f"The callback must see each of the {len(recorder.designs)} evaluated designs, in order. "
        f"It saw {len(callback.designs)}."
    )


def check_save_history(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that `save_history` keeps the algorithm as it was after each iteration."""
    callback = _Collect()
    res, _ = run(make, problem, N_EVAL, save_history=True, callback=callback)
    assert len(res.history) == len(callback.fronts), (
        f"The history must have {len(callback.fronts)} entries. Got {len(res.history)} instead."
    )
    for i, (entry, front) in enumerate(zip(res.history, callback.fronts, strict=True)):
        assert as_set(entry.opt.get("F")) == front, (
            f"history[{i}].opt must be the front after iteration {i + 1}. It has changed since."
        )


def check_display(make: MakeAlgorithm, problem: Problem) -> None:
    """Check that `verbose=True` prints a line per iteration, with pymoo's own columns."""
    for output in ({}, {"output": MultiObjectiveOutput()}):
        callback, text = _Collect(), io.StringIO()
        with contextlib.redirect_stdout(text):
            run(make, problem, N_EVAL, verbose=True, callback=callback, **output)
        table = [line for line in text.getvalue().splitlines() if "|" in line]
        expected = len(callback.fronts) + 1
        assert len(table) == expected, (
            f"verbose=True must print a header and {expected - 1} rows. Got {len(table)} lines."
        )
        assert "n_nds" in table[0], f"The header must name n_nds. Got {table[0]!r} instead."


class _Collect(Callback):
    """Collects the designs of each iteration and the front after it."""

    def __init__(self) -> None:
        super().__init__()
        self.designs: list[str] = []
        self.fronts: list[set[tuple[float, ...]]] = []

    def notify(self, algorithm: Algorithm) -> None:
        self.designs += [key(ind.X) for ind in algorithm.off]
        self.fronts.append(as_set(algorithm.opt.get("F")))
