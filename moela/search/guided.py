"""Local search and Pareto local search, guided by learned models."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy

import numpy as np
from pymoo.core.population import Population
from pymoo.core.repair import NoRepair

from moela._arrays import Bools, Designs, Floats, Ints, rows
from moela.core.archive import Archive
from moela.core.context import SearchContext
from moela.core.decomposition import random_weights
from moela.core.individuals import unevaluated
from moela.core.origin import Origins, listed_origins, set_origin
from moela.core.scaling import Scalarization
from moela.learning.feasibility import FeasibilityModel, constraints_of
from moela.learning.features import Encoder, describes, has_features
from moela.learning.models import NO_MODELS, Models, given
from moela.learning.move_ranking import MoveRanking
from moela.learning.pair_sums import PairSums
from moela.learning.permutation_moves import PermutationMoveModel
from moela.learning.start_model import StartModel
from moela.search.local_search import LocalSearches, add_tries, mark_exhausted
from moela.search.perturbation import Perturbation
from moela.search.restarts import Restart
from moela.search.screening import Screening
from moela.search.settings import SearchSettings
from moela.search.starts import pick_starts, start_features

# Pareto local search ranks this many times fewer candidates than a search does, since it looks
# around many designs; ranking more pays if the Hamming-kernel model is used.
_FEWER, _FEWER_WITH_HAMMING = 10, 2
# Neighbors of archived designs at a time at least, so that several workers are busy.
_LEAST_AROUND_FRONT = 5
# Unanswered neighbors of which so many are never in progress at the same time.
_MOST_AWAITED = 1000


class GuidedSearch:
    """Local searches and Pareto local search of MOELA, with the models that guide them.

    The models persist through restarts, the searches do not.
    """

    searches: LocalSearches  # set by `aim`

    def __init__(
        self,
        context: SearchContext,
        models: Models,
        settings: SearchSettings,
        n_searches: int,
        patience: int,
    ) -> None:
        self.context, self.models, self.settings = context, models, settings
        self.n_searches, self.patience = n_searches, patience
        self.encoder = Encoder(context.problem)
        self.move_ranking: MoveRanking | None = None
        if models.moves is not None:
            self.move_ranking = MoveRanking(
                given(models.moves), hamming=models.hamming, least_moves=settings.least_moves
            )
        self.feasibility: FeasibilityModel | None = None
        if models.moves is not None and context.problem.has_constraints():
            smooth = context.operators.kind in ("real", "integer")
            smooth = smooth and not has_features(context.problem)
            self.feasibility = FeasibilityModel(context.problem.n_obj, smooth=smooth)
        self.start_model: StartModel | None = None
        self.screening = Screening(
            context,
            self.encoder,
            self.move_ranking,
            self.feasibility,
            needs_features=models.starts is not None,
            n_candidates=settings.n_candidates,
        )
        self.perturbation = Perturbation(context, used=settings.perturbation)
        # Unanswered neighbors of each search, by id.
        self._awaited: Counter[int] = Counter()
        self.pick_starts = pick_starts

    def aim(self, by: Scalarization) -> None:
        """Set the scalarization that searches minimize, unless the settings fix it."""
        by = by if self.settings.descend == "auto" else self.settings.descend
        self.searches = LocalSearches(
            self.context.problem.n_obj,
            by,
            self.patience,
            expected_improvements=self.settings.expected_improvements,
            most_at_a_time=self.settings.most_at_a_time,
            most_moves=self.settings.most_moves,
        )
        if self.models.starts is not None:
            self.start_model = StartModel(by, given(self.models.starts))

    def fit_encoder(self, X: Designs) -> bool:
        """Find out from the initial designs X [n, ...] how designs are described.

        Returns whether they have features. If not, all models are dropped.
        """
        own = self.models.moves is not None and given(self.models.moves) is not None
        self.encoder.fit(X, in_columns=own)
        if self.encoder.gives_places:
            if self.move_ranking is not None:
                pair_sums = None
                if self.models.pair_sums and PairSums.suits(X.shape[-1]):
                    # The copy keeps the state: runs in which no sums are found are as without.
                    seed = int(deepcopy(self.context.random_state).integers(2**31))
                    testable = self._exchangeable()
                    pair_sums = PairSums(X.shape[-1], seed, testable=testable)
                ranking = self.move_ranking.of_permutations(pair_sums)
                self.move_ranking = self.screening.model = ranking
            if self.feasibility is not None:
                self.feasibility.permuted = True
        if describes(self.context.problem, X):
            return True
        self.models = NO_MODELS
        self.move_ranking = self.feasibility = self.start_model = None
        screening = self.screening
        screening.model = screening.feasibility = None
        screening.needs_features = False
        return False

    def _pair_sums(self) -> PairSums | None:
        """Return the sums over pairs if they predict all objectives, and children may use them."""
        model = self._permutation_model()
        known = model is not None and model.complete and self._exchangeable()
        return model.pair_sums if model is not None and known else None

    def _permutation_model(self) -> PermutationMoveModel | None:
        model = None if self.move_ranking is None else self.move_ranking.move_model
        return model if isinstance(model, PermutationMoveModel) else None

    def _exchangeable(self) -> bool:
        """Return whether items may change places: no constraint and no repair is against it."""
        free = isinstance(self.context.operators.repair, NoRepair)
        return free and not self.context.problem.has_constraints()

    def test_designs(self) -> Population:
        """Return designs that show whether objectives are sums over pairs; none if not needed."""
        model = self._permutation_model()
        sums = None if model is None else model.pair_sums
        places = None if sums is None else sums.test_designs()
        if places is None:
            return Population.empty()
        pop = unevaluated(self.encoder.permutations(places))
        return pop[self.context.duplicates.claim(pop.get("X"))]

    def knows_objectives(self) -> bool:
        """Return whether `descended` returns local optima."""
        return self._pair_sums() is not None

    def descended(self, pop: Population, W: Floats) -> Population:
        """Return designs near these [b], by exchanges of two items, that none of these improves.

        They are local optima of a scalarization with weights W [b, M], as predicted. Nothing is
        evaluated on the way. Designs are returned as they are until all objectives are known.
        """
        pairs = self._pair_sums()
        if pairs is None or len(pop) == 0:
            return pop
        places = self.encoder(rows([ind.X for ind in pop])).astype(np.int64)
        normalization, rng = self.context.normalization, self.context.random_state
        found = pairs.descended(places, W, normalization, self.searches.by, rng)
        return unevaluated(self.encoder.permutations(found))

    def restart(self) -> None:
        """End all searches, and forget which perturbations have paid."""
        self.searches.drop(np.ones(len(self.searches), dtype=bool))
        self.perturbation = Perturbation(self.context, used=self.settings.perturbation)
        self._awaited.clear()

    def propose(self, front: Archive, batch_size: int | None, *, fills: bool = False) -> Population:
        """Return the most promising neighbors of each idle search; none if nothing is new.

        Each proposes at least one. By default, it proposes as many as make one improvement likely,
        judged by the searches so far; `batch_size` may ask for another number in all, and `fills`
        says whether searches make unequal numbers to reach it. A search is
        idle if all of its neighbors have been answered: where each answer comes by itself,
        neighbors of a design that the search may be about to leave would be wasted. If none is
        idle, another one starts.
        """
        normalization = self.context.normalization
        # A search without new neighbors ends at no cost, and another one starts in its place.
        for _ in range(3):
            idle = self._idle()
            self._start(max(self.n_searches - len(idle), 1 - int(idle.sum())), front)
            idle = self._idle()
            running = self.searches.only(idle)
            if len(running) == 0:
                break
            if running.pending.any():
                return self._perturbed(running, front)
            if batch_size is None:
                width = np.full(len(running), running.width)
            elif fills:
                each, more = divmod(batch_size, len(running))
                width = np.maximum(1, each + (np.arange(len(running)) < more))
            else:
                width = np.full(len(running), max(1, batch_size // len(self.searches)))
            found = self.screening.around(running, int(width.max()), self._awaited)
            change = running.predicted(found.change, normalization)
            rank = self.screening.feasible_first(
                change, found.constraint_change, running.pop, running.CV
            )
            far = self.screening.walk(found, rank, running)
            picked = self.screening.pick(
                found, rank, width - np.bincount(far.of, minlength=len(running))
            )
            chosen = far.and_also(picked)
            predicted = np.full(len(chosen), np.nan)
            predicted[len(far) :] = change[picked.of, picked.column]
            ids = running.ids[chosen.of]
            pop = chosen.population(found, predicted_change=predicted, search=ids)
            self._awaited.update(ids.tolist())
            without = np.bincount(chosen.of, minlength=len(running)) == 0
            if without.any():
                mark_exhausted(running.pop[without])
                self._finish(np.isin(self.searches.ids, running.ids[without]))
            if len(pop):
                return pop
        return Population.empty()

    def _idle(self) -> Bools:
        """Mark the searches all of whose neighbors have been answered, [s]."""
        idle = np.array([i not in self._awaited for i in self.searches.ids.tolist()], dtype=bool)
        if self._awaited.total() > _MOST_AWAITED:  # hardly any of these will ever be answered
            self._awaited.clear()
            self._finish(~idle)
            idle = idle[idle]
        return idle

    def await_none(self) -> None:
        """Let all searches propose again, whatever they have proposed before."""
        self._awaited.clear()

    def arrived(self, pop: Population) -> None:
        """Note that designs were answered, also those that have failed, [b]."""
        for search in listed_origins(pop, "search"):
            if self._awaited[search] > 1:
                self._awaited[search] -= 1
            else:
                del self._awaited[search]

    def propose_around_front(self, restart: Restart, n: int, *, fills: bool = False) -> Population:
        """Return neighbors of n archived designs that promise hypervolume: Pareto local search.

        If there are fewer designs, several neighbors of each are returned: n in all with `fills`,
        else five.
        """
        front = restart.archive
        members = restart.visits.least_tried(n, self.context.random_state)
        least = n if fills else min(n, _LEAST_AROUND_FRONT)
        base, n = front.individuals(members), len(members)
        each, more = divmod(max(least, n), n)
        width = each + (np.arange(n) < more)
        X = rows([ind.X for ind in base])
        uses_hamming = self.move_ranking is not None and self.move_ranking.uses_hamming
        k = self.settings.n_candidates // (_FEWER_WITH_HAMMING if uses_hamming else _FEWER)
        most = int(width.max())
        found = self.screening.candidates(X, None, most, k * most)
        F = front.objectives(members)[:, None] + found.change
        gain = restart.volume.gain(F.reshape(-1, F.shape[2]), restart.volume_scale)
        loss, CV = -gain.reshape(F.shape[:2]), front.working_violations(n)
        rank = self.screening.feasible_first(loss, found.constraint_change, base, CV)
        chosen = self.screening.pick(found, rank, width)
        pop = chosen.population(found, base=list(base[chosen.of]))
        for ind in base:
            add_tries(ind, 1)
        return pop

    def _start(self, n: int, front: Archive) -> None:
        """Start n searches from archived designs."""
        if n <= 0:
            return
        W = random_weights(n, self.context.problem.n_obj, self.context.random_state)
        chosen, predicted = self.pick_starts(
            self.context, self.encoder, front, W, self.searches.by, self.start_model
        )
        if len(chosen) == 0:
            return
        start = features = np.empty((n, 0))
        if self.screening.needs_features:
            start = start_features(self.encoder, front, chosen)
            features = start[:, :-1]
        kinds = self.perturbation.draw(n)
        F, CV = front.objectives(chosen), front.working_violations(len(chosen))
        start_pop = front.individuals(chosen)
        self.searches.begin(start_pop, F, CV, W, features, start, kinds, predicted)

    def _perturbed(self, searches: LocalSearches, front: Archive) -> Population:
        """Return the perturbed designs that these searches begin with."""
        at, X = self.perturbation.perturb(searches, front)
        pop = unevaluated(X)
        set_origin(pop, search=searches.ids[at])
        self._awaited.update(searches.ids[at].tolist())
        if self.screening.needs_features:
            set_origin(pop, features=self.encoder(X))
        return pop

    def train_on_moves(self, pop: Population, F: Floats) -> None:
        """Update the move-ranking models with the observed effects of the evaluated moves [b].

        Moves are those of running searches, except perturbations, and those of Pareto local search.
        Call this before the searches advance.
        """
        if self.move_ranking is None:
            return
        searches, known = self.searches, Origins(pop)
        has_move = np.array([move is not None for move in known.listed("move")])
        if not has_move.any():
            return
        position = searches.positions(known.array("search", np.int64))
        of_search = has_move & (position >= 0)
        is_move = of_search | (has_move & known.asked_by("pareto"))
        if not is_move.any():
            return
        after = F
        if not is_move.all():
            pop, after, position = pop[is_move], F[is_move], position[is_move]
            known = Origins(pop)
        own = of_search[is_move]
        before = np.empty_like(after)
        before[own] = searches.F[position[own]]
        bases = [base.F for base in listed_origins(pop[~own], "base")]
        if bases:
            before[~own] = self.context.units.objectives(np.array(bases, dtype=float))
        changes = after - before
        moves, ends = known.array("move"), known.array("features")
        self.move_ranking.add_moves(moves, ends, changes, self.context.normalization)
        if own.any():
            self._check_moves(pop[own], position[own], before[own], after[own])
        self.move_ranking.fit_if_due(self.context.normalization)

    def _check_moves(self, pop: Population, position: Ints, before: Floats, after: Floats) -> None:
        """Compare the predicted effects of those moves [b] that were drawn with the observed ones.

        If the Hamming-kernel model has predicted them, they say nothing about the move model.
        """
        known = Origins(pop)
        drawn = known.array("chosen_at_random", bool)
        if self.move_ranking is None or self.move_ranking.uses_hamming or not drawn.any():
            return
        W, normalization = self.searches.W[position[drawn]], self.context.normalization
        values = (normalization.scalarize(F[drawn], W, self.searches.by) for F in (after, before))
        observed = np.subtract(*values)
        self.move_ranking.move_model.check(known.array("predicted_change")[drawn], observed)

    def train_on_designs(self, pop: Population, F: Floats, CV: Floats) -> None:
        """Update the models of designs, if there are any, with evaluated designs [b]."""
        learns = self.move_ranking is not None and self.move_ranking.learns_designs
        if (self.feasibility is None and not learns) or len(pop) == 0:
            return
        features = list(listed_origins(pop, "features"))
        missing = [i for i, row in enumerate(features) if row is None]
        if missing:
            computed = self.encoder(rows([pop[i].X for i in missing]))
            for i, row in zip(missing, computed, strict=True):
                features[i] = row
        known, normalization = np.array(features), self.context.normalization
        if self.feasibility is not None:
            self.feasibility.add(known, F, constraints_of(pop, CV), normalization)
        if self.move_ranking is not None and learns:
            asked = Origins(pop)
            # The move model has learned from moves, so that it would look better there than it is.
            is_move = np.array([move is not None for move in asked.listed("move")])
            unchosen = ~(is_move | asked.array("chosen_by_model", bool))
            self.move_ranking.add_designs(known, F, normalization, unchosen)

    def advance(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        """Advance the searches by their evaluated neighbors [b]."""
        known, normalization = Origins(pop), self.context.normalization
        ids, n_moves = known.array("search", np.int64), known.array("n_moves", np.int64)
        features = known.array("features") if self.screening.needs_features else None
        finished = self.searches.receive(
            ids, pop, F, CV, normalization, features, accepted, n_moves
        )
        if finished.any():
            self._finish(finished)

    def _finish(self, finished: Bools) -> None:
        """End searches, and learn from those that have evaluated something."""
        searches, model = self.searches, self.start_model
        ran = finished & (searches.cost > 0)
        rewards = searches.entered[ran] / searches.cost[ran]
        self.perturbation.learn(searches.perturbation[ran], rewards)
        if model is not None:
            normalization = self.context.normalization
            model.check(searches.predicted_gain[ran], searches.gained(normalization)[ran])
            model.add(searches.start[ran], searches.start_F[ran], searches.W[ran], searches.F[ran])
            model.fit_if_due(normalization, self.context.random_state)
        searches.drop(finished)
