"""The space of designs: variables with their codes, side by side in one vector of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from moela._arrays import Bools, Designs, Floats
from moela.functions.model.codes import Code, code_of
from moela.functions.model.kinds import Boolean, Choice, Integer, Permutation, Variable, fresh
from moela.functions.model.reading import order_of
from moela.quality.words import design_text, listed, nearest, of_kind

# The value that stands for an absent number or object in a batch of designs.
_ABSENT_NUMBER, _ABSENT_OBJECT = float("nan"), None
# To count designs: combinations of the variables that others depend on, and items of an order.
_MOST_COMBINED, _MOST_ITEMS = 10_000, 12


class DesignSpace:
    """Converts between dictionaries of variables and vectors of numbers X [n, n_var].

    A vector holds the code of every variable. A variable that does not exist in a design has the
    code in the middle of its range, so that equal designs have equal vectors.

    Parameters
    ----------
    variables : dict of Variable by name
    """

    def __init__(self, variables: Mapping[str, Variable]) -> None:
        self.variables = dict(variables)
        self._codes: dict[str, Code] = {name: code_of(v) for name, v in variables.items()}
        ends = np.cumsum([len(code.low) for code in self._codes.values()]).tolist()
        starts = [0, *ends[:-1]]
        self.slices = {
            name: slice(start, end)
            for name, start, end in zip(variables, starts, ends, strict=True)
        }
        self.n_var = ends[-1]
        self.xl = np.concatenate([code.low for code in self._codes.values()])
        self.xu = np.concatenate([code.high for code in self._codes.values()])
        self._middle = {
            name: code.settle((0.5 * (code.low + code.high))[None])[0]
            for name, code in self._codes.items()
        }
        # Parents come first, since a variable exists only if its parents do.
        self._conditions = {
            name: [
                (parent, np.array([self._codes[parent].encode(value)[0] for value in values]))
                for parent, values in self.variables[name].when
            ]
            for name in order_of(variables)
        }
        self.conditional = any(self._conditions.values())
        # Variables whose values a function could change in place; few have any.
        self._changeable = [
            name
            for name, variable in variables.items()
            if isinstance(variable, Permutation)
            or (isinstance(variable, Choice) and any(fresh(o) is not o for o in variable.options))
        ]

    def exists(self, X: Floats) -> dict[str, Bools]:
        """Return in which of the settled designs X [n, n_var] each variable exists, [n]."""
        found: dict[str, Bools] = {}
        for name, conditions in self._conditions.items():
            mask = np.ones(len(X), dtype=bool)
            for parent, codes in conditions:
                mask &= found[parent] & np.isin(X[:, self.slices[parent].start], codes)
            found[name] = mask
        return found

    def size(self) -> int | None:
        """Return the number of designs; None if it is infinite, or takes long to count."""
        counts = {name: _n_values(variable) for name, variable in self.variables.items()}
        parents = {parent for conditions in self._conditions.values() for parent, _ in conditions}
        n_combined = _product([counts[name] for name in parents])
        if n_combined is None or n_combined > _MOST_COMBINED:
            return None
        X = np.concatenate([self._middle[name] for name in self.variables])[None]
        for name in parents:
            codes = [self._codes[name].encode(v) for v in _values(self.variables[name])]
            X = np.repeat(X, len(codes), axis=0)
            X[:, self.slices[name]] = np.tile(codes, (len(X) // len(codes), 1))
        X = np.unique(self.settle(X), axis=0)
        exists = self.exists(X)
        sizes = [
            _product([n for name, n in counts.items() if name not in parents and exists[name][i]])
            for i in range(len(X))
        ]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None

    def settle(self, X: Designs) -> Floats:
        """Return the design closest to each row of X [n, n_var], as the only vector of it."""
        X = np.array(X, dtype=float).reshape(-1, self.n_var)
        if len(X) == 0:
            return X
        for name, code in self._codes.items():
            columns = self.slices[name]
            X[:, columns] = code.settle(X[:, columns])
        if self.conditional:
            for name, exists in self.exists(X).items():
                X[~exists, self.slices[name]] = self._middle[name]
        # Adding zero turns -0.0, which rounding makes, into 0.0.
        return X + 0.0

    def decode(self, X: Designs) -> list[dict[str, object]]:
        """Return the designs X [n, n_var] as dictionaries of the variables that exist."""
        X = self.settle(X)
        exists = self.exists(X) if self.conditional else {}
        columns = {name: code.values(X[:, self.slices[name]]) for name, code in self._codes.items()}
        return [
            {
                name: values[i]
                for name, values in columns.items()
                if name not in exists or exists[name][i]
            }
            for i in range(len(X))
        ]

    def given(self, design: Mapping[str, object]) -> dict[str, object]:
        """Return a copy of a design in which a function may change every value in place."""
        out = dict(design)
        for name in self._changeable:
            if name in out:
                out[name] = fresh(out[name])
        return out

    def batch(self, X: Designs) -> dict[str, Designs]:
        """Return the designs X [n, n_var] as an array [n] of values for each variable.

        Permutations have arrays [n, m]. Absent values are NaN among numbers and None among objects.
        """
        X = self.settle(X)
        exists = self.exists(X)
        out = {}
        for name, code in self._codes.items():
            values = code.values(X[:, self.slices[name]])
            if name in self._changeable:
                values = [fresh(value) for value in values]
            array = _array(values, isinstance(self.variables[name], Permutation))
            absent = ~exists[name]
            if absent.any():
                numeric = array.dtype.kind in "iuf"
                array = array.astype(float if numeric else object)
                array[absent] = _ABSENT_NUMBER if numeric else _ABSENT_OBJECT
            out[name] = array
        return out

    def encode(self, design: Mapping[str, object]) -> Floats:
        """Return the vector [n_var] of a design, after checking it.

        Raises
        ------
        ValueError
            A variable is missing, unknown, or has a value that it cannot have.
        """
        unknown = [name for name in design if name not in self.variables]
        if unknown:
            missing = [n for n, v in self.variables.items() if n not in design and not v.when]
            also = f", and {missing[0]!r} is missing" if missing else ""
            raise ValueError(
                f"A design must have the variables {listed(self.variables)}. There is no variable "
                f"{unknown[0]!r}{also}, in {design_text(design)}."
                f"{nearest(unknown[0], missing or self.variables)}"
            )
        x = np.concatenate([self._middle[name] for name in self.variables])
        for name in self._conditions:
            if not self.exists(x[None])[name][0]:
                continue
            if name not in design:
                raise ValueError(
                    f"A design must have the variables {listed(self.variables)}. Got none called "
                    f"{name!r} in {design_text(design)}; add it."
                )
            expected = self.variables[name].problem_with(design[name])
            if expected is not None:
                raise ValueError(
                    f"The variable {name!r} of a design must be {expected}. Got "
                    f"{of_kind(design[name])} in {design_text(design)}; change it, or the bounds."
                )
            x[self.slices[name]] = self._codes[name].encode(design[name])
        return self.settle(x)[0]

    def features(self, X: Designs) -> Floats:
        """Return the designs X [n, n_var] as features in [0, 1] for learned models, [n, d]."""
        X = self.settle(X)
        return np.concatenate(
            [code.features(X[:, self.slices[name]]) for name, code in self._codes.items()], axis=1
        )

    def sample(self, n: int, random_state: np.random.Generator) -> Floats:
        """Return n random designs [n, n_var]."""
        return self.settle(self.xl + (self.xu - self.xl) * random_state.random((n, self.n_var)))


def _n_values(variable: Variable) -> int | None:
    """Return the number of values of a variable, None for a real one."""
    match variable:
        case Integer():
            return variable.high - variable.low + 1
        case Boolean():
            return 2
        case Choice():
            return len(variable.options)
        case Permutation() if len(variable.items) <= _MOST_ITEMS:
            return math.factorial(len(variable.items))
    return None


def _values(variable: Variable) -> Sequence[object]:
    """Return the values of an integer, a boolean or a choice."""
    if isinstance(variable, Integer):
        return range(variable.low, variable.high + 1)
    return variable.options if isinstance(variable, Choice) else (False, True)


def _product(counts: Sequence[int | None]) -> int | None:
    """Return the product of numbers of values, None if one of them is not known."""
    known = [n for n in counts if n is not None]
    return math.prod(known) if len(known) == len(counts) else None


def is_binary(variables: Mapping[str, Variable]) -> bool:
    """Return whether all variables are booleans that always exist."""
    return all(isinstance(v, Boolean) and not v.when for v in variables.values())


def _array(values: list[object], nested: bool) -> Designs:
    """Return values as an array [n], of objects unless all are numbers, booleans or texts."""
    kinds = {type(value) for value in values}
    if nested:
        array = np.array(values)
        return array if array.dtype.kind in "iufbU" else np.array(values, dtype=object)
    if kinds <= {bool} or kinds <= {str} or kinds <= {int, float}:
        return np.array(values)
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out
