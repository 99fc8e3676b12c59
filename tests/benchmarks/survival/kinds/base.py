"""Kind: content that a problem may hold, before and after a change, and the table of all kinds."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymoo.core.problem import Problem

Make = Callable[[int], Any]


@dataclass(frozen=True)
class Kind:
    """Content of a problem, or a whole problem, before and after a change."""

    name: str
    make: Make
    needs: str | None = None  # a library
    whole: bool = False  # whether it makes a problem

    @property
    def possible(self) -> bool:
        """Whether the library that it needs is installed."""
        return self.needs is None or importlib.util.find_spec(self.needs) is not None

    def problem(self, variant: int, *, private: bool = False) -> Problem:
        """Return a problem with this content."""
        made = self.make(variant)
        return made if self.whole else Held(made, private=private)


class Held(Problem):
    """A problem that holds something, and whose results say nothing of it.

    So nothing but the content itself can show a change.
    """

    def __init__(self, content: Any, *, private: bool = False):
        super().__init__(n_var=2, n_obj=2, xl=0.0, xu=1.0)
        if private:
            self._content = content
        else:
            self.content = content

    def _evaluate(self, X: Any, out: Any, *args: Any, **kwargs: Any) -> None:
        out["F"] = np.column_stack([X[:, 0], 1 - X[:, 0] + X[:, 1]])


KINDS: dict[str, Kind] = {}


def kind(name: str, needs: str | None = None, *, whole: bool = False) -> Callable[[Make], Make]:
    """Add a kind."""

    def add(make: Make) -> Make:
        assert name not in KINDS
        KINDS[name] = Kind(name, make, needs, whole)
        return make

    return add


def pairs(needs: str | None = None, **both: Any) -> None:
    """Add kinds given as functions of the variant."""
    for name, make in both.items():
        kind(name.replace("_", " "), needs)(make)


def compiled(source: str, name: str = "f", **values: Any) -> Any:
    """Return what a piece of source defines, as if it were in a module of the user."""
    scope: dict[str, Any] = {"__name__": "user_code", "np": np, **values}
    exec(compile(source, "<user code>", "exec"), scope)
    return scope[name]


class Plain:
    def __init__(self, **state: Any):
        vars(self).update(state)


def changed(values: Any, v: int) -> Any:
    made = np.array(values)
    made.flat[-1] += v
    return made
