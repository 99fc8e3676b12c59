"""Settings of MOELA that are not parameters, with the evidence for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final, Literal

import numpy as np

from moela._checks import count, one_of, require
from moela.core.origin import Part
from moela.core.scaling import SCALARIZATIONS, Scalarization
from moela.learning.models import Models

PARTS: Final[tuple[Part, ...]] = ("evolution", "search", "pareto")


@dataclass(frozen=True)
class SearchSettings:
    """Constants of MOELA that its ablations vary; see `MOELA._tuned`."""

    # Probability that parents come from a neighborhood rather than from all members, as in
    # MOEA/D-DE (Li and Zhang 2009).
    prob_neighbor_mating: float = 0.9
    # Children replace members by this, as in MOEA/D (Zhang and Li 2007). Chebyshev reaches every
    # part of a front.
    scalarization: Scalarization = "chebyshev"
    # The same for six objectives or more without `neighbors`, where evolution makes all designs.
    # If all weighted objectives of a member are alike, a child rarely has a smaller largest one. It
    # may still have a smaller norm (docs/benchmarks/many_objectives.md).
    prob_neighbor_mating_alone: float = 0.5
    scalarization_alone: Scalarization = "p_norm"
    # Local searches minimize this. "auto" uses the product of the distances to the reference point,
    # which aims at hypervolume, if there is one; else the weighted sum.
    descend: Scalarization | Literal["auto"] = "auto"
    # Whether some local searches begin from a perturbed design, which does not pay
    # (docs/benchmarks/ablations.md).
    perturbation: bool = False
    # Neighbors generated and ranked around a search's incumbent. New ones are generated once a
    # fifth have been looked at. Pareto local search ranks a tenth as many (half as many if the
    # Hamming-kernel model is used) and evaluates the best one.
    n_candidates: int = 100
    # A search evaluates so many neighbors at a time that this many improvements are expected, up to
    # a limit: more at a time take less time each, but begin from a design that is already improved
    # upon (docs/benchmarks/ablations.md).
    expected_improvements: float = 0.25
    most_at_a_time: int = 3
    # Evaluated moves from which on the model of moves is used. With a dozen, ridge regression finds
    # far better ones than chance does.
    least_moves: int = 12
    # A search that has improved makes several moves on predictions alone, and only the design that
    # they lead to is evaluated: twice as many as before after an improvement, up to this limit, and
    # half as many after a failure. 1 is for single moves.
    most_moves: int = 16
    # Designs of Pareto local search at a time, and children if the problem defines moves.
    n_around_front: int = 20
    # Survivors by dominance that are parents of real-valued children. Where many local fronts lie
    # before the global one, runs with few survivors get further in as many evaluations
    # (docs/benchmarks/local_fronts.md).
    n_survivors: int = 20
    # Whether runs of few evaluations have fewer sub-problems and first designs
    # (docs/benchmarks/few_functions.md).
    fewer_if_few: bool = True
    # Share that is always left of the probabilities of children that explore, in such runs. With 1,
    # there are always as many (docs/benchmarks/exploration.md).
    least_exploring: float = 0.1

    def __post_init__(self) -> None:
        for name in ("prob_neighbor_mating", "prob_neighbor_mating_alone", "least_exploring"):
            p = getattr(self, name)
            require("MOELA", name, p, 0.0 <= p <= 1.0, "between 0 and 1")
        for name in ("scalarization", "scalarization_alone"):
            one_of("MOELA", name, getattr(self, name), SCALARIZATIONS)
        one_of("MOELA", "descend", self.descend, ("auto", *SCALARIZATIONS))
        for name in ("perturbation", "fewer_if_few"):
            value = getattr(self, name)
            require("MOELA", name, value, isinstance(value, bool), "True or False")
        count("MOELA", "n_candidates", self.n_candidates)
        expected = self.expected_improvements
        require("MOELA", "expected_improvements", expected, expected > 0.0, "above 0")
        count("MOELA", "most_at_a_time", self.most_at_a_time)
        count("MOELA", "least_moves", self.least_moves)
        count("MOELA", "most_moves", self.most_moves)
        count("MOELA", "n_around_front", self.n_around_front)
        count("MOELA", "n_survivors", self.n_survivors)

    def of_evolution(self, *, alone: bool) -> tuple[Scalarization, float]:
        """Return the scalarization of evolution and its probability of mating with neighbors."""
        if alone:
            return self.scalarization_alone, self.prob_neighbor_mating_alone
        return self.scalarization, self.prob_neighbor_mating


DEFAULT: Final = SearchSettings()

FEW: Final = 1000
"""Evaluations up to which a run counts as short."""

# Local searches side by side: few find good designs early, and more take less time for a design.
# Over ten problems, two had 1.01 times the hypervolume of five after 300 evaluations and after
# 5,000, but 96 % on the network-on-chip with five objectives (docs/benchmarks/ablations.md). In
# batches of a given size, each search makes one design, as long as these are not too many.
_N_SEARCHES, _N_SEARCHES_OF_FEW, _MOST_SEARCHES = 5, 2, 50


def default_searches(batch_size: int | None, *, few: bool) -> int:
    """Return the default number of local searches; `few` marks a short run."""
    if batch_size is not None:
        return min(batch_size, _MOST_SEARCHES)
    return _N_SEARCHES_OF_FEW if few else _N_SEARCHES


SETTING_NAMES: Final = frozenset(field.name for field in fields(SearchSettings))


_MODELS = "Use models=Models({}=...), or models=None for no learned models."
_CONSTANT = "It is not a parameter any more, but a constant: {}."
_ALONE = " (another one with six objectives or more)"
REPLACED: Final = {
    "reference": "Use 'ref_point'.",
    "start_model": _MODELS.format("starts"),
    "move_model": _MODELS.format("moves"),
    "landscape": _MODELS.format("hamming"),
    "surrogate_size": _MODELS.format("surrogate_size"),
    "kicks": _CONSTANT.format("local searches begin from archived designs"),
    "descend": _CONSTANT.format(
        "local searches minimize the product of the distances to the reference point if there is "
        "one, else the weighted sum"
    ),
    "n_candidates": _CONSTANT.format("100"),
    **dict.fromkeys(["scalarization", "scalarisation"], _CONSTANT.format('"chebyshev"' + _ALONE)),
    **dict.fromkeys(
        ["prob_neighbor_mating", "prob_neighbour_mating"], _CONSTANT.format("0.9" + _ALONE)
    ),
}
"""Replacements of the parameters that MOELA had in version 0.1."""


def check_choices(shares: object, restarts: object, models: object) -> None:
    """Check the parameters that are not numbers."""
    holds = isinstance(restarts, bool) or restarts == "auto"
    require("MOELA", "restarts", restarts, holds, '"auto", True or False')
    holds = models is None or models == "auto" or isinstance(models, Models)
    require("MOELA", "models", models, holds, '"auto", None or moela.Models(...)')
    if shares is not None:
        check_shares("MOELA", "shares", shares)


def check_shares(owner: str, name: str, shares: object) -> Mapping[str, float]:
    """Return the shares of parts, or raise a ValueError that names the owner and its parameter."""
    holds = (
        isinstance(shares, Mapping)
        and set(shares) <= set(PARTS)
        and all(isinstance(share, int | float | np.number) for share in shares.values())
        and min(shares.values(), default=0) >= 0
        and 0 < sum(shares.values()) < np.inf
    )
    require(owner, name, shares, holds, f"a positive number for some of {', '.join(PARTS)}")
    assert isinstance(shares, Mapping)
    return shares
