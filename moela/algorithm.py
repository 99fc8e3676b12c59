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


class MOELA(ArchiveAlgorithm):
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
        self.batch_size = n_searches if batch_size is None else batch_size

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
        self.starts = None if self.start_model is None else StartModel(
            self.descend, None if isinstance(self.start_model, str) else self.start_model
        )
        self.moves = None if self.move_model is None else MoveModel(
            None if isinstance(self.move_model, str) else self.move_model
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
        rate = {part: self.gain[part] / max(self.paid[part], 1.0) for part in PARTS}
        total = rate["search"] + rate["evolution"]
        share = rate["search"] / total if total > 0 else 0.5
        return float(np.clip(share, 0.1, 0.9))

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
        moves = np.empty((n, k, 0))
        predicted = np.zeros((n, k))
        blind = np.ones(n, dtype=bool)
        if model is not None:
            features = encode(self.problem, flat).reshape(n, k, -1)
            moves = features - running.features[:, None]
            if screening:
                predicted = self._predicted_change(moves)
                blind = rng.random(n) < 0.1
        order = np.argsort(
            np.where(new, 0.0, np.inf) + np.where(blind[:, None], 0.0, predicted), axis=1,
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
        grown[useful] = self.volume.add(F[useful], self.frame)
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
            pop, F, CV, pop.get("home"), pop.get("local").astype(bool), self.frame, self.random_state
        )

    def _take_neighbours(self, pop: Population, F: Floats, CV: Floats) -> None:
        ids = pop.get("search").astype(np.int64)
        running = self.searches
        if self.moves is not None:
            self._learn_moves(pop, F, ids)
        finished = running.receive(ids, pop, F, CV, self.frame)
        ...
