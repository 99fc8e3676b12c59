"""MOELA: whose turn it is, what to ask, what to do with the answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymoo.core.population import Population

from moela._arrays import Bools, Floats, rows
from moela._checks import require
from moela.core.algorithm import ArchiveAlgorithm
from moela.core.decomposition import Subproblems, random_weights, simplex_weights
from moela.core.operators import any_real
from moela.core.scaling import SCALARIZATIONS, Frame, Scalarization, scalarize
from moela.core.volume import DirectionalVolume
from moela.learning.features import Encoder
from moela.learning.move_ranking import Ranking
from moela.learning.start_model import StartModel
from moela.learning.surrogate import Surrogate
from moela.search.allocation import Turns
from moela.search.evolution import Evolution
from moela.search.local_search import LocalSearches, add_tries, tries_of
from moela.search.perturbation import Kicks
from moela.search.preselection import Assistance
from moela.search.published import PublishedMOELA
from moela.search.restarts import Region
from moela.search.screening import Screen
from moela.search.starts import pick_starts, start_features
from moela.search.training import teach_designs, teach_moves

PARTS = ("evolution", "search", "pareto")
# Designs asked for at a time; fewer where each of them makes a model wiser.
_BATCH, _BATCH_ASSISTED = 20, 5
# Pareto search ranks so many times fewer candidates than searches; it looks around many designs.
# Where the landscape is known, ranking more of them pays.
_RANKED, _RANKED_KNOWN = 10, 2
# Evaluations before it is asked whether a run still gains, as a multiple of its first designs.
_LEAST_GROUPS = 10


class MOELA(ArchiveAlgorithm):
    """Evolution over decomposed sub-problems, and local searches that learned models guide.

    Two parts take turns. *Evolution* recombines the members of neighboring sub-problems. *Search*
    runs greedy local searches side by side, each on weights of its own: a learned model picks the
    archive member that it starts from, by where searches ended so far, and another ranks many
    candidate moves of a search so that only the most promising is evaluated. Everything evaluated
    is a candidate for the archive, whose front is the result, and some of what searches find joins
    the members that evolution recombines. Where next to nothing is gained any more, the run begins
    anew elsewhere, and goes on from all that it has found once nothing is gained there, either.

    Parameters
    ----------
    n_subproblems, n_neighbors : int
        Sub-problems, and the size of a neighborhood.
    prob_neighbor_mating : float
        Probability that parents come from a neighborhood rather than from everywhere.
    scalarization : {"chebyshev", "weighted_sum", "product"}
        By which children replace members; see `moela.core.scaling.scalarize`.
    n_searches : int
        Local searches that run side by side.
    patience : int
        Evaluated neighbors in a row that may fail before a search ends.
    kicks : bool
        Whether some searches begin with a kick, to leave the basin of the archived design that they
        start from: a few moves at random, or a crossing with another archived design. One in twenty
        does of each kind at least, more where such searches bring more.
    descend : {"auto", "product", "chebyshev", "weighted_sum"}
        What a search descends on. The weighted product of the distances to the reference aims at
        hypervolume; "auto" takes it where there is a reference, else the weighted sum.
    n_candidates : int
        Neighbors that the move model ranks around each place where a search stands; a fifth of
        them may be evaluated before others are drawn. Pareto search ranks a tenth of that around
        each design, half where the landscape model is used, of which it evaluates one.
    shares : dict or None
        Relative shares of the evaluations that "evolution", "search" and "pareto" get. None: mostly
        search where the problem brings `neighbors` of its own, since somebody has thought about
        moves there, else mostly evolution; from there the shares follow what each part brings.
    start_model, move_model : "default", None or scikit-learn regressor
        The models that pick starts and rank moves; None does without.
    landscape : bool
        Whether a second model learns from all designs what they are worth, and ranks moves where
        that predicts better than the move model. It is there for designs that are described by
        zeros and ones only, such as rows of bits, or permutations by who is where.
    surrogate_size : int
        Evaluated designs until which a third model, of the objectives and violation of real-valued
        designs, helps evolution to choose its children, where it predicts well; see `Assistance`.
        What each costs grows with their number, to some 5 milliseconds on average over the first
        thousand, so it is left out from there on; 0 does without. It is there for real variables
        without operators of your own.
    restarts : "auto", True or False
        Whether a run that gains next to nothing any more begins anew elsewhere, from designs drawn
        afresh and with an archive of its own; what the models have learned stays. Once that gains
        next to nothing, too, the run goes on from all that it has found, and so on in turns.
        "auto" restarts unless some variables are real: with these a front can always be refined.
    reference : "auto", None or array [M]
        A point to beat, from which the weighted product is measured. "auto" takes the problem's
        `ref_point`, unless most of the first designs beat it already, as they do where it is a
        bound; None takes the nadir of the non-dominated designs so far.
    batch_size : int or None
        Designs asked for at a time; None asks for one a search, and for twenty where it is not the
        turn of the searches, five while the surrogate is used. Raise it to a multiple of the
        workers when evaluating in parallel.
    archive_size : int or None
        Bound on the archive; None keeps every non-dominated design.
    **kwargs
        `sampling`, `crossover`, `mutation`, `repair` (default: the problem's `operators()`, else
        by variable type), and those of pymoo's `Algorithm`.

    Attributes
    ----------
    log : dict
        What each part ("initial", "evolution", "search", "pareto") has contributed: evaluations
        (`n_eval`), designs that entered the archive (`accepted`), and growth of the (estimated)
        hypervolume, in units of the objectives (`hypervolume`). "screening" holds the same of those
        designs that a learned model chose, and is contained in theirs.
    n_regions : int
        Times that the run has set out: at its beginning, at each restart, and at each return to all
        that it has found.

    Raises
    ------
    ValueError
        For a setting out of range, named with what was expected and what came.

    References
    ----------
    Qi, Li, Pasricha, Kim: "MOELA: A multi-objective evolutionary/learning design space exploration
    framework for 3D heterogeneous manycore platforms", DATE 2023,
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
        n_neighbors: int = 10,
        prob_neighbor_mating: float = 0.9,
        scalarization: Scalarization = "chebyshev",
        n_searches: int = 5,
        patience: int = 20,
        kicks: bool = True,
        descend: Scalarization | Literal["auto"] = "auto",
        n_candidates: int = 100,
        shares: Mapping[str, float] | None = None,
        start_model: Any = "default",
        move_model: Any = "default",
        landscape: bool = True,
        surrogate_size: int = 1000,
        restarts: bool | Literal["auto"] = "auto",
        reference: ArrayLike | Literal["auto"] | None = "auto",
        batch_size: int | None = None,
        archive_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        for name, value, low in (
            ("n_subproblems", n_subproblems, 2),
            ("n_neighbors", n_neighbors, 2),
            ("n_searches", n_searches, 1),
            ("patience", patience, 1),
            ("n_candidates", n_candidates, 1),
            ("surrogate_size", surrogate_size, 0),
            ("batch_size", 1 if batch_size is None else batch_size, 1),
        ):
            whole = isinstance(value, int | np.integer) and value >= low
            require("MOELA", name, value, whole, f"an integer of at least {low}")
        for name, choice, known in (
            ("scalarization", scalarization, SCALARIZATIONS),
            ("descend", descend, ("auto", *SCALARIZATIONS)),
        ):
            allowed = f"one of {', '.join(known)}"
            require("MOELA", name, choice, choice in known, allowed)
        fits = 0.0 <= prob_neighbor_mating <= 1.0
        require("MOELA", "prob_neighbor_mating", prob_neighbor_mating, fits, "between 0 and 1")
        for name, switch in (("kicks", kicks), ("landscape", landscape)):
            require("MOELA", name, switch, isinstance(switch, bool), "True or False")
        fits = isinstance(restarts, bool) or restarts == "auto"
        require("MOELA", "restarts", restarts, fits, '"auto", True or False')
        if shares is not None:
            named = set(shares) <= set(PARTS) and all(value >= 0 for value in shares.values())
            fits = named and sum(shares.values()) > 0
            expected = f"a positive number for some of {', '.join(PARTS)}"
            require("MOELA", "shares", shares, fits, expected)
        super().__init__(n_init=n_subproblems, archive_size=archive_size, **kwargs)
        self.n_subproblems = n_subproblems
        self.n_neighbors = n_neighbors
        self.prob_neighbor_mating = prob_neighbor_mating
        self.scalarization = scalarization
        self.n_searches = n_searches
        self.patience = patience
        self.kicks = kicks
        self.descend = descend
        self.n_candidates = n_candidates
        self.shares = shares
        self.start_model = start_model
        self.move_model = move_model
        self.landscape = landscape
        self.surrogate_size = surrogate_size
        self.restarts = restarts
        self.reference = reference
        self.batch_size = batch_size

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
        self._weights = simplex_weights(self.n_subproblems, problem.n_obj, rng)
        self.whole = self.region = Region(
            self.front,
            Frame(problem.n_obj, reference),
            DirectionalVolume(problem.n_obj, rng),
            least=_LEAST_GROUPS * self.n_init,
        )
        self.n_regions, self.unsettled = 1, True
        self.restarting = not any_real(problem) if self.restarts == "auto" else self.restarts
        self.ranking: Ranking | None = None
        if self.move_model is not None:
            estimator = None if isinstance(self.move_model, str) else self.move_model
            self.ranking = Ranking(estimator, landscape=self.landscape)
        self.describe = Encoder(problem)
        self.screen = Screen(
            problem,
            self.operators,
            self.seen,
            self.describe,
            self.ranking,
            learns=self.start_model is not None,
            n_candidates=self.n_candidates,
        )
        self.assistance: Assistance | None = None
        if self.surrogate_size and self.operators.default_real:
            surrogate = Surrogate(problem.xl, problem.xu, self.surrogate_size)
            self.assistance = Assistance(surrogate)
        self._form_parts()
        self.log: dict[str, dict[str, float]] = {
            part: {"n_eval": 0, "accepted": 0, "hypervolume": 0.0}
            for part in ("initial", *PARTS, "screening")
        }

    def _form_parts(self) -> None:
        """Make the parts anew, as they are when a region is begun."""
        subproblems = Subproblems(self._weights, self.n_neighbors, self.scalarization)
        self.evolution = Evolution(
            self.problem,
            self.operators,
            self.seen,
            subproblems,
            self.prob_neighbor_mating,
            self.assistance,
        )
        self.turns = self._turns()
        self.kicking = Kicks(self.problem, self.operators, self.seen, used=self.kicks)

    @property
    def frame(self) -> Frame:
        """The box that objectives are scaled with where the run searches now."""
        return self.region.frame

    def _aim(self, F: Floats) -> None:
        """Decide what searches descend on, knowing the first designs' objectives F [n, M]."""
        reference = self.frame.reference
        given = not isinstance(self.reference, str)
        if reference is not None and not given and (reference > F).all(axis=1).mean() > 0.5:
            self.frame.reference = reference = None
        by: Scalarization = "weighted_sum" if reference is None else "product"
        self.descends_on = by if self.descend == "auto" else self.descend
        self.searches = LocalSearches(self.problem.n_obj, self.descends_on, self.patience)
        self.starts: StartModel | None = None
        if self.start_model is not None:
            estimator = None if isinstance(self.start_model, str) else self.start_model
            self.starts = StartModel(self.descends_on, estimator)

    def _turns(self) -> Turns:
        if self.shares is not None:
            return Turns(self.shares, adapt=False)
        if not hasattr(self.problem, "neighbors"):
            # Steps of real variables end in the valley that they begin in.
            search = 0.03 if any_real(self.problem) else 0.1
            return Turns({"evolution": 1.0 - search, "search": search}, adapt=True)
        # With many objectives nearly every neighbor is non-dominated, so being so says little.
        if self.problem.n_obj > 3:
            return Turns({"evolution": 0.1, "search": 0.65, "pareto": 0.25}, adapt=True)
        return Turns({"evolution": 0.15, "search": 0.55, "pareto": 0.3}, adapt=True)

    # -------------------------------------------------------------------------------- restarts

    def _leave(self) -> None:
        """Go on elsewhere: from designs drawn afresh, or from all that has been found."""
        if self.region is self.whole:
            self._enter(self.whole.fresh(self.n_answered))
            self.unsettled = True
        else:
            self._return()

    def _return(self) -> None:
        """Go on from all that has been found."""
        self._enter(self.whole)
        self.unsettled = False
        front = self.front
        self.evolution.populate(front.pop, front.F, front.CV, self.frame)
        self.region.begin(self.n_answered)

    def _enter(self, region: Region) -> None:
        self.region = region
        self.n_regions += 1
        self._form_parts()
        self.searches.drop(np.ones(len(self.searches), dtype=bool))

    # ---------------------------------------------------------------------------------- asking

    def _ask(self) -> Population:
        if self.unsettled:
            pop = self._drawn_anew()
            if len(pop):
                pop.set("region", self.n_regions)
                return pop
            # Hardly anything is left to draw.
            self._return()
        part = self.turns.next()
        pop = Population.empty()
        if part == "search":
            pop = self._search()
        elif part == "pareto":
            pop = self._around_the_front()
        if len(pop) == 0:
            # Also when a search has nothing new left around it.
            part = "evolution"
            assisted = self.assistance is not None and self.assistance.ready
            size = self.batch_size or (_BATCH_ASSISTED if assisted else _BATCH)
            pop = self.evolution.children(size, self.region.archive, self.frame, self.random_state)
        pop.set("part", part)
        pop.set("region", self.n_regions)
        self.turns.asked(part, len(pop))
        return pop

    def _search(self) -> Population:
        """Let each running search propose its most promising neighbors."""
        # A search with nothing new around it ends unpaid, and another takes its place.
        for _ in range(3):
            self._start_searches(self.n_searches - len(self.searches))
            running = self.searches
            if len(running) == 0:
                break
            if running.pending.any():
                return self._kicked()
            width = max(1, (self.batch_size or 0) // len(running))
            found = self.screen.around(running, width, self.random_state)
            W, F = running.W[:, None], running.F[:, None]
            before = scalarize(self.frame.scale(F), W, self.descends_on)
            after = scalarize(self.frame.scale(F + found.change), W, self.descends_on)
            pop, at = self.screen.pick(found, after - before, width)
            idle = np.bincount(at[0], minlength=len(running)) == 0
            if len(pop):
                pop.set(search=running.ids[at[0]], predicted=(after - before)[at])
            if idle.any():
                for ind in running.pop[idle]:
                    ind.data["exhausted"] = True
                self._finish(idle)
            if len(pop):
                return pop
        return Population.empty()

    def _around_the_front(self) -> Population:
        """Propose neighbors of archived designs that promise hypervolume: Pareto local search."""
        front, rng = self.region.archive, self.random_state
        n = min(self.batch_size or _BATCH, len(front))
        tries = tries_of(front.pop) + rng.random(len(front))
        members = tries.argsort()[:n]
        base = front.pop[members]
        X = rows([ind.X for ind in base])
        features = self.describe(X) if self.screen.learns else np.empty((n, 0))
        known = self.ranking is not None and self.ranking.by_landscape
        k = self.n_candidates // (_RANKED_KNOWN if known else _RANKED)
        found = self.screen.candidates(X, features, 1, k, rng)
        F = front.F[members][:, None] + found.change
        gain = self.region.volume.gain(F.reshape(-1, F.shape[2]), self.frame).reshape(F.shape[:2])
        pop, at = self.screen.pick(found, -gain, 1)
        if len(pop):
            pop.set(base=list(base[at[0]]))
        for ind in base:
            add_tries(ind, 1)
        return pop

    def _start_searches(self, n: int) -> None:
        if n <= 0:
            return
        front = self.region.archive
        W = random_weights(n, self.problem.n_obj, self.random_state)
        chosen, promised = self._pick_starts(W)
        if len(chosen) == 0:
            return
        start = features = np.empty((n, 0))
        if self.screen.learns:
            start = start_features(self.describe, front, chosen)
            features = start[:, :-1]
        kick = self.kicking.draw(n, self.random_state)
        self.searches.begin(
            front.pop[chosen], front.F[chosen], front.CV[chosen], W, features, start, kick, promised
        )

    def _pick_starts(self, W: Floats) -> tuple[NDArray[np.int64], Floats]:
        """Pick an archived design for each row of W, and say what the model promises of it."""
        return pick_starts(
            self.describe,
            self.region.archive,
            self.frame,
            W,
            self.descends_on,
            self.starts,
            self.random_state,
        )

    def _kicked(self) -> Population:
        """Propose where the kicks of searches that start lead."""
        running = self.searches
        front = self.region.archive
        at, X = self.kicking.designs(running, front, self.frame, self.random_state)
        pop = Population.new("X", rows(list(X)))
        pop.set(search=running.ids[at], blind=False)
        if self.screen.learns:
            for ind, features in zip(pop, self.describe(X), strict=True):
                ind.data["features"] = features
        return pop

    # -------------------------------------------------------------------------------- answers

    def _answer_initial(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        self._aim(F)
        if self.operators.kind == "own":
            self.describe.look(rows([ind.X for ind in pop]))
        self._log(pop, accepted, self._settle(pop, F, CV, accepted))
        self._teach(pop, F, CV)

    def _answer(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        if len(pop) == 0:
            return
        grown = self.whole.take(F, CV, accepted)
        self._log(pop, accepted, grown)
        if self.ranking is not None:
            teach_moves(self.ranking, pop, F, self.searches, self.frame)
        self._teach(pop, F, CV)
        if self.region is self.whole:
            self._go_on(pop, F, CV, accepted, grown)
        else:
            self._answer_here(pop, F, CV)
        for ind in pop:
            # What was needed to understand the answer would otherwise live as long as the design.
            for key in ("move", "features", "base", "screened", "region"):
                ind.data.pop(key, None)
        if self.restarting and not self.unsettled and self.region.stagnates(self.n_answered):
            self._leave()

    def _teach(self, pop: Population, F: Floats, CV: Floats) -> None:
        """Tell the models of designs what these [b] are worth."""
        if self.ranking is not None:
            teach_designs(self.ranking, self.describe, pop, F)
        if self.assistance is not None:
            X = rows([ind.X for ind in pop]).astype(float)
            self.assistance.surrogate.learn(X, F, CV)

    def _answer_here(self, pop: Population, F: Floats, CV: Floats) -> None:
        """Take in what was asked for since the run began anew; the rest tells nothing of here."""
        here = np.array([ind.data.get("region") == self.n_regions for ind in pop])
        if not here.any():
            return
        pop, F, CV = pop[here], F[here], CV[here]
        accepted = self.region.archive.add(pop, F, CV)
        if self.unsettled:
            self._settle(pop, F, CV, accepted)
        else:
            self._go_on(pop, F, CV, accepted, self.region.take(F, CV, accepted))

    def _settle(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> Floats:
        """Begin a region with its first designs [b]; return by how much each makes it grow."""
        grown = self.region.take(F, CV, accepted, first=True)
        self.evolution.populate(pop, F, CV, self.frame)
        self.region.begin(self.n_answered)
        self.unsettled = False
        return grown

    def _go_on(
        self, pop: Population, F: Floats, CV: Floats, accepted: Bools, grown: Floats
    ) -> None:
        """Let each part learn what came of the designs [b] that it asked for."""
        part = np.array([ind.data.get("part") for ind in pop])
        for name in PARTS:
            mine = part == name
            self.turns.paid(name, int(mine.sum()), float(grown[mine].sum()))
        searched = part == "search"
        if searched.any():
            self._advance_searches(pop[searched], F[searched], CV[searched], accepted[searched])
        self.evolution.answer(pop, F, CV, accepted, self.frame, self.random_state)

    def _log(self, pop: Population, accepted: Bools, grown: Floats) -> None:
        part = np.array([ind.data.get("part") for ind in pop])
        screened = np.array([ind.data.get("screened", False) for ind in pop])
        for name, entry in self.log.items():
            mine = screened if name == "screening" else part == name
            entry["n_eval"] += int(mine.sum())
            entry["accepted"] += int(accepted[mine].sum())
            entry["hypervolume"] += float(grown[mine].sum())

    def _advance_searches(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        ids = np.array([ind.data.get("search") for ind in pop], dtype=np.int64)
        features = (
            np.array([ind.data.get("features") for ind in pop]) if self.screen.learns else None
        )
        finished = self.searches.receive(ids, pop, F, CV, self.frame, features, accepted)
        if finished.any():
            self._finish(finished)

    def _finish(self, finished: Bools) -> None:
        done = self.searches
        ran = finished & (done.cost > 0)
        self.kicking.learn(done.kick[ran], done.entered[ran] / done.cost[ran])
        if self.starts is not None:
            self.starts.check(done.promised[ran], done.gained(self.frame)[ran])
            self.starts.add(done.start[ran], done.start_F[ran], done.W[ran], done.F[ran])
            self.starts.fit_if_due(self.frame, self.random_state)
        done.drop(finished)
