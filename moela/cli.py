"""The command line: `moela ...`."""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from moela import __version__
from moela.files import descriptors
from moela.files.extras import how_to_install
from moela.heartbeat.working import working

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from moela.commands.parser import Parser

# New objects until Python looks for garbage. Imports and compilation make many that stay.
_OBJECTS_BETWEEN = 10_000

# The module of a command is imported when the command runs, so that `moela --help` is fast.
COMMANDS = {
    ("run",): (
        "moela.commands.run.own",
        "optimize your function or problem; also: run noc, run moe, run moe-on-chip",
    ),
    ("run", "noc"): ("moela.commands.run.noc", "design a 3D network-on-chip manycore"),
    ("run", "moe"): ("moela.commands.run.moe", "plan the deployment of an MoE model"),
    ("run", "moe-on-chip"): (
        "moela.commands.run.moe_on_chip",
        "place the experts of an MoE model on a network-on-chip",
    ),
    ("show",): ("moela.commands.show", "show a network-on-chip design"),
    ("export",): ("moela.commands.export", "write a network-on-chip design for another program"),
    ("runs",): ("moela.commands.runs", "list the runs in a store"),
    ("watch",): ("moela.commands.watch", "watch a run while another process makes it"),
    ("explain",): (
        "moela.commands.explain",
        "explain a design of a run, and which variables matter",
    ),
    ("compare",): ("moela.commands.compare", "compare experiments, stores and fronts"),
    ("measure",): ("moela.commands.measure", "time MoE kernels on this machine"),
    ("moe", "verify"): ("moela.commands.moe.verify", "run deployment plans and compare times"),
    ("moe", "buy"): (
        "moela.commands.moe.buy",
        "cost against speed over kinds and numbers of GPUs",
    ),
    ("moe", "simulate"): (
        "moela.commands.moe.simulate",
        "times of requests to a model on GPUs, and the rate that meets limits",
    ),
    ("moe", "headroom"): (
        "moela.commands.moe.headroom",
        "what keeping some experts in fast memory would bring",
    ),
    ("moe", "advise"): (
        "moela.commands.moe.advise",
        "what to set in which engine, and what to leave alone",
    ),
    ("trace",): ("moela.commands.trace", "describe, convert or record MoE routing"),
    ("example",): ("moela.commands.example", "write an example file to start from"),
    ("completion",): ("moela.commands.completion", "print the completion of bash or zsh"),
}
# The view of a run draws itself again and again.
_WITHOUT_SIGNS = frozenset([("watch",)])
# What the commands of a group do, and examples.
GROUPS = {
    "moe": (
        "work on deployments of MoE models",
        "moela moe advise trace.npz",
        "moela moe simulate --model config.json --gpu h200_sxm --tp 8 --rate 4 --isl 4096",
        "moela moe buy --help",
    )
}


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

    Raises
    ------
    SystemExit
        The words are no command, or ask for help.

    Examples
    --------
    >>> from moela.cli import main
    >>> main(["example", "--list"])  # doctest: +ELLIPSIS
    function.py ...
    0
    """
    if argv is None:
        gc.set_threshold(_OBJECTS_BETWEEN)
        _open_streams()
        _keep_on()
        if isinstance(sys.stdout, io.TextIOWrapper):  # names may have letters that it cannot show
            sys.stdout.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if argv is None else argv)
    chosen = _chosen(words)
    arguments = _parser(chosen).parse_args(words)
    assert chosen is not None  # without a command, parsing has ended with an error
    arguments.words = words
    try:
        _check_names()
        with _logging(), _signs_of_life(chosen, arguments):
            status: int | None = importlib.import_module(COMMANDS[chosen][0]).run(arguments)
        _flush()
    except KeyboardInterrupt as error:
        print(f"moela: {str(error) or 'interrupted'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except ModuleNotFoundError as error:
        advice = how_to_install(error)
        if advice is None:
            raise
        print(f"moela: this needs {advice}", file=sys.stderr)
        return 2
    except Exception as error:
        if not _at_fault(error):
            raise
        about: object = error
        if isinstance(error, OSError) and error.strerror is not None:  # without Python's number
            name = "" if error.filename is None else f"{error.filename}: "
            about = f"{name}{error.strerror}."
            if descriptors.reached(error):
                about = f"{about} {descriptors.ADVICE}"
        from moela.commands.output import complain

        _discard()
        complain(about)
        return 2
    finally:
        if (lock := getattr(arguments, "lock", None)) is not None:  # on the folder of --out
            lock.release()
    return status or 0


def _open_streams() -> None:
    """Connect standard streams that are closed to the null device, as in a process of a daemon.

    Otherwise Python prints to standard output what is meant for a closed standard error, and a file
    that is opened later may get the number of a closed stream.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _flush() -> None:
    """Write what has been printed; an OSError says that standard output cannot be written."""
    try:
        with suppress(ValueError, AttributeError):  # it is closed, or there is none
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


def _discard() -> None:
    """Drop what standard output does not take, of which Python would complain at its end."""
    try:
        _flush()
    except OSError:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Forgiving(io.FileIO):
    """A file that takes what cannot be written, as on a full disk, for written."""

    def write(self, data: ReadableBuffer) -> int:
        """Write bytes; return how many."""
        try:
            return super().write(data) or 0
        except OSError:
            return memoryview(data).nbytes


def _keep_on() -> None:
    """Go on without standard error if it cannot be written: a run is worth more than its lines."""
    stream = sys.stderr
    if isinstance(stream, io.TextIOWrapper):
        with suppress(OSError, ValueError):
            file = io.BufferedWriter(_Forgiving(stream.fileno(), "w", closefd=False))
            sys.stderr = io.TextIOWrapper(
                file, encoding=stream.encoding, errors=stream.errors, line_buffering=True
            )


def full_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands with all their options, for completion."""
    return _parser(None, full=True)


def _chosen(words: Sequence[str]) -> tuple[str, ...] | None:
    """Return the command that the words begin with, the longest that does."""
    found = [key for key in COMMANDS if tuple(words[: len(key)]) == key]
    return max(found, key=len, default=None)


def _at_fault(error: Exception) -> bool:
    """Tell whether an error is about the input; any other is a defect, and shows its traceback."""
    from numpy.linalg import LinAlgError

    from moela import EvaluationError, StoreError

    if isinstance(error, LinAlgError):  # a ValueError, but never about what was given
        return False
    return isinstance(error, ValueError | OSError | StoreError | EvaluationError)


def _parser(chosen: tuple[str, ...] | None, full: bool = False) -> argparse.ArgumentParser:
    """Return a parser that knows the chosen command's options, or with `full` those of all."""
    from moela.commands.parser import Parser, add_examples

    parser = Parser(prog="moela", description="Multi-objective optimization of expensive designs.")
    parser.add_argument("--version", action="version", version=f"moela {__version__}")
    add_examples(
        parser,
        "moela example function.py",
        "moela run function.py:simulate --evals 300 --store run.db --out sink/",
        "moela watch run.db",
    )
    top = parser.add_subparsers(required=True, metavar="COMMAND")
    first: dict[str, Parser] = {}
    second: dict[str, argparse._SubParsersAction[Parser]] = {}
    for key, (module, text) in COMMANDS.items():
        head = key[0]
        if len(key) == 1:
            first[head] = command = top.add_parser(head, help=text, description=_sentence(text))
        elif chosen == (head,):
            continue  # its next word is an argument
        else:
            if head not in first:
                text_of_group, *examples = GROUPS[head]
                about = _sentence(text_of_group)
                first[head] = top.add_parser(head, help=text_of_group, description=about)
                add_examples(first[head], *examples)
            if head not in second:
                second[head] = first[head].add_subparsers(required=True, metavar="WHAT")
            command = second[head].add_parser(key[1], help=text, description=_sentence(text))
        if key == chosen:
            importlib.import_module(module).configure(command)
        elif full:
            # The first word after `run` is a problem or another command.
            found = importlib.import_module(module)
            (found.add_options if key == ("run",) else found.configure)(command)
    return parser


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


@contextmanager
def _logging() -> Iterator[None]:
    """Show what the library logs on standard error while a command runs."""
    logger = logging.getLogger("moela")
    before = logger.level
    from moela.commands.output import LineFormatter

    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter("moela: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)


def _signs_of_life(
    chosen: tuple[str, ...], arguments: argparse.Namespace
) -> AbstractContextManager[None]:
    """Return a context that gives a sign of life every minute, unless that is not wanted."""
    if chosen in _WITHOUT_SIGNS or getattr(arguments, "quiet", False):
        return nullcontext()
    return working(f"moela {' '.join(chosen)}")


def _check_names() -> None:
    """Raise an error if a module of the user's hides one of our packages."""
    from moela.files.packages import hidden

    for package in ("problems", "moe_costmodel"):
        advice = hidden(package)
        if advice is not None:
            raise ValueError(advice)
