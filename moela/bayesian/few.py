"""When few evaluations are known to be all: how many first designs, and which infill."""

from __future__ import annotations

from moela.bayesian.candidates import Candidates, Mating, OwnDesigns, Vectors
from moela.bayesian.infill import Infill
from moela.core.context import SearchContext
from moela.learning.features import Encoder

# Budgets from which on nothing of this is used.
_FEW = 2000
# A problem with one of these knows better than its variables how designs vary, or what they have.
_OWN = ("operators", "features", "neighbors", "neighbors_many")
_LEAST_FIRST, _PER_DESIGN = 10, 5
N_BATCH = 4


def n_first(budget: int, n_init: int) -> int:
    """Return the number of first designs for a budget, at most `n_init`."""
    return min(n_init, 20, max(_LEAST_FIRST, budget // _PER_DESIGN))


def n_weights(budget: int | None, n_subproblems: int) -> int:
    """Return the number of sub-problems for a budget, at most `n_subproblems`."""
    if budget is None:
        return n_subproblems
    return min(n_subproblems, max(_LEAST_FIRST, budget // _PER_DESIGN))


def infill_for(
        context: SearchContext,
    encoder: Encoder,
    mating: Mating,
    budget: int | None,
    *,
    varied: bool,
) -> Infill | None:
    """Return the infill of a run, None if its budget is not known or not small."""
    if budget is None or budget >= _FEW:
        return None
    problem, operators = context.problem, context.operators
    own = any(hasattr(problem, name) for name in _OWN)
    plain = operators.default_real or (operators.kind in ("integer", "binary", "mixed") and not varied)
    candidates: Candidates
    if plain and not own:
        candidates = Vectors(context, encoder, mating)
    else:
        candidates = OwnDesigns(context, encoder)
    return Infill(context, candidates)
