"""Checks of the neighbors that the methods of a problem return."""

from __future__ import annotations

import numpy as np
from pymoo.core.problem import Problem

from moela._arrays import Designs, as_objects, numbers_of
from moela._bounds import Where, check_inside, surely_inside


def as_returned(given: object, sizes: tuple[int, ...], one: tuple[int, ...], title: str) -> Designs:
    """Return the neighbors that a method has given as an array, ([n,] k) designs of shape `one`."""
    expected = f"{title} must return an array of shape {(*sizes, *one)}"
    try:
        near = as_objects(np.asarray(given))
    except ValueError:
        raise ValueError(f"{expected}. Got rows of different lengths instead.") from None
    shape, at = near.shape, len(sizes) - 1
    if shape == (*sizes, *one):
        return near
    if near.ndim == len(sizes) + len(one) and shape[:at] + shape[at + 1 :] == sizes[:at] + one:
        raise ValueError(
            f"{title} must return k = {sizes[at]} designs. Got {shape[at]} instead; repeat some if "
            "there are fewer."
        )
    raise ValueError(
        f"{expected}: k neighbors of {'each' if at else 'the'} design. Got shape {shape} instead."
    )


def check_near(problem: Problem, X: Designs, near: Designs, title: str) -> None:
    """Check the neighbors of designs X [n, ...] that a method has returned, [n, k, ...]."""
    if numbers_of(near) is None and X.dtype.kind in "biuf":
        raise ValueError(
            f"{title} must return real numbers, as it gets them. Got {near.flat[0]!r} instead."
        )
    if surely_inside(problem, near):
        return
    wheres = [
        Where(f"neighbor {j} of design {i} from {title}", "keep its moves within the bounds")
        for i, j in np.ndindex(near.shape[:2])
    ]
    check_inside(problem, near.reshape(-1, *near.shape[2:]), wheres)
