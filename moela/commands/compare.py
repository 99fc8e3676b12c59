"""`moela compare`: which of several experiments, stores and fronts is better, and how surely."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="[NAME=]PATH",
        help="folder of an experiment or of `moela run`, store file, or file of points; a name "
        "stands for the algorithm in it",
    )
    parser.add_argument("--html", metavar="FILE", help="page to write, with all pictures in it")
    parser.add_argument("--pictures", metavar="DIR", help="folder for the pictures as PNG files")
    parser.add_argument(
        "--ref-point",
        metavar="V,V,...",
        help='reference point of the hypervolume, "problem" or "pooled"; default: the problem\'s '
        "own where all runs name it, else pooled; negative ones as --ref-point=-1,-2",
    )
    parser.add_argument("--indicator", help="what the summary speaks of; default: hypervolume")
    parser.add_argument("--baseline", metavar="NAME", help="algorithm to compare the others with")
    parser.add_argument("--at", metavar="N", help='evaluations to compare after, or "common"')
    parser.add_argument("--archive-size", type=int, metavar="N", help="largest front of a run")
    parser.add_argument(
        "--unpaired", action="store_true", help="don't take runs of equal seeds for pairs"
    )
    parser.add_argument("--alpha", type=float, default=0.05, help="level of significance")


def run(arguments: argparse.Namespace) -> None:
    """Compare, print a summary, and write what was asked for."""
    from moela.comparison import INDICATORS, compare
    from moela.comparison.read.dispatch import read

    first = arguments.indicator or INDICATORS[0]
    if first not in INDICATORS:
        raise ValueError(
            f"--indicator must be one of {', '.join(INDICATORS)}. Got {first} instead."
        )
    results = _results(arguments.runs)
    comparison = compare(
        results,
        _ref_point(arguments.ref_point),
        problems=_models(read(results)),
        indicators=[first, *(name for name in INDICATORS if name != first)],
        baseline=arguments.baseline,
        at=_at(arguments.at),
        archive_size=arguments.archive_size,
        paired=False if arguments.unpaired else None,
        alpha=arguments.alpha,
    )
    print(comparison)
    if arguments.pictures:
        for path in comparison.save_pictures(arguments.pictures):
            print(f"picture: {path}")
    if arguments.html:
        print(f"\nreport: {comparison.report(arguments.html)}")


def _results(words: list[str]) -> Any:
    """Return the paths, by name where one is given."""
    named: dict[str, list[Path]] = {}
    plain = []
    for word in words:
        name, separator, path = word.partition("=")
        # A path may have an equals sign in it.
        if separator and not Path(word).exists():
            named.setdefault(name, []).append(Path(path))
        else:
            plain.append(Path(word))
    if not named:
        return plain
    if plain:
        raise ValueError(
            f"Give every path a name, NAME=PATH, or none. Got {plain[0]} without one, beside "
            f"{next(iter(named))}={next(iter(named.values()))[0]}."
        )
    return named


def _models(outcomes: list[Any]) -> dict[str, Any]:
    """Return the problems of `moela run`, made again, for their names and designs."""
    models: dict[str, Any] = {}
    for outcome in outcomes:
        if outcome.problem not in models and outcome.about.get("command") == "moela run noc":
            model = _noc(outcome.about)
            if model is not None:
                models[outcome.problem] = model
    return models


def _noc(about: Mapping[str, Any]) -> Any:
    """Return the problem that a run.json speaks of; None where it isn't the same any more."""
    from problems import NoC3D

    settings = about.get("settings", {})
    common = {key: settings[key] for key in ("objectives", "model") if key in settings}
    try:
        if settings.get("traffic") is None:
            problem = NoC3D.example(settings.get("application", "bfs"), **common)
        elif Path(settings["traffic"]).is_file():
            problem = NoC3D.from_traffic(settings["traffic"], **common)
        else:
            return None
    except (TypeError, ValueError, OSError):
        return None  # without it designs are shown as numbers
    return problem if problem.version == about.get("version") else None


def _ref_point(word: str | None) -> Any:
    if word is None or word in ("problem", "pooled"):
        return word
    try:
        return [float(part) for part in word.split(",")]
    except ValueError:
        raise ValueError(
            f'--ref-point must be numbers with commas between, "problem" or "pooled". Got {word} '
            "instead."
        ) from None


def _at(word: str | None) -> Any:
    if word is None or word == "common":
        return word
    if not word.isdecimal():
        raise ValueError(f'--at must be a number of evaluations or "common". Got {word} instead.')
    return int(word)
