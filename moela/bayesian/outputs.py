"""Outputs as Gaussian processes learn them: standardized, with long tails drawn in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import fminbound

from moela._arrays import Floats
from moela.core.scaling import spread_of

# Powers below 1 draw in large values, which are bad ones; small values are never drawn in.
_LEAST_POWER = -1.0
_TINY, _HUGE, _EPS = np.finfo(float).tiny, np.finfo(float).max, np.finfo(float).eps


@dataclass(frozen=True)
class Output:
    """A monotone transformation of an output to values of mean 0 and deviation about 1.

    Values are standardized, then a power transformation brings them nearer to a normal distribution
    (Yeo and Johnson 2000, "A new family of power transformations to improve normality or
    symmetry", Biometrika 87(4)).
    """

    center: float
    unit: float
    power: float = 1.0
    second_center: float = 0.0
    second_unit: float = 1.0

    @classmethod
    def of(cls, values: Floats, *, powered: bool) -> Output:
        """Return the transformation for values [n]; without `powered`, it is linear."""
        spread = float(spread_of(values[:, None])[0])
        plain = cls(float(np.mean(values)), spread if spread > 0.0 else 1.0)
        if not powered or spread == 0.0:
            return plain
        z = (values - plain.center) / plain.unit
        power = float(np.clip(_likeliest_power(z), _LEAST_POWER, 1.0))
        if power > 0.8:
            return plain
        drawn = _powered(z, power)
        return cls(plain.center, plain.unit, power, float(drawn.mean()), float(drawn.std()) or 1.0)

    def __call__(self, values: Floats) -> Floats:
        """Transform values [...]."""
        z = (values - self.center) / self.unit
        if self.power == 1.0:
            return np.asarray(z)
        return np.asarray((_powered(z, self.power) - self.second_center) / self.second_unit)

    def back(self, z: Floats) -> Floats:
        """Return the values [...] that are transformed to z [...]."""
        if self.power != 1.0:
            drawn = z * self.second_unit + self.second_center
            power = self.power
            above = np.maximum(drawn, 0.0)
            if power == 0.0:
                above = np.expm1(above)
            else:
                inner = np.maximum(above * power + 1.0, 1e-12)
                above = inner ** (1.0 / power) - 1.0
            below = 1.0 - (1.0 - (2.0 - power) * np.minimum(drawn, 0.0)) ** (1.0 / (2.0 - power))
            z = np.where(drawn > 0.0, above, below)
        return np.asarray(z * self.unit + self.center)


def _likeliest_power(z: Floats) -> float:
    """Return ``scipy.stats.yeojohnson_normmax(z)`` for finite z [n] that are not all zero.

    scipy's function accepts any kind of array, and its checks took a fifth of a search's time.
    """
    weight = np.sum(np.sign(z) * np.log1p(np.abs(z)))

    def loss(power: float) -> float:
        variance = np.var(_powered(z, power))
        # The logarithm of zero, or of values that have overflowed, must not win.
        if not _TINY <= variance < np.inf:
            return np.inf
        return float(-(-len(z) / 2 * np.log(variance) + (power - 1) * weight))

    # Between these powers, the variance of values 20 times as large does not overflow.
    longest = np.log1p(20 * np.max(np.abs(z)))
    least = (np.log(_TINY) - np.log(_EPS)) / 2 / longest
    most = (np.log(_HUGE) + np.log(_EPS)) / 2 / longest
    if np.all(z < 0):
        least, most = 2 - most, 2 - least
    elif np.any(z < 0):
        least, most = max(2 - most, least), min(2 - least, most)
    with np.errstate(invalid="ignore", over="ignore"):
        return float(fminbound(loss, least, most, xtol=1.48e-8))


def _powered(z: Floats, power: float) -> Floats:
    above = np.log1p(np.maximum(z, 0.0))
    if power != 0.0:
        above = np.expm1(above * power) / power
    other = 2.0 - power  # at least 1
    below = -np.expm1(np.log1p(np.maximum(-z, 0.0)) * other) / other
    return np.asarray(np.where(z >= 0.0, above, below))


def bilog(G: Floats) -> Floats:
    """Compress constraint values G [n, k] on both sides of zero, by their typical size.

    It keeps the sign (Eriksson and Poloczek 2021, "Scalable constrained Bayesian optimization",
    AISTATS).
    """
    typical = np.median(np.abs(G), axis=0)
    typical = np.where(typical > 0.0, typical, 1.0)
    return np.asarray(np.sign(G) * np.log1p(np.abs(G) / typical))
