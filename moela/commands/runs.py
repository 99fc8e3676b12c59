"""`moela runs`: the runs in a store."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from moela.commands.output import add_json, print_json
from moela.commands.parser import add_examples
from moela.evaluation.storage.folders import only_store, stores_in
from moela.evaluation.storage.reader import EvaluationStore
from moela.files.fields import object_in
from moela.files.text import read_json

# Help of the argument of commands that read a store.
STORE = "store of a run (--store), or a folder with one, such as that of --out"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("store", metavar="DB", help=STORE)
    parser.add_argument("--failures", action="store_true", help="count failures by reason")
    add_json(parser)
    add_examples(parser, "moela runs run.db", "moela runs run.db --failures")


def run(arguments: argparse.Namespace) -> None:
    """Print a table of the runs, their failures, or everything as JSON."""
    from moela.watch.listing import describe_runs, failure_lines, snapshots

    store = store_of(arguments.store)
    if arguments.json:
        print_json([snapshot.to_dict() for snapshot in snapshots(store)])
        return
    lines = (failure_lines if arguments.failures else describe_runs)(store)
    heading = 0 if arguments.failures else 1
    for line in lines if len(lines) > heading else [f"The store {store} has no run yet."]:
        print(line)


def store_of(word: str) -> Path:
    """Return the store that a path names; a ValueError says which file to name.

    The path is the file itself, the folder of results of a run that had a store, or a folder with
    one store.
    """
    path = Path(word)
    if not path.is_dir():
        return path
    if not (path / "run.json").is_file():
        return only_store(path)
    name = _settings(path).get("store")
    if not isinstance(name, str):
        if stores_in(path):
            return only_store(path)
        raise ValueError(
            f"{path} must be a store, or the folder of a run with one. Got the folder of a run "
            f"without --store instead. `moela compare {path}` reads its front; add --store to a "
            "new run."
        )
    # The name is relative to the folder in which the run was started.
    for place in (Path(name), path / Path(name).name, path.parent / Path(name).name):
        if place.is_file():
            return place
    raise ValueError(f"{path}: there is no {name}, the store of this run. Name the store.")


def run_of(word: str, store: Path) -> int | None:
    """Return the number of the run in a store whose results a folder holds; None for the newest.

    The run may have gone on since they were written.
    """
    folder = Path(word)
    if not (folder / "run.json").is_file():
        return None
    seed, n_eval = _settings(folder).get("seed"), _record(folder).get("n_eval")
    least = n_eval if isinstance(n_eval, int) else 0
    with EvaluationStore(store) as opened:
        runs = [run for run in opened.runs() if run.seed == seed and run.n_eval >= least]
    if runs:
        return min(runs, key=lambda run: (run.n_eval, -run.id)).id
    raise ValueError(
        f"{folder}: its run, of seed {seed}, is not in {store}. Name the store, and --run; "
        f"`moela runs {store}` lists its runs."
    )


def _record(folder: Path) -> Mapping[str, object]:
    """Return the content of the run.json of a folder."""
    return object_in(folder / "run.json", "", read_json(folder / "run.json"))


def _settings(folder: Path) -> Mapping[str, object]:
    found = _record(folder).get("settings")
    return found if isinstance(found, Mapping) else {}
