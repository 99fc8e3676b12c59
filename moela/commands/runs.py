"""`moela runs`: the runs in a store."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("store", metavar="DB", help="SQLite file that an Evaluator wrote")
    parser.add_argument("--failures", action="store_true", help="count failures by reason")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> None:
    """Print a table of the runs, their failures, or everything as JSON."""
    from moela.watch.listing import describe_runs, failure_lines, snapshots

    if arguments.json:
        import json

        runs = [snapshot.to_dict() for snapshot in snapshots(arguments.store)]
        print(json.dumps(runs, indent=2, allow_nan=False))
        return
    for line in (failure_lines if arguments.failures else describe_runs)(arguments.store):
        print(line)
