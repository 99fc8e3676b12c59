"""The benchmark tables agree with their runs, and every variant differs from the default."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.core.problem import Problem

from moela.experiments.recording import record_run
from moela.experiments.run import ExperimentResults, External, make_algorithm, run_experiment
from problems import NoC3D
from tests.benchmarks import ablations, ablations_page, harness, rivals, tables, tables_smooth

SEEDS, BUDGET = 5, 80


class Plain(Problem):
    ref_point = (2.0, 2.0)

    def __init__(self):
        super().__init__(n_var=3, n_obj=2, xl=0.0, xu=1.0)

    def _evaluate(self, X, out, *args, **kwargs):
        g = X[:, 1:].sum(axis=1)
        out["F"] = np.column_stack([X[:, 0] + g, 1 - X[:, 0] + g])


def draw(problem, n_eval, seed, *, spread):
    X = np.random.default_rng(seed).random((n_eval, 3)) * [1.0, spread, spread]
    return X, problem.evaluate(X)


@pytest.fixture(scope="module")
def results():
    good, bad = External(draw, {"spread": 0.2}), External(draw, {"spread": 1.0})
    full = run_experiment(
        {"a": Plain(), "b": Plain()}, {"MOELA": good, "worse": bad}, SEEDS, BUDGET
    )
    slow = run_experiment({"a": Plain(), "b": Plain()}, {"slow": bad}, SEEDS, BUDGET // 2)
    return full + slow


def cells(text):
    return [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines()]


def test_the_best_of_equal_budgets_is_bold(results):
    rows = cells(tables.Report(results, digits=3).cells(["a", "b"]))
    assert rows[0] == ["algorithm", "a", "b"]
    assert [row[0] for row in rows[2:]] == ["MOELA", "worse", "slow"]
    median = np.median(results.values("a", "MOELA"))
    assert rows[2][1].startswith(f"**{median:.3f} (")
    assert "**" not in rows[3][1] + rows[4][1]
    assert "@40" in rows[4][1]


def test_results_without_the_released_algorithm_have_all_other_tables(results):
    report = tables.Report(results)
    assert report.budget("a", "MOELA published") == 0
    cells_, against, race, *_ = report.standing(["a", "b"])
    assert cells_ == report.cells(["a", "b"])
    assert against == report.against(["a", "b"])
    assert report.race(["a", "b"]) in race


def test_scaled_values(results):
    rows = cells(tables.Report(results, scale={"a": 0.1}, digits=3).cells(["a"]))
    assert rows[2][1].startswith(f"**{np.median(results.values('a', 'MOELA')) / 0.1:.3f} (")


def test_places_and_significance(results):
    rows = cells(tables.Report(results).against(["a"]))
    assert rows[2][:3] == ["a", "1 of 2", "worse"]
    assert float(rows[2][3]) > 1
    # 5 against 5 without overlap: p = 2 / 252, times two for two rivals; the table has 4 digits.
    assert float(rows[2][4]) == pytest.approx(2 * 2 / 252, abs=5e-5)
    assert rows[2][5] == "2 of 2"


def test_a_worse_algorithm_is_reported_as_worse():
    renamed = run_experiment(
        {"a": Plain()},
        {
            "MOELA": External(draw, {"spread": 1.0}),
            "better": External(draw, {"spread": 0.2}),
        },
        SEEDS,
        BUDGET,
    )
    report = tables.Report(renamed)
    row = cells(report.against(["a"]))[2]
    assert row[1] == "2 of 2"
    assert "worse than better" in row[5]
    assert "not reached" in report.race(["a"])


def test_the_race_counts_evaluations_to_the_rivals_median(results):
    row = cells(tables.Report(results).race(["a"]))[2]
    goal = np.median(results.values("a", "worse"))
    runs = results.select(problem="a", algorithm="MOELA").runs
    curves = [run.hypervolumes(list(range(1, BUDGET + 1)), np.array([2.0, 2.0])) for run in runs]
    needed = [1 + int(np.argmax(curve >= goal)) for curve in curves]
    assert row[3].startswith(f"{np.median(needed):,.0f} (")
    # The table has three digits.
    assert float(row[4]) == pytest.approx(np.median(needed) / BUDGET, abs=1e-3)


def test_slow_rivals_are_compared_at_their_budget(results):
    row = cells(tables.Report(results).slow(["a"]))[2]
    assert row[1:3] == ["slow", "40"]
    assert row[3] == f"{np.median(results.values('a', 'MOELA', 40)):.2f}"


def test_rank_sums_name_each_rival(results):
    table = tables.rank_sums(results, "MOELA", "problem").where(problem="a")
    assert [row["rival"] for row in table] == ["worse", "slow"]
    worse, slow = table
    assert worse["ratio"] > 1
    assert worse["p_value"] == pytest.approx(2 / 252)  # no overlap; 252 is 10 over 5
    assert worse["p_holm"] == pytest.approx(4 / 252)
    assert slow["evaluations"] == BUDGET // 2
    assert slow["median"] == np.median(results.values("a", "MOELA", BUDGET // 2))


def test_mean_ranks_leave_smaller_budgets_out(results):
    rows = cells(tables.Report(results).overall(["a", "b"]))
    assert [row[0] for row in rows[2:]] == ["MOELA", "worse"]
    assert rows[2][1] == "1.00"


def test_the_smallest_p_value_is_named():
    assert "7 seeds against 7, the smallest possible p is 0.00058" in tables.tests_note(7)


# -------------------------------------------------------------------------------- the algorithms


def test_every_algorithm_of_the_tables_runs_on_the_noc():
    problem = NoC3D.example("bfs", objectives=3)
    kinds = {**rivals.pymoo_rivals(20), **rivals.our_rivals(), **rivals.slow_rivals(20)}
    for name, make in kinds.items():
        # The trees take half a second for a batch of 10; 50 first designs come before.
        budget = 67 if name == "Memetic GBT" else 120
        arrays, _ = record_run(problem, make_algorithm(name, make, problem), seed=1, budget=budget)
        assert len(arrays["F"]) == budget, name


def test_every_variant_changes_what_its_name_says():
    problem = NoC3D.example("bfs", objectives=3)
    kinds = ablations.variants()

    def split(name):
        algorithm = make_algorithm(name, kinds[name], problem)
        arrays, _ = record_run(problem, algorithm, seed=1, budget=300)
        asked = {part: entry["n_eval"] for part, entry in algorithm.log.items()}
        return arrays["F"], asked

    F, asked = split(tables.OURS)
    assert asked["search"] > 0
    assert split("no search")[1]["search"] == 0
    assert split("no evolution")[1]["evolution"] < asked["evolution"]
    assert split("no Pareto search")[1]["pareto"] == 0
    for name in ("random starts", "no move model", "no start model", "10 candidates", "1 searches"):
        assert not np.array_equal(split(name)[0], F), name


def test_every_variant_can_be_made():
    for make in ablations.variants().values():
        make()
    with pytest.raises(TypeError, match="no parameter 'search_share'"):
        ablations.tuned(search_share=0.5)()


def test_a_variant_that_changed_nothing_is_named(results):
    twin = run_experiment({"a": Plain()}, {"twin": External(draw, {"spread": 0.2})}, SEEDS, BUDGET)
    assert "**Not tested**: twin." in ablations_page.unchanged(results.select(budget=BUDGET) + twin)
    assert ablations_page.unchanged(results.select(budget=BUDGET)) == ""


def test_a_scaled_problem_multiplies_its_first_objective():
    plain, scaled = (
        tables_smooth.families()["dtlz"]["dtlz2"](),
        tables_smooth.Scaled("dtlz2", n_obj=3),
    )
    X = np.random.default_rng(1).random((5, plain.n_var))
    np.testing.assert_allclose(scaled.evaluate(X), plain.evaluate(X) * [1000, 1, 1])
    front = tables_smooth.exact_front(scaled)
    np.testing.assert_allclose(front, tables_smooth.exact_front(plain) * [1000, 1, 1])


def test_empty_results_make_no_tables():
    assert ExperimentResults([]).problems == []
    assert tables.Report(ExperimentResults([])).against([]) == ""


def test_a_section_replaces_the_section_of_its_name():
    page = harness.with_sections("# Top\n\nwords\n", {"B": "two", "Z": "last"}, ["A", "B"])
    assert page == "# Top\n\nwords\n\n## B\n\ntwo\n\n## Z\n\nlast\n"
    again = harness.with_sections(page, {"B": "new\n", "A": "one"}, ["A", "B"])
    assert again == "# Top\n\nwords\n\n## A\n\none\n\n## B\n\nnew\n\n## Z\n\nlast\n"
    assert harness.with_sections(again, {}, ["A", "B"]) == again


def test_the_page_of_ablations_collects_the_rows_of_several_runs():
    kinds = {"MOELA": External(draw, {"spread": 0.5}), "no model": External(draw, {"spread": 1.0})}
    first = run_experiment({"mnk-a": Plain(), "KC1": Plain()}, kinds, SEEDS, BUDGET)
    second = run_experiment({"mnk-a": Plain()}, kinds, SEEDS, 2 * BUDGET)
    page = ablations_page.update("", first, BUDGET)
    rows = ablations_page.rows_of(harness.sections_of(page)["By family"])
    ratio = np.median(first.values("KC1", "no model", None, "pooled"))
    ratio /= np.median(first.values("KC1", "MOELA", None, "pooled"))
    assert [row["variant"] for row in rows] == ["no model"]
    assert rows[0]["qap"] == f"{ratio:.3f}"
    both = ablations_page.update(page, second, 2 * BUDGET)
    rows = ablations_page.rows_of(harness.sections_of(both)["By family"])
    assert [row["evaluations"] for row in rows] == ["80", "160"]
    assert [("qap" in row, "mnk" in row) for row in rows] == [(True, True), (False, True)]
    # A repeated run replaces its own rows.
    assert ablations_page.update(both, first, BUDGET) == both


class Hopeless(Plain):
    ref_point = (0.0, 0.0)


def test_a_problem_on_which_the_default_finds_nothing_has_no_ratio():
    kinds = {"MOELA": External(draw, {"spread": 0.5}), "no model": External(draw, {"spread": 1.0})}
    results = run_experiment({"noc-none-3": Hopeless(), "KC1": Plain()}, kinds, SEEDS, BUDGET)
    sections = harness.sections_of(ablations_page.update("", results, BUDGET))
    (family,) = ablations_page.rows_of(sections["By family"])
    assert family["better on"] == "0 of 1"
    assert family["all"] == family["qap"]
    assert "noc-3" not in family
    (ratios,) = ablations_page.rows_of(sections["By problem"])
    assert ratios["KC1"] == family["qap"]
    assert "noc-none-3" not in ratios
    assert "nan" not in "".join(sections.values())
