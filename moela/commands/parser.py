"""The parser of the command line: suggestions for unknown words, help with defaults, examples."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from textwrap import fill
from typing import NoReturn

from moela.quality.words import nearest

EXAMPLES = "examples:"


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Shows the default of an option, unless there is none or the help text states it."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        # Commands to copy keep their lines; other text fits the terminal.
        if text.startswith(EXAMPLES):
            return super()._fill_text(text, width, indent)
        return fill(" ".join(text.split()), width, initial_indent=indent, subsequent_indent=indent)

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or "", action.default
        if isinstance(default, list):
            default = " ".join(map(str, default))
        elif isinstance(default, float):
            default = f"{default:g}"
        hidden = default in (None, "", argparse.SUPPRESS) or isinstance(default, bool)
        if hidden or "default" in text or not action.option_strings:
            return text
        return f"{text} (default: {default})"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and name the nearest known option or word.

    Options cannot be shortened: a script with ``--eval`` would change its meaning once there is
    another option of that beginning.
    """

    def __init__(
        self,
        *,
        prog: str | None = None,
        description: str | None = None,
        epilog: str | None = None,
        **settings: object,
    ) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=HelpFormatter,
            allow_abbrev=False,
        )

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse words; an unknown option is an error before a missing argument is."""
        if args is not None and self._subparsers is None:
            self._refuse_unknown(args)
        found, rest = super().parse_known_args(args, namespace)
        if rest and self._subparsers is None:
            self.error(f"got more than it takes: {' '.join(rest)}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Exit with status 2 and one line."""
        end = "" if message.endswith((".", "?")) else "."
        self.exit(2, f"{self.prog}: {message}{end} See {self.prog} --help.\n")

    def _refuse_unknown(self, words: Iterable[str]) -> None:
        known = self._option_string_actions
        for word in words:
            if word == "--":
                return
            name = word.partition("=")[0]
            if name.startswith("--") and name not in known:
                options = [option for option in known if option.startswith("--")]
                begun = [option for option in options if option.startswith(name)]
                options = [min(begun, key=len)] if begun else options
                self.error(f"there is no option {name}." + nearest(name, options).replace("'", ""))

    def _get_value(self, action: argparse.Action, arg_string: str) -> object:
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError:
            kinds: dict[object, str] = {int: "an integer", float: "a number"}
            if action.type not in kinds:
                raise
            message = f"must be {kinds[action.type]}. Got {arg_string!r} instead"
            raise argparse.ArgumentError(action, message) from None

    def _check_value(self, action: argparse.Action, value: object) -> None:
        choices = [] if action.choices is None else list(map(str, action.choices))
        if choices and str(value) not in choices:
            raise argparse.ArgumentError(
                action,
                f"must be one of {', '.join(choices)}. Got {value} instead."
                f"{nearest(value, choices)}",
            )


def positive(text: str) -> int:
    """Return the integer of an option that must be at least 1."""
    return _whole(text, 1)


def not_negative(text: str) -> int:
    """Return the integer of an option that must be at least 0."""
    return _whole(text, 0)


def workers(text: str) -> int:
    """Return the number of workers of an option, which may be negative, but not 0."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number == 0:
        raise argparse.ArgumentTypeError(
            f"must be an integer of at least 1, or -1 for one worker per core. Got {text!r} instead"
        )
    return number


def _whole(text: str, at_least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = at_least - 1
    if number < at_least:
        expected = f"must be an integer of at least {at_least}"
        raise argparse.ArgumentTypeError(f"{expected}. Got {text!r} instead")
    return number


def add_examples(parser: argparse.ArgumentParser, *commands: str) -> None:
    """Show commands below the help of a parser."""
    parser.formatter_class = HelpFormatter
    parser.epilog = "\n".join([EXAMPLES, *(f"  {command}" for command in commands)])
