"""Errors for calls with parameters that a function does not have, or without ones that it needs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from moela.quality.words import nearest

P = ParamSpec("P")
T = TypeVar("T")


def checked_call(function: Callable[P, T]) -> Callable[P, T]:
    """Return the function, with errors for unknown and missing parameters that say what to do."""
    signature = inspect.signature(function)
    name = f"moela.{function.__name__}"
    known = list(signature.parameters)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        unknown = [key for key in kwargs if key not in known]
        if unknown:
            raise TypeError(
                f"{name} has no parameter {unknown[0]!r}.{nearest(unknown[0], known)} Its "
                f"parameters are {', '.join(known)}."
            )
        if len(args) > 1:
            raise TypeError(
                f"{name} takes one argument without a name, {known[0]!r}. Got {len(args)}; name "
                f"the others: {name}({known[0]}, {known[1]}=..., {known[2]}=...)."
            )
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(
                f"{name}: {error}. Call it as {name}({known[0]}, {known[1]}={{...}}, "
                f"{known[2]}=[...], ...)."
            ) from None
        return function(*args, **kwargs)

    return checked
