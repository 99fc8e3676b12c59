"""`moela explain`: a design of a run in words, and which variables matter, also as pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from moela.commands.output import add_json, picture_to_write, print_json
from moela.commands.parser import add_examples, not_negative, positive
from moela.commands.runs import STORE, run_of, store_of
from moela.quality.words import harmless_lines

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from moela.functions.results.result import MinimizeResult


_FEW = "Too few designs for importances of variables."
_CODES = "The variables are codes of PEs and links, so their importances are left out."
_FOLDER = " Name the folder of --out instead of the store to compare designs by PEs and links."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("store", metavar="DB", help=STORE)
    add = parser.add_argument
    add("--run", type=positive, metavar="N", help="number of the run (default: newest)")
    at = "position on the front, from 0 (default: the knee)"
    add("--design", type=not_negative, metavar="I", help=at)
    add("--importances", metavar="PNG", help="picture of the importances of variables to write")
    add("--slices", metavar="PNG", help="picture of objectives over single variables to write")
    add("--variables", nargs="+", metavar="NAME", help="variables of --slices (default: the first)")
    add("--seed", type=not_negative, default=0, metavar="N", help="random seed of the forests")
    add_json(parser)
    add_examples(
        parser,
        "moela explain run.db",
        "moela explain sink/    # folder of --out of a run with --store",
        "moela explain run.db --design 3 --importances importances.png --slices slices.png",
        "moela explain run.db --slices slices.png --variables height fins",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the explanation of a design and the importances, and write pictures."""
    from moela.explanation.forest import trusted
    from moela.explanation.importances import LEAST_DESIGNS
    from moela.functions.results.result import MinimizeResult

    if arguments.variables and not arguments.slices:
        raise ValueError("--variables are those of --slices PNG. Got no --slices; add it.")
    store = store_of(arguments.store)
    number = run_of(arguments.store, store) if arguments.run is None else arguments.run
    result = MinimizeResult.from_store(store, number)
    if len(result.front) == 0:
        raise ValueError(f"{store}: there is nothing to explain. {result.status}")
    try:
        chosen = result.knee() if arguments.design is None else result.front[arguments.design]
    except IndexError as error:
        raise ValueError(f"--design: {error}") from None
    for option in ("importances", "slices"):
        picture_to_write(f"--{option}", getattr(arguments, option))
    found = pictures = None
    wanted = {"importances": arguments.importances, "slices": arguments.slices}
    is_chip = result.problem.name() == "NoC3D"
    left_out = _FEW
    if is_chip:
        named = _name_pes_and_links(result, Path(arguments.store) / "best.json")
        left_out = _CODES if named else _CODES + _FOLDER
    if any(wanted.values()) or (result.n_eval >= LEAST_DESIGNS and not is_chip):
        try:
            found = result.importances(random_state=arguments.seed)
        except ValueError:
            if any(wanted.values()):
                raise
    if found is not None:
        title = f"{result.problem.name()}, {found.n_designs:,} designs"
        if arguments.importances:
            found.plot(path=arguments.importances, title=title)
        if arguments.slices:
            found.plot_slices(arguments.variables, path=arguments.slices, title=title)
        pictures = [path for path in wanted.values() if path]
    if arguments.json:
        known = {} if found is None else found.importances
        print_json(
            {
                "problem": result.problem.name(),
                "status": result.status,
                "design": chosen,
                "explanation": str(result.explain(chosen)),
                "importances": {
                    name: {"r2": found.r2[name], "trusted": trusted(found.r2[name]), "of": shares}
                    for name, shares in known.items()
                    if found is not None
                },
                "pictures": pictures or [],
            }
        )
        return
    print(harmless_lines(f"{result.problem.name()}: {result.status}\n\n{result.explain(chosen)}"))
    print(f"\n{left_out if found is None else found}")
    if pictures:
        print(f"pictures in {', '.join(pictures)}")


def _name_pes_and_links(result: MinimizeResult, best: Path) -> bool:
    """Describe designs of a chip by PEs and links, and return whether a file has its platform."""
    from problems.noc import Design
    from problems.noc.design.difference import describe_differences
    from problems.noc.rows import design_of, rows_of

    try:
        platform = Design.load(best).platform
    except (OSError, ValueError):
        return False
    if platform.n_tiles + platform.n_chosen != result.problem.n_var:
        return False

    def differences(x: ArrayLike, y: ArrayLike) -> list[str]:
        one, other = (design_of(rows_of(row, platform)[0], platform) for row in (x, y))
        return describe_differences(one, other)

    result.problem.describe_differences = differences  # type: ignore[attr-defined]
    return True
