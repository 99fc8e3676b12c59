"""Measures of designs: metrics by name, what changes beside the mesh, and loads of channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from problems._arrays import Floats, Ints
from problems._checks import check_names
from problems.noc.design.rules import accepted
from problems.noc.evaluation.evaluation import NoCEvaluation
from problems.noc.evaluation.metrics import ALL_UNITS
from problems.noc.evaluation.physical import PHYSICAL_UNITS


@dataclass(frozen=True, slots=True)
class Measures:
    """The measures of rows, objectives or not, under each application.

    Parameters
    ----------
    evaluation : NoCEvaluation
    check : callable
        Raises the error of the first row that breaks a rule.
    """

    evaluation: NoCEvaluation
    check: Callable[[Ints], None]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the metrics on this platform."""
        platform = self.evaluation.platform
        both = platform.pes_of(platform.core_type) and platform.pes_of(platform.cache_type)
        absent = set() if both else {"latency"}
        absent |= set() if platform.technology else set(PHYSICAL_UNITS)
        return tuple(name for name in ALL_UNITS if name not in absent)

    def checked(self, names: Sequence[str], owner: str) -> Sequence[str]:
        """Return names of metrics; a ValueError names an unknown one."""
        return check_names(owner, "names", names, self.names)

    def values(self, rows: Ints, names: Sequence[str]) -> Floats:
        """Return metrics by name under each application, [n, n_apps, n_names]."""
        return accepted(self.evaluation.values(rows, names), self.check, rows)

    def beside(
        self, row: Ints, mesh: Ints, names: Sequence[str]
    ) -> dict[str, tuple[float, float, float]]:
        """Return metric -> value of a row, of the mesh, and the change in per cent."""
        values = self.values(np.stack((row, mesh)), names)
        units = self.evaluation.units(values[1], names)
        ours, those = self.evaluation.aggregated(values, units).tolist()
        part = self.evaluation.alike(names, units)
        return {
            name: (a, b, 100.0 * ((a - c) / (b - c) - 1.0) if b != c else math.nan)
            for name, a, b, c in zip(names, ours, those, part, strict=True)
        }

    def channel_loads(self, rows: Ints) -> Floats:
        """Return the traffic over each link by direction, [n, n_apps, n_links, 2]."""
        found = self.evaluation.run(rows, with_loads=True)
        _, loads, _ = accepted(found, self.check, rows)
        return loads
