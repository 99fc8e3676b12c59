"""Whole steps of a model as they were measured, against what their parts add up to."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np

from moe_costmodel._arrays import Floats
from moe_costmodel.latency.model import LatencyModel
from moe_costmodel.latency.steps.rest_of_model import RestOfModel
from moe_costmodel.shapes import LayerShape
from moe_costmodel.traces.trace import Mode

__all__ = ["whole_error", "whole_ratios"]


def whole_ratios(
    latency: LatencyModel, rest: RestOfModel, shape: LayerShape, *, mode: Mode
) -> Floats:
    """Return log(measured / composed) of the whole steps that were measured with a latency model.

    Parameters
    ----------
    latency : LatencyModel
        Fitted to the layers of the model, but not to these steps.
    rest : RestOfModel
        The rest of the model, measured with it; if it was not, no ratio is known.
    shape : LayerShape
        A whole layer of the model.
    mode : {"decode", "prefill"}

    Returns
    -------
    ndarray of shape (n,)
        A ratio for each number of tokens that was measured as a whole.
    """
    ratios: list[float] = []
    whole = replace(shape, n_local=shape.n_experts)
    if rest.measured is None:
        return np.zeros(0)
    for record in latency.whole_steps:
        at = record.at
        if record.shape == whole and at["prefill"] == int(mode == "prefill"):
            counts = np.asarray(at["counts"])  # (steps, layers, experts)
            layers = latency.table(whole).seconds(counts).sum() / len(counts)
            composed = layers + float(rest.seconds(at["tokens"], at["context"], mode=mode))
            ratios.append(float(np.log(record.seconds / composed)))
    return np.array(ratios)


def whole_error(log_ratios: Floats, coverage: float) -> tuple[float, float]:
    """Return ratios of measured to composed times between which `coverage` of whole steps are.

    The ratios are taken as normal around 0: what the composition is off by in all steps belongs to
    the error, like what it is off by in some. Both ends are 1 if no whole step was measured.

    Parameters
    ----------
    log_ratios : ndarray of shape (n,)
        Those of :func:`whole_ratios`.
    coverage : float
        Between 0 and 1.
    """
    n = len(log_ratios)
    if not n:
        return 1.0, 1.0
    width = NormalDist().inv_cdf((1 + coverage) / 2) * np.sqrt(1 + 1 / n)
    end = float(np.exp(width * np.sqrt(np.mean(log_ratios**2))))
    return 1 / end, end
