"""Everything that is predicted against everything that was measured, on one page.

    MOELA_DATA=... python -m tests.benchmarks.accuracy [--quick] [--accept]

Every prediction is computed by the code of the tree. Recorded are inputs and measurements: designs,
kernels' times, plans and their seconds. What took long is kept in ``.benchmarks`` until a file of
the packages changes, so that a run that was interrupted goes on. The script compares each error
with the one in ``docs/benchmarks/data/accuracy.json``. If any has grown by more than a tenth, it
lists them and leaves page and record as they are, with status 1; ``--accept`` writes them all the
same. Rows whose data are not at hand are taken from the record. ``--quick`` leaves out what takes
longer than some seconds, and writes nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from tests.benchmarks import accuracy_sources as sources
from tests.benchmarks import harness

DOCS = Path(__file__).parents[2] / "docs"
RECORD = DOCS / "benchmarks" / "data" / "accuracy.json"
PAGE = DOCS / "accuracy.md"
PICTURE = DOCS / "images" / "accuracy.png"
GROWTH, SLACK = 1.1, 5e-4  # an error may grow by a tenth; differences of rounding do not count

ABOUT = """\
Every row compares predictions with measurements that they were not fitted to. `error` is
|predicted / measured - 1|: its median and its largest value. `interval` is the level of the
prediction intervals, and the share of measurements inside. `rank` is Spearman's correlation.
`promise` is the largest error that we allowed before the row was measured. It holds for the median,
or for the mean if the cell of the error says so. Deep buffers have 8 virtual channels of 32 flits,
shallow ones 4 of 4.

Every prediction is computed by the code of this tree, from recorded inputs and measurements."""


@dataclass(frozen=True)
class Row:
    """Errors of one prediction against one source of truth."""

    section: str
    what: str
    truth: str
    script: str
    n: int
    median: float
    worst: float
    level: float | None = None
    held: float | None = None
    rank: float | None = None
    promise: float | None = None  # largest error of the statistic named below
    statistic: str = "median"
    mean: float = 0.0
    least_rank: float | None = None

    @property
    def key(self) -> str:
        """Name of the row in the record."""
        return f"{self.section}: {self.what}"

    @property
    def missed(self) -> list[str]:
        """Statistics that fall short of their promise, in words."""
        words = []
        error = {"median": self.median, "mean": self.mean, "worst": self.worst}[self.statistic]
        if self.promise is not None and error > self.promise:
            most = percent(self.promise, 0)
            words.append(f"{self.statistic} error {percent(error)} instead of {most}")
        if self.least_rank is not None and self.rank is not None and self.rank < self.least_rank:
            words.append(f"rank correlation {self.rank:.3f} instead of {self.least_rank:.2f}")
        if self.level is not None and self.held is not None and self.held < self.level - 0.1:
            words.append(f"{percent(self.level, 0)} intervals hold {percent(self.held, 0)}")
        return words


def row_of(points: sources.Points) -> Row:
    """Return the errors of predicted and measured values."""
    predicted, measured = points.predicted, points.measured
    error = np.abs(predicted / measured - 1)
    held = level = rank = None
    if points.low is not None and points.high is not None:
        level = points.level
        held = float(np.mean((points.low <= measured) & (measured <= points.high)))
    if points.ranked and len(measured) > 4:
        rank = float(spearmanr(predicted, measured).statistic)
    return Row(
        points.section, points.what, points.truth, points.script, len(measured),
        float(np.median(error)), float(error.max()), level, held, rank,
        points.promise, points.statistic, float(error.mean()), points.least_rank,
    )  # fmt: skip


def collected(quick: bool) -> tuple[list[Row], list[sources.Points]]:
    """Return the rows of every source whose data are at hand, and their points."""
    rows, kept = [], []
    for source in sources.SOURCES:
        if quick and source in sources.SLOW:
            continue
        for points in points_of(source):
            kept.append(points)
            rows.append(row_of(points))
            print(f"{rows[-1].key}: median {rows[-1].median:.2%}", flush=True)
    return rows, kept


def points_of(source: Callable[[], Iterator[sources.Points]]) -> Iterator[sources.Points]:
    """Yield the points of a source; say why if it has none."""
    try:
        yield from source()
    except (ModuleNotFoundError, sources.Missing) as error:
        print(f"{source.__name__}: {error}; its rows are those of the record")


def grown(new: Row, old: Row) -> list[str]:
    """Return which errors of a row have grown by more than a tenth."""
    words = []
    for name in ("median", "worst"):
        before, now = getattr(old, name), getattr(new, name)
        if now > GROWTH * before + SLACK:
            words.append(f"{new.key}: {name} error {now:.2%}, was {before:.2%}")
    ranks = new.rank, old.rank
    if None not in ranks and 1 - ranks[0] > GROWTH * (1 - ranks[1]) + SLACK:
        words.append(f"{new.key}: rank correlation {new.rank:.3f}, was {old.rank:.3f}")
    if new.held is not None and old.held is not None and new.held < old.held - 0.1:
        words.append(f"{new.key}: intervals hold {new.held:.0%}, held {old.held:.0%}")
    return words


def merged(new: list[Row], old: list[Row]) -> list[Row]:
    """Return the new rows, and the recorded ones of sources without data, in their order."""
    found = {row.key: row for row in new}
    keys = [row.key for row in old]
    together = [found.get(row.key, row) for row in old]
    return together + [row for row in new if row.key not in keys]


def recorded() -> list[Row]:
    """Return the rows of the record."""
    if not RECORD.exists():
        return []
    return [Row(**row) for row in json.loads(RECORD.read_text(encoding="utf-8"))["rows"]]


def record(rows: list[Row]) -> None:
    """Write the record, a line a row."""
    lines = ",\n".join(json.dumps(rounded(asdict(row))) for row in rows)
    text = f'{{"machine": {json.dumps(harness.machine())}, "rows": [\n{lines}\n]}}\n'
    RECORD.write_text(text, encoding="utf-8")


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with five decimals and without empty fields."""
    return {
        name: round(value, 5) if isinstance(value, float) else value
        for name, value in row.items()
        if value is not None
    }


# ------------------------------------------------------------------------------------------- page


def page(rows: list[Row]) -> str:
    """Return the text of the page."""
    parts = [
        harness.header("Accuracy of every prediction", "tests.benchmarks.accuracy", ABOUT),
        "```{figure} images/accuracy.png\n:alt: Predicted against measured values in six panels;"
        " the points lie along the diagonals.\n\nPredicted against measured. The band is 10 % to"
        " either side.\n```\n",
    ]
    for section in dict.fromkeys(row.section for row in rows):
        body = [["prediction", "against", "points", "error", "largest", "interval", "rank",
                 "promise", "script"]]  # fmt: skip
        body += [cells(row) for row in rows if row.section == section]
        parts += [f"## {section}\n", harness.markdown(body)]
    short = [[row.section, row.what, "; ".join(row.missed)] for row in rows if row.missed]
    parts.append("## Where predictions fall short\n")
    if short:
        parts.append(harness.markdown([["area", "prediction", "measured"], *short]))
    parts.append(sources.REASONS)
    return "\n".join(part.rstrip() + "\n" for part in parts)


def percent(share: float, digits: int = 1) -> str:
    """Return a share in per cent."""
    return f"{100 * share:.{digits}f} %"


def cells(row: Row) -> list[str]:
    """Return the cells of a row."""
    held = row.held or 0.0
    interval = "" if row.level is None else f"{percent(row.level, 0)}: {percent(held, 0)}"
    error = f"{percent(row.mean)} (mean)" if row.statistic == "mean" else percent(row.median)
    promise = "" if row.promise is None else percent(row.promise, 0)
    return [
        row.what, row.truth, f"{row.n:,}", error, percent(row.worst), interval,
        "" if row.rank is None else f"{row.rank:.3f}", promise, f"`{row.script}`",
    ]  # fmt: skip


def draw(kept: list[sources.Points]) -> None:
    """Draw predicted against measured values, a panel a section and kind of value."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter

    from moela.notebook.style import COLORS, DPI, MARKERS, SMALL, TEXT

    panels = list(dict.fromkeys(points.panel for points in kept if points.panel))
    figure, axes = plt.subplots(2, 3, figsize=(15, 10), layout="constrained")
    for ax, panel in zip(axes.flat, panels, strict=False):
        shown = [points for points in kept if points.panel == panel]
        for i, points in enumerate(shown):
            ax.plot(
                points.measured, points.predicted, MARKERS[i % 8], color=COLORS[i % 8],
                label=points.label, ms=5 if len(points.measured) < 300 else 2.5, alpha=0.6, mew=0,
            )  # fmt: skip
        every = np.concatenate([part for p in shown for part in (p.measured, p.predicted)])
        line = np.array([0.9 * every.min(), 1.1 * every.max()])
        ax.fill_between(line, 0.9 * line, 1.1 * line, color="#DDDDDD", zorder=0, lw=0)
        ax.plot(line, line, color="black", lw=1, zorder=1)
        ax.set(xscale="log", yscale="log", xlim=line, ylim=line)
        subs = (1.0, 2.0, 5.0) if line[1] < 60 * line[0] else (1.0,)
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(LogLocator(subs=subs))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        ax.set_title(panel, fontsize=TEXT)
        ax.set_xlabel("measured", fontsize=SMALL)
        ax.set_ylabel("predicted", fontsize=SMALL)
        ax.tick_params(labelsize=SMALL, which="both")
        ax.legend(fontsize=SMALL - 2, frameon=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    figure.savefig(PICTURE, dpi=DPI)
    plt.close(figure)


def main() -> None:
    """Compute every row, compare with the record, and write record, page and picture."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="only what takes seconds")
    parser.add_argument("--accept", action="store_true", help="write errors that have grown, too")
    arguments = parser.parse_args()
    old = recorded()
    new, kept = collected(arguments.quick)
    before = {row.key: row for row in old}
    worse = [words for row in new if row.key in before for words in grown(row, before[row.key])]
    for words in worse:
        print(f"grown: {words}")
    print(f"bar: errors that have grown by more than a tenth, {len(worse)}, none")
    if worse and not arguments.accept:
        sys.exit(1)
    if arguments.quick:
        return
    rows = merged(new, [replace(row) for row in old])
    record(rows)
    PAGE.write_text(page(rows), encoding="utf-8")
    draw(kept)


if __name__ == "__main__":
    main()
