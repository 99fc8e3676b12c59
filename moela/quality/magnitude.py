"""Exact scaling by powers of two, so that indicators of huge and tiny objectives are right."""

from __future__ import annotations

import numpy as np

from moela._arrays import Floats, Ints

# Products of M numbers and sums of squares neither overflow nor underflow if the binary exponents
# are within this, divided by M.
_SAFE = 900


def exponents(n_obj: int, *tables: Floats) -> Ints:
    """Return the binary exponents [M] to divide finite objectives [..., M] by.

    They are 0 if products of M numbers of this size are safe, else those of the largest numbers.
    """
    largest = np.zeros(n_obj)
    for table in tables:
        if table.size:
            largest = np.maximum(largest, np.abs(table.reshape(-1, n_obj)).max(axis=0))
    found = np.frexp(largest)[1].astype(np.int64)
    return found if (np.abs(found) > _SAFE // n_obj).any() else np.zeros_like(found)


def common_exponent(n_obj: int, *tables: Floats) -> int:
    """Return the binary exponent to divide all objectives by, as `exponents` does for each."""
    largest = max(float(np.abs(table).max(initial=0.0)) for table in tables)
    found = int(np.frexp(largest)[1])
    return found if abs(found) > _SAFE // max(n_obj, 2) else 0


def divided(table: Floats, by: Ints | int) -> Floats:
    """Return objectives divided by 2^`by`, exactly unless they are tiny next to the largest."""
    if not np.any(by):
        return table
    with np.errstate(under="ignore"):
        return np.ldexp(table, -np.asarray(by))


def multiplied(owner: str, values: Floats, by: int) -> Floats:
    """Return values times 2^`by`, or raise an error if these are not in the range of floats."""
    if by == 0:
        return values
    with np.errstate(over="ignore", under="ignore"):
        out = np.ldexp(values, by)
    lost = (np.isinf(out) & np.isfinite(values)) | ((out == 0.0) & (values != 0.0))
    if lost.any():
        mantissa, exponent = np.frexp(values[lost][0])
        raise ValueError(
            f"The value of {owner} must be in the range of floats. Got {mantissa:.4g} * "
            f"2^{exponent + by} instead; multiply the objectives, and the points that they are "
            "compared with, by powers of two that bring them closer to 1."
        )
    return out
