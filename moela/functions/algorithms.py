"""The algorithm of a run: MOELA by default, or any algorithm of pymoo."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable

from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.core.algorithm import Algorithm
from pymoo.core.initialization import Initialization
from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating
from pymoo.core.operator import Operator
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.repair import NoRepair

from moela.core.algorithm import ArchiveAlgorithm
from moela.core.operators import KINDS, kind_of, resolve
from moela.evaluation.checks import takes_one_objective
from moela.quality.words import amount, listed, nearest, of_kind
from moela.search.moela import MOELA

# Initial designs of a single-objective search. Of 20 to 50, 20 was best after 200 and 500
# evaluations of most problems.
_POP_SIZE = 20


def _nsga2() -> type[Algorithm]:
    from pymoo.algorithms.moo.nsga2 import NSGA2

    return NSGA2  # type: ignore[no-any-return]


def _nsga3() -> type[Algorithm]:
    from pymoo.algorithms.moo.nsga3 import NSGA3

    return NSGA3  # type: ignore[no-any-return]


def _moead() -> type[Algorithm]:
    from pymoo.algorithms.moo.moead import MOEAD

    return MOEAD  # type: ignore[no-any-return]


def _ga() -> type[Algorithm]:
    from pymoo.algorithms.soo.nonconvex.ga import GA

    return GA  # type: ignore[no-any-return]


def _de() -> type[Algorithm]:
    from pymoo.algorithms.soo.nonconvex.de import DE

    return DE  # type: ignore[no-any-return]


NAMES: dict[str, Callable[[], type[Algorithm]]] = {
    "moela": lambda: MOELA,
    "nsga2": _nsga2,
    "nsga3": _nsga3,
    "moead": _moead,
    "ga": _ga,
    "de": _de,
}


def choose(
    given: object,
    problem: Problem,
    start: Population | None,
    batch_size: int | None,
    *,
    asynchronous: bool = False,
) -> Algorithm:
    """Return the algorithm of a run, with its first designs.

    Parameters
    ----------
    given : None, str, class or Algorithm
        As `moela.minimize` takes it.
    problem : Problem
    start : Population or None
        Designs to begin with.
    batch_size : int or None
        Of MOELA.
    asynchronous : bool
        Whether answers may come in any order.
    """
    if isinstance(given, str):
        name = (
            given.lower().replace("-", "").replace("_", "").replace("iii", "3").replace("ii", "2")
        )
        if name not in NAMES:
            raise ValueError(
                f"The 'algorithm' parameter must be one of {listed(NAMES)}, or an algorithm of "
                f"pymoo. Got {given!r} instead.{nearest(name, NAMES)}"
            )
        given = NAMES[name]()
    if given is None:
        given = MOELA if problem.n_obj > 1 else _single(problem, asynchronous)
    if inspect.isclass(given) and issubclass(given, Algorithm):
        algorithm = _made(given, problem, batch_size)
    elif isinstance(given, Algorithm):
        # The object belongs to the caller, who may use it again.
        algorithm = copy.deepcopy(given)
        _suit(algorithm, given, problem)
    else:
        raise TypeError(
            "The 'algorithm' parameter must be an algorithm of pymoo, such as moela.MOELA() or "
            f"NSGA2(pop_size=50), or one of {listed(NAMES)}. Got {of_kind(given)} instead."
        )
    if batch_size is not None and getattr(algorithm, "batch_size", None) != batch_size:
        raise ValueError(
            "The 'batch_size' parameter of minimize is one of MOELA. Got it together with "
            f"{type(algorithm).__name__}; set the size of its batches on the algorithm itself."
        )
    if problem.n_obj == 1 and isinstance(algorithm, ArchiveAlgorithm):
        raise ValueError(
            f"{type(algorithm).__name__} needs at least two objectives. Got one; leave out "
            "'algorithm', or pass 'ga' or 'de'."
        )
    if problem.n_obj > 1 and takes_one_objective(algorithm):
        raise ValueError(
            f"The 'algorithm' parameter of minimize must suit {problem.n_obj} objectives. Got "
            f"{type(algorithm).__name__}, which takes one. Leave 'algorithm' out, or pass 'nsga2'."
        )
    if start is not None:
        _begin_with(algorithm, start)
    return algorithm


def _single(problem: Problem, asynchronous: bool) -> type[Algorithm]:
    """Return the class for one objective: differential evolution for numbers, else a GA.

    Differential evolution takes no answers in another order than it asked for them.
    """
    if asynchronous:
        return _ga()
    numbers = problem.vtype in (float, None) and not getattr(problem, "vars", None)
    return _de() if numbers else _ga()


def _made(kind: type[Algorithm], problem: Problem, batch_size: int | None) -> Algorithm:
    """Return an algorithm of a class, with the operators of the problem."""
    if issubclass(kind, ArchiveAlgorithm):
        sizes = {} if batch_size is None else {"batch_size": batch_size}
        make: Callable[..., Algorithm] = kind  # each has its own parameters
        return make(**sizes)
    parameters = inspect.signature(kind.__init__).parameters
    settings = _operators(problem)
    if kind is NAMES["de"]():  # it makes its children in its own way
        settings = {name: settings[name] for name in ("sampling", "repair") if name in settings}
    if "ref_dirs" in parameters:
        settings["ref_dirs"] = _directions(problem.n_obj)
    elif problem.n_obj == 1 and "pop_size" in parameters:
        settings["pop_size"] = _POP_SIZE
    return kind(**settings)


def _suit(algorithm: Algorithm, given: Algorithm, problem: Problem) -> None:
    """Replace the operators that `given` has by default, if they are not for these variables.

    `algorithm` is the copy to change. pymoo's default operators are for real numbers; each is the
    same object in every algorithm of a class.
    """
    if isinstance(algorithm, ArchiveAlgorithm) or not isinstance(algorithm, GeneticAlgorithm):
        return
    if not hasattr(problem, "operators") and kind_of(problem) == "real":
        return
    suitable = _operators(problem)
    defaults = _defaults(type(given))
    if given.initialization.sampling in defaults:
        algorithm.initialization.sampling = suitable["sampling"]
    if isinstance(given.repair, NoRepair) and "repair" in suitable:
        for part in (algorithm, algorithm.initialization, algorithm.mating):
            part.repair = suitable["repair"]
    parts = [getattr(given.mating, name, None) for name in ("crossover", "mutation")]
    if "mating" in suitable:
        if all(part in defaults for part in parts):
            algorithm.mating = suitable["mating"]
            algorithm.eliminate_duplicates = suitable["eliminate_duplicates"]
            algorithm.initialization.eliminate_duplicates = suitable["eliminate_duplicates"]
        return
    for name, part in zip(("crossover", "mutation"), parts, strict=True):
        if part in defaults:
            setattr(algorithm.mating, name, suitable[name])


def _defaults(kind: type[Algorithm]) -> list[object]:
    """Return the operators that are default values of the parameters of a class and its bases."""
    return [
        parameter.default
        for base in kind.__mro__
        if "__init__" in vars(base)
        for parameter in inspect.signature(base.__init__).parameters.values()  # type: ignore[misc]
        if isinstance(parameter.default, Operator)
    ]


def _operators(problem: Problem) -> dict[str, object]:
    """Return the problem's own operators, or those for its type of variables."""
    if hasattr(problem, "operators"):
        return dict(problem.operators())
    found = resolve(problem)
    if found.mating is not None:
        distinct = MixedVariableDuplicateElimination()
        mating = MixedVariableMating(eliminate_duplicates=distinct)
        return {"sampling": found.sampling, "mating": mating, "eliminate_duplicates": distinct}
    return {name: getattr(found, name) for name in KINDS}


def _directions(n_obj: int) -> object:
    from pymoo.util.ref_dirs import get_reference_directions

    # About a hundred directions, as pymoo's guides use.
    n = {2: 99, 3: 12, 4: 7, 5: 5}.get(n_obj, 3)
    return get_reference_directions("das-dennis", n_obj, n_partitions=n)


def _begin_with(algorithm: Algorithm, start: Population) -> None:
    if isinstance(algorithm, ArchiveAlgorithm):
        algorithm._given["sampling"] = start
        return
    initialization = getattr(algorithm, "initialization", None)
    if not isinstance(initialization, Initialization):
        raise ValueError(
            f"The 'start' parameter cannot be used with {type(algorithm).__name__}, which takes no "
            "first designs. Leave it out, or use MOELA."
        )
    initialization.sampling = start


def unsuitable(algorithm: Algorithm, problem: Problem, error: AssertionError) -> Exception:
    """Return the error for an algorithm of pymoo that stops with an assertion, else that itself."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    place = "" if step is None else str(step.tb_frame.f_globals.get("__name__"))
    if not place.startswith("pymoo."):
        return error
    objectives = amount(problem.n_obj, "objective")
    constraints = amount(problem.n_constr, "constraint")
    return ValueError(
        f"The 'algorithm' parameter of minimize must suit the problem, which has {objectives} and "
        f"{constraints}. Got {type(algorithm).__name__}, which says: {error} Leave 'algorithm' out "
        "for one that does."
    )
