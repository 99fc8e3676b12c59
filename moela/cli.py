"""The command line: `moela ...`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from moela import __version__

# The module of a command is imported when the command runs, so that `moela --help` is fast.
COMMANDS = {
    ("run", "noc"): ("moela.commands.run.noc", "design a 3D network-on-chip manycore"),
    ("run", "moe"): ("moela.commands.run.moe", "plan the deployment of an MoE model"),
    ("show",): ("moela.commands.show", "show a network-on-chip design"),
    ("export",): ("moela.commands.export", "write a network-on-chip design for another program"),
    ("runs",): ("moela.commands.runs", "list the runs in a store"),
    ("watch",): ("moela.commands.watch", "watch a run while another process makes it"),
    ("compare",): ("moela.commands.compare", "compare experiments, stores and fronts"),
    ("measure",): ("moela.commands.measure", "time MoE kernels on this machine"),
    ("moe", "verify"): ("moela.commands.moe.verify", "run deployment plans and compare times"),
    ("trace",): ("moela.commands.trace", "describe, convert or record MoE routing"),
}
EXTRAS = {
    "torch": "torch", "safetensors": "torch", "transformers": "hf", "pyarrow": "tables",
    "plotly": "report", "jinja2": "report",
}  # fmt: skip
GROUPS = {"run": "optimize a design problem", "moe": "work on deployments of MoE models"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; default those of the process.

    Returns
    -------
    int
        0 on success; 2 for invalid input, with one line on standard error; 130 when interrupted;
        141 if the reader of its output is gone.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    chosen = next((key for key in COMMANDS if tuple(words[: len(key)]) == key), None)
    parser = _parser(chosen)
    arguments = parser.parse_args(words)
    if chosen is None:
        parser.parse_args([*words, "--help"])
    try:
        _check_names()
        importlib.import_module(COMMANDS[chosen][0]).run(arguments)  # type: ignore[index]
    except KeyboardInterrupt:
        print("moela: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        print(f"moela: this needs {error.name}: pip install 'moela[{extra}]'", file=sys.stderr)
        return 2
    except Exception as error:
        if not _at_fault(error):
            raise
        about: object = error
        if isinstance(error, OSError) and error.filename is not None:
            about = f"{error.filename}: {error.strerror}."  # without Python's error number
        print(f"moela: {about}", file=sys.stderr)
        return 2
    return 0


def _at_fault(error: Exception) -> bool:
    """Tell whether an error is about the input; any other is a defect, and shows its traceback."""
    from moela import EvaluationError, StoreError

    return isinstance(error, ValueError | OSError | StoreError | EvaluationError)


class _Defaults(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the default of an option unless it is none, or its help names it."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        named = "default" in (action.help or "")
        none = action.default is None or action.default is False
        return action.help if named or none else super()._get_help_string(action)


def _parser(chosen: tuple[str, ...] | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="moela", description="Multi-objective optimization of expensive designs."
    )
    parser.add_argument("--version", action="version", version=f"moela {__version__}")
    top = parser.add_subparsers(required=True, metavar="COMMAND")
    groups = {
        name: top.add_parser(name, help=text).add_subparsers(required=True, metavar="WHAT")
        for name, text in GROUPS.items()
    }
    for key, (module, text) in COMMANDS.items():
        parent = groups[key[0]] if len(key) == 2 else top
        command = parent.add_parser(key[-1], help=text, formatter_class=_Defaults)
        if key == chosen:
            importlib.import_module(module).configure(command)
    return parser


def _check_names() -> None:
    """Raise an error if a problems.py of the user's hides our package of that name."""
    problems = importlib.import_module("problems")
    if not hasattr(problems, "NoC3D"):
        raise ValueError(
            "another module named 'problems' hides the one that belongs to moela: "
            f"{getattr(problems, '__file__', None) or list(problems.__path__)}. Rename it, or run "
            "from another folder."
        )
