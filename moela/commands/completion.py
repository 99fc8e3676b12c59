"""`moela completion`: completion of commands, options and files for bash and zsh."""

from __future__ import annotations

import argparse

from moela.commands.parser import add_examples

SHELLS = ("bash", "zsh")
# The names that stand for files and folders in the help of options.
_FILES = frozenset([
    "CONFIG", "CSV", "DB", "DESIGN", "FILE", "FILE.py:NAME", "HTML", "JSON", "NPZ", "PLAN", "PNG",
    "TRACE", "TXT", "[NAME=]PATH",
])  # fmt: skip
_FOLDERS = frozenset(["DIR", "FOLDER", "MODEL"])


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("shell", choices=SHELLS, help="shell to complete in")
    add_examples(
        parser,
        "moela completion bash > ~/.local/share/bash-completion/completions/moela",
        "moela completion zsh > ~/.zfunc/_moela    # with fpath+=~/.zfunc before compinit",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print the script."""
    print(script(arguments.shell))


def script(shell: str) -> str:
    """Return the completion of a shell as a script."""
    import shtab

    from moela.cli import full_parser

    parser = full_parser()
    _mark(parser, shtab.FILE, shtab.DIRECTORY)
    text = str(shtab.complete(parser, shell=shell))
    # A word that is no option, such as the file of `moela run`, is completed as a file.
    return text.replace("complete -o bashdefault -F", "complete -o bashdefault -o default -F")


def _mark(parser: argparse.ArgumentParser, file: object, folder: object) -> None:
    """Mark the arguments that are files or folders, those of all commands below included."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _mark(command, file, folder)
        elif action.metavar in _FILES:
            action.complete = file  # type: ignore[attr-defined]
        elif action.metavar in _FOLDERS:
            action.complete = folder  # type: ignore[attr-defined]
