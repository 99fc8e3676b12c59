"""The report of a comparison: one HTML file with findings, tables, pictures, and fronts."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Iterable
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moela._checks import file_path
from moela._version import __version__
from moela.comparison.pictures import Captioned, pictures_of_all, pictures_of_problem
from moela.comparison.report.data import problem_data
from moela.comparison.scale import TITLES
from moela.comparison.summary import (
    counts_text,
    findings,
    medians,
    methods,
    p_text,
    reference_text,
)
from moela.files.replacing import replacing
from moela.provenance.environment import provenance, version_of
from moela.quality.json_data import finite
from moela.quality.table import Row, Table, text
from moela.quality.words import amount, beside

if TYPE_CHECKING:
    from jinja2 import Environment

    from moela.comparison import Comparison

_MAX_SOURCES, _MAX_KNOWN = 200, 20


def write_report(
    comparison: Comparison, path: str | os.PathLike[str], *, title: str = "Comparison"
) -> Path:
    """Write a comparison as one HTML file that needs no network, whole or not at all.

    The page has findings in words, tables, pictures, and fronts in which hovering over a point
    shows its design and clicking on it shows the whole design, with ``decode(x)`` if the problem
    has that. Text from data is escaped, never run, and the page's policy allows only its own two
    scripts.
    """
    check_installed()
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    templates = Environment(
        loader=PackageLoader("moela.comparison.report", "parts"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    templates.filters["shown"] = _shown
    templates.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    plotly, script = get_plotlyjs(), part("front.js") + part("page.js")
    out = file_path("report", path)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as scratch:
        # Only the package's own files and plotly's script are not escaped.
        page = _render(
            templates,
            comparison,
            title=title,
            policy=_policy(plotly, script),
            style=Markup(part("page.css")),
            plotly=Markup(plotly),
            script=Markup(script),
        )
        scratch.write_text(page, encoding="utf-8")
    return out


def check_installed() -> None:
    """Raise a ModuleNotFoundError if a package that a report needs is not installed."""
    try:
        for name in ("jinja2", "plotly.offline"):
            import_module(name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "A report needs jinja2 and plotly: pip install 'moela[report]'.", name=error.name
        ) from error


def _render(templates: Environment, comparison: Comparison, **page: object) -> str:
    made = provenance()
    versions = made["versions"] | {name: version_of(name) for name in ("matplotlib", "plotly")}
    several = len(comparison.problems) > 1
    sources = sorted({run.source for run in comparison.runs if run.source})
    table = comparison.table()
    data = [problem_data(comparison, problem) for problem in comparison.problems]
    sections = [
        _problem(comparison, problem) | {"choices": own.pop("choices")}
        for problem, own in zip(comparison.problems, data, strict=True)
    ]
    together = None
    if len(comparison.algorithms) > 1:
        pictures = _drawn(pictures_of_all(comparison).values())
        together = {"wins": comparison.wins(), "pictures": pictures}
    return templates.get_template("page.html").render(
        **page,
        version=__version__,
        date=str(made["date"])[:10],
        subtitle=counts_text(comparison),
        headings=[
            "Findings",
            *(f"Problem {name}" if several else name for name in comparison.problems),
            *(["All together"] if together else []),
            "Every run",
            "Methods",
            "How it was made",
        ],
        headings_of={"left_out": "left out"} | TITLES,
        colors=comparison.colors,
        indicator=TITLES[comparison.indicators[0]],
        findings=findings(comparison),
        caveats=comparison.caveats,
        problems=sections,
        together=together,
        runs=table,
        runs_text=amount(len(table), "run"),
        methods=methods(comparison),
        settings={name: _plain(value) for name, value in vars(comparison.settings).items()},
        made_with={"date": made["date"], "python": made["python"], **versions, **made["machine"]},
        sources=sources[:_MAX_SOURCES],
        sources_text=amount(len(sources), "source"),
        known=_known(comparison),
        data=finite({"problems": data}),
    )


def part(name: str) -> str:
    """Return a file that the page is made of."""
    folder = resources.files("moela.comparison.report")
    return folder.joinpath("parts", name).read_text(encoding="utf-8")


def _policy(*scripts: str) -> str:
    """Return a policy by which a browser runs these scripts and loads nothing from anywhere."""
    digests = (hashlib.sha256(s.encode()).digest() for s in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _problem(comparison: Comparison, problem: str) -> dict[str, object]:
    """Return the contents of the section of a problem."""
    scale = comparison.scales[problem]
    best, worst, point = map(scale.own, (scale.ideal, scale.nadir, scale.ref_point))
    reference = reference_text(comparison, problem)
    speedups = None
    if comparison.has_history and len(comparison.algorithms) > 1:
        speedups = _speedups(comparison.speedup().where(problem=problem))
    return {
        "scale_text": f"{reference[:1].upper()}{reference[1:]}",
        "pooled_size": amount(scale.pooled_size, "point"),
        "objectives": scale.goals,
        "medians": medians(comparison, problem),
        "tests": _tests(comparison.tests().where(problem=problem)),
        "speedups": speedups,
        "pictures": _drawn(pictures_of_problem(comparison, problem).values()),
        "scale": Table(
            [
                {
                    "objective": name,
                    "best": beside(best[j], worst[j]),
                    "worst": beside(worst[j], point[j]),
                    "reference point": beside(point[j], worst[j]),
                }
                for j, name in enumerate(scale.goals)
            ]
        ),
    }


def _tests(table: Table) -> Table:
    rows: list[Row] = [
        {
            "algorithm": row["algorithm"],
            "rival": row["rival"],
            "runs": f"{row['n']} and {row['n_rival']}",
            "median": row["median"],
            "median of rival": row["rival_median"],
            "A12": f"{row['a12']:.2f}, {row['effect']}",
            "test": row["test"],
            "p": _known_or_dash(row["p_value"], p_text),
            "p (Holm)": _known_or_dash(row["p_holm"], p_text),
            "verdict": row["verdict"],
        }
        for row in table
    ]
    return Table(rows)


def _speedups(table: Table) -> Table:
    """Return speed-ups with evaluations and seconds as one against the other."""
    rows: list[Row] = []
    for row in table:
        reached = math.isfinite(row["evaluations"])
        timed = reached and math.isfinite(row["seconds"]) and math.isfinite(row["rival_seconds"])
        quartiles = " to ".join(
            f"{row[q]:,.0f}" if math.isfinite(row[q]) else "never" for q in ("q1", "q3")
        )
        seconds = f"{text(row['seconds'])}, {text(row['rival_seconds'])}"
        rows.append(
            {
                "algorithm": row["algorithm"],
                "rival": row["rival"],
                "rival's hypervolume": row["target"],
                "reached by": f"{row['reached']} of {row['n']}",
                "after": f"{row['evaluations']:,.0f} ({quartiles})" if reached else "–",
                "rival after": f"{row['rival_evaluations']:,.0f}",
                "times sooner": _known_or_dash(row["speedup"], "{:.3g}".format),
                "seconds, rival's": seconds if timed else "–",
                "times sooner by seconds": _known_or_dash(row["speedup_seconds"], "{:.3g}".format),
            }
        )
    return Table(rows)


def _known_or_dash(value: float, form: Callable[[float], str]) -> str:
    return form(value) if math.isfinite(value) else "–"


def _drawn(pictures: Iterable[Captioned]) -> list[dict[str, object]]:
    """Draw pictures, and encode them to be part of the page."""
    out: list[dict[str, object]] = []
    for caption, draw in pictures:
        buffer, figure = io.BytesIO(), draw()
        figure.savefig(buffer, dpi=100)
        # The usual width is half of the page.
        width = min(1120, round(67 * figure.get_size_inches()[0]))
        png = base64.b64encode(buffer.getvalue()).decode()
        out.append({"caption": caption, "png": png, "width": width})
    return out


def _known(comparison: Comparison) -> str:
    """Return the settings and versions of the runs as JSON; empty if none is known."""
    # Runs differ in their dates, and in little else.
    kinds = {
        json.dumps({k: v for k, v in run.about.items() if k != "date"}, sort_keys=True, default=str)
        for run in comparison.runs
    }
    known = [json.loads(kind) for kind in sorted(kinds) if kind != "{}"]
    return json.dumps(known[:_MAX_KNOWN], indent=2) if known else ""


def _shown(value: object) -> str:
    """Return a value as a cell shows it."""
    return "–" if value is None or value != value else text(value)


def _plain(value: object) -> str:
    """Return a setting as text."""
    if value is None:
        return "default"
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return ", ".join(_plain(v) for v in value)
    if isinstance(value, dict):
        return "; ".join(f"{k}: {_plain(v)}" for k, v in value.items())
    return str(value)
