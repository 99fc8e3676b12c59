"""Lines about the progress of a run, for the log."""

from __future__ import annotations

import logging

from moela.quality.words import duration

logger = logging.getLogger("moela.progress")

# A line says so if the newest result is older than this.
_LONG_IDLE = 60.0


def log_to_stderr() -> None:
    """Write a line about the progress of runs to standard error about once a minute.

    The lines are records of the logger ``moela.progress`` at level INFO, written while no bar is
    shown: without a terminal, for example under cron or Slurm. If logging has been configured, its
    handlers get the lines; otherwise they go to standard error. Later calls change nothing.

    Examples
    --------
    >>> import moela
    >>> moela.log_to_stderr()  # doctest: +SKIP
    """
    if logger.level == logging.NOTSET or logger.level > logging.INFO:
        logger.setLevel(logging.INFO)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("moela: %(message)s"))
        logger.addHandler(handler)


def describe(
    done: int,
    total: int | None,
    unit: str,
    rate: float | None,
    left: float | None,
    failed: int,
    idle: float,
) -> str:
    """Return the state of a run on one line.

    >>> describe(120, 2000, "evaluations", 0.5, 3760.0, 3, 2.0)
    '120 of 2,000 evaluations, 30 per minute, 1:02:40 left, 3 failed'
    """
    parts = [f"{done:,} of {total:,} {unit}" if total else f"{done:,} {unit}"]
    if rate:
        parts.append(per_time(rate))
    if left is not None:
        parts.append(f"{duration(left)} left")
    if failed:
        parts.append(f"{failed:,} failed")
    if idle > _LONG_IDLE:
        parts.append(f"the newest result is {duration(idle)} old" if rate else "no result yet")
    return ", ".join(parts)


def per_time(rate: float) -> str:
    """Return a rate per second in a unit in which it is at least 1."""
    for factor, name in ((1, "second"), (60, "minute")):
        if rate * factor >= 1:
            return f"{rate * factor:.3g} per {name}"
    return f"{rate * 3600:.3g} per hour"
