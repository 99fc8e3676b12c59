"""Operators that local searches take from the algorithm around them, so that designs stay legal."""

from __future__ import annotations

from inspect import signature

from pymoo.core.algorithm import Algorithm
from pymoo.core.infill import InfillCriterion
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.repair import NoRepair
from pymoo.operators.sampling.rnd import PermutationRandomSampling
from pymoo.operators.selection.tournament import TournamentSelection

from moela.core.operators import makes_permutations, resolve
from moela.core.warm_start import permuted
from moela.plugins.engine import GivenOperators


def tournament_of(algorithm: Algorithm | None, pop: Population) -> TournamentSelection | None:
    """Return the tournaments by which an algorithm chooses parents, if its members have no ranks.

    SPEA2's members have a fitness of their own. An algorithm that was given another mating tells
    its usual tournaments by the default of its parameter `selection`.
    """
    if algorithm is None or any(ind.data.get("rank") is not None for ind in pop):
        return None
    parameters = signature(type(algorithm)).parameters
    usual = parameters["selection"].default if "selection" in parameters else None
    for selection in (getattr(getattr(algorithm, "mating", None), "selection", None), usual):
        # Kinds of their own may need another population than that of survivors.
        if type(selection) is TournamentSelection:
            return selection
    return None


def given_operators(
    problem: Problem, pop: Population, algorithm: Algorithm | None, mating: InfillCriterion | None
) -> GivenOperators:
    """Return the repair of an algorithm, and its operators if they make permutations.

    pymoo has no type for permutations. The sampling of the algorithm, the crossover of the mating,
    or the population, which has not evolved far when this is called, tells them apart from
    integers. The operators of other variables are those of the problem, or by their type.
    """
    given = GivenOperators()
    own = getattr(algorithm, "mating", None)
    for holder in (mating, own, algorithm):
        repair = getattr(holder, "repair", None)
        if repair is not None and not isinstance(repair, NoRepair):
            given["repair"] = repair
            break
    if resolve(problem).kind not in ("real", "integer"):
        return given
    sampling = getattr(getattr(algorithm, "initialization", None), "sampling", None)
    permutes = makes_permutations(sampling) or permuted(problem, pop.get("X"))
    for maker in (mating, own):
        crossover, mutation = getattr(maker, "crossover", None), getattr(maker, "mutation", None)
        if makes_permutations(crossover) and mutation is not None:
            permutes, given["crossover"], given["mutation"] = True, crossover, mutation
            break
    if permutes:
        given["sampling"] = PermutationRandomSampling()
    return given
