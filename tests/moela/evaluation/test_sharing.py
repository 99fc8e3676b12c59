"""Runs of one store share results only if their problems are the same, as far as can be seen."""

import pytest
from evaluation_cases import One, designs, solve, stored
from pymoo.algorithms.moo.nsga2 import NSGA2

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


CHANGED = """
    import sys
    from evaluation_cases import designs, solve, One
    from pymoo.algorithms.moo.nsga2 import NSGA2
    store, variant = sys.argv[1], int(sys.argv[2])
    problem, scope = One(), {"A": 1.0}
    exec(f"f = lambda x: {'+-'[variant]}A * x", scope)
    problem.content = scope["f"]
    algorithm = NSGA2(pop_size=10, sampling=designs(10))
    result = solve(problem, 10, algorithm=algorithm, seed=int(sys.argv[3]), store=store,
                   on_mismatch="new")
    print(10 - result.evaluator.n_fresh)
"""


def test_a_changed_function_is_noticed_by_another_process(script, store, monkeypatch):
    reused = []
    for seed, variant in enumerate((0, 1, 0)):
        monkeypatch.setenv("PYTHONHASHSEED", str(seed))
        reused.append(int(script(CHANGED, store, variant, seed)))
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
