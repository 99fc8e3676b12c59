"""Operators of a run: the caller's, those of the problem, or by type of variable; neighbors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pymoo.core.crossover import Crossover
from pymoo.core.mixed import MixedVariableMating, MixedVariableSampling
from pymoo.core.mutation import Mutation
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.repair import NoRepair, Repair
from pymoo.core.sampling import Sampling
from pymoo.core.variable import Real
from pymoo.operators.crossover.erx import EdgeRecombinationCrossover
from pymoo.operators.crossover.ox import OrderCrossover
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.bitflip import BitflipMutation
from pymoo.operators.mutation.inversion import InversionMutation
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import (
    BinaryRandomSampling,
    FloatRandomSampling,
    IntegerRandomSampling,
    PermutationRandomSampling,
)

from moela._arrays import Designs, Floats, Ints
from moela._codes import NO_CODES, Codes, permutation_moves
from moela.core.moves.by_type import (
    exchange_bits,
    flip_bits,
    move_integer,
    move_mixed,
    move_real,
)
from moela.core.moves.returned import as_returned, check_near
from moela.provenance.sources import is_ours

Kind = Literal["real", "integer", "binary", "mixed", "own"]
KINDS = ("sampling", "crossover", "mutation", "repair")
# Booleans come before integers, whose subclass they are.
_VTYPES: dict[Kind, tuple[type, ...]] = {
    "real": (float, np.floating),
    "binary": (bool, np.bool_),
    "integer": (int, np.integer),
}


def kind_of(problem: Problem) -> Kind:
    """Return the type of a problem's variables.

    It is "mixed" for problems with explicit `vars` (rows of X are dictionaries), else "binary",
    "integer" or "real" by `vtype`. A `vtype` of None counts as real, as in pymoo.
    """
    if getattr(problem, "vars", None):
        return "mixed"
    vtype = float if problem.vtype is None else problem.vtype
    for kind, types in _VTYPES.items():
        if isinstance(vtype, type) and issubclass(vtype, types):
            return kind
    raise ValueError(
        f"The 'vtype' of {type(problem).__name__} must be float, int, bool or None. Got {vtype!r} "
        "instead; give the problem an operators() method, or pass sampling=, crossover= and "
        "mutation= to the algorithm."
    )


def any_real(problem: Problem) -> bool:
    """Return whether a problem has real variables; a `vtype` of None counts as real."""
    named = getattr(problem, "vars", None)
    if named:
        return any(isinstance(variable, Real) for variable in named.values())
    vtype = float if problem.vtype is None else problem.vtype
    return isinstance(vtype, type) and issubclass(vtype, _VTYPES["real"])


@dataclass
class Operators:
    """The operators of one run.

    For mixed variables `crossover` is None, and `mating` makes the children.
    """

    sampling: Any  # operator or designs
    crossover: Crossover | None
    mutation: Mutation | None
    repair: Repair
    kind: Kind  # "own" if the problem or the caller has chosen all operators
    mating: MixedVariableMating | None = None
    # Crossover and mutation are the defaults for real variables, or yield to a mating of vectors.
    default_real: bool = False
    # The problem's crossover and mutation if they yield to such a mating; they are no settings.
    _yielding: tuple[Crossover, Mutation] | None = None
    # What was not chosen are the defaults for permutations.
    _permutes: bool = False

    def children(
        self, problem: Problem, pop: Population, parents: Ints, random_state: np.random.Generator
    ) -> Population:
        """Make one unevaluated, repaired child of each row of `parents` [b, n_parents].

        Parents are indices into `pop`; columns that the crossover does not take are ignored.
        """
        b = len(parents)
        if self.mating is not None:
            matings = [list(pop[row[:2]]) for row in parents]
            off = self.mating._do(problem, matings, 2 * b, parents=True, random_state=random_state)
            off = off[random_state.integers(0, 2, b) * b + np.arange(b)]
        else:
            crossover, mutation = self._yielding or (self.crossover, self.mutation)
            assert crossover is not None
            assert mutation is not None
            parents = parents[:, : crossover.n_parents]
            off = crossover(problem, pop, parents=parents, random_state=random_state)
            # Offspring are in blocks: the first of every mating, then the second of every mating.
            pick = random_state.integers(0, crossover.n_offsprings, b)
            off = mutation(problem, off[pick * b + np.arange(b)], random_state=random_state)
        return self.repair(problem, off, random_state=random_state)

    @property
    def permutes(self) -> bool:
        """Whether designs are permutations, although the problem does not say so."""
        return self._permutes

    @property
    def flips_bits(self) -> bool:
        """Whether designs are bits, all of which may be flipped: by the default mutation."""
        mutation = self.mutation
        return isinstance(mutation, BitflipMutation) and mutation.prob_var is None

    @property
    def codes(self) -> Codes:
        """Which columns of vectors of numbers are codes."""
        return NO_CODES if self._yielding is None else getattr(self._yielding[0], "codes", NO_CODES)

    @property
    def n_parents(self) -> int:
        """Number of parents of a child."""
        return 2 if self.crossover is None else int(self.crossover.n_parents)


def resolve(
    problem: Problem,
    *,
    sampling: object = None,
    crossover: Crossover | None = None,
    mutation: Mutation | None = None,
    repair: Repair | None = None,
    permutations: bool = False,
) -> Operators:
    """Choose each operator: the argument, else ``problem.operators()``, else by variable type.

    pymoo has no type for permutations, which count as integers. Their sampling or crossover tells
    them apart, or the caller, by `permutations`.

    Operators with a true attribute `yields_to_real_mating` are for algorithms that have no mating
    of their own for vectors of numbers. The attribute `codes` of such a crossover tells which
    numbers are codes.
    """
    check_spelling(problem)
    own: dict[str, Any] = dict(problem.operators()) if hasattr(problem, "operators") else {}
    unknown = sorted(set(own) - set(KINDS))
    if unknown:
        raise ValueError(
            f"{type(problem).__name__}.operators() must return a dict with keys out of "
            f"{', '.join(KINDS)}. Got {', '.join(map(repr, unknown))} as well; remove them."
        )
    given = zip(KINDS, (sampling, crossover, mutation, repair), strict=True)
    chosen: dict[str, Any] = {key: own.get(key) if value is None else value for key, value in given}
    yielding = []
    for key in ("crossover", "mutation"):
        if getattr(chosen[key], "yields_to_real_mating", False):
            yielding.append(chosen[key])
            chosen[key] = None
    complete = all(chosen[key] is not None for key in ("sampling", "crossover", "mutation"))
    kind: Kind = "own" if complete else kind_of(problem)
    known = any(makes_permutations(chosen[key]) for key in ("sampling", "crossover"))
    permutes = kind in ("real", "integer") and (permutations or known)
    kind = "own" if permutes else kind
    default_real = kind == "real" and chosen["crossover"] is None and chosen["mutation"] is None
    pair = (yielding[0], yielding[1]) if default_real and len(yielding) == 2 else None
    mating = MixedVariableMating(repair=chosen["repair"]) if kind == "mixed" else None
    defaults = _permuting() if permutes else _defaults(kind)
    for key, default in zip(KINDS, defaults, strict=True):
        if chosen[key] is None:
            chosen[key] = default
    changer = chosen["mutation"]
    plain = kind == "own" and not getattr(problem, "vars", None)
    if plain and isinstance(changer, PM) and changer.vtype is None:
        # Moves of local searches still depend on the variables if these are plain numbers.
        kind = "real"
    if kind != "own" and not getattr(problem, "vars", None) and problem.n_var < 1:
        raise ValueError(
            f"{type(problem).__name__} must have at least one variable. Got n_var = "
            f"{problem.n_var}; pass n_var to super().__init__()."
        )
    if kind in ("real", "integer") and not _bounded(problem):
        raise ValueError(
            f"The {kind} variables of {type(problem).__name__} must have finite bounds, which "
            f"moves are made from. Got xl = {problem.xl} and xu = {problem.xu}; give it both, or "
            "an operators() method with a sampling, crossover and mutation that need no bounds."
        )
    return Operators(
        kind=kind,
        mating=mating,
        default_real=default_real,
        _yielding=pair,
        _permutes=permutes,
        **chosen,
    )


def makes_permutations(operator: object) -> bool:
    """Return whether a sampling or crossover is one of pymoo's for permutations."""
    kinds = PermutationRandomSampling, OrderCrossover, EdgeRecombinationCrossover
    return isinstance(operator, kinds)


def _permuting() -> tuple[Sampling, Crossover, Mutation, Repair]:
    """Return new operators for permutations, in the order of `KINDS`."""
    return PermutationRandomSampling(), OrderCrossover(), InversionMutation(), NoRepair()


def check_spelling(problem: Problem) -> None:
    """Raise a TypeError if a problem's methods for local search have their old names.

    Ignoring such a method in silence would make local search use generic moves.
    """
    for name in ("neighbours", "neighbours_many"):
        if hasattr(problem, name):
            new = name.replace("neighbours", "neighbors")
            raise TypeError(
                f"{type(problem).__name__} has a method '{name}', which is not used. Rename it to "
                f"'{new}'."
            )


def _bounded(problem: Problem) -> bool:
    limits = problem.xl, problem.xu
    return all(limit is not None and bool(np.isfinite(limit).all()) for limit in limits)


def _defaults(kind: Kind) -> tuple[Any, Any, Any, Repair]:
    """Return new operators in the order of `KINDS`, since pymoo's hold state of their own."""
    match kind:
        case "real":
            return FloatRandomSampling(), SBX(prob=0.9, eta=15), PM(eta=20), NoRepair()
        case "integer":
            crossover = SBX(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair())
            mutation = PM(eta=3.0, vtype=float, repair=RoundingRepair())
            return IntegerRandomSampling(), crossover, mutation, NoRepair()
        case "binary":
            return BinaryRandomSampling(), UX(), BitflipMutation(), NoRepair()
        case "mixed":
            return MixedVariableSampling(), None, None, NoRepair()
        case "own":
            return None, None, None, NoRepair()


def neighbors_of(
    problem: Problem,
    operators: Operators,
    X: Designs,
    k: int,
    random_state: np.random.Generator,
    step: Floats | float = 0.1,
    *,
    exchange: bool = False,
) -> Designs:
    """Propose k neighbors of each of n designs, [n, k, n_var] or [n, k] dictionaries.

    The first of these that exists is used: the problem's `neighbors_many(X, k, random_state)`, its
    `neighbors(x, k, random_state)`, a move by variable type, k mutations. A move of a real variable
    has the standard deviation `step` (or [n]), as a fraction of its range. With `exchange` and
    constraints, half of the moves of bits exchange a 1 and a 0, also where k mutations by pymoo's
    default flips of bits would be used.

    Raises
    ------
    ValueError
        A method of the problem gives another number of designs, or one that is out of bounds.
    """
    n = len(X)
    for name in ("neighbors_many", "neighbors"):
        method = getattr(problem, name, None)
        if method is None:
            continue
        title, one = f"{type(problem).__name__}.{name}()", X.shape[1:]
        if name == "neighbors_many":
            near = as_returned(method(X, k, random_state), (n, k), one, title)
        else:
            near = np.stack([as_returned(method(x, k, random_state), (k,), one, title) for x in X])
        # The moves of our own problems are compiled, and their tests check them.
        own = is_ours(getattr(method, "__module__", None)) and is_ours(type(problem).__module__)
        if not own:
            check_near(problem, X, near, title)
        return near
    repeated = np.repeat(X, k, axis=0)
    steps = np.broadcast_to(np.asarray(step, dtype=float), (n,)).repeat(k)
    exchanging = exchange and problem.has_constraints() and operators.flips_bits and X.ndim == 2
    match "binary" if exchanging else operators.kind:
        case "real":
            moved = move_real(
                repeated, problem.xl, problem.xu, steps, random_state, operators.codes
            )
        case "integer":
            moved = move_integer(repeated, problem.xl, problem.xu, steps, random_state)
        case "binary":
            moved = flip_bits(repeated, random_state)
            if exchanging:
                exchange_bits(moved, repeated, random_state)
        case "mixed":
            moved = move_mixed(repeated, problem.vars, steps, random_state)
        case _ if operators.permutes:
            moved = permutation_moves(X, k, random_state).reshape(n * k, -1)
        case _:
            assert operators.mutation is not None
            pop = Population.new("X", repeated.copy())
            moved = operators.mutation(problem, pop, random_state=random_state).get("X")
    if not isinstance(operators.repair, NoRepair):
        pop = Population.new("X", moved)
        moved = operators.repair(problem, pop, random_state=random_state).get("X")
    return moved.reshape(n, k, *moved.shape[1:])
