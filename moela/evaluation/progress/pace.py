"""The pace of a run: how fast it evaluates, and how long the rest takes."""

from __future__ import annotations

import time
from collections import deque

# The rate is that of the newest evaluations: at least this many seconds and this many of them, or
# the newer half of a session of at least that many. Algorithms that learn become slower at first.
_WINDOW_SECONDS, _WINDOW_EVALUATIONS = 60.0, 100
_HALF_EVALUATIONS = 50
# Evaluations that end within this time are one sample: parallel ones often end together.
_SAMPLE_SECONDS = 0.2


class Pace:
    """The rate of computed evaluations, as a moving average, and the time left.

    Answers from a store or from memory take next to no time, so they do not count in the rate.
    Known designs that the algorithm asks for again shorten the run, so the time left counts them by
    their share; answers that a resumed run takes from its store say nothing about the rest.
    """

    def __init__(self) -> None:
        self.n_computed = 0
        self._n_new = 0  # answers, without those that were in the store before
        # Time, computed evaluations and new answers. The first sample is the beginning.
        self._samples: deque[tuple[float, int, int]] = deque()
        self._began = self._sample_began = 0.0
        self._newest: float | None = None

    def begin(self) -> None:
        """Start the clock if it does not run: an evaluation is about to be computed."""
        if not self._samples:
            self._began = time.monotonic()
            self._samples.append((self._began, self.n_computed, self._n_new))

    def known(self, n: int) -> None:
        """Count n new answers that needed no evaluation."""
        self._n_new += n

    def computed(self, n: int) -> None:
        """Count n evaluations that have just ended."""
        self.begin()
        self.n_computed += n
        self._n_new += n
        now = self._newest = time.monotonic()
        samples = self._samples
        sample = (now, self.n_computed, self._n_new)
        if len(samples) > 1 and now - self._sample_began < _SAMPLE_SECONDS:
            samples[-1] = sample
            return
        samples.append(sample)
        self._sample_began = now
        # Once results come, the time to the first one, with the start of workers and compilation,
        # says nothing about the others.
        while len(samples) > 2 and self._covers(samples[1], sample):
            samples.popleft()

    @property
    def rate(self) -> float | None:
        """Evaluations per second; None before the first has ended."""
        if len(self._samples) < 2:
            return None
        start, end = self._span()
        return (end[1] - start[1]) / (end[0] - start[0]) if end[0] > start[0] else None

    def seconds_left(self, n: int) -> float | None:
        """Return the time that n more answers will take; None before an evaluation has ended."""
        rate = self.rate
        if not rate:
            return None
        start, end = self._span()
        return n / rate * (end[1] - start[1]) / (end[2] - start[2])

    @property
    def idle(self) -> float:
        """Seconds since the last evaluation ended, or since the first began."""
        last = self._newest if self._newest is not None else self._samples and self._samples[0][0]
        return time.monotonic() - last if last else 0.0

    def _span(self) -> tuple[tuple[float, int, int], tuple[float, int, int]]:
        samples = self._samples
        start, end = samples[0], samples[-1]
        # The beginning is left out as soon as the time since the first results is as long.
        if len(samples) > 2 and end[0] - samples[1][0] >= samples[1][0] - start[0]:
            start = samples[1]
        return start, end

    def _covers(self, start: tuple[float, int, int], end: tuple[float, int, int]) -> bool:
        seconds, n = end[0] - start[0], end[1] - start[1]
        if seconds >= _WINDOW_SECONDS and n >= _WINDOW_EVALUATIONS:
            return True
        return n >= _HALF_EVALUATIONS and seconds >= 0.5 * (end[0] - self._began)
