"""`moela run FILE.py:NAME`: optimize a user's own problem or function."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from moela.commands.output import only_stderr
from moela.commands.parser import add_examples, not_negative, positive
from moela.commands.run import search
from moela.commands.run.loading import load_problem
from moela.commands.run.results import ResultFolder
from moela.functions.model.function_problem import FunctionProblem
from moela.functions.results.status import shown_front
from moela.functions.tables import read_designs
from moela.quality.durations import seconds
from moela.quality.table import Row

ALGORITHMS = ("moela", "nsga2", "nsga3", "moead", "ga", "de")
_SHOWN = 10


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Optimize your own problem or function. `moela run noc`, `moela run moe` and\n"
        "`moela run moe-on-chip` optimize the design problems of the library."
    )
    text = "a function, a pymoo Problem class or an instance; also package.module:NAME"
    parser.add_argument("problem", metavar="FILE.py:NAME", help=text)
    add_options(parser)
    add_examples(
        parser,
        "moela example function.py",
        "moela run function.py:simulate --evals 300 --out sink/",
        "moela run function.py:simulate --evals 600 --store run.db --jobs 4 --timeout 600",
        "moela run problem.py:Sink --set width=0.2 --time-limit 8h --store run.db",
        "moela run noc --help",
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add = parser.add_argument
    add("--set", action="append", default=[], metavar="NAME=VALUE",
        help="parameter of a Problem class; may be repeated")  # fmt: skip
    search.add_options(parser, ALGORITHMS, evals=None, out="result", algorithm=None)
    add = parser.add_argument_group("evaluations").add_argument
    add("--start", metavar="CSV", help="designs to evaluate first, such as an earlier front.csv")
    add("--known", metavar="FILE", action="append",
        help="results that you have, which cost no evaluation: a .csv file or a store; may be "
        "repeated")  # fmt: skip
    add("--batch-size", type=positive, metavar="N", help="designs per batch of MOELA")
    add("--timeout", metavar="TIME", help="kill an evaluation after this time, such as 90s")
    add("--retries", type=not_negative, default=0, metavar="N",
        help="how often to repeat a failed evaluation")  # fmt: skip
    add("--on-error", choices=("raise", "infeasible"), default="raise",
        help="end the run at a failure, or count the design as infeasible")  # fmt: skip
    add(
        "--noisy",
        action="store_true",
        help="results vary: evaluate a design again if it comes up again",
    )


def run(arguments: argparse.Namespace) -> int:
    """Optimize, and write front.csv, evaluations.csv, best.json, run.json and front.png."""
    with only_stderr(arguments.json):
        problem = load_problem(arguments.problem, arguments.set)
    if arguments.evals is None and arguments.time_limit is None:
        raise ValueError(
            "--evals must be the number of evaluations, or --time-limit the time to spend: "
            "--evals 600 or --time-limit 8h. Got neither."
        )
    search.check_options(arguments, least=1)
    start = None if arguments.start is None else read_designs(arguments.start, problem)
    try:
        timeout = seconds("timeout", arguments.timeout)
    except ValueError as error:
        raise ValueError(search.reworded(str(error))) from None

    def begin() -> None:
        search.make_folder(arguments)
        if isinstance(problem, FunctionProblem) and not arguments.quiet:
            print(problem.describe(), file=sys.stderr)

    found = search.search(
        problem, arguments, arguments.algorithm, begin=begin,
        start=start, known=arguments.known, batch_size=arguments.batch_size, timeout=timeout,
        retries=arguments.retries, on_error=arguments.on_error, noisy=arguments.noisy,
    )  # fmt: skip
    out, ref_point = Path(arguments.out), getattr(problem, "ref_point", None)
    folder = ResultFolder(out, found, arguments, ref_point)
    with folder.rescuing():
        return write(folder)


def write(folder: ResultFolder) -> int:
    """Write the result of a run into its folder and print a summary."""
    result, problem = folder.result, folder.result.problem
    rows = [_objectives_first(row, folder.names) for row in result.front.table().rows]
    folder.write_table("front.csv", rows, list(rows[0]) if rows else folder.names)
    everything = result.table(all=True)
    folder.write_table("evaluations.csv", everything.rows, everything.columns)
    best = result.knee() if rows else None
    if best is not None:
        folder.write_json(
            "best.json",
            {
                "row": best.index, "design": best.design, "objectives": best.objectives,
                "others": best.others, "feasible": best.feasible,
            },
        )  # fmt: skip
        result.plot(path=folder.path("front.png"))
    folder.write_record(
        "moela run",
        problem.name() if isinstance(problem, FunctionProblem) else type(problem).__name__,
        getattr(problem, "version", None),
        best=None if best is None else folder.row(best.index),
        failures=len(result.failures),
    )
    shown, more = shown_front(result.front, _SHOWN)
    lines: list[object] = [result.status, *([shown] if rows else [])]
    lines += [f"... and {more}"] if more else []
    if best is not None and len(folder.names) > 1:
        role = result.front.marked()[1]
        lines.append(f"best.json holds {role.named}, row {best.index}.")
    lines.append(f"{folder.out}/: {', '.join(folder.files)}")
    return folder.finish(lines)


def _objectives_first(row: Row, names: list[str]) -> Row:
    """Return a row of a result with the objectives before the variables, as all fronts are."""
    outputs = {name: f"{name} (output)" if f"{name} (output)" in row else name for name in names}
    first = {name: row[key] for name, key in outputs.items()}
    rest = {key: value for key, value in row.items() if key not in outputs.values()}
    return first | {f"{key} (variable)" if key in first else key: v for key, v in rest.items()}
