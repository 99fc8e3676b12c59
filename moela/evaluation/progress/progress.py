"""Progress: evaluations done, rate, time left, failures, and hypervolume, while a run goes on."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from moela._arrays import Floats
from moela.evaluation.progress.heartbeat import Heartbeat
from moela.evaluation.progress.lines import describe, logger
from moela.evaluation.progress.pace import Pace
from moela.evaluation.progress.screen import bar_class, wanted
from moela.heartbeat.working import spoke

if TYPE_CHECKING:
    from tqdm import tqdm

# Beyond this the exact hypervolume of a front takes too long to be shown during a run.
_MAX_HYPERVOLUME_WORK = 2e7
# New designs are added to the front when the hypervolume is due, or when they are this many.
_MOST_WAITING = 2000
_WITH_TIME_LEFT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{left}, {rate_fmt}{postfix}]"
# Seconds between lines in the log, and between updates of a bar while no evaluation ends.
_LINE_SECONDS, _BAR_SECONDS = 60.0, 5.0


class Progress:
    """A bar on standard error or in a notebook, or else lines of the logger "moela.progress".

    Parameters
    ----------
    total : int or None
        Evaluations at which the run ends.
    done : int
        Evaluations before this session.
    ref_point : array-like [n_obj], optional
        The bar shows the hypervolume that this point bounds.
    every : float
        Least number of seconds between two hypervolumes.
    bar : bool
        Whether to show a bar instead of lines.
    unit : str
        A word for one evaluation; a plural for lines ends in "s".
    line_seconds : float
        Time between two lines.
    """

    def __init__(
        self,
        total: int | None,
        done: int,
        ref_point: ArrayLike | None = None,
        every: float = 3.0,
        *,
        bar: bool = True,
        unit: str = "eval",
        line_seconds: float = _LINE_SECONDS,
    ) -> None:
        self.pace = Pace()
        self._total, self._done, self._unit = total, done, unit
        self._n_failed = 0
        self._bar: tqdm[object] | None = _bar(self.pace, total, done, unit) if bar else None
        self._ref = None if ref_point is None or not bar else np.asarray(ref_point, dtype=float)
        self._front = np.empty((0, 0 if self._ref is None else len(self._ref)))
        self._waiting: list[Floats] = []
        self._n_waiting = 0
        self._every = every
        self._due = 0.0
        self._heartbeat: Heartbeat | None = None
        if bar or logger.isEnabledFor(logging.INFO):
            self._heartbeat = Heartbeat(self.beat, _BAR_SECONDS if bar else line_seconds)

    @property
    def busy(self) -> bool:
        """Whether evaluations are in progress; the first time starts the clock."""
        return self._heartbeat is not None and self._heartbeat.busy

    @busy.setter
    def busy(self, busy: bool) -> None:
        if busy:
            self.pace.begin()
        if self._heartbeat is not None:
            self._heartbeat.here()
            self._heartbeat.busy = busy

    def known(self, n: int, F: Floats, n_replayed: int = 0) -> None:
        """Count n answers that needed no evaluation, ``n_replayed`` of them of an earlier session.

        The k feasible ones have the objectives F [k, n_obj].
        """
        self.pace.known(n - n_replayed)
        if n_replayed and self._bar is not None and self.pace.n_computed == 0:
            self._bar.set_description_str("replaying", refresh=False)
        self._add(n, F)

    def add(self, n: int, F: Floats, n_failed: int = 0) -> None:
        """Count n evaluations; the k feasible ones of them have the objectives F [k, n_obj]."""
        if self.pace.n_computed == 0 and self._bar is not None:
            self._bar.set_description_str("", refresh=False)
        self.pace.computed(n)
        self._n_failed += n_failed
        self._add(n, F)

    def total(self, total: int | None) -> None:
        """Set the number of evaluations at which the run ends."""
        self._total = total
        if self._bar is not None and self._bar.total != total:
            self._bar.total = total
            self._bar.bar_format = None if total is None else _WITH_TIME_LEFT
            self._bar.refresh()

    def answered(self, n: int) -> None:
        """Set the number of answers; designs that a batch repeats are not counted before."""
        missing = n - self._done
        if missing > 0:
            self.known(missing, np.empty((0, 0)))

    def line(self) -> str:
        """Return the state on one line."""
        unit = "evaluations" if self._unit == "eval" else f"{self._unit}s"
        pace = self.pace
        left = None if self._total is None else pace.seconds_left(max(0, self._total - self._done))
        return describe(self._done, self._total, unit, pace.rate, left, self._n_failed, pace.idle)

    def beat(self) -> None:
        """Give a sign of life: another thread calls this every few seconds."""
        spoke()
        if self._bar is not None:
            self._bar.refresh()
        else:
            logger.info("%s", self.line())

    def close(self) -> None:
        """Show the last state and end bar and heartbeat."""
        if self._heartbeat is not None:
            self._heartbeat.close()
        if self._bar is None:
            return
        if self._ref is not None:
            self._merge()
            if len(self._front):
                self._show_hypervolume()
        self._bar.close()

    def _add(self, n: int, F: Floats) -> None:
        self._done += n
        if self._bar is None:
            return
        if self._ref is not None and len(F):
            self._waiting.append(F)
            self._n_waiting += len(F)
            due = time.monotonic() >= self._due
            if due or self._n_waiting > _MOST_WAITING:
                self._merge()
            if due:
                self._show_hypervolume()
        self._bar.update(n)

    def _merge(self) -> None:
        """Add the waiting designs to the front."""
        from moocore import is_nondominated

        if self._waiting:
            both = np.vstack([self._front, *self._waiting])
            self._front = both[is_nondominated(both)]
            self._waiting, self._n_waiting = [], 0

    def _show_hypervolume(self) -> None:
        from moocore import hypervolume

        assert self._bar is not None
        n, m = self._front.shape
        if m > 4 and float(n) ** (m - 2) > _MAX_HYPERVOLUME_WORK:
            return
        start = time.monotonic()
        value = hypervolume(self._front, ref=self._ref)
        now = time.monotonic()
        # At most a twentieth of the time is spent on hypervolumes.
        self._due = now + max(self._every, 20 * (now - start))
        self._bar.set_postfix(hv=f"{value:.6g}", refresh=False)


def begin(
    progress: bool | None,
    total: int | None,
    done: int,
    ref_point: ArrayLike | None = None,
    *,
    unit: str = "eval",
) -> Progress | None:
    """Return the progress to show: None without any, and lines where no bar is wanted."""
    if progress is False:
        return None
    bar = wanted(progress)
    return Progress(total, done, ref_point, bar=bar, unit=unit, line_seconds=_LINE_SECONDS)


def _bar(pace: Pace, total: int | None, done: int, unit: str) -> tqdm[object]:
    """Return a bar that shows the rate and the time left of a pace."""

    class Bar(bar_class()):  # type: ignore[misc]
        """A bar with our rate and time left, since tqdm's own count what a store answers."""

        @property
        def format_dict(self) -> dict[str, object]:
            values: dict[str, object] = super().format_dict
            values["initial"] = values["n"]  # so that tqdm has no rate of its own
            values["rate"] = pace.rate
            left = None if self.total is None else pace.seconds_left(max(0, self.total - self.n))
            # tqdm cuts seconds off, which takes a tenth off the last seconds of a run.
            values["left"] = "?" if left is None else self.format_interval(round(left))
            return values

    form = None if total is None else _WITH_TIME_LEFT
    return Bar(total=total, initial=done, unit=unit, dynamic_ncols=True, bar_format=form)
