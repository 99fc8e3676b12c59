"""`moela compare`: compare experiments, stores and fronts, with tests of the differences."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moela.commands.output import add_json, file_to_write, folder_to_write, print_json
from moela.commands.parser import add_examples, positive

if TYPE_CHECKING:
    from moela.comparison.comparison import Comparison
    from moela.quality.runs import ComparedRun
    from problems import NoC3D


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = parser.add_argument
    add("runs", nargs="+", metavar="[NAME=]PATH", help="folder of an experiment or of "
        "`moela run`, store, or file of points; NAME names the algorithm")  # fmt: skip
    add("--html", metavar="HTML", help="report to write, with all pictures")
    add("--pictures", metavar="DIR", help="folder for the pictures as PNG files")
    add(
        "--ref-point",
        metavar="V,V,...",
        help="reference point of the hypervolume, also as NAME=V,... (write --ref-point=-1,-2 if "
        "the first number is negative); maximized objectives "
        'have their own sign; or "problem" or "pooled" (default: problem if all name it)',
    )
    add("--indicator", metavar="NAME", help="indicator used in the summary; default: hypervolume")
    add("--objectives", metavar="NAME,...", help="columns of tables that are objectives; "
        "NAME=max is maximized")  # fmt: skip
    add("--baseline", metavar="NAME", help="algorithm to compare the others with")
    add("--at", metavar="N", help='evaluations after which to compare, or "common"')
    add("--archive-size", type=positive, metavar="N", help="maximum size of a front")
    add("--unpaired", action="store_true", help="do not pair runs of equal seeds")
    add("--alpha", type=float, default=0.05, metavar="P", help="significance level")
    add_json(parser)
    add_examples(
        parser,
        "moela compare runs/ --html report.html",
        "moela compare ours=ours.db theirs=front.csv --baseline theirs",
    )


def run(arguments: argparse.Namespace) -> None:
    """Compare, print a summary, and write the report and pictures."""
    from moela.comparison import INDICATORS, compare
    from moela.comparison.comparing import senses_of
    from moela.comparison.read.dispatch import read
    from moela.comparison.report.page import check_installed

    first = arguments.indicator or INDICATORS[0]
    if first not in INDICATORS:
        raise ValueError(
            f"--indicator must be one of {', '.join(INDICATORS)}. Got {first} instead."
        )
    if arguments.html:  # reading and comparing the runs may take minutes
        check_installed()
    file_to_write("--html", arguments.html)
    folder_to_write("--pictures", arguments.pictures)
    results = _results(arguments.runs)
    objectives = _objectives(arguments.objectives)
    comparison = compare(
        results,
        _ref_point(arguments.ref_point),
        problems=_models(read(results, senses_of(objectives))),
        indicators=[first, *(name for name in INDICATORS if name != first)],
        baseline=arguments.baseline,
        at=_at(arguments.at),
        archive_size=arguments.archive_size,
        paired=False if arguments.unpaired else None,
        alpha=arguments.alpha,
        objectives=objectives,
    )
    pictures = comparison.save_pictures(arguments.pictures) if arguments.pictures else []
    report = comparison.report(arguments.html) if arguments.html else None
    if arguments.json:
        print_json(_numbers(comparison) | {"pictures": list(pictures), "report": report})
        return
    print(comparison)
    for path in pictures:
        print(f"picture: {path}")
    if report:
        print(f"\nreport: {report}")


def _numbers(comparison: Comparison) -> dict[str, object]:
    """Return the numbers of a comparison: its runs, summary and tests, as rows of tables."""
    return {
        "problems": comparison.problems,
        "algorithms": comparison.algorithms,
        "runs": comparison.table().rows,
        "summary": comparison.summary().rows,
        "tests": comparison.tests().rows,
        "ranks": comparison.ranks(),
        "caveats": comparison.caveats,
    }


def _results(words: list[str]) -> list[Path] | dict[str, list[Path]]:
    """Return the paths, by name if names are given."""
    named: dict[str, list[Path]] = {}
    plain: list[Path] = []
    for word in words:
        name, separator, path = word.partition("=")
        if not path.strip() and not Path(word).exists() if separator else not word.strip():
            raise ValueError(
                f"A run to compare must be PATH or NAME=PATH. Got {word!r} without a path; write "
                f"{name or 'NAME'}=PATH."
            )
        if separator and not name.strip() and not Path(word).exists():
            raise ValueError(
                f"A run to compare must be PATH or NAME=PATH. Got {word!r} without a name; write "
                f"{path} or NAME={path}."
            )
        # A path may have an equals sign in it.
        if separator and not Path(word).exists():
            named.setdefault(name, []).append(Path(path))
        else:
            plain.append(Path(word))
    if not named:
        return plain
    if plain:
        raise ValueError(
            f"Either every path must have a name, NAME=PATH, or none. Got {plain[0]} without one, "
            f"beside {next(iter(named))}={next(iter(named.values()))[0]}."
        )
    return named


def _models(runs: list[ComparedRun]) -> dict[str, NoC3D]:
    """Return the problems of `moela run`, made again, for their names and designs."""
    models: dict[str, NoC3D] = {}
    for run in runs:
        if run.problem not in models and run.about.get("command") == "moela run noc":
            model = _noc(run.about)
            if model is not None:
                models[run.problem] = model
    return models


def _noc(about: Mapping[str, Any]) -> NoC3D | None:
    """Return the problem of a run.json, or None if it has changed since."""
    from problems import NoC3D

    settings = about.get("settings", {})
    common = {key: settings[key] for key in ("objectives", "model") if key in settings}
    traffic = settings.get("traffic")
    paths = [traffic] if isinstance(traffic, str) else traffic
    try:
        if paths is None:
            problem = NoC3D.example(settings.get("application", "bfs"), **common)
        else:
            scale = {"scale": settings["scale"]} if "scale" in settings else {}
            problem = NoC3D.from_traffic(paths, **scale, **common)
    except (TypeError, ValueError, OSError):
        return None  # then designs are shown as numbers
    return problem if problem.version == about.get("version") else None


def _ref_point(word: str | None) -> str | list[float] | dict[str, float] | None:
    if word is None or word in ("problem", "pooled"):
        return word
    pairs = [part.rpartition("=") for part in word.split(",")]
    named = [bool(separator) for _, separator, _ in pairs]
    try:
        if all(named):
            return {name.strip(): float(value) for name, _, value in pairs}
        return [float(part) for part in word.split(",")]
    except ValueError:
        raise ValueError(
            "--ref-point must be numbers with commas between, each also as NAME=NUMBER, "
            f'"problem" or "pooled". Got {word} instead.'
        ) from None


def _objectives(words: str | None) -> dict[str, str] | None:
    """Return "min" or "max" for each objective of ``cost,gain=max``."""
    if words is None:
        return None
    pairs = [word.partition("=") for word in words.split(",")]
    names = [name.strip() for name, _, _ in pairs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"--objectives must be different names. Got {twice!r} twice; remove one.")
    return {name.strip(): sense.strip() or "min" for name, _, sense in pairs}


def _at(word: str | None) -> str | int | None:
    if word is None or word == "common":
        return word
    if not word.isdecimal():
        raise ValueError(f'--at must be a number of evaluations or "common". Got {word} instead.')
    return int(word)
