"""`moela runs`: the runs in a store."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("store", metavar="DB", help="SQLite file that an Evaluator wrote")


def run(arguments: argparse.Namespace) -> None:
    """Print a table of the runs."""
    from moela.evaluation.storage.reader import describe_runs

    for line in describe_runs(arguments.store):
        print(line)
