"""MOELA: whose turn it is, what to ask, what to do with the answers."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymoo.core.population import Population

from moela.archive import Bools, Floats
from moela.base import ArchiveAlgorithm, require, rows
from moela.encode import encode
from moela.local_search import LocalSearches
from moela.move_model import MoveModel
from moela.published import PublishedMOELA
from moela.start_model import StartModel
from moela.subproblems import (
    SCALARISATIONS,
    Frame,
    Scalarisation,
    Subproblems,
    random_weights,
    scalarise,
    simplex_weights,
)
from moela.volume import DirectionalVolume

Part = Literal["evolution", "search"]
PARTS: tuple[Part, ...] = ("evolution", "search")
_LEAST_SHARE = 0.05


class MOELA(ArchiveAlgorithm):
    """Evolution over decomposed sub-problems, and local searches that learned models guide.

    Two parts take turns. *Evolution* recombines the members of neighbouring sub-problems. *Search*
    runs greedy local searches side by side, each on weights of its own: a learned model picks the
    archive member that it starts from, by where searches ended so far, and another ranks many
    candidate moves of a search so that only the most promising is evaluated. Everything evaluated
    is a candidate for every sub-problem and for the archive, whose front is the result.

    Parameters
    ----------
    n_subproblems, n_neighbours : int
        Sub-problems, and the size of a neighbourhood.
    prob_neighbour_mating : float
        Probability that parents come from a neighbourhood rather than from everywhere.
    scalarisation : {"chebyshev", "weighted_sum", "product"}
        By which children replace members; see `moela.subproblems.scalarise`.
    n_searches : int
        Local searches that run side by side.
    patience : int
        Evaluated neighbours in a row that may fail before a search ends.
    descend : {"product", "chebyshev", "weighted_sum"}
        What a search descends on. The weighted product of the distances to the reference aims at
        hypervolume.
    n_candidates : int
        Neighbours that the move model ranks for each one that is evaluated.
    search_share : float or None
        Share of the evaluations that searches get. None: 0.9 where the problem brings `neighbours`
        of its own, since somebody has thought about moves there, else by what pays.
    start_model, move_model : "default", None or scikit-learn regressor
        The models that pick starts and rank moves; None does without.
    reference : "auto", None or array [M]
        Where the weighted product is measured from. "auto" takes the problem's `ref_point` if it
        has one; None the nadir of the non-dominated designs so far.
    batch_size : int or None
        Designs asked for at a time; None asks for one a search. Raise it to a multiple of the
        workers when evaluating in parallel.
    archive_size : int or None
        Bound on the archive; None keeps every non-dominated design.
    **kwargs
        `sampling`, `crossover`, `mutation`, `repair` (default: the problem's `operators()`, else
        by variable type), and those of pymoo's `Algorithm`.

    Attributes
    ----------
    log : dict
        What each part has contributed: evaluations, designs that entered the archive, and growth
        of the (estimated) hypervolume, in units of the objectives.

    Raises
    ------
    ValueError
        For a setting out of range, named with what was expected and what came.

    References
    ----------
    Qi, Li, Zheng, Joardar, Doppa, Pande: "MOELA: A multi-objective evolutionary/learning design
    space exploration framework for 3D heterogeneous manycore platforms", DATE 2023,
    arXiv 2303.06169. `MOELA.published()` is that algorithm; this class goes beyond it.

    Examples
    --------
    >>> from moela import MOELA
    >>> from pymoo.optimize import minimize
    >>> from pymoo.problems import get_problem
    >>> res = minimize(get_problem("zdt1"), MOELA(), ("n_eval", 500), seed=1)
    >>> res.algorithm.n_eval
    500
    """

    def __init__(
        self,
        *,
        n_subproblems: int = 50,
        n_neighbours: int = 15,
        prob_neighbour_mating: float = 0.9,
        scalarisation: Scalarisation = "chebyshev",
        n_searches: int = 10,
        patience: int = 20,
        descend: Scalarisation = "product",
        n_candidates: int = 10,
        search_share: float | None = None,
        start_model: Any = "default",
        move_model: Any = "default",
        reference: ArrayLike | Literal["auto"] | None = "auto",
        batch_size: int | None = None,
        archive_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        size = n_searches if batch_size is None else batch_size
        for name, value, low in (
            ("n_subproblems", n_subproblems, 2),
            ("n_neighbours", n_neighbours, 2),
            ("n_searches", n_searches, 1),
            ("patience", patience, 1),
            ("n_candidates", n_candidates, 1),
            ("batch_size", size, 1),
        ):
            whole = isinstance(value, int | np.integer) and value >= low
            require("MOELA", name, value, whole, f"an integer of at least {low}")
        for name, choice in (("scalarisation", scalarisation), ("descend", descend)):
            allowed = f"one of {', '.join(SCALARISATIONS)}"
            require("MOELA", name, choice, choice in SCALARISATIONS, allowed)
        for name, share in (
            ("prob_neighbour_mating", prob_neighbour_mating),
            ("search_share", search_share),
        ):
            fits = share is None or 0.0 <= share <= 1.0
            require("MOELA", name, share, fits, "between 0 and 1")
        super().__init__(n_init=n_subproblems, archive_size=archive_size, **kwargs)
        self.n_subproblems = n_subproblems
        self.n_neighbours = n_neighbours
        self.prob_neighbour_mating = prob_neighbour_mating
        self.scalarisation = scalarisation
        self.n_searches = n_searches
        self.patience = patience
        self.descend = descend
        self.n_candidates = n_candidates
        self.search_share = search_share
        self.start_model = start_model
        self.move_model = move_model
        self.reference = reference
        self.batch_size = size

    @classmethod
    def published(cls, **settings: Any) -> PublishedMOELA:
        """Return the algorithm as released with the paper; see `PublishedMOELA`."""
        return PublishedMOELA(**settings)

    # ------------------------------------------------------------------------------ the state

    def _begin(self) -> None:
        problem, rng = self.problem, self.random_state
        reference = self.reference
        if isinstance(reference, str):
            reference = getattr(problem, "ref_point", None)
        self.frame = Frame(problem.n_obj, reference)
        self.subproblems = Subproblems(
            simplex_weights(self.n_subproblems, problem.n_obj, rng),
            self.n_neighbours,
            self.scalarisation,
        )
        self.searches = LocalSearches(problem.n_obj, self.descend, self.patience)
        self.starts = (
            None
            if self.start_model is None
            else StartModel(
                self.descend, None if isinstance(self.start_model, str) else self.start_model
            )
        )
        self.moves = (
            None
            if self.move_model is None
            else MoveModel(None if isinstance(self.move_model, str) else self.move_model)
        )
        self.volume = DirectionalVolume(problem.n_obj, rng)
        self.n_asked = dict.fromkeys(PARTS, 0)
        self.gain = dict.fromkeys(PARTS, 0.0)
        self.paid = dict.fromkeys(PARTS, 0.0)
        self.log: dict[str, dict[str, float]] = {
            part: {"n_eval": 0, "accepted": 0, "hypervolume": 0.0} for part in ("initial", *PARTS)
        }

    # ---------------------------------------------------------------------------------- asking

    def _ask(self) -> Population:
        if self._turn() == "evolution":
            pop = self._children()
        else:
            pop = self._neighbours()
        return pop

    def _turn(self) -> Part:
        """Pick the part that is furthest behind its share of the evaluations."""
        share = self._search_share()
        search, evolution = self.n_asked["search"], self.n_asked["evolution"]
        return "search" if search * (1.0 - share) <= evolution * share else "evolution"

    def _search_share(self) -> float:
        if self.search_share is not None:
            return self.search_share
        if hasattr(self.problem, "neighbours"):
            return 1.0 - 2 * _LEAST_SHARE
        # The cube makes a clear winner take most; the floor keeps the other's rate known.
        worth = {part: (self.gain[part] / max(self.paid[part], 1.0)) ** 3 for part in PARTS}
        total = worth["search"] + worth["evolution"]
        share = worth["search"] / total if total > 0 else 0.5
        return float(np.clip(share, _LEAST_SHARE, 1.0 - _LEAST_SHARE))

    def _children(self) -> Population:
        rng, sub = self.random_state, self.subproblems
        homes = np.empty(0, dtype=np.int64)
        local = np.empty(0, dtype=bool)
        pop = Population.empty()
        # Designs asked for before are made again, but not for ever: small spaces run out.
        for _ in range(3):
            n = self.batch_size - len(pop)
            home = rng.permutation(len(sub))[:n]
            parents, near = sub.parents(
                home, self.operators.n_parents, self.prob_neighbour_mating, rng
            )
            off = self.operators.children(self.problem, sub.pop, parents, rng)
            new = self.seen.first_of_each(off.get("X"))
            self.seen.add(off[new].get("X"))
            pop = Population.merge(pop, off[new])
            homes, local = np.append(homes, home[new]), np.append(local, near[new])
            if len(pop) >= min(self.batch_size, len(sub)):
                break
        if len(pop) == 0:
            pop, homes, local = off, home, near
        pop.set(part="evolution", home=homes, local=local)
        self.n_asked["evolution"] += len(pop)
        return pop

    def _neighbours(self) -> Population:
        rng, running = self.random_state, self.searches
        self._start_searches(self.n_searches - len(running))
        width = max(1, self.batch_size // len(running))
        model = self.moves
        screening = model is not None and model.ready
        k = max(width, self.n_candidates) if screening else width
        X = self.operators.neighbours(self.problem, running.X, k, rng, running.step)
        n = len(running)
        flat = X.reshape(n * k, *X.shape[2:])
        new = self.seen.first_of_each(flat).reshape(n, k)
        features = moves = np.empty((n, k, 0))
        predicted = np.zeros((n, k))
        blind = np.ones(n, dtype=bool)
        if self._learns:
            features = encode(self.problem, flat).reshape(n, k, -1)
            moves = features - running.features[:, None]
            if screening:
                predicted = self._predicted_change(moves)
                blind = rng.random(n) < 0.1
        order = np.argsort(
            np.where(new, 0.0, np.inf) + np.where(blind[:, None], 0.0, predicted),
            axis=1,
            kind="stable",
        )[:, :width]
        at = np.arange(n)[:, None]
        pick = (at * k + order).ravel()
        pop = Population.new("X", flat[pick])
        pop.set(
            part="search",
            search=np.repeat(running.ids, width),
            blind=np.repeat(blind, width) if screening else np.zeros(n * width, dtype=bool),
            predicted=predicted[at, order].ravel(),
            features=features[at, order].reshape(n * width, -1),
            move=moves[at, order].reshape(n * width, -1),
        )
        self.n_asked["search"] += len(pop)
        return pop

    def _predicted_change(self, moves: Floats) -> Floats:
        """Predict by how much each move [n, k, d] changes the value of its search."""
        assert self.moves is not None
        running = self.searches
        n, k, d = moves.shape
        change = self.moves.predict(moves.reshape(n * k, d)).reshape(n, k, -1)
        F = running.F[:, None] + change
        W = running.W[:, None]
        after = scalarise(self.frame.scale(F), W, self.descend)
        before = scalarise(self.frame.scale(running.F), running.W, self.descend)
        return after - before[:, None]

    def _start_searches(self, n: int) -> None:
        if n <= 0:
            return
        rng = self.random_state
        W = random_weights(n, self.problem.n_obj, rng)
        front = self.front
        Z = self.frame.scale(front.F)
        chosen = []
        for w in W:
            value = scalarise(Z, w, self.descend)
            chosen.append(self._best_start(value, w))
        index = np.array(chosen)
        X = rows(front.pop[index].get("X"))
        features = encode(self.problem, X) if self._learns else np.empty((n, 0))
        self.searches.begin(X, front.F[index], front.CV[index], W, features)

    @property
    def _learns(self) -> bool:
        return self.starts is not None or self.moves is not None

    def _best_start(self, value: Floats, w: Floats) -> int:
        front = self.front
        if self.starts is None or not self.starts.ready:
            return int(value.argmin())
        near = np.argsort(value, kind="stable")[: self.n_start_candidates]
        features = encode(self.problem, rows(front.pop[near].get("X")))
        W = np.broadcast_to(w, (len(near), len(w)))
        return int(near[self.starts.predict(features, front.F[near], W, self.frame).argmin()])

    n_start_candidates = 10

    # -------------------------------------------------------------------------------- answers

    def _answer_initial(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        self.frame.update(F, self.front)
        self.subproblems.populate(pop, F, CV, self.frame)
        self._account(pop, F, CV, accepted)

    def _answer(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        if len(pop) == 0:
            return
        if self.frame.update(F[CV <= 0] if self.front.feasible else F, self.front):
            self.volume.restart(self._before(accepted), self.frame)
        self._account(pop, F, CV, accepted)
        parts = pop.get("part")
        child = parts == "evolution"
        if child.any():
            self._take_children(pop[child], F[child], CV[child])
        neighbour = parts == "search"
        if neighbour.any():
            self._take_neighbours(pop[neighbour], F[neighbour], CV[neighbour])

    def _before(self, accepted: Bools) -> Floats:
        """Return the archive without what has just come in."""
        return self.front.F[: max(len(self.front) - int(accepted.sum()), 0)]

    def _account(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        grown = np.zeros(len(F))
        useful = accepted & (CV <= 0)
        # In units of the objectives, so that gains add up although the frame moves.
        unit = np.prod(self.frame.nadir - self.frame.ideal)
        grown[useful] = unit * self.volume.add(F[useful], self.frame)
        for part in np.unique(pop.get("part")):
            mine = pop.get("part") == part
            entry = self.log[str(part)]
            entry["n_eval"] += int(mine.sum())
            entry["accepted"] += int(accepted[mine].sum())
            entry["hypervolume"] += float(grown[mine].sum())
            if part in PARTS:
                # What was gained long ago says little about what pays now.
                decay = 0.98 ** (mine.sum() / 10)
                self.gain[part] = decay * self.gain[part] + float(grown[mine].sum())
                self.paid[part] = decay * self.paid[part] + int(mine.sum())

    def _take_children(self, pop: Population, F: Floats, CV: Floats) -> None:
        self.subproblems.replace(
            pop,
            F,
            CV,
            pop.get("home"),
            pop.get("local").astype(bool),
            self.frame,
            self.random_state,
        )

    def _take_neighbours(self, pop: Population, F: Floats, CV: Floats) -> None:
        ids = pop.get("search").astype(np.int64)
        features = None
        if self._learns:
            features = np.array([ind.get("features") for ind in pop])
        if self.moves is not None:
            self._learn_moves(pop, F, ids)
        finished = self.searches.receive(ids, rows(pop.get("X")), F, CV, self.frame, features)
        if finished.any():
            done = self.searches
            if self.starts is not None:
                self.starts.add(
                    done.start[finished], done.start_F[finished], done.W[finished], done.F[finished]
                )
                self.starts.fit_if_due(self.frame, self.random_state)
            done.drop(finished)
        # What a search found is a candidate for every sub-problem, as a child is.
        everywhere = np.zeros(len(pop), dtype=bool)
        self.subproblems.replace(
            pop, F, CV, np.zeros(len(pop), dtype=np.int64), everywhere, self.frame,
            self.random_state, n_max=2,
        )  # fmt: skip

    def _learn_moves(self, pop: Population, F: Floats, ids: NDArray[np.int64]) -> None:
        assert self.moves is not None
        running = self.searches
        at = np.searchsorted(running.ids, ids)
        at = np.minimum(at, len(running) - 1)
        known = running.ids[at] == ids
        at, F, pop = at[known], F[known], pop[known]
        moves = np.array([ind.get("move") for ind in pop])
        self.moves.add(moves, F - running.F[at])
        blind = pop.get("blind").astype(bool)
        if blind.any():
            scale, W = self.frame.scale, running.W[at[blind]]
            after = scalarise(scale(F[blind]), W, self.descend)
            before = scalarise(scale(running.F[at[blind]]), W, self.descend)
            self.moves.check(pop[blind].get("predicted").astype(float), after - before)
        self.moves.fit_if_due()
