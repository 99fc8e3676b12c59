"""`moela watch`: a run that another process makes, in the terminal or in a browser."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from moela.commands.output import print_json
from moela.commands.parser import add_examples, positive
from moela.commands.runs import STORE, store_of
from moela.quality.durations import required_seconds

_LAST_PORT = 65535

if TYPE_CHECKING:
    from moela.watch.follow import Follower


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("store", metavar="DB", help=STORE)
    add = parser.add_argument
    add("--run", type=positive, metavar="N", help="number of the run (default: newest)")
    add("--every", default="2s", metavar="TIME", help="time between two views, such as 30s")
    add("--once", action="store_true", help="show the state once")
    add("--serve", action="store_true", help="serve a page on this machine, for a browser")
    add("--port", type=int, metavar="N", help="port of --serve (default: any free one)")
    add("--json", action="store_true", help="print the state once, as JSON")
    add_examples(parser, "moela watch run.db", "moela watch run.db --serve --port 8000")


def run(arguments: argparse.Namespace) -> None:
    """Watch the run until it is done or the user interrupts."""
    from moela.watch.follow import Follower
    from moela.watch.terminal import watch

    every = _every(arguments.every)
    port = _port(arguments)
    if hasattr(os, "nice") and not (arguments.once or arguments.json):
        os.nice(10)  # the run comes first
    follower = Follower(store_of(arguments.store), arguments.run)
    try:
        snapshot = follower.refresh()  # so that a file that is no store is refused at once
        if arguments.json:
            print_json(None if snapshot is None else snapshot.to_dict())
        elif arguments.serve:
            _serve(follower, port)
        else:
            watch(follower, every=every, once=arguments.once)
    finally:
        follower.close()


def _every(given: str) -> float:
    """Return the seconds between two views."""
    try:
        return required_seconds("every", given)
    except ValueError as error:
        message = str(error).replace("The 'every' parameter", "--every")
        raise ValueError(message.replace(", a timedelta, or", ", or")) from None


def _port(arguments: argparse.Namespace) -> int:
    """Return the port of the page, 0 for any free one, after checks of what goes together."""
    once = [f"--{name}" for name in ("once", "json") if getattr(arguments, name)]
    if arguments.serve and once:
        raise ValueError(
            f"--serve shows the run until Ctrl-C, {once[0]} shows it once. Got both; leave one of "
            "them out."
        )
    if arguments.port is None:
        return 0
    if not arguments.serve:
        raise ValueError("--port is that of --serve. Got no --serve; add it.")
    if not 0 <= arguments.port <= _LAST_PORT:
        raise ValueError(
            f"--port must be an integer from 0 to {_LAST_PORT}. Got {arguments.port} instead."
        )
    return int(arguments.port)


def _serve(follower: Follower, port: int) -> None:
    from moela.watch.page import WatchServer

    try:
        opened = WatchServer(follower, port)
    except OSError as error:
        raise OSError(
            f"--port {port} cannot be used: {error.strerror or error}. Give another port, or leave "
            "--port out for any free one."
        ) from None
    with opened as server:
        print(f"Open {server.address} in a browser. Ctrl-C ends it.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
