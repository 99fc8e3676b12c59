"""`moela runs`: the runs in a store."""

from __future__ import annotations

import argparse

from moela.commands.output import add_json, print_json
from moela.commands.parser import add_examples


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("store", metavar="DB", help="SQLite file that an Evaluator wrote")
    parser.add_argument("--failures", action="store_true", help="count failures by reason")
    add_json(parser)
    add_examples(parser, "moela runs run.db", "moela runs run.db --failures")


def run(arguments: argparse.Namespace) -> None:
    """Print a table of the runs, their failures, or everything as JSON."""
    from moela.watch.listing import describe_runs, failure_lines, snapshots

    if arguments.json:
        print_json([snapshot.to_dict() for snapshot in snapshots(arguments.store)])
        return
    for line in (failure_lines if arguments.failures else describe_runs)(arguments.store):
        print(line)
