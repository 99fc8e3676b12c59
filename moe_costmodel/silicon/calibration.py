"""Learned correction of composed serving times, with conformal intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel._checks import check_fraction, invalid, one_of
from moe_costmodel.silicon.features import features_of
from moe_costmodel.silicon.sample import ServingPoint
from moe_costmodel.silicon.serving import ServingEstimate
from moe_costmodel.silicon.tables.package import gpu_named
from moela.heartbeat.working import long_work

__all__ = ["CalibratedTimes", "CalibrationData", "ServingCalibration"]

TARGETS = ("tpot", "ttft")
_TREES = 100
_FOLDS = 4
# Width of an interval: it grows with the disagreement of the trees, with the share of time that
# other requests' prompts take, and with the extrapolation of the composed times.
_FLOOR, _PER_SPREAD, _PER_SHARE, _PER_OUTSIDE = 0.5, 0.5, 1.0, 0.3
# A new pair may differ from all others, so a fifth of the misses is kept in reserve.
_RESERVE = 0.2
_FAR = 5.0  # logarithm of the largest extrapolation that counts
_FEW_REQUESTS = 8


@dataclass(frozen=True)
class CalibrationData:
    """Serving points as arrays.

    Parameters
    ----------
    features : ndarray of shape (n, n_features)
        What is known before a measurement.
    names : tuple of str
        Names of the features.
    composed : dict of str to ndarray of shape (n,)
        Composed seconds by target, ``"tpot"`` and ``"ttft"``.
    measured : dict of str to ndarray of shape (n,)
        Measured seconds by target; NaN if unknown.
    groups : ndarray of shape (n,), int64
        Number of the pair of architecture and GPU.
    labels : tuple of str
        Name of each pair.
    engine : ndarray of shape (n,), int64
        Number of the engine.
    outside : ndarray of shape (n,)
        Logarithm of the largest extrapolation of the composed times.
    moe, known : ndarray of shape (n,), bool
        Whether the model has experts, and whether the division over GPUs is known.

    Examples
    --------
    >>> from moe_costmodel import CalibrationData
    >>> data = CalibrationData.of(points, estimates)  # doctest: +SKIP
    """

    features: Floats
    names: tuple[str, ...]
    composed: dict[str, Floats]
    measured: dict[str, Floats]
    groups: Ints
    labels: tuple[str, ...]
    engine: Ints
    outside: Floats
    moe: Ints
    known: Ints

    @classmethod
    def of(
        cls, points: Sequence[ServingPoint], estimates: Sequence[ServingEstimate]
    ) -> CalibrationData:
        """Return points and their composed times as arrays.

        Parameters
        ----------
        points : sequence of ServingPoint
            Systems.
        estimates : sequence of ServingEstimate
            Their composed times.

        Returns
        -------
        CalibrationData
        """
        gpus = {point.gpu: gpu_named(point.gpu) for point in points}
        rows = [
            features_of(point, estimate, gpus[point.gpu])
            for point, estimate in zip(points, estimates, strict=True)
        ]
        names = tuple(rows[0])
        labels, groups = np.unique(
            [f"{point.architecture} on {point.gpu}" for point in points], return_inverse=True
        )
        outside = [min(np.log(estimate.outside), _FAR) for estimate in estimates]
        return cls(
            features=np.array([[row[name] for name in names] for row in rows]),
            names=names,
            composed={
                "tpot": np.array([e.tpot for e in estimates]),
                "ttft": np.array([e.ttft for e in estimates]),
            },
            measured={
                "tpot": np.array([p.tpot for p in points]),
                "ttft": np.array([p.ttft for p in points]),
            },
            groups=groups.ravel().astype(np.int64),
            labels=tuple(str(label) for label in labels),
            engine=np.unique([p.backend for p in points], return_inverse=True)[1].astype(np.int64),
            outside=np.array(outside),
            moe=np.array([p.shape.experts is not None for p in points], dtype=np.int64),
            known=np.array([p.known_layout for p in points], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.groups)


@dataclass(frozen=True)
class CalibratedTimes:
    """Predicted seconds of systems, with intervals.

    Parameters
    ----------
    seconds : ndarray of shape (n,)
        Predictions.
    low, high : ndarray of shape (n,)
        Ends of the intervals.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import CalibratedTimes
    >>> CalibratedTimes(np.array([1.0]), np.array([0.8]), np.array([1.2])).seconds
    array([1.])
    """

    seconds: Floats
    low: Floats
    high: Floats


class ServingCalibration:
    """Correction of composed times, learned from measured systems.

    Extremely randomized trees (Geurts et al. 2006) predict the logarithm of measured over composed
    time. Intervals are conformal (Lei et al. 2018): their width is a quantile of the errors on
    pairs of architecture and GPU that were left out, each pair counting alike, in units that grow
    with the disagreement of the trees, with the share of time that prompts of other requests take,
    and with the extrapolation of the composed times.

    Parameters
    ----------
    target : {"tpot", "ttft"}
        Time per token, or time to the first token. The latter gets a constant for the engine's
        host, the median excess with few requests.
    coverage : float
        Share of systems whose time the interval shall hold.
    random_state : int
        Seed of the trees.

    Raises
    ------
    ValueError
        If the target is unknown, or the coverage not between 0 and 1.

    Examples
    --------
    >>> from moe_costmodel import ServingCalibration
    >>> times = ServingCalibration("tpot").fit(data).predict(data)  # doctest: +SKIP
    """

    def __init__(
        self, target: str = "tpot", *, coverage: float = 0.9, random_state: int = 0
    ) -> None:
        self.target = one_of("ServingCalibration", "target", target, TARGETS)
        self.coverage = check_fraction("ServingCalibration", "coverage", coverage)
        self.random_state = random_state

    @long_work("fitting the calibration of serving times")
    def fit(self, data: CalibrationData, rows: Ints | None = None) -> ServingCalibration:
        """Learn from measured systems.

        Parameters
        ----------
        data : CalibrationData
            Systems with their measured times.
        rows : ndarray of int64, optional
            Which of them; by default all.

        Returns
        -------
        ServingCalibration
            This object.

        Raises
        ------
        ValueError
            If fewer than four pairs of architecture and GPU are among them.
        """
        rows = np.arange(len(data)) if rows is None else rows
        pairs = np.unique(data.groups[rows])
        if len(pairs) < _FOLDS:
            expected = f"points of at least {_FOLDS} pairs of architecture and GPU"
            raise invalid("ServingCalibration.fit", "rows", f"{len(pairs)}", expected)
        order = np.random.default_rng(self.random_state).permutation(pairs)
        scores = np.zeros(len(rows))
        for fold in range(_FOLDS):
            out = np.isin(data.groups[rows], order[fold::_FOLDS])
            self._learn(data, rows[~out])
            middle, scale = self._predict(data, rows[out])
            error = np.abs(np.log(data.measured[self.target][rows[out]]) - middle)
            scores[out] = error / scale
        counts = np.bincount(data.groups[rows])[data.groups[rows]]
        level = self.coverage + _RESERVE * (1 - self.coverage)
        self.width = _weighted_quantile(scores, 1.0 / counts, level)
        self._learn(data, rows)
        return self

    def predict(self, data: CalibrationData, rows: Ints | None = None) -> CalibratedTimes:
        """Return the times of systems.

        Parameters
        ----------
        data : CalibrationData
            Systems; their measured times are not used.
        rows : ndarray of int64, optional
            Which of them; by default all.

        Returns
        -------
        CalibratedTimes
        """
        rows = np.arange(len(data)) if rows is None else rows
        middle, scale = self._predict(data, rows)
        half = self.width * scale
        return CalibratedTimes(np.exp(middle), np.exp(middle - half), np.exp(middle + half))

    def _base(self, data: CalibrationData, rows: Ints) -> Floats:
        composed = data.composed[self.target][rows]
        return composed + self._host[data.engine[rows]]

    def _learn(self, data: CalibrationData, rows: Ints) -> None:
        from sklearn.ensemble import ExtraTreesRegressor

        self._host = np.zeros(int(data.engine.max()) + 1)
        measured = data.measured[self.target][rows]
        if self.target == "ttft":
            concurrency = np.exp(data.features[rows, data.names.index("concurrency")])
            excess = measured - data.composed["ttft"][rows]
            for engine in range(len(self._host)):
                few = (data.engine[rows] == engine) & (concurrency <= _FEW_REQUESTS + 0.5)
                self._host[engine] = max(float(np.median(excess[few])), 0.0) if few.any() else 0.0
        ratio = np.log(measured / self._base(data, rows))
        self._trees = ExtraTreesRegressor(
            _TREES, max_features=0.4, min_samples_leaf=3, random_state=self.random_state
        ).fit(data.features[rows], ratio)

    def _predict(self, data: CalibrationData, rows: Ints) -> tuple[Floats, Floats]:
        """Return the logarithm of the time, and the scale of its error."""
        every = np.array([tree.predict(data.features[rows]) for tree in self._trees.estimators_])
        middle = np.log(self._base(data, rows)) + every.mean(axis=0)
        prompts = np.exp(data.features[rows, data.names.index("share")])
        scale = _FLOOR + _PER_SPREAD * every.std(axis=0) + _PER_OUTSIDE * data.outside[rows]
        return middle, scale + _PER_SHARE * prompts / (1 + prompts)


def _weighted_quantile(values: Floats, weights: Floats, level: float) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(total, level)), len(values) - 1)])
