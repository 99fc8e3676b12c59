"""Time and memory of a whole step: MoE layers on several devices, and the rest of the model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import nnls

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import check_number, count, invalid, one_of, require
from moe_costmodel.hardware import Hardware
from moe_costmodel.latency.model import LatencyModel
from moe_costmodel.latency.report import conformal
from moe_costmodel.measure.measurements import Measurements, Record
from moe_costmodel.shapes import DTYPE_BYTES, LayerShape

__all__ = ["MemoryModel", "RestOfModel", "StepModel"]

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


@dataclass(frozen=True, kw_only=True)
class MemoryModel:
    """Bytes of a model on one device.

    Parameters
    ----------
    shape : LayerShape
        An MoE layer; its `n_local` experts are the device's share.
    n_moe_layers : int
        MoE layers.
    rest_parameters : int
        Weights on the device, without those of experts.
    n_attention_layers : int
        Layers with a KV cache.
    kv_width : int
        Values that a token keeps per layer: 2 x key-value heads x head size (of a compressed
        cache, the values that are cached).
    kv_dtype : str
        Type of the cache.

    Raises
    ------
    ValueError
        If a number is negative or not finite, or the type unknown.

    Examples
    --------
    >>> from moe_costmodel import LayerShape, MemoryModel
    >>> shape = LayerShape(n_experts=8, k=2, d_model=64, d_ffn=128)
    >>> memory = MemoryModel(
    ...     shape=shape, n_moe_layers=4, rest_parameters=10_000, n_attention_layers=4, kv_width=128
    ... )
    >>> float(memory.kv_bytes(batch_size=2, context=100))
    204800.0
    """

    shape: LayerShape
    n_moe_layers: int
    rest_parameters: int
    n_attention_layers: int
    kv_width: int
    kv_dtype: str = "float16"

    def __post_init__(self) -> None:
        for name in ("n_moe_layers", "n_attention_layers"):
            count("MemoryModel", name, getattr(self, name))
        for name in ("rest_parameters", "kv_width"):
            value = check_number("MemoryModel", name, getattr(self, name))
            require("MemoryModel", name, value, value >= 0, "0 or more")
        one_of("MemoryModel", "kv_dtype", self.kv_dtype, DTYPE_BYTES)

    @property
    def weight_bytes(self) -> float:
        """Bytes of the weights without those of experts."""
        return self.rest_parameters * DTYPE_BYTES[self.shape.dtype]

    def expert_bytes(self, resident: ArrayLike, replicas: ArrayLike = 0) -> Floats:
        """Return the bytes of experts in fast memory.

        Parameters
        ----------
        resident : array_like of shape (..., n_moe_layers)
            Experts (buffer slots) that the device keeps of each layer.
        replicas : array_like, broadcast to `resident`
            Replicas beside them.
        """
        slots = np.asarray(resident, float) + np.asarray(replicas, float)
        if slots.shape[-1:] != (self.n_moe_layers,):
            raise invalid(
                "MemoryModel", "resident", slots.shape, f"of shape (..., {self.n_moe_layers})"
            )
        return slots.sum(axis=-1) * self.shape.expert_bytes

    def kv_bytes(self, batch_size: ArrayLike, context: ArrayLike) -> Floats:
        """Return the bytes of the KV cache of `batch_size` sequences of `context` tokens."""
        tokens = np.asarray(batch_size, float) * np.asarray(context, float)
        return tokens * self.n_attention_layers * self.kv_width * DTYPE_BYTES[self.kv_dtype]

    def activation_bytes(
        self,
        tokens: ArrayLike,
        *,
        gating: str = "dynamic",
        capacity_factor: float = 1.0,
        kept: float | None = None,
    ) -> Floats:
        """Return the peak of the activations of one MoE layer; layers run one after another.

        Parameters
        ----------
        tokens : array_like
            Tokens of the step on this device.
        gating : {"dynamic", "static"}
            Dynamic gating holds the chosen rows: gathered, inner and computed. Static gating holds
            its (tokens, experts, capacity) mask as weights, as zeros and ones, and, while it
            combines, as the copy that the product makes; and every expert's full capacity.
        capacity_factor : float
            Capacity factor of static gating.
        kept : float, optional
            Mean number of experts per token under a threshold; by default all k.
        """
        one_of("MemoryModel", "gating", gating, ("dynamic", "static"))
        s = self.shape
        n = np.asarray(tokens, float)
        element = max(DTYPE_BYTES[s.dtype], 2.0)
        inner = (3 if s.gated else 1) * s.d_ffn
        if gating == "dynamic":
            rows = n * (s.k if kept is None else kept) * s.n_local / s.n_experts
            return element * rows * (2 * s.d_model + inner)
        capacity = np.maximum(1, np.ceil(capacity_factor * n))
        slots = s.n_local * capacity
        mask = n * s.n_experts * capacity
        combining = 3 * mask + slots * (2 * s.d_model + s.d_ffn)
        computing = 2 * mask + slots * (s.d_model + inner)
        return element * np.maximum(combining, computing)


@dataclass(frozen=True, kw_only=True)
class StepModel:
    """Predicts steps of a model: its MoE layers, exchanges, copies, and the rest.

    Layers are independent: :meth:`layer_seconds` of a layer depends on that layer alone, and a
    step is the sum of the layers and the rest.

    Parameters
    ----------
    latency : LatencyModel
        Latency model of the experts.
    shape : LayerShape
        An MoE layer on one device.
    hardware : Hardware
        Machine whose link "device_to_device" carries the tokens between devices.
    rest : RestOfModel
        Everything else.
    kernel : str, optional
        One of the latency model's kernels.

    Examples
    --------
    >>> from moe_costmodel import StepModel
    >>> from moe_costmodel.example import measured
    >>> model = StepModel(
    ...     latency=measured.example_latency(),
    ...     shape=measured.example_shape(),
    ...     hardware=measured.example_hardware(1),
    ...     rest=measured.example_rest(),
    ... )
    >>> few, many = model.layer_seconds([[[1] * 4 + [0] * 28], [[8] * 32]])
    >>> bool(few < many)
    True
    """

    latency: LatencyModel
    shape: LayerShape
    hardware: Hardware
    rest: RestOfModel
    kernel: str | None = None

    def exchange_seconds(self, counts: ArrayLike) -> Floats:
        """Return the time of one exchange of tokens, one way, (...).

        Parameters
        ----------
        counts : array_like of shape (..., n_devices, n_local)
            Tokens of each expert. The device that receives the most decides. Tokens start on all
            devices alike, so a share of 1 / n_devices of them does not travel.
        """
        array = np.asarray(counts)
        n_devices = array.shape[-2]
        if n_devices == 1:
            return np.zeros(array.shape[:-2])
        link = self.hardware.link("device_to_device")
        rows = array.sum(axis=-1).max(axis=-1) * (1 - 1 / n_devices)
        size = rows * self.shape.d_model * max(DTYPE_BYTES[self.shape.dtype], 2.0)
        return link.latency + size / link.bandwidth

    def layer_seconds(
        self,
        counts: ArrayLike,
        misses: ArrayLike | None = None,
        capacity: ArrayLike | None = None,
    ) -> Floats:
        """Return the time of MoE layers.

        Parameters
        ----------
        counts : array_like of shape (..., n_devices, n_local)
            Tokens of each device's experts.
        misses : array_like of shape (..., n_devices), integer, optional
            Experts that each device copies in, if experts are buffered. Copies overlap with the
            exchange (arXiv 2303.06182, section 5).
        capacity : array_like of shape (..., n_devices), integer, optional
            Experts that the buffer of each device holds; by default no slot is used twice in a
            step.

        Returns
        -------
        ndarray of shape (...)
            Exchange there and back, and the slowest device in between.
        """
        array = np.asarray(counts)
        exchange = self.exchange_seconds(array)
        if misses is None:
            devices = self.latency.table(self.shape, kernel=self.kernel).seconds(array)
        else:
            devices = self.latency.buffered_seconds(
                self.shape,
                array,
                misses,
                exchange[..., None],
                capacity=capacity,
                kernel=self.kernel,
            )
        return devices.max(axis=-1) + 2 * exchange

    def seconds(
        self,
        counts: ArrayLike,
        misses: ArrayLike | None = None,
        *,
        tokens: ArrayLike,
        context: ArrayLike,
    ) -> Floats:
        """Return the time of steps, (n_steps,).

        Parameters
        ----------
        counts : array_like of shape (n_steps, n_layers, n_devices, n_local)
        misses : array_like of shape (n_steps, n_layers, n_devices)
        tokens, context : array_like of shape (n_steps,) or scalar
            Tokens of the step, and the mean context that they attend to.
        """
        layers = self.layer_seconds(counts, misses)
        return layers.sum(axis=-1) + self.rest.seconds(tokens, context)
