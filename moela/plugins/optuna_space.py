"""Search spaces of Optuna as variables of moela, and permutations as parameters of a trial."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from moela._arrays import Floats, Ints
from moela._checks import count
from moela.functions.model.kinds import Variable
from moela.functions.model.variables import boolean, choice, in_order, integer, permutation, real

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import BaseTrial, FrozenTrial

# Where trials keep the constraints that a sampler got as a sequence. Those of `set_constraint`, a
# method since Optuna 5, have their names behind it.
CONSTRAINTS = "constraints"
# The parameters of a permutation: name, place, and number of items.
_PLACE = re.compile(r"(.+)\[(\d+)/(\d+)\]", re.DOTALL)


def signs_of(study: Study) -> Floats:
    """Return 1 for each objective that is minimized, -1 for others, [n_obj]."""
    return np.array([1.0 if d.name == "MINIMIZE" else -1.0 for d in study.directions])


def constraints_of(trial: FrozenTrial) -> dict[str, float] | None:
    """Return the constraints of a trial by name, satisfied if <= 0; None if they are not known.

    Those of a ``constraints_func`` have the names "0", "1", ...
    """
    found = trial.system_attrs.get(CONSTRAINTS, ())
    if found is None:
        return None
    return {str(i): float(value) for i, value in enumerate(found)} | named_constraints(trial)


def named_constraints(trial: FrozenTrial) -> dict[str, float]:
    """Return the constraints that a trial set by name."""
    start = f"{CONSTRAINTS}:"
    return {
        key.removeprefix(start): float(value)
        for key, value in trial.system_attrs.items()
        if key.startswith(start)
    }


def violation_of(trial: FrozenTrial) -> float:
    """Return the sum of the violated constraints of a trial, infinite if they are not known."""
    constraints = constraints_of(trial)
    if constraints is None:
        return np.inf
    return float(np.maximum([0.0, *constraints.values()], 0.0).sum())


def suggest_permutation(trial: BaseTrial, name: str, n: int) -> Ints:
    """Suggest an order of the numbers 0 to n - 1 in a trial of Optuna.

    Parameters
    ----------
    trial : optuna.trial.Trial
    name : str
        Name of the order. The trial gets n integer parameters, ``name[0/n]`` and so on.
    n : int
        Number of items, at least 2.

    Returns
    -------
    ndarray of int, shape [n]
        `OptunaSampler` suggests permutations as they are. For any other sampler the parameters are
        taken as priorities: the result is their ranks.

    Raises
    ------
    ValueError
        `n` is less than 2.

    Examples
    --------
    >>> import optuna
    >>> from moela.plugins import suggest_permutation
    >>> trial = optuna.trial.FixedTrial({"tour[0/3]": 2, "tour[1/3]": 0, "tour[2/3]": 1})
    >>> suggest_permutation(trial, "tour", 3).tolist()
    [2, 0, 1]
    """
    n = count("suggest_permutation", "n", n, at_least=2)
    keys = [trial.suggest_int(place_name(name, i, n), 0, n - 1) for i in range(n)]
    return ranks(keys)


def place_name(name: str, i: int, n: int) -> str:
    """Return the name of the parameter for place i of a permutation of n items."""
    return f"{name}[{i}/{n}]"


def permutation_of(parameter: str, distribution: BaseDistribution) -> tuple[str, int, int] | None:
    """Return name, place and number of items if a parameter is the place of a permutation."""
    from optuna.distributions import IntDistribution

    match = _PLACE.fullmatch(parameter)
    if match is None:
        return None
    i, n = int(match[2]), int(match[3])
    named = n >= 2 and i < n and parameter == place_name(match[1], i, n)
    return (match[1], i, n) if named and distribution == IntDistribution(0, n - 1) else None


def permutations_of(
    distributions: Mapping[str, BaseDistribution],
) -> dict[str, tuple[str, int]]:
    """Return permutation and number of items for each place, if all places of it are there."""
    places = {name: permutation_of(name, each) for name, each in distributions.items()}
    groups = {name: (place[0], place[2]) for name, place in places.items() if place is not None}
    n_places = Counter(groups.values())
    return {
        name: (group, n)
        for name, (group, n) in groups.items()
        if n_places[group, n] == n and group not in distributions
    }


def ranks(keys: Sequence[int]) -> Ints:
    """Return the ranks [n] of numbers; a permutation of 0 to n - 1 is returned as it is."""
    return np.argsort(np.argsort(keys, kind="stable"), kind="stable")


class ParameterSpace:
    """Converts between parameters of a trial and designs of a function.

    Parameters
    ----------
    distributions : dict of BaseDistribution by name
        A search space of Optuna. Parameters with a single value are left out.
    """

    def __init__(self, distributions: Mapping[str, BaseDistribution]) -> None:
        self.variables: dict[str, Variable] = {}
        self.distributions = dict(distributions)
        self._permutations: dict[str, int] = {}
        places = permutations_of(distributions)
        for name, distribution in distributions.items():
            if name not in places:
                self.variables[name] = _variable(distribution)
                continue
            group, n = places[name]
            self._permutations[group] = n
            self.variables[group] = permutation(n)

    def design(self, parameters: Mapping[str, object]) -> dict[str, object]:
        """Return the parameters of a trial as a dictionary of variables."""
        values: dict[str, object] = {}
        for name in self.variables:
            if name in self._permutations:
                n = self._permutations[name]
                keys = [parameters[place_name(name, i, n)] for i in range(n)]
                values[name] = ranks(keys).tolist()  # type: ignore[arg-type]
            else:
                values[name] = _to_variable(self.distributions[name], parameters[name])
        return values

    def parameters(self, design: Mapping[str, object]) -> dict[str, object]:
        """Return a dictionary of variables as the parameters of a trial."""
        values: dict[str, object] = {}
        for name, value in design.items():
            if name in self._permutations:
                order = np.asarray(value).tolist()
                values |= {place_name(name, i, len(order)): v for i, v in enumerate(order)}
            else:
                values[name] = _to_parameter(self.distributions[name], value)
        return values


def _variable(distribution: BaseDistribution) -> Variable:
    from optuna.distributions import FloatDistribution, IntDistribution

    match distribution:
        case FloatDistribution(step=None):
            return real(distribution.low, distribution.high, log=distribution.log)
        case FloatDistribution() | IntDistribution() if (n := _n_steps(distribution)) is not None:
            return integer(0, n)
        case IntDistribution():
            return integer(distribution.low, distribution.high, log=distribution.log)
    choices = distribution.choices  # type: ignore[attr-defined]
    if _are_booleans(choices):
        return boolean()
    return choice(range(len(choices)), ordered=in_order(choices))


def _are_booleans(choices: Sequence[object]) -> bool:
    """Return whether choices are False and True, but not 0 and 1."""
    booleans = all(isinstance(option, bool) for option in choices)
    return booleans and len(choices) == 2 and choices[0] is not choices[1]


def _n_steps(distribution: BaseDistribution) -> int | None:
    """Return the number of steps of a distribution with a step other than 1."""
    step = getattr(distribution, "step", None)
    if step in (None, 1):
        return None
    return round((distribution.high - distribution.low) / step)  # type: ignore[attr-defined]


def _to_variable(distribution: BaseDistribution, value: object) -> object:
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        # As Optuna compares them: NaN equals itself, and 1 is an option if only True is one.
        return value if _are_booleans(choices) else int(distribution.to_internal_repr(value))
    if _n_steps(distribution) is not None:
        return round((value - distribution.low) / distribution.step)  # type: ignore[attr-defined, operator]
    return value


def _to_parameter(distribution: BaseDistribution, value: object) -> object:
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        return bool(value) if _are_booleans(choices) else choices[value]
    if _n_steps(distribution) is not None:
        return distribution.low + value * distribution.step  # type: ignore[attr-defined]
    return value
