"""Learned correction of composed serving times, with conformal intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moe_costmodel._arrays import Bools, Floats, Ints
from moe_costmodel._checks import check_fraction, invalid, one_of
from moe_costmodel.silicon.features import features_of
from moe_costmodel.silicon.first_token import PARTS, EngineWeights, robust
from moe_costmodel.silicon.sample import ServingPoint
from moe_costmodel.silicon.serving import ServingEstimate
from moe_costmodel.silicon.tables.package import gpu_named
from moe_costmodel.silicon.tables.reader import BACKENDS
from moela.heartbeat.working import long_work

__all__ = ["CalibratedTimes", "CalibrationData", "ServingCalibration"]

TARGETS = ("tpot", "ttft")
_ENGINES = tuple(sorted(BACKENDS))
_TREES = 100
_FOLDS = 4
_MORE_FOLDS = 8  # for first tokens, whose tie and share hang on the folds if they are few
# Width of an interval: it grows with the disagreement of the trees, with the share of time that
# other requests' prompts take, and with the extrapolation of the composed times.
_FLOOR, _PER_SPREAD, _PER_SHARE, _PER_OUTSIDE = 0.5, 0.5, 1.0, 0.3
# A new pair may differ from all others, so a fifth of the misses is kept in reserve.
_RESERVE = 0.2
_FAR = 5.0  # logarithm of the largest extrapolation that counts
# Time to the first token. Trees correct the weighted parts by a share of the correction that they
# learned, so that they do not carry over what is special to a pair. The tie of engines and the
# share are chosen on pairs left out. The trees see how a system is divided and loaded, and little
# of which model it is. Engines differ in how well they are predicted, so each has a width.
_TIES, _SHARES = (0.03, 0.1, 0.3), (0.25, 0.5, 0.75, 1.0)
_LOADS = (
    "sglang", "trtllm", "vllm", "generation", "tp", "dp", "moe_ep", "input", "output",
    "concurrency", "year", "share", "prefill", "decode", "layers",
)  # fmt: skip
_MOST_CORRECTION = 1.0  # logarithm; larger ones are those of failures


@dataclass(frozen=True)
class CalibrationData:
    """Measured serving points and their composed times, as arrays.

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
        Number of the engine, in the order of their names, whichever engines are among the points.
    outside : ndarray of shape (n,)
        Logarithm of the largest extrapolation of the composed times.
    moe, known : ndarray of shape (n,), bool
        Whether the model has experts, and whether the division over GPUs is known.
    parts : ndarray of shape (n, n_parts), optional
        Parts of the time to the first token in seconds; needed to predict that time.

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
    parts: Floats | None = None

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

        Raises
        ------
        ValueError
            If there are no points, or another number of estimates.
        """
        if not len(points) or len(points) != len(estimates):
            got = f"{len(estimates)} for {len(points)} points"
            expected = "one estimate for each point, of at least one"
            raise invalid("CalibrationData.of", "estimates", got, expected)
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
            engine=np.array([_ENGINES.index(p.backend) for p in points], dtype=np.int64),
            outside=np.array(outside),
            moe=np.array([p.shape.experts is not None for p in points], dtype=np.int64),
            known=np.array([p.known_layout for p in points], dtype=np.int64),
            parts=np.array([e.first_token for e in estimates])
            if all(len(e.first_token) == len(PARTS) for e in estimates)
            else None,
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
    pairs of architecture and GPU that were left out, in units that grow with the disagreement of
    the trees, with the share of time that prompts of other requests take, and with the
    extrapolation of the composed times. Each pair counts alike for the time per token. For the time
    to the first token, a pair counts as the root of its points, and each engine has its own
    quantile.

    Parameters
    ----------
    target : {"tpot", "ttft"}
        Time per token, or time to the first token. The latter is a weighted sum of simulated parts,
        whose weights are learned by engine, times the correction of the trees.
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
        if self.target == "ttft":
            if data.parts is None:
                expected = "estimates by `estimate_of`, which simulates the benchmark"
                raise invalid("ServingCalibration.fit", "data", "data without parts", expected)
            known = rows[data.known[rows] == 1]
            rows = known if len(np.unique(data.groups[known])) >= _FOLDS else rows
        order = np.random.default_rng(self.random_state).permutation(np.unique(data.groups[rows]))
        number = _FOLDS if self.target == "tpot" else min(_MORE_FOLDS, len(order))
        folds = [np.isin(data.groups[rows], order[fold::number]) for fold in range(number)]
        counts = np.bincount(data.groups[rows])[data.groups[rows]]
        self._choose_tie(data, rows, folds, counts)
        base, correction, scale = np.zeros((3, len(rows)))
        for out in folds:
            self._learn(data, rows[~out])
            base[out], correction[out], scale[out] = self._predict(data, rows[out])
        error = np.log(data.measured[self.target][rows]) - base
        shares = (1.0,) if self.target == "tpot" else _SHARES
        losses = [_loss(error - share * correction, counts) for share in shares]
        self.share = shares[int(np.argmin(losses))]
        scores = np.abs(error - self.share * correction) / scale
        self._set_widths(scores, counts, data.engine[rows])
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
        base, correction, scale = self._predict(data, rows)
        middle = base + self.share * correction
        half = np.array([self.widths.get(int(i), self.width) for i in data.engine[rows]]) * scale
        return CalibratedTimes(np.exp(middle), np.exp(middle - half), np.exp(middle + half))

    def _set_widths(self, scores: Floats, counts: Ints, engine: Ints) -> None:
        """Set the width of intervals, for first tokens by engine."""
        level = self.coverage + _RESERVE * (1 - self.coverage)
        self.width = _weighted_quantile(scores, 1.0 / counts, level)
        self.widths: dict[int, float] = {}
        if self.target == "ttft":
            for number in np.unique(engine):
                rows = engine == number
                weights = 1.0 / np.sqrt(counts[rows])
                self.widths[int(number)] = _weighted_quantile(scores[rows], weights, self.coverage)

    def _choose_tie(
        self, data: CalibrationData, rows: Ints, folds: list[Bools], counts: Ints
    ) -> None:
        """Choose how strongly the engines' weights are tied, on pairs left out."""
        self.tie = _TIES[0]
        if data.parts is None or self.target == "tpot":
            return
        losses = []
        for tie in _TIES:
            error = np.zeros(len(rows))
            for out in folds:
                weights = self._weights(data, rows[~out], tie)
                seconds = weights.predict(data.parts[rows[out]], data.engine[rows[out]])
                error[out] = np.log(data.measured["ttft"][rows[out]] / seconds)
            losses.append(_loss(error, counts))
        self.tie = _TIES[int(np.argmin(losses))]

    def _weights(self, data: CalibrationData, rows: Ints, tie: float) -> EngineWeights:
        assert data.parts is not None
        return EngineWeights(tie).fit(
            data.parts[rows], data.measured["ttft"][rows], data.engine[rows], data.groups[rows]
        )

    def _base(self, data: CalibrationData, rows: Ints) -> Floats:
        if self.target == "tpot":
            return data.composed["tpot"][rows]
        if data.parts is None:
            expected = "estimates by `estimate_of`, which simulates the benchmark"
            raise invalid("ServingCalibration.predict", "data", "data without parts", expected)
        return self._engines.predict(data.parts[rows], data.engine[rows])

    def _columns(self, data: CalibrationData, rows: Ints) -> Floats:
        if self.target == "tpot":
            return data.features[rows]
        assert data.parts is not None
        chosen = [data.names.index(name) for name in _LOADS if name in data.names]
        launches = np.log(data.parts[rows, PARTS.index("launches")] + 1e-4)
        return np.column_stack([data.features[rows][:, chosen], launches])

    def _learn(self, data: CalibrationData, rows: Ints) -> None:
        from sklearn.ensemble import ExtraTreesRegressor

        if self.target == "ttft":
            self._engines = self._weights(data, rows, self.tie)
        ratio = np.log(data.measured[self.target][rows] / self._base(data, rows))
        if self.target == "ttft":
            ratio = np.clip(ratio, -_MOST_CORRECTION, _MOST_CORRECTION)
        self._trees = ExtraTreesRegressor(
            _TREES, max_features=0.4, min_samples_leaf=3, random_state=self.random_state
        ).fit(self._columns(data, rows), ratio)

    def _predict(self, data: CalibrationData, rows: Ints) -> tuple[Floats, Floats, Floats]:
        """Return the logarithm of the time, its correction, and the scale of its error."""
        columns = self._columns(data, rows)
        every = np.array([tree.predict(columns) for tree in self._trees.estimators_])
        prompts = np.exp(data.features[rows, data.names.index("share")])
        scale = _FLOOR + _PER_SPREAD * every.std(axis=0) + _PER_OUTSIDE * data.outside[rows]
        scale = scale + _PER_SHARE * prompts / (1 + prompts)
        return np.log(self._base(data, rows)), every.mean(axis=0), scale


def _loss(errors: Floats, counts: Ints) -> float:
    return float(np.average(robust(errors), weights=1 / np.sqrt(counts)))


def _weighted_quantile(values: Floats, weights: Floats, level: float) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(total, level)), len(values) - 1)])
