"""Infill: chooses the next designs by expected improvement, while few are known."""

from __future__ import annotations

import moocore
import numpy as np
from pymoo.core.population import Population

from moela._arrays import Designs, Floats, Ints, rows
from moela._threads import one_thread
from moela.bayesian.acquisition import ExpectedImprovement, directions
from moela.bayesian.alternatives import AlternativeProcesses
from moela.bayesian.candidate_search import CandidateSearch, Described
from moela.bayesian.candidates import CandidateSource
from moela.bayesian.gaussian_process import GaussianProcess
from moela.bayesian.outputs import Output, bilog
from moela.bayesian.scouting import BEYOND, Scouts
from moela.core.archive import Archive
from moela.core.context import SearchContext
from moela.core.origin import set_origin

# Designs up to which the infill can be used: with more, a fit takes too long.
_MOST_ROWS = 300
# Features that vary less are left out.
_NARROW = 1e-9
# Number of rays for 2 objectives, and for more.
_N_RAYS, _N_RAYS_MANY = 48, 80
# Length scales are fitted again after this growth of the number of designs.
_GROWTH = 0.1
# Generations of candidates for the first and for each further design of a batch.
_FIRST_GENERATIONS, _GENERATIONS = 6, 3
# The reference point lies this far beyond the nadir, relative to the extent of the front.
_BEYOND = 0.1
# Equality constraints hold within this; values are limited to the largest that can be compressed.
_TOLERANCE, _MOST = 1e-4, 1e300
# Losing 1 in an objective must gain at least this in another one; both are scaled by the front.
_TRADED = 0.1
# Objectives are limited this many extents of the front below the ideal and beyond the nadir.
_FAR_BELOW, _FAR = 0.5, 10
# Trust regions around known designs, in which each variable may change by this fraction of its
# range: at first, least, most. They grow by the factor if the designs of a batch keep more than
# this share of the predicted growth, and shrink if they keep less than that. Without them, designs
# at far corners look best: in a run of 100 evaluations each, 69 % (DTLZ2) and 78 % (WFG4) of the
# hypervolume with them.
_RADIUS, _LEAST_RADIUS, _MOST_RADIUS = 0.25, 0.03, 1.0
_FACTOR, _KEPT, _BROKEN = 1.5, 0.5, 0.2
# Leave-one-out correlations at which the model is asked as seldom as `_LEAST_TRUST`, and always.
# Recombination of good designs takes the other turns.
_LEAST_SKILL, _ENOUGH_SKILL, _LEAST_TRUST = 0.0, 0.05, 0.2
# Least leave-one-out correlation with which the model goes on after its trial. With less, its
# designs may all be near a poor front that evolution does not leave, as on WFG9.
_TRUSTED_SKILL = 0.85
# Failed designs to learn from, the newest. Their process learns -1 for a success and 1 for a
# failure, and the limit is on the side of successes. In runs of 100 evaluations of three problems
# that fail where they would be best, 26 fail in the median; with a limit of 0 it is 41, and
# without a limit 68.
_MOST_FAILED, _FAILURE_LIMIT = 150, -0.5
# Candidates that are compared with known designs at a time.
_LOOKED_AT = 8


class Infill:
    """Proposes designs of the largest expected growth of the hypervolume.

    A Gaussian process for each objective, and for each constraint that some design violates, learns
    all designs. Another one learns which evaluations fail. Candidates evolve by the operators of
    the run, with the acquisition function as their fitness. In a batch, each design counts as
    known, with its predicted objectives, when the next one is chosen (the "believer" of
    Ginsbourger, Le Riche, Carraro 2010, "Kriging is well-suited to parallelize optimization").

    Parameters
    ----------
    context : SearchContext
    candidates : CandidateSource
    most : int, optional
        Number of evaluated designs from which on the infill is not used; at most, and by default,
        as many as a fit can take in a reasonable time.
    most_infeasible : int, optional
        The same while no design is feasible.
    trial : int, optional
        Number of evaluated designs from which on the infill is used only if its model predicts
        well; by default, it is used in any case.
    """

    def __init__(
        self,
        context: SearchContext,
        candidates: CandidateSource,
        most: int | None = None,
        most_infeasible: int | None = None,
        trial: int | None = None,
    ) -> None:
        self.context, self.candidates = context, candidates
        self.most = _MOST_ROWS if most is None else min(most, _MOST_ROWS)
        self.most_infeasible = self.most if most_infeasible is None else most_infeasible
        self.trial = _MOST_ROWS if trial is None else trial
        self._feasible = False  # whether some design is
        self._pops: list[Population] = []
        self._X: list[Designs] = []
        self._F: list[Floats] = []
        self._G: list[Floats] = []
        self._CV: list[Floats] = []
        self.n_rows = 0
        self._failed: Designs | None = None
        self._only_failed = False  # whether all answers since the last proposal are failures
        self.radius = _RADIUS
        self.scouts = Scouts()
        self._scout: list[int] = []  # fingerprint of the last one, if there is one
        # Designs that were asked for and not answered, by fingerprint.
        self._waiting: dict[int, Designs] = {}
        # Acquisition function before the designs asked for last, and the growth that they promised.
        self._asked: ExpectedImprovement | None = None
        self._promised = 0.0
        self._fitted_at = 0
        self._groups: list[tuple[Ints, Ints]] | None = None
        self._objectives: list[GaussianProcess] = []
        self._constraints: dict[int, GaussianProcess] = {}
        self._failures: GaussianProcess | None = None

    @property
    def used(self) -> bool:
        """Whether designs are still few, and predicted well enough."""
        if self.n_rows >= self.trial and self.skill < _TRUSTED_SKILL:
            return False
        return self.n_rows < (self.most if self._feasible else self.most_infeasible)

    @property
    def skill(self) -> float:
        """Least leave-one-out correlation of an objective at the last fit."""
        return min((process.correlation for process in self._objectives), default=1.0)

    def add(self, pop: Population, F: Floats, CV: Floats) -> None:
        """Add evaluated designs with objectives F [b, M] and violations CV [b]."""
        if len(pop) == 0:
            return
        designs = rows([ind.X for ind in pop])
        for key in self.context.duplicates.keys(designs):
            self._waiting.pop(key, None)
        self._pops.append(pop)
        self._X.append(self.candidates.of(designs))
        self._F.append(F)
        self._CV.append(CV)
        self._feasible = self._feasible or bool(CV.min() <= 0.0)
        if self._asked is not None:
            self._adapt(F[CV <= 0.0])
        self._G.append(_constraint_values(pop, CV))
        self.n_rows += len(pop)
        self._only_failed = False

    def add_failed(self, pop: Population) -> None:
        """Add designs whose evaluation failed."""
        if len(pop) == 0:
            return
        designs = rows([ind.X for ind in pop])
        for key in self.context.duplicates.keys(designs):
            self._waiting.pop(key, None)
        new = self.candidates.of(designs)
        known = new if self._failed is None else np.concatenate([self._failed, new])
        self._failed = known[-_MOST_FAILED:]
        self._only_failed = True

    def designs(self) -> tuple[Population, Floats, Floats]:
        """Return the evaluated designs [n], their objectives [n, M] and violations [n]."""
        F, CV = np.concatenate(self._F), np.concatenate(self._CV)
        return Population.merge(*self._pops), F, CV

    def propose(self, size: int, front: Archive) -> Population:
        """Return up to `size` new designs, the best first."""
        with one_thread():
            X, F = np.concatenate(self._X), np.concatenate(self._F)
            CV, G = np.concatenate(self._CV), np.concatenate(self._G)
            if self._asked is not None and self._only_failed:
                self._adapt(F[:0])
            every = X if self._failed is None else np.concatenate([X, self._failed])
            raw = self.candidates.features(every)
            spread = raw.std(axis=0)
            varied = spread > _NARROW
            scale = _input_scale(raw, spread)[varied]
            features = raw[:, varied] / scale
            described_by = self.candidates.descriptions
            self._groups = None if described_by is None else described_by.groups(varied)
            acquisition = self._fit(features, F, G, front)
            acquisition.include(F[CV <= 0.0])
            known = _good(F, CV, acquisition)
            trusted = (self.skill - _LEAST_SKILL) / (_ENOUGH_SKILL - _LEAST_SKILL)
            if self.context.random_state.random() > max(trusted, _LEAST_TRUST):
                return self._recombined(size, X[known])

            def described(candidates: Designs) -> Floats:
                return self.candidates.features(candidates)[:, varied] / scale

            if self._waiting:
                # So that no design like them is asked for.
                waiting = np.concatenate(list(self._waiting.values()))
                self._believe(acquisition, described(waiting))
            scout = self._scout_due(size, acquisition)
            before = acquisition.copy()
            found = self._best(size - scout, X[known], acquisition, described)
            if size > scout:
                self._asked, self._promised = before, acquisition.volume - before.volume
            n_near = len(found)
            if scout:
                far = self._far(acquisition, F[CV <= 0.0], front)
                scouts = self._best(1, X[_good(F, CV, far)], far, described)
                found = np.concatenate([found, scouts])
        pop = self.candidates.population(found)
        set_origin(pop, chosen_by_model=True)
        keys = self.context.duplicates.keys(pop.get("X"))
        self._waiting.update(zip(keys, found[:, None], strict=True))
        if scout:
            self._scout = list(keys[n_near:])
        return pop[self.context.duplicates.claim(pop.get("X"))]

    def _recombined(self, size: int, known: Designs) -> Population:
        """Return new children of good designs, by the operators of the run."""
        rng, context = self.context.random_state, self.context
        parents = self.candidates.population(known)
        pairs = rng.integers(0, len(parents), (3 * size, context.operators.n_parents))
        pop = context.children(parents, pairs)
        new = np.flatnonzero(context.duplicates.first_of_each(pop.get("X")))[:size]
        return pop[new[context.duplicates.claim(pop[new].get("X"))]]

    def _best(
        self,
        size: int,
        centers: Designs,
        acquisition: ExpectedImprovement,
        described: Described,
    ) -> Designs:
        """Return the candidates of the largest expected growth around these."""
        if size == 0:
            return centers[:0]
        search = CandidateSearch(self.candidates, acquisition, described, self.radius)
        search.begin(centers)
        chosen: list[Designs] = []
        for number in range(size):
            search.evolve(_GENERATIONS if number else _FIRST_GENERATIONS)
            search.climb()
            at = self._first_new(search.X)
            if at is None:
                break
            chosen.append(search.X[at : at + 1])
            self._believe(acquisition, described(chosen[-1]))
            if number < size - 1:
                search.remove(at)
        return np.concatenate(chosen) if chosen else centers[:0]

    def _scout_due(self, size: int, acquisition: ExpectedImprovement) -> bool:
        """Return whether the last of the next designs is to look far from the known front.

        With a reference point of the user, there is nothing to look for beyond it.
        """
        if self.context.normalization.given_ref_point is not None or not acquisition.any_feasible:
            return False
        if any(key in self._waiting for key in self._scout):
            return False  # what the last one finds is not known yet
        box = acquisition.ideal, acquisition.ideal + acquisition.span
        self.scouts.update(*box)
        due = self.scouts.due(size, self.skill)
        if due:
            self.scouts.sent(*box)
        return due

    def _far(
        self, acquisition: ExpectedImprovement, known: Floats, front: Archive
    ) -> ExpectedImprovement:
        """Return the acquisition function of scouts, to which feasible objectives are known."""
        ideal, nadir = front.working_F.min(axis=0), front.working_F.max(axis=0)
        nadir = np.where(nadir > ideal, nadir, acquisition.ideal + acquisition.span)
        far = acquisition.rescaled(np.full(len(ideal), 1.0 + BEYOND), ideal, nadir)
        far.include(np.concatenate([known, *self._believed]))
        return far

    def _fit(self, features: Floats, F: Floats, G: Floats, front: Archive) -> ExpectedImprovement:
        """Fit the processes; return the acquisition function.

        The features are those of n designs with objectives F [n, M] and constraint values G [n, k],
        and of failed ones behind them.
        """
        normalization, every = self.context.normalization, features
        features = every[: len(F)]
        ideal, nadir = _extent(front.working_F, F, normalization.given_ref_point)
        # Far from the front, often where constraints do not hold, formulas can give any number.
        learned = np.clip(F, ideal - _FAR_BELOW * (nadir - ideal), nadir + _FAR * (nadir - ideal))
        due = len(every) >= (1.0 + _GROWTH) * self._fitted_at
        d = features.shape[1]
        if not self._objectives or self._objectives[0].n_inputs != d:
            self._objectives = [self._process(d) for _ in range(F.shape[1])]
            self._constraints, self._failures, due = {}, None, True
        outputs = [Output.of(column, powered=True) for column in learned.T]
        self._rows: list[tuple[GaussianProcess, Floats, Floats]] = []
        self._believed: list[Floats] = []  # objectives of designs that count as known
        for process, out, column in zip(self._objectives, outputs, learned.T, strict=True):
            self._learn(process, features, out(column), due)
        limits = []
        if G.shape[1]:
            values = bilog(G)
            for j in np.flatnonzero((G > 0.0).any(axis=0)).tolist():
                fresh = j not in self._constraints
                process = self._constraints.setdefault(j, self._process(d))
                out = Output.of(values[:, j], powered=False)
                self._learn(process, features, out(values[:, j]), due or fresh)
                limits.append((process, float(out(np.array(0.0)))))
        if len(every) > len(F):
            # A least-squares classifier (Rasmussen and Williams 2006, sec. 6.5).
            failing = np.where(np.arange(len(every)) < len(F), -1.0, 1.0)
            fresh = self._failures is None
            self._failures = self._failures or self._process(d)
            out = Output.of(failing, powered=False)
            self._learn(self._failures, every, out(failing), due or fresh)
            limits.append((self._failures, float(out(np.array(_FAILURE_LIMIT)))))
        if due:
            self._fitted_at = len(every)
        n_obj = F.shape[1]
        rays = directions(_N_RAYS if n_obj == 2 else _N_RAYS_MANY, n_obj, self.context.random_state)
        ref = np.full(n_obj, 1.0 + _BEYOND)
        return ExpectedImprovement(self._objectives, outputs, limits, ideal, nadir, ref, rays)

    def _process(self, n_inputs: int) -> GaussianProcess:
        if self._groups:
            return AlternativeProcesses(self._groups, n_inputs)
        return GaussianProcess(n_inputs)

    def _adapt(self, F: Floats) -> None:
        """Adapt the trust region to how far the promised growth was kept by designs F [b, M]."""
        assert self._asked is not None
        before = self._asked.volume
        self._asked.include(F)
        gained = self._asked.volume - before
        self._asked = None
        if gained > _KEPT * self._promised and gained > 0.0:
            self.radius = min(_MOST_RADIUS, self.radius * _FACTOR)
        elif gained < _BROKEN * self._promised or gained <= 0.0:
            self.radius /= _FACTOR
            if self.radius < _LEAST_RADIUS:
                # Nothing is left to gain so near.
                self.radius = _RADIUS

    def _learn(self, process: GaussianProcess, X: Floats, y: Floats, due: bool) -> None:
        if due:
            process.fit(X, y)
        else:
            process.learn(X, y)
        self._rows.append((process, X, y))

    def _believe(self, acquisition: ExpectedImprovement, features: Floats) -> None:
        """Let designs count as known, with the outputs that are predicted for their features."""
        self._believed.append(acquisition.objectives(acquisition.predict(features)[0]))
        acquisition.include(self._believed[-1])
        believed = []
        for process, X, y in self._rows:
            X, y = np.concatenate([X, features]), np.concatenate([y, process.predict(features)[0]])
            process.learn(X, y)
            believed.append((process, X, y))
        self._rows = believed

    def _first_new(self, pool: Designs) -> int | None:
        """Return the first candidate that nobody has asked for."""
        for begin in range(0, len(pool), _LOOKED_AT):
            pop = self.candidates.population(pool[begin : begin + _LOOKED_AT])
            new = np.flatnonzero(self.context.duplicates.first_of_each(pop.get("X")))
            if len(new):
                return begin + int(new[0])
        return None


def _constraint_values(pop: Population, CV: Floats) -> Floats:
    """Return constraint values [b, k] of which none may be positive.

    If the individuals have none, since another evaluator set only their violations CV [b], it is a
    column made from these.
    """
    try:
        G = np.array([np.asarray(ind.G, dtype=float).ravel() for ind in pop])
        H = np.array([np.abs(np.asarray(ind.H, dtype=float)).ravel() for ind in pop])
    except ValueError:
        G = H = np.empty((len(pop), 0))
    values = np.concatenate([G, H - _TOLERANCE], axis=1)
    if values.shape[1] == 0 and (CV > 0.0).any():
        return np.where(CV > 0.0, CV, -np.median(CV[CV > 0.0]))[:, None]
    return np.clip(values, -_MOST, _MOST)


def _input_scale(features: Floats, spread: Floats) -> Floats:
    """Return the divisors [d] that bring features to a range of about 1."""
    inside = (features.min(axis=0) >= 0.0) & (features.max(axis=0) <= 1.0)
    return np.where(inside, 1.0, np.sqrt(12.0) * np.where(spread > 0.0, spread, 1.0))


def _extent(front: Floats, F: Floats, ref_point: Floats | None) -> tuple[Floats, Floats]:
    """Return the ideal [M] of the front, and a point [M] beyond which designs count little.

    That is `ref_point` if some design dominates it, else the nadir of the front without designs
    that lose much in one objective to gain little in others (alpha-domination: Ikeda, Kita,
    Kobayashi 2001, "Failure of Pareto-based MOEAs: does non-dominated really mean near to
    optimal?", CEC). Fronts of few designs are mostly such.
    """
    ideal, nadir = front.min(axis=0), front.max(axis=0)
    nadir = np.where(nadir > ideal, nadir, F.max(axis=0))
    # Half of a large number, since a number added to it may be lost.
    nadir = np.where(nadir > ideal, nadir, ideal + np.maximum(1.0, 0.5 * abs(ideal)))
    if ref_point is not None and (front < ref_point).all(axis=1).any():
        return ideal, ref_point - _BEYOND / (1.0 + _BEYOND) * (ref_point - ideal)
    Z = (front - ideal) / (nadir - ideal)
    traded = (1.0 - _TRADED) * Z + _TRADED * Z.sum(axis=1)[:, None]
    kept = moocore.is_nondominated(traded)
    return ideal, np.where(
        kept.sum() > 2, np.maximum(front[kept].max(axis=0), ideal + 0.05 * (nadir - ideal)), nadir
    )


def _good(F: Floats, CV: Floats, acquisition: ExpectedImprovement) -> Ints:
    """Return the designs that are best for some ray, or of the least violation."""
    Z = acquisition.scaled(F)
    values = ((Z[:, None] - acquisition.ref) / acquisition.rays).max(axis=2)
    values[CV > 0.0] = np.inf
    best = np.unique(values.argmin(axis=0)) if (CV <= 0.0).any() else np.empty(0, dtype=np.int64)
    least = np.argsort(CV, kind="stable")[: max(0, 10 - len(best))]
    return np.unique(np.concatenate([best, least]))
