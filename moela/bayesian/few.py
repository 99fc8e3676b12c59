"""When few evaluations are known to be all: how many first designs, and which infill."""

from __future__ import annotations

from pymoo.core.problem import Problem

from moela.bayesian.candidates import CodedVectors, Mating, OwnDesigns, Vectors
from moela.bayesian.infill import Infill
from moela.core.context import SearchContext
from moela.learning.features import Encoder

# Up to this budget, runs begin with the infill, which takes about 25 ms an evaluation. Whoever can
# make more evaluations mostly has a problem that takes far less.
_FEW = 1000
# Up to this budget, the infill chooses all designs. Of larger budgets it chooses the first ones,
# since a fit takes longer the more designs there are: more of them where most variables are real,
# on which it is ahead of evolution for longer (few_evaluations and few_bbob in tests/benchmarks).
_ALL, _N_FIRST, _N_FIRST_REAL = 150, 100, 200
# While no design is feasible, it chooses fewer of larger budgets. Its designs are then all near the
# one of least violation, and evolution begins from designs that are too much alike.
_N_INFEASIBLE = 60
# Of larger budgets, it also chooses fewer if it predicts badly, and designs are vectors of numbers.
# On permutations and bits, local search gains from the others, too.
_N_TRIAL = 60
N_BATCH = 4
"""Number of designs in a batch of the infill by default."""
# First designs, and sub-problems, of budgets below 100, and of larger ones. The numbers do not
# follow the budget more closely, so that a run with a store can be continued with a larger one.
# After 60 evaluations, 10 brought 79 % of the best hypervolume on a frame of mixed variables, 50
# brought 68 %; from 100 on, neither was better on most problems.
_BELOW, _COUNTS = 100, (10, 20)
# If the problem has moves of its own, most evaluations are those of local search, which gains from
# many designs to begin with. Such runs have so few of both up to these budgets only.
_FIRST_WITH_MOVES, _WEIGHTS_WITH_MOVES = 500, 150
_MOVES = ("neighbors", "neighbors_many")
# A problem with one of these knows better than its variables what designs have. If it leaves the
# mating of real variables to the run, its designs are still vectors of numbers: on plain functions,
# these brought more hypervolume than designs varied by the problem's operators.
_OWN = ("operators", "features")


def n_first(budget: int | None, n_init: int, problem: Problem) -> int:
    """Return the number of first designs for a budget, at most `n_init`."""
    return _at_most(n_init, budget, _FIRST_WITH_MOVES, problem)


def n_weights(budget: int | None, n_subproblems: int, problem: Problem) -> int:
    """Return the number of sub-problems for a budget, at most `n_subproblems`."""
    return _at_most(n_subproblems, budget, _WEIGHTS_WITH_MOVES, problem)


def batch_within(given: int | None, left: int) -> int:
    """Return the number of designs in a batch of the infill, with `left` evaluations left.

    To choose a design takes long, so no more are chosen than can be evaluated. Only batches of the
    default size are cut afterwards: a run that is continued with a larger budget then has chosen
    the same designs as one that had this budget from the beginning.

    Parameters
    ----------
    given : int or None
        Batch size of the user; None is the default.
    left : int
    """
    return N_BATCH if given is None else min(given, max(left, N_BATCH), _N_FIRST)


def _at_most(n: int, budget: int | None, with_moves: int, problem: Problem) -> int:
    if budget is None or budget > (min(with_moves, _FEW) if _has_moves(problem) else _FEW):
        return n
    return min(n, _COUNTS[budget >= _BELOW])


def infill_for(
    context: SearchContext,
    encoder: Encoder,
    mating: Mating,
    budget: int | None,
    *,
    varied: bool,
) -> Infill | None:
    """Return the infill of a run, None if its budget is not known or not small.

    Parameters
    ----------
    context : SearchContext
    encoder : Encoder
        Features of designs.
    mating : Mating
        Makes vectors of numbers.
    budget : int or None
        Number of evaluations, None if it is not known.
    varied : bool
        Whether the caller has given operators, which then make the candidates.
    """
    if budget is None or budget > _FEW:
        return None
    most, infeasible, trial = (
        (None, None, None) if budget <= _ALL else (_N_FIRST, _N_INFEASIBLE, _N_TRIAL)
    )
    own = any(hasattr(context.problem, name) for name in _OWN)
    if varied or _has_moves(context.problem) or not _are_numbers(context, own):
        return Infill(context, OwnDesigns(context, encoder), most, infeasible)
    if own:
        return Infill(context, CodedVectors(context, encoder, mating), most, infeasible)
    if most is not None and _mostly_real(context):
        most = _N_FIRST_REAL
    return Infill(context, Vectors(context, encoder, mating), most, infeasible, trial)


def _has_moves(problem: Problem) -> bool:
    return any(hasattr(problem, name) for name in _MOVES)


def _are_numbers(context: SearchContext, own: bool) -> bool:
    """Return whether designs are vectors in which close numbers mean similar designs."""
    return _mostly_real(context) if own else context.operators.kind != "own"


def _mostly_real(context: SearchContext) -> bool:
    """Return whether no variable is an option or an order, and few are integers."""
    operators = context.operators
    codes = operators.codes
    few_whole = 2 * len(codes.whole) <= context.problem.n_var
    return operators.default_real and few_whole and not (len(codes.labels) or codes.orders)
