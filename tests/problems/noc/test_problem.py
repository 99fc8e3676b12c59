import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.optimize import minimize

from problems.noc import NoC3D


def test_it_is_shown_in_short(problem):
    tiles = "NoC3D: 4 x 4 x 4 tiles (8 CPU, 16 LLC, 40 GPU)"
    assert repr(problem) == f"{tiles}, 1 application, minimize {', '.join(problem.objective_names)}"
    both = NoC3D([problem.traffic] * 2, objectives=["mean"], constraints={"temperature": 95.0})
    assert repr(both) == f"{tiles}, 2 applications (mean), minimize mean, temperature <= 95"


@pytest.mark.parametrize(
    ("objectives", "names"),
    [
        (3, ("mean", "deviation", "latency")),
        (5, ("mean", "deviation", "latency", "energy", "thermal")),
        (("thermal", "mean"), ("thermal", "mean")),
    ],
)
def test_objectives_are_columns_of_the_five(problem, rows, objectives, names):
    some = NoC3D(problem.traffic, objectives=objectives)
    assert some.objective_names == names
    columns = [problem.objective_names.index(name) for name in names]
    np.testing.assert_array_equal(
        some.evaluate(rows).reshape(len(rows), -1), problem.evaluate(rows)[:, columns]
    )
    np.testing.assert_array_equal(some.ref_point, problem.ref_point[columns])


@pytest.mark.parametrize(
    "objectives", [2, 6, 3.0, True, None, "mean", (), ("mean", "speed"), ("mean", "mean"), ([],)]
)
def test_unknown_objectives_are_named(problem, objectives):
    message = "'objectives' parameter of NoC3D must be 3, 4, 5 or a sequence of different names"
    with pytest.raises(ValueError, match=message):
        NoC3D(problem.traffic, objectives=objectives)


def test_wrong_model_and_platform_are_named(problem):
    with pytest.raises(ValueError, match=r"'model' parameter of NoC3D .* Got 'paper'"):
        NoC3D(problem.traffic, model="paper")
    with pytest.raises(ValueError, match=r"'platform' parameter of NoC3D must be a Platform"):
        NoC3D(problem.traffic, platform=(4, 4, 4))


def test_reference_point_is_the_mesh(problem):
    np.testing.assert_array_equal(problem.evaluate(problem.mesh_row()), problem.ref_point)
    assert problem.ref_point.shape == (5,)
    assert (problem.ref_point > 0).all()


def test_link_loads_are_those_behind_mean_and_deviation(problem, rows):
    loads = problem.link_loads(rows)
    F = problem.evaluate(rows)
    assert loads.shape == (30, 144)
    np.testing.assert_allclose(loads.mean(axis=1), F[:, 0], rtol=1e-12)
    np.testing.assert_allclose(loads.std(axis=1), F[:, 1], rtol=1e-9)
    np.testing.assert_array_equal(problem.link_loads(rows[3]), loads[3])


def test_threads_give_the_same_bits(problem, rows):
    F = problem.evaluate(rows)
    with ThreadPoolExecutor(4) as pool:
        for again in pool.map(problem.evaluate, [rows] * 16):
            np.testing.assert_array_equal(again, F)


def test_an_algorithm_without_the_operators_of_the_problem_is_told_of_them(problem):
    with pytest.raises(ValueError, match=r"X must hold integers.*\*\*problem\.operators\(\)\)"):
        minimize(problem, NSGA2(10), ("n_eval", 20), seed=1)
    rows = np.stack((problem.mesh_row(), np.zeros(problem.n_var, dtype=int)))
    with pytest.raises(ValueError, match=r"Row 1 of X breaks.*\*\*problem\.operators\(\)\)"):
        problem.evaluate(rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X[:, :100], r"160 columns: 64 PE ids, then 96 links. Got shape \(30, 100\)"),
        (lambda X: X + 0.5, r"X must hold integers. Got .* at index \[0, 0\]"),
        (lambda X: np.where(X == 7, 2**62, X), "Row 0 of X breaks a rule"),
        (lambda X: np.where(np.arange(30)[:, None] == 4, 0, X), "Row 4 of X .* each PE once"),
    ],
)
def test_rows_that_are_no_designs_are_named(problem, rows, change, message):
    X = change(rows)
    with pytest.raises(ValueError, match=message):
        problem.check(X)
    with pytest.raises(ValueError, match=message):
        problem.link_loads(X)


def test_empty_batches_are_empty(problem, rows):
    assert problem.evaluate(rows[:0]).shape == (0, 5)
    assert problem.features(rows[:0]).shape == (0, len(problem.feature_names))
    assert problem.neighbors_many(rows[:0], 3, np.random.default_rng(0)).shape == (0, 3, 160)
    assert problem.neighbors(rows[0], 0, np.random.default_rng(0)).shape == (0, 160)
    with pytest.raises(ValueError, match=r"'k' parameter of neighbors .* Got -1"):
        problem.neighbors(rows[0], -1, np.random.default_rng(0))
    for wrong in (1, None):
        with pytest.raises(ValueError, match="'random_state' parameter of neighbors"):
            problem.neighbors(rows[0], 1, wrong)


def test_the_problem_needs_none_of_the_heavy_packages():
    code = (
        "import sys; from problems.noc import NoC3D; "
        "heavy = {'torch', 'matplotlib.pyplot', 'pandas'} & set(sys.modules); "
        "heavy |= {name for name in sys.modules if name.startswith('moela.')}; "
        "ground = ('moela._lazy', 'moela._version', 'moela.files', 'moela.heartbeat'); "
        "ground += ('moela.notebook', 'moela.compilation'); "
        "heavy = {name for name in heavy if not name.startswith(ground)}; "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=500)


class _WithCPUColumn(NoC3D):
    """Adds the mean x of the CPUs as an objective."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.n_obj += 1
        self.objective_names += ("cpu_x",)
        self.ref_point = np.append(self.ref_point, self._cpu_x(self.mesh_row()[None]))

    def _cpu_x(self, X):
        is_cpu = np.isin(X[:, : self.platform.n_tiles], self.platform.pes_of("CPU"))
        return is_cpu @ (np.arange(self.platform.n_tiles) % 4) / is_cpu.sum(axis=1)

    def _evaluate(self, X, out, *args, **kwargs):
        super()._evaluate(X, out, *args, **kwargs)
        out["F"] = np.column_stack([out["F"], self._cpu_x(np.asarray(X))])


@pytest.mark.parametrize("n_apps", [1, 2])
def test_subclasses_add_objectives_of_their_own(problem, rows, n_apps):
    traffic = [problem.traffic, problem.traffic.T][:n_apps]
    settings = {"objectives": ("energy", "mean"), "constraints": {"peak_load": 1.0}}
    settings["held_out"] = problem.traffic.T
    plain, more = NoC3D(traffic, **settings), _WithCPUColumn(traffic, **settings)
    both = more.evaluate(rows, return_as_dictionary=True)
    expected = plain.evaluate(rows, return_as_dictionary=True)
    assert both["F"].shape == (len(rows), 3)
    np.testing.assert_array_equal(both["F"][:, :2], expected["F"])
    np.testing.assert_array_equal(both["G"], expected["G"])
    assert more.under(problem.traffic).objective_names == plain.objective_names
    assert list(more.beside_mesh(rows[1])) == ["energy", "mean", "peak_load"]
    found = more.beside_baselines(rows[1], random_state=np.random.default_rng(1), n_eval=3)
    assert list(found.values) == ["energy", "mean", "peak_load"]
    result = minimize(more, NSGA2(20, **more.operators()), ("n_eval", 40), seed=1)
    assert result.pop.get("F").shape[1] == 3
