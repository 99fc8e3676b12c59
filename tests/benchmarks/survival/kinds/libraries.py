"""Objects of scipy, scikit-learn, pandas, networkx and sympy as content of a problem."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.benchmarks.survival.kinds.base import Make, Plain, changed, kind, pairs


def sparse(name: str) -> Make:
    def make(v: int) -> Any:
        import scipy.sparse

        made = np.eye(6)
        made[2, 3] = 1 + v
        return getattr(scipy.sparse, name)(made)

    return make


for _name in ("csr_array", "csc_matrix", "coo_array", "dok_array", "lil_array", "dia_array"):
    kind(f"sparse {_name}")(sparse(_name))


@kind("shape of a sparse array")
def _(v: int) -> Any:
    import scipy.sparse

    return scipy.sparse.csr_array(([1.0], ([0], [0])), shape=(3, 3 + v))


def interpolated(name: str) -> Make:
    def make(v: int) -> Any:
        import scipy.interpolate

        x = np.arange(8.0)
        y = np.sin(x)
        y[3] += 1e-9 * v
        if name in ("RBFInterpolator", "NearestNDInterpolator"):
            x = np.column_stack([x, x**2])
        return getattr(scipy.interpolate, name)(x, y)

    return make


for _name in (
    "CubicSpline", "PchipInterpolator", "make_interp_spline", "interp1d", "UnivariateSpline",
    "KroghInterpolator", "RBFInterpolator", "NearestNDInterpolator",
):  # fmt: skip
    kind(f"interpolation {_name}")(interpolated(_name))


@kind("interpolation on a grid")
def _(v: int) -> Any:
    from scipy.interpolate import RegularGridInterpolator

    return RegularGridInterpolator(([0.0, 1.0], [0.0, 1.0]), changed(np.eye(2), v))


@kind("distribution")
def _(v: int) -> Any:
    import scipy.stats

    return scipy.stats.norm(1.0, 2.0 + v)


@kind("kernel density")
def _(v: int) -> Any:
    import scipy.stats

    return scipy.stats.gaussian_kde([1.0, 2.0, 3.0 + v])


@kind("distribution of a histogram")
def _(v: int) -> Any:
    import scipy.stats

    return scipy.stats.rv_histogram(np.histogram([1.0, 2.0, 3.0 + v]))


@kind("normal distribution of vectors")
def _(v: int) -> Any:
    import scipy.stats

    return scipy.stats.multivariate_normal([0.0, v])


@kind("tree of neighbors")
def _(v: int) -> Any:
    import scipy.spatial

    return scipy.spatial.cKDTree(changed(np.random.default_rng(0).random((40, 2)), v))


@kind("triangulation")
def _(v: int) -> Any:
    import scipy.spatial

    return scipy.spatial.Delaunay(changed(np.random.default_rng(0).random((20, 2)), v))


def fitted(module: str, name: str, **settings: Any) -> Make:
    def make(v: int) -> Any:
        import importlib

        rng = np.random.default_rng(0)
        X, y = rng.random((60, 3)), rng.random(60)
        y[5] += v
        kind_of = getattr(importlib.import_module(f"sklearn.{module}"), name)
        return kind_of(**settings).fit(X, y)

    return make


for _module, _name, _settings in (
    ("ensemble", "RandomForestRegressor", {"n_estimators": 3, "random_state": 0}),
    ("ensemble", "ExtraTreesRegressor", {"n_estimators": 3, "random_state": 0}),
    ("ensemble", "GradientBoostingRegressor", {"n_estimators": 3, "random_state": 0}),
    ("ensemble", "HistGradientBoostingRegressor", {"max_iter": 3, "random_state": 0}),
    ("tree", "DecisionTreeRegressor", {"random_state": 0}),
    ("neighbors", "KNeighborsRegressor", {"algorithm": "kd_tree"}),
    ("svm", "SVR", {}),
    ("gaussian_process", "GaussianProcessRegressor", {"random_state": 0}),
    ("linear_model", "Ridge", {}),
    ("neural_network", "MLPRegressor", {"max_iter": 1, "solver": "lbfgs", "random_state": 0}),
):
    kind(f"estimator {_name}", "sklearn")(fitted(_module, _name, **_settings))


@kind("points of a nearest neighbor", "sklearn")
def _(v: int) -> Any:
    from sklearn.neighbors import KNeighborsRegressor

    rng = np.random.default_rng(0)
    return KNeighborsRegressor(algorithm="brute").fit(
        changed(rng.random((60, 3)), v), rng.random(60)
    )


@kind("pipeline", "sklearn")
def _(v: int) -> Any:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    return make_pipeline(StandardScaler(), Ridge()).fit(
        changed(rng.random((60, 3)), v), rng.random(60)
    )


def graph(name: str) -> Make:
    def make(v: int) -> Any:
        import networkx

        made = getattr(networkx, name)()
        made.add_edge("a", "b", weight=1.0 + (v if name == "Graph" else 0))
        made.add_edge("b", "c" if not v or name == "Graph" else "d")
        made.add_edge("a", "c")
        _ = made.nodes, made.adj  # which networkx keeps
        return made

    return make


for _name in ("Graph", "DiGraph", "MultiGraph"):
    kind(f"graph {_name}", "networkx")(graph(_name))


@kind("attribute of a node", "networkx")
def _(v: int) -> Any:
    made = graph("Graph")(0)
    made.nodes["a"]["kind"] = v
    return made


def frame(v: int = 0, **changes: Any) -> Any:
    import pandas

    columns = {
        "a": [1.0, 2.0, 3.0 + v],
        "b": pandas.Categorical(["x", "y", "x"], categories=["x", "y"]),
        "c": pandas.to_datetime(["2026-01-01"] * 3),
        "d": ["p", "q", "r"],
        "e": pandas.array([1, None, 3], dtype="Int64"),
    }
    return pandas.DataFrame(columns | changes)


pairs(
    "pandas",
    frame=lambda v: frame(v),
    name_of_a_column=lambda v: frame().rename(columns={"a": "az"[v]}),
    order_of_columns=lambda v: frame()[["a", "d"][:: 1 - 2 * v]],
    type_of_a_column=lambda v: frame().astype({"a": ["f8", "f4"][v]}),
    categories=lambda v: frame()["b"].cat.set_categories([["x", "y"], ["x", "y", "z"]][v]),
    index=lambda v: frame().set_index(["a", "d"][v])[["c"]],
    name_of_an_index=lambda v: frame().rename_axis(["rows", "lines"][v]),
    many_levels=lambda v: frame().set_index(["a", "d"]).rename(index={"p": "ps"[v]}),
    name_of_a_series=lambda v: frame()["a"].rename("az"[v]),
    missing_value=lambda v: frame(e=[1, [None, 2][v], 3])["e"],
    zone_of_a_column=lambda v: frame()["c"].dt.tz_localize([None, "UTC"][v]),
    column_of_objects=lambda v: frame(f=[{"a": 1}, (1, 2), Plain(_a=v)]),
)


@kind("formula", "sympy")
def _(v: int) -> Any:
    import sympy

    return sympy.Symbol("x", positive=True) ** (2 + v) + sympy.Symbol("y")


@kind("assumption of a symbol", "sympy")
def _(v: int) -> Any:
    import sympy

    return sympy.Symbol("x", positive=bool(v))


@kind("table of arrow", "pyarrow")
def _(v: int) -> Any:
    import pyarrow

    return pyarrow.table({"a": [1, 2 + v]})


@kind("frame of polars", "polars")
def _(v: int) -> Any:
    import polars

    return polars.DataFrame({"a": [1, 2 + v]})
