"""Benchmarks of search: pages from stored results, runs that resume, tables, adapters."""

from __future__ import annotations

import importlib
import re
import shlex

import numpy as np
import pytest
from pymoo.problems import get_problem

from moela.experiments.recording import record_run
from moela.experiments.run import External, make_algorithm, run_experiment
from moela.quality.indicators import hypervolume
from moela.rivals import VSRLS, BatchMOEAD
from moela.testing import ToyBinary
from problems import MNKLandscape, MultiObjectiveQAP, NoC3D, engineering
from tests.benchmarks import equal_time, first_hundred, harness, tables
from tests.benchmarks.search import ablations, coco
from tests.benchmarks.search.__main__ import BENCHMARKS
from tests.benchmarks.search.adapters import ADAPTERS, run_adapter, start_designs
from tests.benchmarks.search.reports import to_best_rival
from tests.benchmarks.search.study import Study
from tests.benchmarks.search.timed import TimedRun


def made_by(name):
    module, _, variable = shlex.split(BENCHMARKS[name])[0].partition(".")
    return getattr(importlib.import_module(f"tests.benchmarks.search.{module}"), variable)


STUDIES = {name: made for name in BENCHMARKS if isinstance(made := made_by(name), Study)}
STUDIES |= {"first_hundred": first_hundred.STUDY, "equal_time": equal_time.STUDY}
STORED = [name for name, study in STUDIES.items() if study.path().exists()]


@pytest.mark.parametrize("name", [n for n in STORED if (harness.PAGES / f"{n}.md").exists()])
def test_a_page_is_made_of_its_results_by_the_command_that_it_names(name, tmp_path, capsys):
    page = (harness.PAGES / f"{name}.md").read_text(encoding="utf-8")
    words = shlex.split(re.search(r"^Made on .* by `python -m (.*?)`", page, re.M)[1])
    words = words[words.index(name) + 1 :] if name in BENCHMARKS else words[1:]
    study = STUDIES[name]
    known = {key.split("; ")[0] for key in harness.Cases(study.path()).results}
    if not known <= {*study.problems, *study.checks} | {"reference"}:
        pytest.skip("needs the shared instances of MOELA_DATA")
    out = tmp_path / "page.md"
    study.main([*words, "--stored", "--out", str(out)])
    made = [line for line in out.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert made == [line for line in page.splitlines() if line.startswith("|")]
    assert "bar: " in capsys.readouterr().out or name == "batches"


def study_of(values, measured):
    def measure(run, make_problem, make):
        measured.append(run)
        return {"hypervolume": [make_problem() * make() * run.seed]}

    return Study(
        title="t", about="{budget} {seeds}", problems={"p": lambda: 2.0, "q": lambda: 3.0},
        algorithms={name: (lambda value=value: value) for name, value in values.items()},
        measure=measure, report=to_best_rival, store="t", budgets=(10,), quick={},
        seeds=2, no_rivals=("variant",),
    )  # fmt: skip


def test_a_study_makes_only_the_runs_that_are_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(harness, "RESULTS", tmp_path)
    measured = []
    study = study_of({"MOELA": 2.0, "variant": 9.0, "a": 1.0, "b": 4.0}, measured)
    study.main(["--problems", "p"])
    assert len(measured) == 8
    study.main([])
    assert len(measured) == 16
    study.main(["--again", "a"])
    assert [run.algorithm for run in measured[16:]] == ["a"] * 4
    study.main(["--quick"])
    assert len(measured) == 28
    study.main(["--stored"])
    assert len(measured) == 28
    text = capsys.readouterr().out
    assert "| p | 0.500 | 2.250 | 0.250 | 1.000 |" in text
    assert "bar: q at 10, of the best, 0.500, 1" in text
    assert "bar: mean rank at 10, 2.00, 1.3" in text


def test_functions_of_coco_have_the_groups_of_both_parts_and_small_differences_are_none():
    groups = [coco.group_of(name) for name in coco.problems(1)]
    assert len(groups) == 55
    assert groups[9] == "separable and weak structure"  # sphere and Gallagher
    assert groups[45] == "multi-modal"  # Rastrigin and Rastrigin
    share = np.array([[0.9, 0.9005, 0.95], [0.5, 0.5, 0.4]])
    np.testing.assert_array_equal(coco.ranks(share), [[2, 2, 1], [1, 1, 3]])


# ------------------------------------------------------------------------------------ timed runs


def test_a_run_ends_when_time_and_evaluations_are_both_reached():
    run = TimedRun(ToyBinary(), BatchMOEAD(n_subproblems=10), 1, 0.2, 200)
    counts, times = np.array(run.clock.marks).T
    assert counts[-1] >= 200
    assert times[-1] >= 0.15
    middle = len(counts) // 2
    assert run.clock.evaluations_at(times[middle]) == counts[middle]
    assert run.clock.seconds_at(int(counts[middle])) == times[middle]
    ref = np.array([0.0, 0.0])
    early = np.array(run.clock.evaluated.F[:50])
    assert run.hypervolume_after(50, ref) == pytest.approx(hypervolume(early, ref))
    algorithm = VSRLS(n_init=10)
    TimedRun(ToyBinary(), algorithm, 1, 0.2)
    assert algorithm.threshold == 1  # its schedule follows the process time


# ----------------------------------------------------------------------------------- experiments


def draw(problem, n_eval, seed, *, spread):
    X = np.random.default_rng(seed).random((n_eval, 6)) * [1.0, *[spread] * 5]
    return X, problem.evaluate(X)


@pytest.fixture(scope="module")
def results():
    good, bad = External(draw, {"spread": 0.2}), External(draw, {"spread": 1.0})
    problems = {"noc-a-3": get_problem("zdt1", n_var=6), "KC1": get_problem("zdt1", n_var=6)}
    for problem in problems.values():
        problem.ref_point = np.array([1.1, 8.0])
    full = run_experiment(problems, {"MOELA": good, "worse": bad, "twin": good}, 5, 80)
    return full + run_experiment(problems, {"slow": bad}, 5, 40)


def cells(text):
    return [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines()]


def test_tables_of_an_experiment(results):
    report = tables.Report(results.select(algorithm=["MOELA", "worse", "slow"]), digits=3)
    _, _, ours, worse, slow = cells(report.cells(["KC1"]))
    assert ours[1].startswith(f"**{np.median(results.values('KC1', 'MOELA')):.3f} (")
    assert "**" not in worse[1] + slow[1]
    assert "@40" in slow[1]
    row = cells(report.against(["KC1"]))[2]
    assert row[:3] == ["KC1", "1 of 2", "worse"]
    # 5 against 5 without overlap: p = 2 / 252, times two for two rivals; the table has 4 digits.
    assert float(row[4]) == pytest.approx(2 * 2 / 252, abs=5e-5)
    assert row[5] == "2 of 2"
    assert cells(report.slow(["KC1"]))[2][1:3] == ["slow", "40"]
    goal = np.median(results.values("KC1", "worse"))
    runs = results.select(problem="KC1", algorithm="MOELA").runs
    curves = [run.hypervolumes(list(range(1, 81)), np.array([1.1, 8.0])) for run in runs]
    needed = np.median([1 + int(np.argmax(curve >= goal)) for curve in curves])
    assert cells(report.race(["KC1"]))[2][3].startswith(f"{needed:,.0f} (")
    assert [row[:2] for row in cells(report.overall(["KC1"]))[2:]] == [
        ["MOELA", "1.00"], ["worse", "2.00"]
    ]  # fmt: skip


def test_ablations_compare_medians_and_name_variants_that_change_nothing(results):
    families, problems, same = [
        part for part in ablations.report(results.select(budget=80)) if "##" not in part
    ]
    ratio = np.median(results.values("noc-a-3", "worse")) / np.median(
        results.values("noc-a-3", "MOELA")
    )
    assert cells(families)[0][:3] == ["variant", "noc-3", "qap"]
    assert cells(families)[2][:2] == ["worse", f"{ratio:.3f}"]
    assert cells(problems)[2][1] == f"{ratio:.3f}"
    assert "**Not tested**: twin." in same


def test_every_variant_changes_what_its_name_says():
    problem, kinds = NoC3D.example("bfs", objectives=3), ablations.variants()

    def split(name):
        algorithm = make_algorithm(name, kinds[name], problem)
        arrays, _ = record_run(problem, algorithm, seed=1, budget=300)
        return arrays["F"], {part: entry["n_eval"] for part, entry in algorithm.log.items()}

    F, asked = split("MOELA")
    assert asked["search"] > 0
    assert split("no search")[1]["search"] == 0
    assert split("no Pareto search")[1]["pareto"] == 0
    for name in ("random starts", "no move model", "no start model", "1 searches"):
        assert not np.array_equal(split(name)[0], F), name


# -------------------------------------------------------------------------------------- adapters

PROBLEMS = {
    "binary": lambda: MNKLandscape.random(n=12, k=2, rho=-0.3, seed=1),
    "permutation": lambda: MultiObjectiveQAP.random(n_facilities=6, correlation=-0.5, seed=1),
    "real": lambda: get_problem("zdt1", n_var=6),
    "constrained": lambda: get_problem("bnh"),
    "mixed": engineering.HelicalSpring,
}


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("kind", PROBLEMS)
def test_an_adapter_records_every_evaluation(adapter, kind):
    pytest.importorskip(adapter.split("-")[0])
    problem = PROBLEMS[kind]()
    if kind not in ("binary", "permutation") and not adapter.startswith("optuna"):
        with pytest.raises(ValueError, match="cannot handle"):
            run_adapter(adapter, problem, 50, 1)
        return
    # Optuna's Gaussian processes take a second for each design that they choose.
    n, size = (13, 10) if adapter == "optuna-gp" else (45, 20)
    X, F, G = run_adapter(adapter, problem, n, 1, pop_size=size)
    assert (F.shape, G.shape) == ((n, problem.n_obj), (n, problem.n_ieq_constr))
    np.testing.assert_array_equal(problem.evaluate(X, return_as_dictionary=True)["F"], F)
    start = [str(x) for x in start_designs(problem, size, 1)]
    assert sorted(str(x) for x in X[:size]) == sorted(start)
    # An optimizer whose operators change nothing would find no new design.
    assert len({str(x) for x in X[size:]} - set(start)) >= (n - size) // 3
    np.testing.assert_array_equal(run_adapter(adapter, problem, n, 1, pop_size=size)[1], F)
