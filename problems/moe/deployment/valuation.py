"""Objectives and limits of designs: values, intervals, and what the limits leave of the starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import moocore
import numpy as np

from moe_costmodel import DeploymentModel
from moe_costmodel.deployment.evaluation import Evaluation
from problems._arrays import Floats, Ints
from problems._checks import setting_error
from problems.moe.deployment.layout import Layout
from problems.moe.deployment.setup import OWNER, SECONDS_PER_TOKEN
from problems.moe.deployment.starts import candidates, fastest, smallest
from problems.moe.few_starts import by_worth


@dataclass(frozen=True, slots=True)
class Valuation:
    """The objectives of rows and how far they exceed the limits, all minimized.

    Parameters
    ----------
    model : DeploymentModel
    layout : Layout
    names : tuple of str
        The objectives.
    limits : mapping from str to float
        Upper limits by objective.
    mean : bool
        Whether the values of several windows become their mean, else the worst.
    """

    model: DeploymentModel
    layout: Layout
    names: tuple[str, ...]
    limits: Mapping[str, float]
    mean: bool

    def values(self, rows: Ints, *, gated: bool = True) -> tuple[Floats, Floats]:
        """Return F [n, n_obj] and G [n, n_limits] of rows; not `gated`, no choice is dropped."""
        F = np.empty((len(rows), len(self.names)))
        G = np.empty((len(rows), len(self.limits)))
        for i, row in enumerate(rows):
            evaluation = self.evaluation(row, gated=gated)
            F[i] = [self.value(evaluation, name) for name in self.names]
            for j, (name, limit) in enumerate(self.limits.items()):
                value = self.value(evaluation, name)
                G[i, j] = value / limit - 1 if limit else value
        return F, G

    def evaluation(self, row: Ints, *, gated: bool = True) -> Evaluation:
        """Return the evaluation of one row."""
        return self.model.evaluate(self.layout.decision(row, gated=gated))

    def value(self, evaluation: Evaluation, name: str) -> float:
        """Return an objective by its minimized name."""
        wanted = "tokens_per_s" if name == SECONDS_PER_TOKEN else name
        value = float(evaluation[wanted] if self.mean else evaluation.worst(wanted))
        return 1.0 / value if name == SECONDS_PER_TOKEN else value

    def intervals(self, rows: Ints) -> Floats:
        """Return the lowest and highest value of each objective, [n, n_obj, 2]."""
        out = np.empty((len(rows), len(self.names), 2))
        for i, row in enumerate(rows):
            predicted = self.model.predict(self.layout.decision(row))
            for j, name in enumerate(self.names):
                if name == SECONDS_PER_TOKEN:
                    rate = predicted["tokens_per_s"]
                    out[i, j] = 1.0 / rate.high, 1.0 / rate.low
                else:
                    out[i, j] = predicted[name].low, predicted[name].high
        return out

    def today(self, n_batch_sizes: int) -> Floats | None:
        """Return the objectives [n_obj] of the current placement with nothing else decided.

        The batch size is the largest with which the limits hold; None if there is no such size.
        """
        row = self.layout.base_row(self.layout.placed.today)
        for batch_size in reversed(range(n_batch_sizes)):
            row[self.layout.batch_size] = batch_size
            F, G = self.values(row[None], gated=False)
            if (G <= 0).all():
                return F[0]
        return None


def check_limits(valuation: Valuation) -> None:
    """Raise if no deployment can meet a limit, before a search spends anything."""
    limits = valuation.limits
    for parameter, name, row, reason in (
        ("memory_budget", "memory_bytes", smallest(valuation.layout),
         "bytes, which the fewest experts that may be resident, the rest of the model and the "
         "smallest batch take (more devices, a smaller batch or a shorter context lower it)"),
        ("slo_s", "step_p99_s", fastest(valuation.layout),
         "seconds, which the smallest batch takes with the hardest thresholds and all experts "
         "resident (more devices, or a faster machine, lower it)"),
    ):  # fmt: skip
        if name in limits:
            least = valuation.value(valuation.evaluation(row), name)
            if least > limits[name]:
                expected = f"at least {least:.6g} {reason}"
                raise setting_error(OWNER, parameter, expected, limits[name])


def first_designs(valuation: Valuation) -> tuple[Ints, Floats]:
    """Return the best of the deployments that a person would try, and a reference point.

    The reference point is the worst of all of them, + 5 %. If none is within the limits, the
    designs come in the order of how far they exceed them.
    """
    layout = valuation.layout
    rows = layout.canonical(candidates(layout))
    F, G = valuation.values(rows)
    worst = F.max(axis=0)
    ref_point = np.where(worst > 0, 1.05 * worst, 1e-9)
    violation = np.maximum(G, 0.0).sum(axis=1)
    if (violation <= 0).any():
        rows, F = rows[violation <= 0], F[violation <= 0]
        best = moocore.is_nondominated(F, keep_weakly=False)
        rows = by_worth(rows[best], F[best], ref_point)
    else:
        rows = rows[violation.argsort(kind="stable")]
    return rows, ref_point
