"""RestOfModel: the time of everything but the MoE layers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import nnls

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import count, invalid
from moe_costmodel.latency.report import conformal
from moe_costmodel.measure.measurements import Measurements, Record

__all__ = ["RestOfModel"]

_COSTS = ("per_step", "per_token", "per_token_context")


@dataclass(frozen=True, kw_only=True)
class RestOfModel:
    """Seconds of everything but the MoE layers: attention, dense layers, embeddings.

    Parameters
    ----------
    per_step : float
        Seconds of a step of any size.
    per_token : float
        Additional seconds for each token of the step.
    per_token_context : float
        Additional seconds for each token and each token of context that it attends to (reading
        the KV cache).
    prefill : RestOfModel, optional
        Seconds of steps of prefill, if they were measured; by default those of decode.
    measured : tuple of two pairs of float, optional
        Smallest and largest numbers of tokens, and of context, of the steps that were measured.
    by_tokens : tuple of pairs of float
        Tokens of a step, ascending, and the factor by which such steps take longer than the three
        terms say. Between them, factors are interpolated over the logarithm of the tokens.
    log_ratios : tuple of float
        Logarithms of measured over predicted times of steps of `by_tokens`, ascending.
    left_out : tuple of float
        The same with each number of tokens left out in turn.

    Raises
    ------
    ValueError
        If a parameter is negative or not finite.

    Examples
    --------
    >>> from moe_costmodel import RestOfModel
    >>> rest = RestOfModel(per_step=1e-3, per_token=1e-5)
    >>> round(float(rest.seconds(tokens=100, context=0)), 6)
    0.002
    """

    per_step: float = 0.0
    per_token: float = 0.0
    per_token_context: float = 0.0
    prefill: RestOfModel | None = None
    measured: tuple[tuple[float, float], tuple[float, float]] | None = None
    by_tokens: tuple[tuple[float, float], ...] = ()
    log_ratios: tuple[float, ...] = ()
    left_out: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in _COSTS:
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise invalid("RestOfModel", name, value, "seconds, 0 or more")

    @classmethod
    def fit(cls, measurements: Measurements, *, d_model: int, n_layers: int) -> RestOfModel:
        """Fit to measured steps of a model, or to measured attention of one width.

        Parameters
        ----------
        measurements : Measurements
            With records of kind "step" of this `d_model` (:func:`moe_costmodel.measure_model`), or
            else of kind "rest". The latter hold attention alone: norms, routers, embeddings and the
            head are then left out.
        d_model : int
            Width of the model.
        n_layers : int
            Layers with attention; not used if steps of the model were measured.

        Raises
        ------
        ValueError
            If no attention of this width was measured.
        """
        n_layers = count("RestOfModel.fit", "n_layers", n_layers)
        steps = [r for r in measurements.of("step") if r.shape and r.shape.d_model == d_model]
        if steps:
            return cls._of_steps(steps)
        rows = [r for r in measurements.of("rest") if r.shape and r.shape.d_model == d_model]
        if not rows:
            widths = sorted({r.shape.d_model for r in measurements.of("rest") if r.shape})
            raise invalid("RestOfModel.fit", "d_model", d_model, f"among those measured, {widths}")
        layer = cls.from_times(
            [r.at["tokens"] for r in rows],
            [r.at["context"] for r in rows],
            [r.seconds for r in rows],
        )
        costs = {name: n_layers * getattr(layer, name) for name in _COSTS}
        return cls(**costs, measured=layer.measured)

    @classmethod
    def _of_steps(cls, records: list[Record]) -> RestOfModel:
        """Fit decode and prefill; if only one of them was measured, it stands for both."""
        fitted = {}
        for prefill in (0, 1):
            rows = [r for r in records if r.at["prefill"] == prefill]
            if rows:
                fitted[prefill] = cls.from_times(
                    [r.at["tokens"] for r in rows],
                    [r.at["context"] for r in rows],
                    [r.seconds for r in rows],
                )
        if 0 not in fitted:
            return replace(fitted[1], prefill=fitted[1])
        return replace(fitted[0], prefill=fitted.get(1))

    @classmethod
    def from_times(cls, tokens: ArrayLike, context: ArrayLike, seconds: ArrayLike) -> RestOfModel:
        """Fit to measured steps, such as those of `measure_rest`.

        Parameters
        ----------
        tokens, context, seconds : array_like of shape (n,)
            Tokens of each step, context that each of them attends to, and seconds of the step.

        Raises
        ------
        ValueError
            If there is no step, a number is negative or not finite, or a time is 0.
        """
        took = np.asarray(seconds, dtype=np.float64)
        if took.ndim != 1 or not took.size:
            raise invalid("RestOfModel.from_times", "seconds", took.shape, "one per step")
        steps = np.stack(
            [np.broadcast_to(np.asarray(v, float), took.shape) for v in (tokens, context)]
        )
        if not (np.isfinite(steps).all() and np.isfinite(took).all()):
            raise invalid("RestOfModel.from_times", "seconds", took, "finite, like all numbers")
        if steps.min() < 0 or took.min() <= 0:
            raise invalid("RestOfModel.from_times", "seconds", took.min(), "positive")
        model, left = cls._of_terms(steps, took), []
        sizes = np.unique(steps[0])
        # The largest and the smallest size are left in: beyond them, a prediction is flagged.
        for size in sizes[1:-1]:
            held = steps[0] == size
            other = cls._of_terms(steps[:, ~held], took[~held])
            left.append(np.log(took[held] / other.seconds(*steps[:, held])))
        ratios = np.sort(np.concatenate(left)) if left else np.zeros(0)
        own = np.sort(np.log(took / model.seconds(*steps)))
        return replace(model, log_ratios=tuple(own.tolist()), left_out=tuple(ratios.tolist()))

    @classmethod
    def _of_terms(cls, steps: Floats, took: Floats) -> RestOfModel:
        """Fit the three terms, and the factors of each number of tokens; `steps` is (2, n)."""
        terms = np.stack([np.ones_like(took), steps[0], steps[0] * steps[1]], axis=1)
        # Columns are scaled to similar sizes, and rows divided by their time for relative errors.
        size = np.maximum(terms.max(axis=0), np.finfo(float).tiny)
        scaled, _ = nnls(terms / size / took[:, None], np.ones_like(took))
        a, b, c = (float(value) for value in scaled / size)
        low, high = steps.min(axis=1).tolist(), steps.max(axis=1).tolist()
        ranges = (low[0], high[0]), (low[1], high[1])
        model = cls(per_step=a, per_token=b, per_token_context=c, measured=ranges)
        factor = took / model.seconds(*steps)
        by_tokens = [(n, np.median(factor[steps[0] == n])) for n in np.unique(steps[0])]
        return replace(model, by_tokens=tuple((float(n), float(f)) for n, f in by_tokens))

    def outside(self, tokens: float, context: float, *, mode: str = "decode") -> list[str]:
        """Return the reasons why a step is an extrapolation; empty if it is not.

        A factor of 1.25 beyond the measured tokens and of 2 beyond the measured context, whose part
        of a step is small, is not one.
        """
        model = self
        if mode == "prefill":
            if self.prefill is None:
                is_measured = self.measured is not None
                return ["the rest of the model was measured in decode only"] if is_measured else []
            model = self.prefill
        if model.measured is None:
            return []
        reasons = []
        for name, value, (low, high), slack in zip(
            ("tokens", "context"), (tokens, context), model.measured, (1.25, 2.0), strict=True
        ):
            if value < low / slack or value > high * slack:
                reasons.append(
                    f"the rest of the model was measured for {low:g} to {high:g} {name} in a "
                    f"step of {mode}, not for {value:g}"
                )
        return reasons

    def seconds(self, tokens: ArrayLike, context: ArrayLike, *, mode: str = "decode") -> Floats:
        """Return the time of steps of `tokens` tokens that attend to `context` tokens each."""
        if mode == "prefill" and self.prefill is not None:
            return self.prefill.seconds(tokens, context)
        tokens, context = np.asarray(tokens, float), np.asarray(context, float)
        seconds = self.per_step + tokens * (self.per_token + self.per_token_context * context)
        if not self.by_tokens:
            return seconds
        known, factors = np.maximum(np.array(self.by_tokens).T, 1e-9)
        return seconds * np.interp(np.log(np.maximum(tokens, 1e-9)), np.log(known), factors)

    def error(self, coverage: float, tokens: float, *, mode: str = "decode") -> tuple[float, float]:
        """Return the ratios of measured to predicted times between which `coverage` of them are.

        The ratios are those of measured steps; if steps of that many tokens were not measured,
        those of sizes that were left out. Both are 1 if nothing was measured.
        """
        if mode == "prefill" and self.prefill is not None:
            return self.prefill.error(coverage, tokens)
        is_measured = tokens in dict(self.by_tokens)
        return conformal(np.array(self.log_ratios if is_measured else self.left_out), coverage)
