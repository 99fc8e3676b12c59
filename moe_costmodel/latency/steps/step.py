"""StepModel: the time of a whole step of MoE layers on several devices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel._arrays import Floats
from moe_costmodel.hardware import Hardware
from moe_costmodel.latency.model import LatencyModel
from moe_costmodel.latency.steps.rest_of_model import RestOfModel
from moe_costmodel.shapes import DTYPE_BYTES, LayerShape

__all__ = ["StepModel"]


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
