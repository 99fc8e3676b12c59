"""Runs of one store share results only if their problems are the same, as far as can be seen."""

import importlib

import numpy as np
import pytest
from evaluation_cases import One, designs, solve, stored
from pymoo.algorithms.moo.nsga2 import NSGA2

from moela.evaluation.storage.errors import StoreMismatchError
from moela.evaluation.storage.reader import EvaluationStore
from tests.moela.provenance.layouts import install, process


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


CHANGED = """
    import sys, numpy as np
    from evaluation_cases import designs, solve, One
    from pymoo.algorithms.moo.nsga2 import NSGA2
    store, kind, variant = sys.argv[1], sys.argv[2], int(sys.argv[3])
    problem = One()
    if kind == "mask":
        problem.content = np.ma.array(np.arange(40.0), mask=np.arange(40) == variant)
    elif kind == "private":
        problem._content = {"a", "b", ("c", "d")[variant]}
    else:
        scope = {"A": 1.0}
        exec(f"f = lambda x: {'+-'[variant]}A * x", scope)
        problem.content = scope["f"]
    algorithm = NSGA2(pop_size=10, sampling=designs(10))
    result = solve(problem, 10, algorithm=algorithm, seed=int(sys.argv[4]), store=store,
                   on_mismatch="new")
    print(10 - result.evaluator.n_fresh)
"""


@pytest.mark.parametrize("kind", ["mask", "private", "function"])
def test_changed_content_is_noticed_by_another_process(script, store, kind, monkeypatch):
    reused = []
    for seed, variant in enumerate((0, 1, 0)):
        monkeypatch.setenv("PYTHONHASHSEED", str(seed))
        reused.append(int(script(CHANGED, store, kind, variant, seed)))
    assert reused == [0, 0, 10]


def test_content_that_cannot_be_seen_into_is_named_and_not_shared(store, log):
    def problem():
        return holding(i for i in "ab")

    assert same_designs(problem(), store, 1) == 0
    assert "cannot see into problem.content (builtins.generator)" in log.text
    assert "'version'" in log.text
    assert same_designs(problem(), store, 2) == 0
    # The same run continues.
    assert same_designs(problem(), store, 2) == 20
    assert len(EvaluationStore(store).runs()) == 2


def test_a_version_decides_about_what_cannot_be_seen_into(store, tmp_path):
    log = tmp_path / "evaluated"

    def problem():
        return holding((i for i in "ab"), version="1", log=log)

    same_designs(problem(), store, 1)
    before = len(log.read_text().split())
    assert same_designs(problem(), store, 2) == 20
    # Two designs are rechecked, because nothing but the version says that they are the same.
    assert len(log.read_text().split()) == before + 2


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


def test_a_changed_private_attribute_is_named_and_rechecked_on_resume(store, log):
    solve(One(), 20, store=store)
    same = One(shift=1e-12)  # within the rounding of another machine
    solve(same, 40, store=store)
    assert "problem._shift has changed" in log.text
    with pytest.raises(StoreMismatchError, match="another result"):
        solve(One(shift=1e-3), 40, store=store)
    with EvaluationStore(store) as reader:
        assert len(reader.runs()) == 1
    # With "new", a run begins that reuses nothing.
    solve(One(shift=1e-3), 40, store=store, on_mismatch="new")
    assert len(stored(store, 2)) > 30


def test_caches_that_grow_are_no_change(store, log):
    class Caching(One):
        def _evaluate(self, x, out, *args, **kwargs):
            self._cache = [*getattr(self, "_cache", []), x[0]]
            super()._evaluate(x, out)

    problem = Caching()
    assert same_designs(problem, store, 1) == 0
    assert same_designs(problem, store, 2) == 20
    assert same_designs(problem, store, 2) == 20
    assert same_designs(Caching(), store, 1) == 20
    assert "has changed" not in log.text


def test_another_problem_in_one_evaluator_is_not_answered_from_memory():
    from pymoo.core.population import Population

    from moela import Evaluator

    X = designs(5)
    with Evaluator() as evaluator:
        first = evaluator.eval(One(), Population.new(X=X)).get("F")
        second = evaluator.eval(One(shift=1.0), Population.new(X=X)).get("F")
        assert evaluator.n_fresh == 10
    np.testing.assert_allclose(second - first, 1.0)


PACKAGED = """
import numpy as np
from pymoo.core.problem import ElementwiseProblem

class Beam(ElementwiseProblem):
    def __init__(self):
        super().__init__(n_var=6, n_obj=2, xl=0.0, xu=1.0)

    def _evaluate(self, x, out, *args, **kwargs):
        out["F"] = [x[0], 1 - x[0] + x[1:].sum() + 0.0]
"""


def test_another_version_of_an_installed_problem_is_rechecked(store, tmp_path, log):
    site = tmp_path / "site-packages"

    def reused(version, seed, text=PACKAGED, **settings):
        install(site, "quite-different", version, {"pack_of_beams/__init__.py": text})
        with process(site):
            problem = importlib.import_module("pack_of_beams").Beam()
            return same_designs(problem, store, seed, **settings)

    other = PACKAGED.replace("+ 0.0", "+ 0.5")
    assert reused("1.0", 1) == 0
    assert reused("1.1", 2) == 20
    assert reused("2.0", 3, other) == 0
    assert "results of run 1 are not reused in run 3" in log.text
    with pytest.raises(StoreMismatchError, match="has another result"):
        reused("2.0", 1, other, on_mismatch="raise")
    assert "problem (pack_of_beams) comes from other sources or versions" in log.text
