"""`moela measure` and `moela trace`: the commands of the cost model, which has them itself."""

from __future__ import annotations

import argparse
from typing import Any


class _Command:
    """A command of moe_costmodel in the form that the command line wants."""

    def __init__(self, name: str) -> None:
        self.name = name

    def _found(self) -> Any:
        from moe_costmodel.commands import COMMANDS

        return COMMANDS[self.name]

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments of the command."""
        self._found().add_arguments(parser)

    def run(self, arguments: argparse.Namespace) -> None:
        """Run it."""
        self._found().run(arguments)


measure = _Command("measure")
trace = _Command("trace")
