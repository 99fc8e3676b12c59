"""Parameters that all algorithms share, and errors for those that an algorithm does not have."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from typing import TypedDict

from pymoo.core.algorithm import Algorithm
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.repair import Repair

from moela._checks import instance

# Names that algorithms give the number of initial designs.
_SIZES = ("n_subproblems", "n_init", "pop_size")
PYMOO = frozenset(inspect.signature(Algorithm.__init__).parameters) - {"self", "kwargs"}


class ClassGiven:
    """Says so if `minimize` is given the class of an algorithm, whose `problem` it reads first."""

    def __get__(self, algorithm: object, kind: type) -> object:
        try:
            instance("minimize", "algorithm", kind)
        except TypeError as error:
            # What a class without the attribute raises, so that `hasattr` still works.
            raise AttributeError(*error.args) from None
        raise AssertionError


class PymooParameters(TypedDict, total=False):
    """Parameters of pymoo's `Algorithm`, so that type checkers find misspelled ones."""

    termination: object
    output: object
    display: object
    callback: object
    archive: object
    return_least_infeasible: bool
    save_history: bool
    verbose: bool
    seed: int | None
    evaluator: object


class AlgorithmParameters(PymooParameters, total=False):
    """The operators of an algorithm, and the parameters of pymoo's `Algorithm`."""

    sampling: object
    crossover: Crossover | None
    mutation: Mutation | None
    repair: Repair | None


class ArchiveParameters(AlgorithmParameters, total=False):
    """The same, for algorithms that have no default of their own for the archive's size."""

    archive_size: int | None


def refuse_unknown(kind: type, given: Collection[str]) -> None:
    """Raise a TypeError if `given` names a parameter that neither `kind` nor pymoo has.

    The message names the parameter to use instead, from the tables `_replaced_parameters` of the
    class and its bases or else by similarity, and all parameters.
    """
    unknown = sorted(set(given) - PYMOO)
    if not unknown:
        return
    own = list(dict.fromkeys(_own_parameters(kind)))
    raise TypeError(
        f"{' '.join(_advice(kind, name, own) for name in unknown)} The parameters of "
        f"{kind.__name__} are {', '.join(own)}; and those of pymoo's Algorithm: "
        f"{', '.join(sorted(PYMOO))}."
    )


def _advice(kind: type, name: str, own: list[str]) -> str:
    message = f"{kind.__name__} has no parameter '{name}'."
    for base in kind.__mro__:
        instead = vars(base).get("_replaced_parameters", {}).get(name)
        if instead is not None:
            return f"{message} {instead}"
    sizes = [size for size in _SIZES if size in own]
    if name in _SIZES and sizes:
        return f"{message} The number of initial designs is set by the parameter '{sizes[0]}'."
    close = get_close_matches(name, [*own, *PYMOO], n=1)
    return f"{message} Did you mean '{close[0]}'?" if close else message


def _own_parameters(kind: type) -> Iterator[str]:
    """Name the keyword-only parameters of a class and of its bases that are algorithms of ours."""
    outermost = True
    for base in kind.__mro__:
        if base is Algorithm:
            return
        if "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
            names = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
            # The outermost constructor sets the size of the first sample for those below it.
            yield from (name for name in names if outermost or name != "n_init")
            outermost = False
