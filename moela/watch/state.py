"""The state of a growing run: counts, rate, failures, front and hypervolume."""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import numpy as np
from pymoo.core.individual import calc_cv

from moela._arrays import Design, Floats
from moela.evaluation.runners.outcome import OK
from moela.evaluation.storage.errors import StoreError
from moela.evaluation.storage.reader import EvaluationStore
from moela.evaluation.storage.stored import StoredEvaluation, StoredRun, n_counted
from moela.functions.model.function_problem import why
from moela.functions.model.view import ProblemView
from moela.functions.results.stored import stored_problem, unnamed_in
from moela.provenance.signature import shown_name
from moela.quality.json_data import finite

# The worst values among this many designs make the reference point of the hypervolume.
_REFERENCE_DESIGNS = 50
# Newest evaluations by which the rate is measured.
_RATE_WINDOW = 400
_MOST_CURVE_POINTS, _MOST_REASONS, _MOST_FRONT = 120, 5, 400
_MOST_TEXT = 160
# Fronts up to this size, of values up to this one, need no approximation and no scaling.
_PLAIN_OBJECTIVES, _PLAIN_POINTS, _PLAIN_VALUE = 5, 2000, 1e30


@dataclass(frozen=True)
class Snapshot:
    """The state of a run at one moment, as plain data; see `WatchedRun`."""

    store: str
    run: int
    problem: str
    algorithm: str
    seed: str  # with " (drawn)" if none was given
    state: str  # "running", "stopped", "done" or "ended"; see `StoredRun`
    n_eval: int  # designs answered
    budget: int | None
    n_fresh: int  # evaluations computed and recorded
    n_failed: int
    elapsed: float  # seconds that the run has been running
    updated: str  # the end of the last batch, UTC, ISO 8601
    idle: float  # seconds since then
    rate: float | None  # designs answered per second of the newest evaluations
    seconds_left: float | None
    failures: list[tuple[int, str, str]]  # count, status, reason; most first
    workers: list[tuple[str, int]]  # name and evaluations; most first
    names: list[str]  # of the objectives
    senses: list[str]  # "min" or "max" for each
    best: list[float]  # of each objective among the feasible designs; empty without any
    front: list[list[float]]  # feasible non-dominated objectives, at most 400 of them
    designs: list[Design]  # of these; of plain functions as dictionaries
    n_front: int
    ref_point: list[float]  # worst values of the first designs
    curve: list[tuple[int, float]]  # evaluations, and the share of the box that is dominated
    unnamed: str  # which names the store lacks, as sentences; empty if none

    def to_dict(self) -> dict[str, object]:
        """Return the snapshot as JSON data; numbers that are not finite are None."""
        values = asdict(self) | {"hypervolume": self.volume}
        values["designs"] = [plain_design(x) for x in self.designs]
        plain: dict[str, object] = finite(values)
        return plain

    def titles(self) -> list[str]:
        """Return the names of the objectives; of maximized ones it is said."""
        pairs = zip(self.names, self.senses, strict=True)
        return [f"{name} (max)" if sense == "max" else name for name, sense in pairs]

    @property
    def volume(self) -> float | None:
        """Share of the box between best values and reference point that the front dominates."""
        return self.curve[-1][1] if self.curve else None


class WatchedRun:
    """The state of one run, which grows with the evaluations that are read from its store."""

    def __init__(self) -> None:
        self._view: ProblemView | None = None
        self._last = 0  # id of the newest evaluation read
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._workers: Counter[str] = Counter()
        self._recent: deque[tuple[int, float]] = deque(maxlen=_RATE_WINDOW)
        self._n_answered = self._n_rows = 0
        self._newest = -1  # position
        self._waiting: list[Floats] = []
        self._feasible: list[tuple[Floats, Design]] = []  # new since the last front
        self._front: Floats = np.empty((0, 0))
        self._designs: list[Design] = []  # of the front
        self._ref_point: Floats | None = None
        self._curve: list[tuple[int, float]] = []

    def read(self, store: EvaluationStore, run: StoredRun) -> None:
        """Read the evaluations that are new in the store."""
        # Long runs are read in pieces, each a point of the curve.
        step = max(1, run.n_fresh // (_MOST_CURVE_POINTS // 2))
        since = 0
        for evaluation in store.evaluations(run.id, after=self._last):
            self._last = evaluation.id
            self._add(evaluation)
            since += 1
            if since >= step:
                self._measure()
                since = 0
        if since:
            self._measure()

    def _add(self, evaluation: StoredEvaluation) -> None:
        self._n_rows += 1
        self._newest = max(self._newest, evaluation.n)
        self._n_answered = n_counted(self._n_rows, self._newest)
        self._recent.append((evaluation.n, evaluation.elapsed))
        self._workers[evaluation.worker] += 1
        if evaluation.status != OK or evaluation.F is None:
            self._reasons[evaluation.status, _reason(evaluation.error)] += 1
            return
        if self._ref_point is None:
            self._waiting.append(evaluation.F)
            if len(self._waiting) >= _REFERENCE_DESIGNS:
                self._ref_point = np.max(self._waiting, axis=0)
        if _is_feasible(evaluation):
            self._feasible.append((evaluation.F, evaluation.X))

    def _measure(self) -> None:
        """Add the new designs to the front, and a point to the curve."""
        from moocore import is_nondominated

        if self._feasible:
            new = np.array([f for f, _ in self._feasible])
            designs = [*self._designs, *(x for _, x in self._feasible)]
            self._feasible = []
            both = new if not len(self._front) else np.vstack([self._front, new])
            kept = np.flatnonzero(is_nondominated(both))
            self._front, self._designs = both[kept], [designs[i] for i in kept]
        if self._ref_point is None or not len(self._front):
            return
        inside = self._front[(self._front < self._ref_point).all(axis=1)]
        volume = _volume(inside, self._ref_point)
        if self._curve:
            volume = max(volume, self._curve[-1][1])
        self._curve.append((self._n_answered, volume))
        if len(self._curve) > _MOST_CURVE_POINTS:
            self._curve = [*self._curve[:-1:2], self._curve[-1]]

    def snapshot(self, store: EvaluationStore, run: StoredRun) -> Snapshot:
        """Return the state as plain data."""
        n_eval = max(run.n_eval, self._n_answered)
        rate = self._rate()
        left = None
        if run.budget is not None and rate and run.state == "running":
            left = max(0, run.budget - n_eval) / rate
        view = self._view = self._view or ProblemView(stored_problem(run, store.path))
        signs = view.signs if self._front.shape[1] in (0, len(view.signs)) else np.ones(1)
        best = self._front.min(axis=0) if len(self._front) else np.empty(0)
        ref_point = np.empty(0) if self._ref_point is None else self._ref_point
        shown = slice(None, None, max(1, -(-len(self._front) // _MOST_FRONT)))
        return Snapshot(
            store=str(store.path),
            run=run.id,
            problem=shown_name(run.problem),
            algorithm=shown_name(run.algorithm),
            seed="-" if run.seed is None else f"{run.seed}" + (" (drawn)" * run.seed_drawn),
            state=run.state,
            n_eval=n_eval,
            budget=run.budget,
            n_fresh=run.n_fresh,
            n_failed=run.n_failed,
            elapsed=run.elapsed,
            updated=run.updated,
            idle=_idle(store, run),
            rate=rate,
            seconds_left=left,
            failures=[(n, *key) for key, n in self._reasons.most_common(_MOST_REASONS)],
            workers=self._workers.most_common(),
            names=list(view.names),
            senses=view.senses(),
            best=(best * signs).tolist() if len(best) else [],
            front=(self._front[shown] * signs).tolist() if len(self._front) else [],
            designs=[_design(view, x) for x in self._designs[shown]],
            n_front=len(self._front),
            ref_point=(ref_point * signs).tolist() if len(ref_point) else [],
            curve=_shares(self._curve, ref_point, best),
            unnamed=unnamed_in(view.problem),
        )

    def _rate(self) -> float | None:
        """Return answered designs per second over the newest evaluations of this run."""
        if len(self._recent) < 2:
            return None
        numbers, seconds = zip(*self._recent, strict=True)
        span = max(seconds) - min(seconds)
        return (max(numbers) - min(numbers)) / span if span > 0 else None


def plain_design(x: Design) -> object:
    """Return a design as JSON data."""
    if isinstance(x, dict):
        return {str(k): v.item() if isinstance(v, np.generic) else v for k, v in x.items()}
    return np.asarray(x).tolist()


def _shares(
    curve: list[tuple[int, float]], ref_point: Floats, best: Floats
) -> list[tuple[int, float]]:
    """Scale a curve of volumes to shares of the box from the best values to the reference point."""
    if not curve or len(best) < 2:  # of one objective, the best design dominates all of it
        return []
    box = float(np.prod(ref_point - best))
    if not (np.isfinite(box) and box > 0):
        return []
    return [(n, volume / box) for n, volume in curve]


def _is_feasible(evaluation: StoredEvaluation) -> bool:
    G, H = evaluation.G, evaluation.H
    if G is not None and len(G) and G.max() > 0:
        return False
    return H is None or len(H) == 0 or bool(calc_cv(H=H) <= 0)


def _volume(F: Floats, ref_point: Floats) -> float:
    """Return the hypervolume of points F [n, n_obj] that are better than the reference point."""
    if len(F) == 0:
        return 0.0
    values = np.abs(np.concatenate([F.ravel(), ref_point]))
    if F.shape[1] <= _PLAIN_OBJECTIVES and len(F) <= _PLAIN_POINTS and values.max() < _PLAIN_VALUE:
        from moocore import hypervolume

        return float(hypervolume(F, ref=ref_point))
    # It takes any size and number, but compiles parts; loading these takes half a second.
    from moela.quality.indicators import hypervolume as any_hypervolume

    return float(any_hypervolume(F, ref_point))


def _design(view: ProblemView, x: Design) -> Design:
    """Return a design as its function gets it; of other problems as it is stored."""
    return view.design(x) if view.own is not None else x


def _reason(error: str | None) -> str:
    """Return why an evaluation failed, without the numbers that differ from case to case."""
    text = re.sub(r"0x[0-9a-f]+|-?\d+(\.\d+)?(e[+-]?\d+)?", "#", why(error or "", ""))
    return text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + " ..."


def _idle(store: EvaluationStore, run: StoredRun) -> float:
    """Return the seconds since the last batch of a run."""
    try:
        since = datetime.now(UTC) - datetime.fromisoformat(run.updated)
    except (TypeError, ValueError):  # another text, or a time without a zone
        raise StoreError(
            f"The store {store.path} is damaged (table runs, row {run.id}, field updated: "
            f"{run.updated!r} is no time in UTC)."
        ) from None
    return max(0.0, since.total_seconds())
