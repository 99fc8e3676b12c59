"""Executed notebooks: figures appear once, results as tables, and progress as text or a bar."""

import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[3]

FUNCTION = """
import moela
result = moela.minimize(
    lambda d: {"mass": d["x"], "sag": 1 / d["x"]},
    variables={"x": (0.1, 2.0)}, objectives=["mass", "sag"], n_eval=60, verbose=False,
)
result
"""
LATER = ["result.plot()", "_ = result.plot()", "result.table()", "result.front"]
PYPLOT = ["import matplotlib.pyplot", "result.plot()"]
STORE = """
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.optimize import minimize
from pymoo.problems import get_problem
evaluator = moela.Evaluator(store="run.db")
minimize(get_problem("zdt1"), NSGA2(20), ("n_eval", 60), seed=1, evaluator=evaluator)
store = moela.EvaluationStore("run.db")
store.runs()
"""
INTERRUPTED = """
import os, signal
from pymoo.core.problem import ElementwiseProblem
class Stopping(ElementwiseProblem):
    calls = 0
    def __init__(self):
        super().__init__(n_var=3, n_obj=2, xl=0.0, xu=1.0)
    def _evaluate(self, x, out, *args, **kwargs):
        Stopping.calls += 1
        if Stopping.calls == 50:  # the button that interrupts the kernel
            os.kill(os.getpid(), signal.SIGINT)
        out["F"] = [x[0], 1 - x[0] + x[1]]
evaluator = moela.Evaluator(on_interrupt="finish")
res = minimize(Stopping(), NSGA2(20), ("n_eval", 200), seed=1, evaluator=evaluator)
evaluator.n_eval
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Return the outputs of each cell, by its source."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.v4.new_notebook()
    sources = [FUNCTION, *LATER, *PYPLOT, STORE, INTERRUPTED]
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder)}
    client = nbclient.NotebookClient(
        notebook, timeout=500, startup_timeout=300, kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )  # fmt: skip
    client.execute(env=environment)
    return [cell.outputs for cell in notebook.cells]


def shown(outputs):
    """Return the kinds of the data that outputs show, without plain text."""
    data = [output.data for output in outputs if "data" in output]
    return [sorted(set(kinds) - {"text/plain"}) for kinds in data]


def text(outputs):
    return "".join(output.get("text", "") for output in outputs)


def test_a_result_shows_its_table_and_picture(cells):
    assert ["text/html"] in shown(cells[0])
    html = cells[0][-1].data["text/html"]
    assert "<table>" in html
    assert "data:image/png" in html


def test_a_figure_shows_itself_once(cells):
    assert shown(cells[1]) == [["image/png"]]
    assert shown(cells[2]) == []


def test_with_pyplot_it_still_shows_itself_once(cells):
    assert shown(cells[6]) == [["image/png"]]


def test_tables_fronts_and_runs_are_html(cells):
    assert shown(cells[3]) == [["text/html"]]
    assert shown(cells[4]) == [["text/html"]]
    assert shown(cells[7])[-1] == ["text/html"]


def test_progress_is_shown_without_a_warning(cells):
    both = text(cells[7]) + "".join(str(output.get("data")) for output in cells[7])
    assert "60/60" in both or "FloatProgress" in both or "eval" in both
    assert "Warning" not in both


def test_interrupting_the_kernel_keeps_the_result(cells):
    assert cells[8][-1].data["text/plain"] == "60"
    assert "Stopping after the batch in hand" in text(cells[8])
