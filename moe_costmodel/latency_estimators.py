"""The regressions that a latency model chooses from: linear, smooth, trees, and their mean."""

from __future__ import annotations

import warnings
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

from moe_costmodel.latency_features import (
    Points,
    Roofline,
    features,
    smooth_features,
    terms,
)

__all__ = ["METHODS", "Estimator"]

FloatArray = NDArray[np.float64]
METHODS: dict[str, str] = {
    "linear": "overhead, experts, bytes and operations, each with a coefficient from 0",
    "smooth": "the linear model, times a Gaussian process of the step's size",
    "trees": "a roofline, times extra trees of many views of the step's size",
    "blend": "the geometric mean of the three",
}
_MOST_SMOOTH = 1500  # a Gaussian process takes the cube of its points
_WIDTHS = (15, 16)  # columns of `features` that name the model: d_model and d_ffn


@dataclass(frozen=True)
class Estimator:
    """A regression of the seconds of steps.

    Parameters
    ----------
    method : str
        One of :data:`METHODS`.
    n_estimators : int
        Trees of each of the two forests; one of them does not see the model's widths, and their
        mean is better on unseen shapes than either.
    random_state : int
        Seed.
    known_peaks : tuple of (float, dict of float to float), optional
        Bandwidth, and operations a second by bytes of an operand, where a data sheet gives them.
    parts : tuple
        What was fitted.
    """

    method: str
    n_estimators: int
    random_state: int
    known_peaks: tuple[float, dict[float, float]] | None = None
    parts: tuple[Any, ...] = ()

    def fit(self, points: Points, seconds: FloatArray) -> Estimator:
        """Return a fitted copy."""
        if self.method == "blend":
            blended = [replace(self, method=name) for name in METHODS if name != "blend"]
            return replace(self, parts=tuple(part.fit(points, seconds) for part in blended))
        roofline = Roofline.of(points, seconds, self.known_peaks)
        if self.method == "trees":
            seen = features(points, roofline)
            target = np.log(seconds / roofline.seconds(points))
            forests = []
            for columns in (seen, np.delete(seen, _WIDTHS, axis=1)):
                forest = ExtraTreesRegressor(
                    self.n_estimators, max_features=1.0, random_state=self.random_state
                )
                forests.append(forest.fit(columns, target))
            return replace(self, parts=(roofline, *forests))
        # Rows are divided by their time, so that relative errors are minimised.
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

    def predict(self, points: Points) -> FloatArray:
        """Return the seconds of steps, (n,)."""
        if self.method == "blend":
            return np.exp(np.mean([np.log(part.predict(points)) for part in self.parts], axis=0))
        roofline = self.parts[0]
        if self.method == "trees":
            seen = features(points, roofline)
            logs = self.parts[1].predict(seen)
            logs = (logs + self.parts[2].predict(np.delete(seen, _WIDTHS, axis=1))) / 2
            return np.asarray(np.exp(logs) * roofline.seconds(points))
        seconds = np.asarray(self.parts[1].predict(terms(points, roofline)))
        if self.method == "smooth":
            seconds = seconds * np.exp(self.parts[2].predict(smooth_features(points)))
        return seconds
