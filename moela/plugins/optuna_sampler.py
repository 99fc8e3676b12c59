"""MOELA as a sampler of Optuna, with permutations and moves of the user."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.termination import NoTermination

from moela._arrays import Design, Designs, Floats
from moela._checks import count, require
from moela.evaluation.runners.outcome import ERROR, OK
from moela.functions.model.function_problem import FunctionProblem
from moela.functions.model.problem import problem as make_problem
from moela.plugins.optuna_space import (
    CONSTRAINTS,
    ParameterSpace,
    constraints_of,
    permutation_of,
    signs_of,
)
from moela.quality.words import of_kind
from moela.search.moela import MOELA

try:
    from optuna.samplers import BaseSampler, RandomSampler
    from optuna.search_space import IntersectionSearchSpace
    from optuna.trial import TrialState

    from moela.plugins.optuna_near import NearGoodTrials
except ImportError as error:
    raise ImportError("OptunaSampler needs optuna: pip install 'moela[optuna]'.") from error

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

Neighbors = Callable[[dict[str, object], int, np.random.Generator], Sequence[Mapping[str, object]]]
Constraints = Callable[["FrozenTrial"], Sequence[float]]

_ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_SEEDS = 2**32  # of numpy's RandomState, from which Optuna's RandomSampler draws


class OptunaSampler(BaseSampler):
    """MOELA as a sampler of Optuna, for studies with several objectives.

    Parameters of a trial may be real, integer, categorical, and permutations, which
    `suggest_permutation` makes. All trials that are complete, whoever made them, are learned from.
    The first trial, whose parameters are not known before, is drawn at random.

    MOELA searches the parameters that all trials have, with equal ranges. Others, such as those of
    one branch only, are drawn near those of non-dominated trials with the same options. So are all
    parameters once each design of the shared ones is known.

    A sampler that is pickled, and restored later with its study, continues as if it had not
    stopped, if the functions that it was given can be pickled.

    Parameters
    ----------
    neighbors : callable, optional
        Your own moves, from ``(design, k, random_state)`` to a list of k designs. A design is a
        dictionary of the parameters, in which a permutation is a list under its name. By default,
        moves depend on the types of the parameters.
    n_startup_trials : int
        Number of trials that are drawn at random first.
    constraints_func : callable, optional
        Returns the constraints of a trial as a sequence of numbers, satisfied if <= 0, as for
        Optuna's own samplers. A trial whose constraints are not known, or NaN, counts as failed.
        With Optuna 5, ``trial.set_constraint(name, value)`` in the objective does the same.
    seed : int, optional
        The same seed gives the same trials, unless these run in parallel.

    Raises
    ------
    ValueError
        A parameter is not what it must be, or the study has a single objective.
    ImportError
        Optuna is not installed.

    Examples
    --------
    >>> import optuna
    >>> from moela.plugins import OptunaSampler, suggest_permutation
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> def late(trial):
    ...     order = suggest_permutation(trial, "order", 6).tolist()
    ...     speed = trial.suggest_float("speed", 1.0, 2.0)
    ...     return sum(i * job for i, job in enumerate(order)) / speed, speed**2
    >>> study = optuna.create_study(
    ...     directions=["minimize", "minimize"], sampler=OptunaSampler(seed=1)
    ... )
    >>> study.optimize(late, n_trials=30)
    >>> len(study.trials)
    30
    """

    def __init__(
        self,
        *,
        neighbors: Neighbors | None = None,
        n_startup_trials: int = 20,
        constraints_func: Constraints | None = None,
        seed: int | None = None,
    ) -> None:
        for name, value in (("neighbors", neighbors), ("constraints_func", constraints_func)):
            holds = value is None or callable(value)
            require("OptunaSampler", name, value, holds, "a function, or None")
        self._neighbors = neighbors
        self._n_startup = count("OptunaSampler", "n_startup_trials", n_startup_trials, at_least=2)
        self._constraints_func = constraints_func
        holds = seed is None or (
            isinstance(seed, int | np.integer) and not isinstance(seed, bool) and 0 <= seed < _SEEDS
        )
        require("OptunaSampler", "seed", seed, holds, "an integer of at least 0 and below 2**32")
        self._seed = seed
        self._random = RandomSampler(seed=seed)
        self._rng = np.random.default_rng(seed)
        self._spaces = IntersectionSearchSpace()
        self._lock = threading.Lock()
        self._search: _Search | None = None
        self._orders: dict[tuple[int, str], list[int]] = {}  # drawn in the first trial
        self._near: NearGoodTrials | None = None

    def __getstate__(self) -> dict[str, object]:
        # Locks cannot be copied or pickled, and a copy needs one of its own.
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters that all trials have, without those of a single value."""
        space = self._spaces.calculate(study)
        return {name: d for name, d in space.items() if not d.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, object]:
        """Return the parameters of the next trial."""
        if len(study.directions) < 2:
            raise ValueError(
                "OptunaSampler needs a study with at least 2 objectives. Got one; use Optuna's "
                "TPESampler for it."
            )
        if not search_space:
            return {}
        with self._lock:
            search = self._search
            known = search is not None and search.distributions == search_space
            if search is None or not known or not search.learn(study):
                search = self._begin(study, search_space)
                search.learn(study)
            return search.ask(trial.number)

    def _begin(self, study: Study, search_space: dict[str, BaseDistribution]) -> _Search:
        trials = study.get_trials(deepcopy=False, states=_ENDED)
        names = sorted({name for trial in trials for name in constraints_of(trial) or ()})
        algorithm = MOELA(n_subproblems=self._n_startup)
        seed = None if self._seed is None else int(self._rng.integers(2**31))
        self._search = _Search(
            search_space, self._neighbors, algorithm, signs_of(study), names, seed
        )
        return self._search

    def _near_good(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> object:
        """Return a value near that of a good trial, or None."""
        with self._lock:
            if self._near is None:
                self._near = NearGoodTrials(self._n_startup, signs_of(study))
            return self._near.draw(study, trial, name, distribution, self._rng)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> object:
        """Return a value of a parameter that not all trials have.

        It is near that of a good trial, or random; of a permutation, it is a place in a random one.
        """
        place = permutation_of(param_name, param_distribution)
        if place is None:
            near = self._near_good(study, trial, param_name, param_distribution)
            if near is not None:
                return near
            return self._random.sample_independent(study, trial, param_name, param_distribution)
        name, i, n = place
        with self._lock:
            order = self._orders.setdefault((trial.number, name), self._rng.permutation(n).tolist())
        return order[i]

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Keep the constraints of a trial."""
        if self._near is not None:
            self._near.forget(trial.number)
        self._orders = {key: v for key, v in self._orders.items() if key[0] != trial.number}
        if self._constraints_func is not None and state == TrialState.COMPLETE:
            constraints = None  # as Optuna's own samplers keep those that are not known
            try:
                constraints = _numbers(self._constraints_func(trial), trial.number)
            finally:
                study._storage.set_trial_system_attr(trial._trial_id, CONSTRAINTS, constraints)

    def reseed_rng(self) -> None:
        """Draw other random numbers from now on, as Optuna asks for in parallel processes."""
        self._random.reseed_rng()
        self._rng = np.random.default_rng()


def _numbers(constraints: object, number: int) -> list[float]:
    """Return the constraints of the trial with this number as floats, after checking them."""
    try:
        found = [float(value) for value in constraints]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        found = [np.nan]
    if np.isnan(found).any():
        raise ValueError(
            "The 'constraints_func' of OptunaSampler must return a sequence of numbers, such as "
            f"(0.5,), none of them NaN. Got {of_kind(constraints)} for trial {number}; for trials "
            "that cannot be judged, raise optuna.TrialPruned in the objective."
        )
    return found


class _Moves:
    """The moves of a user, on designs as vectors."""

    def __init__(self, problem: FunctionProblem, neighbors: Neighbors) -> None:
        self._problem, self._neighbors = problem, neighbors

    def __call__(self, x: Design, k: int, random_state: np.random.Generator) -> Designs:
        design = self._problem.decode(x)
        returned = self._neighbors(dict(design), k, random_state)
        near = list(returned) if isinstance(returned, Iterable) else [None]
        if not all(isinstance(n, Mapping) for n in near):
            raise ValueError(
                f"The 'neighbors' of OptunaSampler must return a list of {k} dictionaries. Got "
                f"{of_kind(returned)} instead."
            )
        if len(near) != k:
            raise ValueError(
                f"The 'neighbors' of OptunaSampler must return {k} designs. Got {len(near)} "
                "instead; repeat some if there are fewer."
            )
        return np.stack([self._problem.encode({**design, **n}) for n in near])


class _Search:
    """MOELA on the parameters of one study."""

    def __init__(
        self,
        distributions: dict[str, BaseDistribution],
        neighbors: Neighbors | None,
        algorithm: MOELA,
        signs: Floats,
        constraints: list[str],
        seed: int | None,
    ) -> None:
        self.distributions, self.signs, self.algorithm = distributions, signs, algorithm
        self.constraints = constraints
        self.space = ParameterSpace(distributions)
        self.problem = make_problem(
            _never,
            variables=self.space.variables,
            objectives=[f"value {i}" for i in range(len(signs))],
            constraints={f"constraint {i}": (None, 0.0) for i in range(len(constraints))} or None,
        )
        if neighbors is not None:
            self.problem.neighbors = _Moves(self.problem, neighbors)  # type: ignore[attr-defined]
        algorithm.setup(self.problem, termination=NoTermination(), seed=seed)
        self._queue: deque[Individual] = deque(algorithm.infill())
        self._asked: dict[int, Individual] = {}  # by the number of the trial
        self._exhausted = False
        self._learned: set[int] = set()  # numbers of trials
        self._initial: list[Individual] = []  # evaluated before the algorithm has begun

    def learn(self, study: Study) -> bool:
        """Hand all trials that have ended since the last call to the algorithm.

        Return False, and do nothing, if one of them has a constraint that none before had.
        """
        trials = study.get_trials(deepcopy=False, states=_ENDED)
        trials = [trial for trial in trials if trial.number not in self._learned]
        if any(name not in self.constraints for t in trials for name in constraints_of(t) or ()):
            return False
        new = []
        for trial in trials:
            self._learned.add(trial.number)
            individual = self._individual(trial)
            if individual is not None:
                new.append(individual)
        if self.algorithm.is_initialized:
            if new:
                self.algorithm.advance(infills=Population.create(*new))
            return True
        self._initial += new
        enough = len(self._initial) >= self.algorithm.n_init or not self._queue
        if enough and self._initial:
            self.algorithm.advance(infills=Population.create(*self._initial))
            self._queue.clear()
        return True

    def _individual(self, trial: FrozenTrial) -> Individual | None:
        """Return an ended trial as an evaluated individual; None if it has other parameters."""
        individual = self._asked.pop(trial.number, None)
        if individual is None or not self._as_asked(individual, trial):
            if not self.distributions.keys() <= trial.params.keys():
                return None
            try:
                x = self.problem.encode(self.space.design(trial.params))
            except ValueError:  # outside the ranges that the study has now
                return None
            individual = Individual(X=x)
        found = constraints_of(trial)
        values = None if found is None else [found.get(name, 0.0) for name in self.constraints]
        fine = trial.state == TrialState.COMPLETE and bool(np.isfinite(trial.values).all())
        fine = fine and values is not None and not np.isnan(values).any()
        individual.data["status"] = OK if fine else ERROR
        if fine:
            individual.F = self.signs * np.array(trial.values, dtype=float)
            individual.G = np.array(values, dtype=float)
            individual.H = np.empty(0)
            individual.evaluated.update("FGH")
        return individual

    def _as_asked(self, individual: Individual, trial: FrozenTrial) -> bool:
        """Return whether a trial has the parameters of a design, as far as it got.

        Parameters that were enqueued replace some of those that were asked for.
        """
        asked = self.space.parameters(self.problem.decode(individual.X))
        return all(
            distribution.to_internal_repr(asked[name])
            == distribution.to_internal_repr(trial.params[name])
            for name, distribution in self.distributions.items()
            if name in trial.params
        )

    def ask(self, number: int) -> dict[str, object]:
        """Return the parameters of the trial with this number; none if no new design is left."""
        if not self._queue and not self._exhausted:
            again = self.algorithm.is_initialized
            asked = self.algorithm.infill() if again else self.algorithm._resample(again=True)
            self._queue.extend(asked)
            self._exhausted = len(asked) == 0  # all designs are known
        if not self._queue:
            return {}
        individual = self._queue.popleft()
        self._asked[number] = individual
        return self.space.parameters(self.problem.decode(individual.X))


def _never(design: dict[str, object]) -> dict[str, float]:
    """Stand for the objective of a study, which Optuna calls itself."""
    raise NotImplementedError
