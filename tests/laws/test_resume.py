"""A run that was cut is the undisturbed one to the bit, wherever it was cut, when made again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymoo.core.callback import Callback
from pymoo.optimize import minimize

from moela import EvaluationError, EvaluationStore, Evaluator
from moela.testing import toy_problems
from tests.laws import cases
from tests.laws.cases import ALGORITHMS, ONE_OBJECTIVE, examples

N_EVAL = 43


class Cut(Exception):
    """The end of a session."""


class Session:
    """Evaluations of a session, and how it ends."""

    def __init__(self, n=N_EVAL, how=""):
        self.n, self.how, self.n_calls = n, how, 0

    def begin_evaluation(self):
        self.n_calls += 1
        if self.how in ("error", "Ctrl-C") and self.n_calls > self.n:
            raise KeyboardInterrupt if self.how == "Ctrl-C" else Cut

    def has_ended(self, result):
        """Say so as the callback of a run, after the batch in which evaluation n was."""
        return self.how == "callback" and self.n_calls >= self.n


SESSION = [Session()]


def function(design):
    SESSION[0].begin_evaluation()
    return cases.goals(design)


def run(name, kind, seed, session, **settings):
    SESSION[0] = session
    callback = session.has_ended
    return cases.minimized(function, kind, name, seed, N_EVAL, callback=callback, **settings)


def stored(path):
    """Return the numbers of the designs in a store that have a result, in order."""
    if not path.exists():
        return []
    with EvaluationStore(path) as store:
        return [row.n for row in store.evaluations() if row.status == "ok"]


def check_resumed(name, kind, seed, cuts, **settings):
    undisturbed = run(name, kind, seed, Session(), **settings)
    n_all = undisturbed.n_eval
    with TemporaryDirectory() as folder:
        path = Path(folder, "run.db")
        for n, how in cuts:
            with suppress(EvaluationError, KeyboardInterrupt):
                run(name, kind, seed, Session(n, how), store=path, **settings)
        before = stored(path)
        resumed = run(name, kind, seed, Session(), store=path, **settings)
        assert len(set(stored(path))) == len(stored(path)) == n_all, "each design is stored once"
        assert resumed.algorithm.evaluator.n_fresh == n_all - len(before), "none is paid twice"
    assert resumed.n_eval == n_all
    assert cases.rows(resumed) == cases.rows(undisturbed)
    assert cases.front_rows(resumed) == cases.front_rows(undisturbed)


# After how many new evaluations sessions end, and how.
some_cuts = st.lists(
    st.tuples(st.integers(1, N_EVAL - 2), st.sampled_from(["error", "Ctrl-C", "callback"])),
    min_size=1,
    max_size=3,
)


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
@examples(2)
@given(cases.kinds, st.booleans(), cases.seeds, some_cuts)
def test_of_several_objectives(name, kind, is_bounded, seed, cuts):
    check_resumed(name, kind, seed, cuts, constraints=cases.LIMIT if is_bounded else None)


@examples(4)
@given(
    st.sampled_from(sorted(ONE_OBJECTIVE)),
    st.sampled_from(["reals", "mixed"]),
    st.booleans(),
    cases.seeds,
    some_cuts,
)
def test_of_one_objective(name, kind, is_bounded, seed, cuts):
    check_resumed(name, kind, seed, cuts, constraints=cases.LIMIT if is_bounded else None)


class CutAt(Callback):
    """Raises after an iteration."""

    def __init__(self, n):
        super().__init__()
        self.n_left = n

    def notify(self, algorithm):
        self.n_left -= 1
        if not self.n_left:
            raise Cut


def solved(problem, name, seed, **settings):
    evaluator = Evaluator(progress=False, store=settings.pop("store", None))
    make = ALGORITHMS[name]
    return minimize(problem, make(), ("n_eval", N_EVAL), seed=seed, evaluator=evaluator, **settings)


@examples(8)
@given(
    st.sampled_from(sorted(cases.OURS)), st.integers(0, 5), st.integers(0, 99), st.integers(1, 4)
)
def test_of_pymoo_with_an_evaluator(name, which, seed, n_iterations):
    problem = toy_problems()[which]
    undisturbed = solved(problem, name, seed)
    with TemporaryDirectory() as folder:
        path = Path(folder, "run.db")
        with suppress(Cut):
            solved(problem, name, seed, store=path, callback=CutAt(n_iterations))
        resumed = solved(problem, name, seed, store=path)
    for attribute in ("X", "F", "CV"):
        one, other = (getattr(result, attribute) for result in (undisturbed, resumed))
        assert repr(one) == repr(other)
    assert (resumed.pop.get("F") == undisturbed.pop.get("F")).all()
