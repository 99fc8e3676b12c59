"""A comparison as one HTML file: findings, tables, pictures, and fronts to explore."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from html import escape
from importlib import metadata, resources
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from moela._version import __version__
from moela.comparison.report.data import embedded, problem_data
from moela.comparison.report.html import (
    bullets,
    cell,
    figure,
    folded,
    measured,
    pairs,
    preformatted,
    table_html,
)
from moela.comparison.scale import TITLES
from moela.comparison.summary import (
    capital,
    counted,
    counts_text,
    findings,
    medians,
    methods,
    p_text,
    reference_text,
)
from moela.provenance.environment import provenance
from moela.quality.table import Table, text

if TYPE_CHECKING:
    from moela.comparison import Comparison


def write_report(
    comparison: Comparison, path: str | os.PathLike[str], *, title: str = "Comparison"
) -> Path:
    """Write a comparison as one HTML file that needs no network.

    Findings in words, tables, pictures, and fronts in which hovering a point shows its design and
    picking it shows all of it, with ``decode(x)`` where the problem has that. Text that comes from
    data is shown as it is, never run: everything is escaped, and the page's own policy allows its
    own two scripts only.

    Parameters
    ----------
    comparison : Comparison
    path : path
        Written whole or not at all.
    title : str

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ImportError
        If plotly isn't installed (it comes with ``pip install moela[report]``).
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ImportError("A report needs plotly: pip install 'moela[report]'.") from error
    plotly, script = get_plotlyjs(), _part("page.js")
    data = [problem_data(comparison, problem) for problem in comparison.problems]
    sections = [
        ("Findings", _findings(comparison)),
        *(
            (
                f"Problem {problem}" if len(data) > 1 else problem,
                _problem(comparison, problem, i, data[i]),
            )
            for i, problem in enumerate(comparison.problems)
        ),
        ("All together", _together(comparison)),
        ("Every run", _every_run(comparison)),
        ("Methods", bullets(methods(comparison))),
        ("How it was made", _made(comparison)),
    ]
    sections = [(head, body) for head, body in sections if body]
    made = provenance()
    page = Template(_part("page.html")).substitute(
        policy=escape(_policy(plotly, script)),
        version=escape(__version__),
        title=escape(title),
        style=_part("page.css"),
        subtitle=escape(counts_text(comparison)),
        contents=" ".join(
            f'<a href="#part-{i}">{escape(head)}</a>' for i, (head, _) in enumerate(sections)
        ),
        body="\n".join(
            f'<section id="part-{i}"><h2>{escape(head)}</h2>\n{body}</section>'
            for i, (head, body) in enumerate(sections)
        ),
        date=escape(str(made["date"])[:10]),
        data=embedded({"problems": [{k: v for k, v in d.items() if k != "choices"} for d in data]}),
        plotly=plotly,
        script=script,
    )
    out = Path(path).expanduser()
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        scratch.write_text(page, encoding="utf-8")
        scratch.replace(out)
    finally:
        scratch.unlink(missing_ok=True)
    return out


def _part(name: str) -> str:
    return (
        resources.files("moela.comparison.report")
        .joinpath("parts", name)
        .read_text(encoding="utf-8")
    )


def _policy(*scripts: str) -> str:
    """Return a policy by which a browser runs these scripts and loads nothing from anywhere."""
    digests = (hashlib.sha256(s.encode()).digest() for s in scripts)
    allowed = " ".join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


# ---------------------------------------------------------------------------------------- sections


def _findings(comparison: Comparison) -> str:
    parts = [
        f"<h3>{escape(heading)}</h3>{bullets(sentences)}"
        for heading, sentences in findings(comparison).items()
    ]
    if comparison.remarks:
        parts.append(f'<div class="remarks"><h3>Remarks</h3>{bullets(comparison.remarks)}</div>')
    return "\n".join(parts)


def _problem(comparison: Comparison, problem: str, index: int, data: dict[str, Any]) -> str:
    scale = comparison.scales[problem]
    ranges = zip(scale.names, scale.ideal, scale.nadir, scale.ref_point, strict=True)
    scales = Table(
        [
            {"objective": name, "best": float(a), "worst": float(b), "reference point": float(c)}
            for name, a, b, c in ranges
        ]
    )
    parts = [
        f'<p class="note">{escape(capital(reference_text(comparison, problem)))}. '
        f"The pooled front has {counted(scale.pooled_size, 'point')}. Medians, quartiles over the "
        "runs below them; the best are bold.</p>",
        table_html(comparison, measured(medians(comparison, problem))),
        _explore(comparison, index, data),
        _choices(comparison, index, data),
    ]
    tested = comparison.tests().where(problem=problem)
    if len(tested):
        name = TITLES[comparison.indicators[0]]
        parts += [f"<h3>Tests of the {name}</h3>", table_html(comparison, _tests(tested))]
    if comparison.has_history and len(comparison.algorithms) > 1:
        parts += [
            "<h3>How much sooner</h3>",
            '<p class="note">Evaluations until a run has the median final hypervolume of a rival, '
            "medians (quartiles) over all runs.</p>",
            table_html(comparison, _sooner(comparison.speedup().where(problem=problem))),
        ]
    pictures = comparison.pictures(problem).values()
    parts += ["<h3>Pictures</h3>", *(figure(draw, words) for words, draw in pictures)]
    parts += ["<h3>The scale</h3>", table_html(comparison, scales)]
    return "\n".join(parts)


def _tests(table: Table) -> Table:
    return Table(
        [
            {
                "algorithm": row["algorithm"],
                "rival": row["rival"],
                "runs": f"{row['n']} and {row['n_rival']}",
                "median": row["median"],
                "median of rival": row["rival_median"],
                "A12": f"{row['a12']:.2f}, {row['effect']}",
                "test": row["test"],
                "p": _p(row["p_value"]),
                "p (Holm)": _p(row["p_holm"]),
                "verdict": row["verdict"],
            }
            for row in table
        ]
    )


def _p(value: float) -> str:
    return "–" if math.isnan(value) else p_text(value)


def _sooner(table: Table) -> Table:
    """Return speed-ups with evaluations and seconds as one against the other."""
    rows = []
    for row in table:
        reached = math.isfinite(row["evaluations"])
        timed = reached and math.isfinite(row["seconds"]) and math.isfinite(row["rival_seconds"])
        quartiles = " to ".join(
            f"{row[q]:,.0f}" if math.isfinite(row[q]) else "never" for q in ("q1", "q3")
        )
        rows.append(
            {
                "algorithm": row["algorithm"],
                "rival": row["rival"],
                "rival's hypervolume": row["target"],
                "reached by": f"{row['reached']} of {row['n']}",
                "after": f"{row['evaluations']:,.0f} ({quartiles})" if reached else "–",
                "rival after": f"{row['rival_evaluations']:,.0f}",
                "times sooner": _factor(row["speedup"]),
                "seconds, rival's": f"{text(row['seconds'])}, {text(row['rival_seconds'])}"
                if timed
                else "–",
                "times sooner by seconds": _factor(row["speedup_seconds"]),
            }
        )
    return Table(rows)


def _factor(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "–"


def _explore(comparison: Comparison, index: int, data: dict[str, Any]) -> str:
    names = data["names"]

    def options(chosen: int) -> str:
        return "".join(
            f'<option value="{j}"{" selected" if j == chosen else ""}>{escape(name)}</option>'
            for j, name in enumerate(names)
        )

    kind = ""
    if len(names) == 3:
        kind = (
            '<label>view <select><option value="2d">two objectives</option>'
            '<option value="3d">in space</option></select></label>'
        )
    lines = '<div class="frame"><div class="lines"></div></div>' if len(names) > 2 else ""
    return (
        f'<h3>The fronts, to explore</h3><div id="explore-{index}">'
        f'<div class="controls"><label>x <select>{options(0)}</select></label>'
        f"<label>y <select>{options(1)}</select></label>{kind}</div>"
        f'<div class="explore"><div><div class="frame"><div class="plot"></div></div>{lines}</div>'
        '<div class="beside"><p class="note">Hover a point to see its design; click it, or a row '
        'of the table below, to see all of it here.</p><div class="picked"></div></div></div></div>'
    )


def _choices(comparison: Comparison, index: int, data: dict[str, Any]) -> str:
    """Return the table of points to look at first; its rows pick them."""
    if not data["choices"]:
        return ""
    heads = ["why", "algorithm", *data["names"]]
    cells = []
    for row in data["choices"]:
        values = "".join(f'<td class="number">{escape(text(v))}</td>' for v in row["f"])
        cells.append(
            f'<tr tabindex="0" data-problem="{index}" data-point="{row["point"]}">'
            f"<td>{escape(row['why'])}</td>"
            f"{cell(comparison, 'algorithm', row['algorithm'])}{values}</tr>"
        )
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return (
        "<h3>Designs to look at first</h3>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(cells)}</tbody></table></div>"
    )


def _together(comparison: Comparison) -> str:
    if len(comparison.algorithms) < 2:
        return ""
    name = TITLES[comparison.indicators[0]]
    parts = [
        f'<p class="note">Share of comparisons of runs, by {escape(name)}, that the algorithm of a '
        "row wins against that of a column.</p>",
        table_html(comparison, comparison.wins()),
    ]
    parts += [figure(draw, words) for words, draw in comparison.pictures_together().values()]
    return "\n".join(parts)


def _every_run(comparison: Comparison) -> str:
    table = comparison.table()
    return folded(counted(len(table), "run"), table_html(comparison, table))


def _made(comparison: Comparison) -> str:
    made = provenance()
    versions: Any = dict(made["versions"])  # type: ignore[call-overload]
    versions |= {name: metadata.version(name) for name in ("matplotlib", "plotly")}
    machine: Any = made["machine"]
    page = {"date": made["date"], "python": made["python"], **versions, **machine}
    sources = sorted({o.source for o in comparison.outcomes if o.source})
    # Runs differ in their dates, and in little else.
    abouts = {
        json.dumps({k: v for k, v in o.about.items() if k != "date"}, sort_keys=True, default=str)
        for o in comparison.outcomes
    }
    parts = [
        '<div class="columns">',
        f"<div><h3>What was asked for</h3>{pairs(comparison.settings)}</div>",
        f"<div><h3>What this page was made with</h3>{pairs(page)}</div></div>",
        "<h3>Where the runs come from</h3>",
        folded(counted(len(sources), "source"), bullets(sources[:200])),
    ]
    known = [json.loads(about) for about in sorted(abouts) if about != "{}"]
    if known:
        parts += [
            "<h3>What the runs were made with</h3>",
            folded("settings and versions, as they were noted", preformatted(known[:20])),
        ]
    return "\n".join(parts)
