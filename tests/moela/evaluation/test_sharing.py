"""Runs of one store share results if their evaluation is the same: by definition and behavior."""

import numpy as np
import pytest
from evaluation_cases import One, designs, solve, stored
from pymoo.algorithms.moo.nsga2 import NSGA2

from moela import Evaluator
from moela.evaluation.storage.errors import StoreMismatchError
from moela.evaluation.storage.reader import EvaluationStore


def same_designs(problem, store, seed, n=20, **settings):
    """Evaluate the same designs in a run of another seed; return how many were reused."""
    algorithm = NSGA2(pop_size=n, sampling=designs(n))
    result = solve(
        problem, n, algorithm=algorithm, seed=seed, store=store,
        **{"on_mismatch": "new", **settings},
    )  # fmt: skip
    return n - result.evaluator.n_fresh


def holding(value, **settings):
    problem = One(**settings)
    problem.content = value
    return problem


def test_a_run_of_the_same_problem_reuses_results_after_one_recheck(store, tmp_path):
    log = tmp_path / "evaluated"
    assert same_designs(One(log=log), store, 1) == 0
    assert len(log.read_text().split()) == 20
    assert same_designs(One(log=log), store, 2) == 20
    assert len(log.read_text().split()) == 21


def test_the_design_of_the_recheck_is_not_always_the_same(store, tmp_path):
    log = tmp_path / "evaluated"
    same_designs(One(log=log), store, 1)
    for seed in range(2, 10):
        same_designs(One(log=log), store, seed)
    # The eight runs recheck one design of run 1 each.
    assert len({*log.read_text().split()[20:]}) > 1


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (np.arange(40.0), np.nextafter(np.arange(40.0), 1e9)),
        (np.arange(40.0).reshape(8, 5), np.arange(40.0).reshape(5, 8)),
        ({"mode": "fast", "n": [1, 2]}, {"mode": "exact", "n": [1, 2]}),
        ({"a", "b"}, {"a", "c"}),
        (1, 1.0),
    ],
)
def test_public_attributes_are_compared_by_value(store, value, other):
    assert same_designs(holding(value), store, 1) == 0
    assert same_designs(holding(other), store, 2) == 0
    assert same_designs(holding(value), store, 3) == 20


def test_the_layout_of_an_array_in_memory_does_not_matter(store):
    value = np.arange(40.0).reshape(8, 5)
    same_designs(holding(value), store, 1)
    assert same_designs(holding(np.asfortranarray(value)), store, 2) == 20
    assert same_designs(holding(np.arange(160.0).reshape(8, 20)[:, :5]), store, 3) == 0


def test_what_cannot_be_compared_is_named_once_and_behavior_decides(store, tmp_path, log):
    evaluated = tmp_path / "evaluated"

    def problem(**settings):
        return holding((i for i in "ab"), log=evaluated, **settings)

    same_designs(problem(), store, 1)
    assert "only the name of problem.content (builtins.generator)" in log.text
    assert "'version'" in log.text
    before = len(evaluated.read_text().split())
    assert same_designs(problem(), store, 2) == 20
    assert len(evaluated.read_text().split()) == before + 2
    log.clear()
    same_designs(problem(version="1"), store, 3)
    assert "only the name" not in log.text


def test_results_that_have_changed_are_not_reused(store, log, monkeypatch):
    import evaluation_cases

    assert same_designs(One(version="1"), store, 1) == 0
    zdt = evaluation_cases.zdt
    monkeypatch.setattr(evaluation_cases, "zdt", lambda x: zdt(x) + 1e-3)
    assert same_designs(One(version="1"), store, 2) == 0
    assert "results of run 1 are not reused in run 2" in log.text
    assert "instead of F" in log.text
    assert len(stored(store, 2)) == 20


def test_without_dedupe_nothing_is_shared(store, tmp_path):
    log = tmp_path / "evaluated"
    for seed in (1, 2):
        assert same_designs(One(log=log), store, seed, dedupe=False) == 0
    assert len(log.read_text().split()) == 40


def test_another_result_on_resume_is_an_error_or_a_new_run(store, log):
    solve(One(), 20, store=store)
    solve(One(shift=1e-12), 40, store=store)  # within the rounding of another machine
    assert "differs in its last bits" in log.text
    with pytest.raises(StoreMismatchError, match="another result"):
        solve(One(shift=1e-3), 40, store=store)
    with EvaluationStore(store) as reader:
        assert len(reader.runs()) == 1
    solve(One(shift=1e-3), 40, store=store, recheck=False)
    solve(One(shift=1e-3), 60, store=store, on_mismatch="new")
    assert len(stored(store, 2)) > 30  # it reuses nothing


def test_caches_that_grow_are_no_change(store, log):
    class Caching(One):
        def _evaluate(self, x, out, *args, **kwargs):
            self._cache = [*getattr(self, "_cache", []), x[0]]
            super()._evaluate(x, out)

    problem = Caching()
    assert same_designs(problem, store, 1) == 0
    assert same_designs(problem, store, 2) == 20
    assert same_designs(Caching(), store, 1) == 20
    assert "has changed" not in log.text


def test_another_problem_in_one_evaluator_is_not_answered_from_memory():
    from pymoo.core.population import Population

    X = designs(5)
    with Evaluator() as evaluator:
        first = evaluator.eval(One(), Population.new(X=X)).get("F")
        second = evaluator.eval(One(shift=1.0), Population.new(X=X)).get("F")
        assert evaluator.n_fresh == 10
    np.testing.assert_allclose(second - first, 1.0)
