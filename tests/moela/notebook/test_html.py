"""Tables and pictures in notebooks: what they show, and that data cannot write HTML."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.optimize import minimize
from pymoo.problems import get_problem

import moela
import problems
from moela.notebook import html
from moela.notebook.figures import ShownFigure
from moela.plots.front import plot_front
from moela.quality.front import Front
from moela.quality.table import Table
from moela.rivals import MOOS

EVIL = "<script>alert('x')</script>"


def test_everything_from_data_is_escaped():
    table = Table([{EVIL: EVIL, "n": 1.0}])
    shown = [table._repr_html_(), html.paragraph(EVIL, title=EVIL), html.lines(EVIL)]
    shown.append(html.picture(Figure(), EVIL))
    shown.append(Front([[0.0, 1.0]], names=[EVIL, "b"])._repr_html_())
    for text in shown:
        assert "<script" not in text
        assert "&lt;script&gt;" in text


def test_results_of_functions_show_table_and_picture():
    result = moela.minimize(
        lambda d: {EVIL: d["x"], "b": 1 - d["x"]},
        variables={"x": (0.0, 1.0)}, objectives=[EVIL, "b"], n_eval=40, verbose=False,
    )  # fmt: skip
    text = result._repr_html_()
    assert "<table>" in text
    assert "data:image/png;base64," in text
    assert "<script" not in text
    assert "<table>" in result.front._repr_html_()


def test_pictures_are_figures_that_show_themselves():
    figure = plot_front(np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert isinstance(figure, ShownFigure)
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: moela.MOELA(), "MOELA, not run yet"),
        (lambda: MOOS(), "MOOS, not run yet"),
        (lambda: moela.Evaluator(n_jobs=2),
         "Evaluator(n_jobs=2): 0 evaluations, 0 computed, 0 failed"),
        (lambda: problems.MultiObjectiveQAP.random(n_facilities=6),
         "MultiObjectiveQAP: 6 variables, minimize 2 objectives"),
    ],
)  # fmt: skip
def test_objects_say_what_they_are(make, expected):
    assert repr(make()) == expected


def test_an_algorithm_says_what_it_has_found():
    algorithm = moela.MOELA(n_subproblems=10)
    problem = get_problem("zdt1", n_var=5)
    run = minimize(problem, algorithm, ("n_eval", 60), seed=1).algorithm
    assert repr(run) == f"MOELA on ZDT1: {run.status}"


def test_the_runs_of_a_store_are_a_table(tmp_path):
    path = tmp_path / f"{EVIL.replace('/', '')}.db"
    with moela.Evaluator(store=path, on_mismatch="new") as evaluator:
        for seed in (1, 2):
            problem = get_problem("zdt1", n_var=5)
            minimize(problem, NSGA2(20), ("n_eval", 40), seed=seed, evaluator=evaluator)
    assert f"store={str(path)!r}): 40 evaluations, 40 computed, 0 failed" in repr(evaluator)
    with moela.EvaluationStore(path) as store:
        runs = store.runs()
        text = store._repr_html_()
        assert repr(store).endswith(", 2 runs")
    assert repr(store).endswith("closed or damaged")
    heading, *rows = repr(runs).splitlines()
    assert heading.split()[:5] == ["run", "problem", "algorithm", "seed", "state"]
    assert [row.split()[:5] for row in rows] == [
        ["1", "ZDT1", "NSGA2", "1", "done"], ["2", "ZDT1", "NSGA2", "2", "done"],
    ]  # fmt: skip
    assert repr(runs[0]) == ("<run 1: NSGA2 on ZDT1, seed 1, done, 40 of 40 evaluations, 0 failed>")
    assert "<script" not in text
    assert text.count("<tr>") == 3
    assert runs[:1][0] is runs[0]
