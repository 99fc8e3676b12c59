"""LatencyModel: the time of a step of an MoE layer, learned from measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel._arrays import Array, Bools, Floats, Ints
from moe_costmodel._checks import invalid, one_of
from moe_costmodel.hardware import Hardware
from moe_costmodel.latency.buffer_cost import BufferCost
from moe_costmodel.latency.checks import check_copies, check_counts, check_numbers
from moe_costmodel.latency.estimators import METHODS, Estimator
from moe_costmodel.latency.features import Points, outside_of, range_of
from moe_costmodel.latency.layer_table import LayerTable
from moe_costmodel.latency.prediction import Prediction
from moe_costmodel.latency.report import (
    FitReport,
    ShapeError,
    conformal,
    held_out_steps,
    leave_one_out,
)
from moe_costmodel.latency.rule_cost import RuleCost
from moe_costmodel.latency.sources import counts_of, gather, measured_steps, steps_of
from moe_costmodel.measure.kernel_table import KernelTable
from moe_costmodel.measure.measurements import Measurements, Record
from moe_costmodel.shapes import DTYPE_BYTES, LayerShape
from moe_costmodel.work import Work
from moela.heartbeat.working import long_work

__all__ = ["FitReport", "LatencyModel", "Prediction", "ShapeError"]

_SCALES = 0.15  # logarithm of widths that differ by the scales of quantized weights
_WIDER = 2.0  # times the interval of an extrapolation, whose error is not known


class LatencyModel:
    """Predicts the time of an MoE layer on one device from tokens per expert and misses.

    Create one with :meth:`fit`. Intervals hold for times of the same measurement; a later one on a
    busy machine may drift out of them.

    Attributes
    ----------
    report : FitReport
        Leave-one-shape-out errors.
    hardware : Hardware or None
        Machine whose link "slow_to_fast" is charged for misses, if no buffered layer was measured.
    buffer_cost : BufferCost or None
        Cost of buffering, if buffered layers were measured.
    held_log_ratios : ndarray
        Sorted log(measured / predicted) of the sums of layers of whole steps that were left out,
        while others of their size were not, less what a mean averages out.
    buffered_log_ratios : ndarray
        Sorted log(measured / predicted) of buffered runs that were left out.
    rule_cost : RuleCost or None
        Cost of applying a gate rule, if rules were measured.
    whole_steps : list of Record
        Steps of a model that were measured as a whole; nothing is fitted to them.

    Examples
    --------
    >>> from moe_costmodel import LatencyModel
    >>> from moe_costmodel.example.measured import example_measurements, example_shape
    >>> latency = LatencyModel.fit(example_measurements())
    >>> bool(latency.predict(example_shape(), [4] * 8 + [0] * 24).seconds > 0)
    True
    """

    def __init__(
        self,
        *,
        estimator: Estimator,
        known: Floats,
        widths: set[float],
        max_rows: int,
        tokens: tuple[float, float],
        kernels: Sequence[str],
        report: FitReport,
        hardware: Hardware | None,
        buffer_cost: BufferCost | None = None,
        rule_cost: RuleCost | None = None,
        steps: Mapping[LayerShape, tuple[Ints, Floats]] = MappingProxyType({}),
    ) -> None:
        self._estimator = estimator
        self._known = known
        self._widths = widths
        self._max_rows = max_rows
        self.tokens = tokens
        self.kernels = list(kernels)
        self.report = report
        self.hardware = hardware
        self.buffer_cost = buffer_cost
        self.rule_cost = rule_cost
        self.held_log_ratios: Floats = np.zeros(0)
        self.buffered_log_ratios: Floats = np.zeros(0)
        self.whole_steps: list[Record] = []
        self._steps = dict(steps)
        self._sizes: set[float] = set()
        self._tables: dict[tuple[LayerShape, int], LayerTable] = {}

    @classmethod
    @long_work("fitting a latency model")
    def fit(
        cls,
        source: Measurements | KernelTable,
        *,
        method: str = "auto",
        hardware: Hardware | None = None,
        n_estimators: int | None = None,
        max_points: int = 30_000,
        max_error: float = 0.3,
        random_state: int = 0,
    ) -> LatencyModel:
        """Fit to measurements of this machine or to a table of another.

        Parameters
        ----------
        source : Measurements or KernelTable
            Data of at least two model shapes, or of one in steps of several sizes.
        method : {"auto", "linear", "smooth", "trees", "blend"}
            A linear model of the work, the same times a Gaussian process, a roofline times trees,
            or the geometric mean of the three. "auto" is the one with the lowest
            leave-one-shape-out error.
        hardware : Hardware, optional
            Machine whose links are charged for misses; by default that of the measurements.
        n_estimators : int, optional
            Trees of each forest; by default 40, or 20 for a table, which has more points.
        max_points : int
            Size of the random part of a larger table that is used.
        max_error : float
            Largest median error, leaving one shape (or size) out, with which a model is returned.
        random_state : int
            Seed of the trees and of the random part.

        Returns
        -------
        LatencyModel

        Raises
        ------
        ValueError
            If the source has no layer, or a single shape in steps of one size, or the method is
            unknown; if the median error is above `max_error`; or if the copies of experts cost
            nothing, which a busy machine can seem to show. The message says what to do.
        """
        one_of("LatencyModel.fit", "method", method, ("auto", *METHODS))
        points, seconds, family, kernels, known_peaks, units = gather(source)
        step = steps_of(source) if isinstance(source, Measurements) else None
        if hardware is None and isinstance(source, Measurements):
            hardware = source.hardware
        if family.max() == 0:
            # Of a single shape, sizes of steps are left out in turn.
            family = np.unique(points.tokens, return_inverse=True)[1].ravel()
            if family.max() == 0:
                expected = "of at least two model shapes, or of steps of two sizes"
                raise invalid("LatencyModel.fit", "source", "one of each", expected)
        if len(points) > max_points:
            kept = np.random.default_rng(random_state).permutation(len(points))[:max_points]
            points, seconds, family = points.take(kept), seconds[kept], family[kept]
            step = None if step is None else step[kept]
        if method != "auto":
            candidates = [method]
        elif isinstance(source, KernelTable):
            candidates = ["trees"]  # lines through tuned GPU kernels are far off
        else:
            candidates = list(METHODS)
        if n_estimators is None:
            n_estimators = 20 if isinstance(source, KernelTable) else 40
        fitted = []
        for name in candidates:
            estimator = Estimator(name, n_estimators, random_state, known_peaks, units)
            fitted.append((estimator, leave_one_out(estimator, points, seconds, family, step)))
        estimator, report = min(fitted, key=lambda item: item[1].median)
        if not report.median <= max_error:
            # What was measured in a model has its whole steps, too.
            whole = isinstance(source, Measurements) and any(source.of("whole"))
            ways = "" if whole else ", or in the model itself (moe_costmodel.measure_model)"
            raise ValueError(
                f"LatencyModel.fit must predict the measured times within {max_error:.0%}, by the "
                f"median of what is left out. Got {report.median:.1%} ({report.method}) instead, "
                "so plans made with it would be guesses. Measure again on a quieter machine or "
                f"with process time (clock='cpu'), or with a larger budget{ways}; or pass "
                "max_error= to take it as it is."
            )
        model = cls(
            estimator=estimator.fit(points, seconds),
            known=range_of(points),
            widths=set(points.width.tolist()),
            max_rows=int(points.work.largest.max()),
            tokens=(float(points.tokens.min()), float(points.tokens.max())),
            kernels=kernels,
            report=report,
            hardware=hardware,
            steps=measured_steps(source) if isinstance(source, Measurements) else {},
        )
        if isinstance(source, Measurements):
            model._sizes = set(points.tokens.tolist())
            model.held_log_ratios = model._held_out(source, estimator, points, seconds)
            model._fit_costs(source)
            model.whole_steps = list(source.of("whole"))
        return model

    def _held_out(
        self, source: Measurements, estimator: Estimator, points: Points, seconds: Floats
    ) -> Floats:
        """Return the errors of measured steps that are left out; see :func:`held_out_steps`."""
        step, counts = steps_of(source), counts_of(source)
        if len(step) != len(points):  # only a part of them was fitted
            return np.zeros(0)

        def predict(held: Bools) -> Floats:
            part = copy(self)
            part._estimator = estimator.fit(points.take(~held), seconds[~held])
            part._steps, part._tables = measured_steps(source, ~held), {}
            rows = [counts[i] for i in np.flatnonzero(held)]
            return np.array([float(part.table(shape).seconds(own)) for shape, own in rows])

        return held_out_steps(step, points.tokens, seconds, predict)

    def _fit_costs(self, source: Measurements) -> None:
        """Fit the costs of buffers and rules, if they were measured."""
        if rules := list(source.of("rule")):
            self.rule_cost = RuleCost.fit(rules)
        buffered = list(source.of("buffered"))
        if not buffered:
            return
        copies = list(source.of("copy"))

        def layer(shape: LayerShape, counts: Ints) -> Floats:
            return self.table(shape).seconds(counts)

        cost = BufferCost.fit(buffered, layer, copies=copies)
        if not (cost.per_miss or cost.per_byte) and any(r.at["misses"] for r in buffered):
            raise ValueError(
                "LatencyModel.fit must find that copies of experts cost time. Got buffered layers "
                "that take no longer with misses than without instead, so buffers would seem "
                "free. Measure again on a quieter machine or with process time (clock='cpu'), with "
                "a larger budget; or leave the records of kind 'buffered' out, and the link "
                "'slow_to_fast' of the hardware is charged."
            )
        self.buffer_cost = cost
        self.buffered_log_ratios = BufferCost.left_out(buffered, layer, copies=copies)

    def rule_seconds(self, tokens: float, k: int) -> float:
        """Return the time of applying a gate rule to a step; 0 if no rule was measured."""
        return 0.0 if self.rule_cost is None else self.rule_cost.seconds(tokens, k)

    def table(self, shape: LayerShape, *, kernel: str | None = None) -> LayerTable:
        """Return the times of a layer as a table: fast, and monotone in the tokens.

        Parameters
        ----------
        shape : LayerShape
            The layer on one device.
        kernel : str, optional
            One of :attr:`kernels`; by default the first.
        """
        name = self.kernels[0] if kernel is None else kernel
        one_of("LatencyModel", "kernel", name, self.kernels)
        code = self.kernels.index(name)
        if (shape, code) not in self._tables:

            def predict(work: Work, tokens: Floats) -> Floats:
                first = np.zeros(len(work), dtype=np.int64)
                points = Points.build([shape], first, work, tokens, np.full(len(work), code))
                return self._estimator.predict(points)

            table = LayerTable.build(shape, predict, self._max_rows)
            if shape in self._steps and code == 0:
                table = table.moved_to(*self._steps[shape])
            self._tables[shape, code] = table
        return self._tables[shape, code]

    def outside(self, shape: LayerShape, tokens: ArrayLike | None = None) -> list[str]:
        """Return the reasons why a layer is an extrapolation; empty if it is not.

        Parameters
        ----------
        shape : LayerShape
            The layer on one device.
        tokens : array_like, optional
            Tokens of steps, over all devices. Up to 1.25 times the most that were measured are not
            an extrapolation.
        """
        one = Work.from_counts(np.ones((1, shape.n_local)))
        zero = np.zeros(1, dtype=np.int64)
        reasons = outside_of(Points.build([shape], zero, one, np.ones(1), zero), self._known)
        width = DTYPE_BYTES[shape.dtype]
        if all(abs(np.log(width / known)) > _SCALES for known in self._widths):
            reasons.append(f"no weights of {width:g} bytes were measured")
        if tokens is not None and np.size(tokens):
            (low, high), steps = self.tokens, np.asarray(tokens, dtype=np.float64)
            if steps.max() > 1.25 * high or steps.min() < low / 1.25:
                step = steps.max() if steps.max() > 1.25 * high else steps.min()
                reasons.append(
                    f"layers were measured in steps of {low:g} to {high:g} tokens, not of {step:g}"
                )
        return reasons

    def predict(
        self,
        shape: LayerShape,
        counts: ArrayLike,
        *,
        misses: ArrayLike | None = None,
        capacity: ArrayLike | None = None,
        overlapped: ArrayLike = 0.0,
        tokens: ArrayLike | None = None,
        kernel: str | None = None,
        coverage: float = 0.8,
        extrapolate: str = "flag",
    ) -> Prediction:
        """Predict the time of steps.

        Parameters
        ----------
        shape : LayerShape
            The layer on one device.
        counts : array_like of shape (..., n_local)
            Tokens of each of the device's experts, after gate rules.
        misses : array_like of shape (...), optional
            Experts that each step has to copy from slow memory, if the layer's experts are
            buffered (0 for a buffered step without a miss), or means of them; up to n_local.
        capacity : array_like of shape (...), optional
            Experts that the buffer holds, at least 1; by default no slot is used twice in a step.
        overlapped : array_like of shape (...), float
            Seconds of each step that copies overlap with (the token exchange), at least 0.
        tokens : array_like, optional
            Tokens of the steps, over all devices, to compare with those that were measured. By
            default they are computed from the counts, as if no choice was dropped. Pass them if a
            gate rule drops choices, or the step seems smaller than it is. If the device holds only
            some of the experts, no step is flagged as too small without `tokens`.
        kernel : str, optional
            One of :attr:`kernels`; by default the first.
        coverage : float
            Coverage of the interval, between 0 and 1.
        extrapolate : {"flag", "refuse"}
            Whether a layer outside the measured range is flagged or refused.

        Returns
        -------
        Prediction

        Raises
        ------
        ValueError
            If the layer is an extrapolation that is refused, a parameter is out of range, a count
            is negative or not finite, or there are misses and the hardware has no link
            "slow_to_fast".
        """
        one_of("LatencyModel.predict", "extrapolate", extrapolate, ("flag", "refuse"))
        owner = "LatencyModel.predict"
        if not 0 < coverage < 1:
            raise invalid(owner, "coverage", coverage, "between 0 and 1")
        # Rows are those of this device, so that their mean over devices gives the step's tokens.
        array = check_counts(owner, shape, counts)
        check_copies(owner, shape, 0 if misses is None else misses, capacity, overlapped)
        if tokens is None:
            steps = self._tokens_of(shape, array)
        else:
            steps = check_numbers(owner, "tokens", tokens)
        outside = self.outside(shape, steps)
        if outside and extrapolate == "refuse":
            raise invalid(owner, "shape", "; ".join(outside), "inside what was measured")
        seconds = self.table(shape, kernel=kernel).seconds(array)
        low, high = self.error(coverage, outside)
        if misses is not None:
            seconds = self.buffered_seconds(
                shape, counts, misses, overlapped, capacity=capacity, kernel=kernel
            )
        return Prediction(seconds, low * seconds, high * seconds, coverage, outside)

    def _tokens_of(self, shape: LayerShape, counts: Array) -> Floats:
        """Return the tokens of steps, without steps whose counts say too little of them."""
        # Rows are those of this device, so that their mean over devices gives the step's tokens.
        rows = counts.sum(axis=-1) * (shape.n_experts / shape.n_local)
        # Under a threshold, the choices that are kept say less of the tokens than the busiest one.
        steps = np.maximum(rows / shape.k, counts.max(axis=-1, initial=0))
        # A part of the experts may have few tokens of a large step.
        is_known = rows > 0 if shape.n_local == shape.n_experts else steps >= self.tokens[0]
        known: Floats = steps[is_known]
        return known

    def error(self, coverage: float, outside: Sequence[str] = ()) -> tuple[float, float]:
        """Return the ratios of measured to predicted times between which `coverage` of them are.

        If there are reasons why a prediction is `outside`, these are the ratios of all points that
        were left out, extrapolations among them, and the interval is twice as wide (in logarithms).
        """
        ratios = self.report.wide_log_ratios if outside else self.report.log_ratios
        ends = np.quantile(ratios, [(1 - coverage) / 2, (1 + coverage) / 2])
        low, high = np.exp(ends * (_WIDER if outside else 1.0))
        return float(low), float(high)

    def step_error(
        self,
        coverage: float,
        outside: Sequence[str] = (),
        *,
        tokens: float | None = None,
        is_buffered: bool = False,
    ) -> tuple[float, float]:
        """Return the ratios as of :meth:`error` for the sum of the layers of a model's step.

        The ratios are those of measured steps that were left out in the fit; if steps of that many
        tokens were not measured, those of whole sizes that were. Of buffered layers they are those
        of buffered runs, if these vary more.
        """
        if outside:
            return self.error(coverage, outside)
        is_measured = len(self.held_log_ratios) and tokens in self._sizes
        ratios = self.held_log_ratios if is_measured else self.report.step_log_ratios
        low, high = conformal(ratios, coverage)
        if is_buffered and len(self.buffered_log_ratios):
            least, most = conformal(self.buffered_log_ratios, coverage)
            low, high = min(low, least), max(high, most)
        return low, high

    def buffered_seconds(
        self,
        shape: LayerShape,
        counts: ArrayLike,
        misses: ArrayLike,
        overlapped: ArrayLike = 0.0,
        *,
        capacity: ArrayLike | None = None,
        kernel: str | None = None,
    ) -> Floats:
        """Return the time of steps whose experts are buffered, (...); see :meth:`predict`."""
        check_copies("LatencyModel", shape, misses, capacity, overlapped)
        seconds = self.table(shape, kernel=kernel).seconds(counts)
        active = np.count_nonzero(np.asarray(counts), axis=-1)
        if self.buffer_cost is not None:
            seconds = self.buffer_cost.layer_seconds(seconds, active, capacity)
        copying = self.copy_seconds(shape, misses) - np.asarray(overlapped)
        return seconds + np.maximum(copying, 0.0)

    def copy_seconds(self, shape: LayerShape, misses: ArrayLike) -> Floats:
        """Return the time of copying missing experts one after another, (...)."""
        missing = np.asarray(misses, dtype=np.float64)
        if not missing.any():
            return np.zeros(missing.shape)
        if self.buffer_cost is not None:
            return self.buffer_cost.copy_seconds(shape, missing)
        if self.hardware is None:
            raise ValueError(
                "The latency model must know the link 'slow_to_fast' to charge for misses. It was "
                "fitted to a table; pass LatencyModel.fit(table, hardware=...) with that link."
            )
        link = self.hardware.link("slow_to_fast")
        return BufferCost.of_link(link).copy_seconds(shape, missing)
