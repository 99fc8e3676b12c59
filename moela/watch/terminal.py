"""The view of a run in a terminal: lines of text that are drawn again and again."""

from __future__ import annotations

import shutil
import sys
import textwrap
import time
from typing import TextIO

from moela.evaluation.storage.errors import StoreError
from moela.quality.words import amount, duration, harmless
from moela.watch.follow import Follower
from moela.watch.state import Snapshot

# Seconds of sleep for each second of reading.
PAUSE_PER_SECOND = 40.0
_BARS = "▁▂▃▄▅▆▇█"
# For terminals whose encoding has no such signs.
_PLAIN = str.maketrans("▁▂▃▄▅▆▇█░…", "_.-=+*x#.~")
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_HIDE, _SHOW, _OTHER_SCREEN, _OWN_SCREEN = "\x1b[?25l", "\x1b[?25h", "\x1b[?1049h", "\x1b[?1049l"


def lines_of(snapshot: Snapshot, width: int = 80) -> list[str]:
    """Return the lines that show a snapshot, each at most `width` characters long."""
    s = snapshot
    title = f"{s.algorithm} on {s.problem}, seed {s.seed} (run {s.run} of {s.store})"
    lines = [title, "", _progress(s, width), *_speed(s), ""]
    if s.unnamed:
        lines += [*textwrap.wrap(s.unnamed, width), ""]
    if s.best:
        names = s.titles()
        left = max(map(len, names))
        lines.append(f"{amount(s.n_front, 'non-dominated design')}; best values so far:")
        lines += [f"  {name:<{left}}  {v:.6g}" for name, v in zip(names, s.best, strict=True)]
    else:
        lines.append("No feasible design so far.")
    if s.volume is not None:
        lines += ["", f"hypervolume {100 * s.volume:.2f} % of the box of the first designs"]
        lines.append(f"  {sparkline(s.curve, max(10, min(60, width - 24)))} {s.curve[-1][0]:,}")
    if s.failures:
        lines += ["", f"{amount(s.n_failed, 'failed evaluation')}:"]
        lines += [f"  {n:,} x {status}: {text}" for n, status, text in s.failures]
    if s.workers:
        shown = ", ".join(f"{name} {n:,}" for name, n in s.workers[:8])
        more = f" and {len(s.workers) - 8} more" if len(s.workers) > 8 else ""
        lines += ["", f"evaluations by worker: {shown}{more}"]
    return [harmless(line if len(line) <= width else line[: width - 1] + "…") for line in lines]


def sparkline(curve: list[tuple[int, float]], width: int) -> str:
    """Return a curve as a line of bars, its lowest value the smallest bar and its largest full."""
    if not curve:
        return ""
    first, last = curve[0][0], curve[-1][0]
    low, high = curve[0][1], curve[-1][1]
    bars, k = [], 0
    for i in range(width):
        n = first + (last - first) * i / max(1, width - 1)
        while k + 1 < len(curve) and curve[k + 1][0] <= n:
            k += 1
        share = (curve[k][1] - low) / (high - low) if high > low else 1.0
        bars.append(_BARS[round(share * (len(_BARS) - 1))])
    return "".join(bars)


def watch(
    follower: Follower, *, every: float = 2.0, once: bool = False, out: TextIO | None = None
) -> None:
    """Draw the run again every few seconds, until it is done or the user stops watching.

    Without a terminal, or with `once`, the state is written once. A run that was stopped is not
    done, since it may be continued; neither is one without a number of evaluations to make.

    Parameters
    ----------
    follower : Follower
    every : float
        Seconds between two views.
    once : bool
    out : text stream, optional
        Default: standard output.

    Raises
    ------
    StoreError
        The file does not exist or is no store. One that was a store before may come back.
    ValueError
        The store does not hold the run.
    """
    out = sys.stdout if out is None else out
    follower.refresh()
    if once or not out.isatty():
        print(_written("\n".join(_shown(follower, 10_000)[0]), out), file=out)
        return
    out.write(_OTHER_SCREEN + _HIDE)
    lines: list[str] = []
    done = False
    try:
        while not done:
            start = time.monotonic()
            size = shutil.get_terminal_size()
            lines, done = _shown(follower, size.columns)
            shown = [line + _CLEAR_LINE for line in [*lines, "", "Ctrl-C ends watching."]]
            view = _HOME + "\n".join(shown[: size.lines - 1]) + _CLEAR_BELOW
            out.write(_written(view, out))
            out.flush()
            if not done:
                # Reading takes longer the longer the run is; the run shall not be slowed down.
                time.sleep(max(every, PAUSE_PER_SECOND * (time.monotonic() - start)))
    except KeyboardInterrupt:
        pass
    finally:
        out.write(_SHOW + _OWN_SCREEN)
        print(_written("\n".join(lines), out), file=out)


def _written(text: str, out: TextIO) -> str:
    """Return a text as the encoding of a stream can show it."""
    encoding = out.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN)
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _shown(follower: Follower, width: int) -> tuple[list[str], bool]:
    """Return the lines to show, and whether the run is done."""
    try:
        snapshot = follower.refresh()
    except StoreError as error:
        return [harmless(str(error))[: 4 * width], "Waiting for it to come back."], False
    if snapshot is None:
        return [f"The store {follower.path} has no run yet."], False
    return lines_of(snapshot, width), snapshot.state == "done"


def _progress(s: Snapshot, width: int) -> str:
    if s.budget is None:
        return f"{s.state}: {s.n_eval:,} evaluations, no fixed number to make"
    share = min(1.0, s.n_eval / s.budget) if s.budget else 1.0
    room = max(10, min(40, width - 50))
    full = int(share * room)
    bar = "█" * full + "░" * (room - full)
    return f"{bar} {100 * share:.1f} %  {s.n_eval:,} of {s.budget:,}  {s.state}"


def _speed(s: Snapshot) -> list[str]:
    known = s.n_eval - s.n_fresh
    rate = "unknown" if s.rate is None else f"{s.rate:.3g} per second"
    lines = [f"computed {s.n_fresh:,}, known already {max(0, known):,}, failed {s.n_failed:,}"]
    left = f", {duration(s.seconds_left)} left" if s.seconds_left is not None else ""
    lines.append(f"rate {rate}, running for {duration(s.elapsed)}{left}")
    if s.state == "running":
        lines.append(f"last batch {duration(s.idle)} ago")
    return lines
