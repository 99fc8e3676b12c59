"""Regressions that a latency model chooses from: linear, smooth, trees, and their mean."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from moe_costmodel._arrays import Floats
from moe_costmodel.latency.features import (
    Points,
    Roofline,
    features,
    round_terms,
    smooth_features,
    terms,
)

__all__ = ["METHODS", "Estimator"]

METHODS: dict[str, str] = {
    "linear": "overhead, experts, bytes and operations, with non-negative coefficients",
    "smooth": "the linear model, times a Gaussian process of the step's size",
    "trees": "a roofline (on GPUs: rounds of tiles), times extra trees of many views of a step",
    "blend": "the geometric mean of the three",
}
_Key = tuple[float, float, float]
_MOST_SMOOTH = 1500  # the time of a Gaussian process grows with the cube of its points
_WIDTHS = (15, 16)  # columns of `features` that name the model: d_model and d_ffn


@dataclass(frozen=True)
class RoundsModel:
    """A linear model of rounds of tiles, with separate coefficients for each kernel and type.

    Attributes
    ----------
    roofline : Roofline
    by_kind : dict of (float, float, float) to LinearRegression
        Models by kernel, bytes of a weight, and bytes of an operand.
    of_all : LinearRegression
        Model for kinds that were not fitted.
    """

    roofline: Roofline
    by_kind: dict[_Key, LinearRegression]
    of_all: LinearRegression

    @classmethod
    def fit(cls, points: Points, seconds: Floats, roofline: Roofline) -> RoundsModel:
        """Fit non-negative coefficients to relative errors."""

        def line(rows: NDArray[np.int64]) -> LinearRegression:
            model = LinearRegression(positive=True, fit_intercept=False)
            columns = round_terms(points.take(rows), roofline) / seconds[rows, None]
            return model.fit(columns, np.ones(len(rows)))

        by_kind = {kind: line(rows) for kind, rows in _kinds(points)}
        return cls(roofline, by_kind, line(np.arange(len(points))))

    def seconds(self, points: Points) -> Floats:
        """Return the seconds of steps, (n,)."""
        out = np.empty(len(points))
        for kind, rows in _kinds(points):
            model = self.by_kind.get(kind, self.of_all)
            out[rows] = model.predict(round_terms(points.take(rows), self.roofline))
        return np.maximum(out, 0.1 * self.roofline.floor)


def _kinds(points: Points) -> Iterator[tuple[_Key, NDArray[np.int64]]]:
    """Yield each combination of kernel, weight and operand, and its rows."""
    kinds = np.column_stack([points.kernel, points.width, points.operand])
    known, of_row = np.unique(kinds, axis=0, return_inverse=True)
    for number, (kernel, width, operand) in enumerate(known):
        yield (
            (float(kernel), float(width), float(operand)),
            np.flatnonzero(of_row.ravel() == number),
        )


def _tree_features(points: Points, roofline: Roofline, base: Floats) -> Floats:
    """Return the features of trees, with the ratio of rounds of tiles to the roofline on GPUs."""
    if roofline.units == 1:
        return features(points, roofline)
    return np.column_stack([features(points, roofline), np.log(base / roofline.seconds(points))])


@dataclass(frozen=True)
class Estimator:
    """A regression of the seconds of steps.

    Parameters
    ----------
    method : str
        One of :data:`METHODS`.
    n_estimators : int
        Trees of each of the two forests. One forest does not use the model's widths; the mean of
        both is better on unseen shapes than either.
    random_state : int
        Seed.
    known_peaks : tuple of (float, dict of float to float), optional
        Bandwidth, and operations per second by bytes of an operand, if a data sheet gives them.
    units : int
        Processors of the device that take one tile of a product at a time.
    parts : tuple
        Fitted models.
    """

    method: str
    n_estimators: int
    random_state: int
    known_peaks: tuple[float, dict[float, float]] | None = None
    units: int = 1
    parts: tuple[Any, ...] = ()

    def fit(self, points: Points, seconds: Floats) -> Estimator:
        """Return a fitted copy."""
        if self.method == "blend":
            blended = [replace(self, method=name) for name in METHODS if name != "blend"]
            return replace(self, parts=tuple(part.fit(points, seconds) for part in blended))
        roofline = Roofline.of(points, seconds, self.known_peaks, self.units)
        if self.method == "trees":
            # A single processor works through its tiles one by one; there are no rounds.
            best = RoundsModel.fit(points, seconds, roofline) if self.units > 1 else roofline
            base = best.seconds(points)
            columns = _tree_features(points, roofline, base)
            target = np.log(seconds / base)
            forests = []
            for part in (columns, np.delete(columns, _WIDTHS, axis=1)):
                forest = ExtraTreesRegressor(
                    self.n_estimators, max_features=1.0, random_state=self.random_state
                )
                forests.append(forest.fit(part, target))
            return replace(self, parts=(roofline, best, *forests))
        # Rows are divided by their time, so that relative errors are minimized.
        linear = LinearRegression(positive=True, fit_intercept=False)
        linear.fit(terms(points, roofline) / seconds[:, None], np.ones(len(points)))
        if self.method == "linear":
            return replace(self, parts=(roofline, linear))
        residual = np.log(seconds / linear.predict(terms(points, roofline)))
        kept = np.random.default_rng(self.random_state).permutation(len(points))[:_MOST_SMOOTH]
        kernel = ConstantKernel(0.1) * RBF(np.full(6, 2.0), (0.3, 30.0)) + WhiteKernel(0.01)
        process = make_pipeline(StandardScaler(), GaussianProcessRegressor(kernel))
        with warnings.catch_warnings():
            # A length scale at its bound means that a feature does not matter.
            warnings.simplefilter("ignore", ConvergenceWarning)
            process.fit(smooth_features(points)[kept], residual[kept])
        return replace(self, parts=(roofline, linear, process))

    def predict(self, points: Points) -> Floats:
        """Return the seconds of steps, (n,)."""
        if self.method == "blend":
            return np.exp(np.mean([np.log(part.predict(points)) for part in self.parts], axis=0))
        roofline = self.parts[0]
        if self.method == "trees":
            base = self.parts[1].seconds(points)
            columns = _tree_features(points, roofline, base)
            logs = self.parts[2].predict(columns)
            logs = (logs + self.parts[3].predict(np.delete(columns, _WIDTHS, axis=1))) / 2
            return np.asarray(np.exp(logs) * base)
        seconds = np.asarray(self.parts[1].predict(terms(points, roofline)))
        if self.method == "smooth":
            seconds = seconds * np.exp(self.parts[2].predict(smooth_features(points)))
        return seconds
