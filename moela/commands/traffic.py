"""The options for traffic files and technology, and a warning of units that cannot be meant."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moela._arrays import Floats
from moela.commands.output import warn
from moela.files.text import read_json

if TYPE_CHECKING:
    from problems.noc import Platform

# Share of what a port carries. The busiest PE of the applications of the MOELA paper sends or
# receives 0.005 to 3 flits per cycle.
_IDLE = 1e-4
RELEASED_SCALE = 2e8


def add_traffic(parser: argparse._ActionsContainer, purpose: str, several: bool = True) -> None:
    """Add the options ``--traffic`` and ``--scale``."""
    nargs = {"nargs": "+"} if several else {}
    parser.add_argument("--traffic", metavar="CSV", help=purpose, **nargs)  # type: ignore[arg-type]
    parser.add_argument(
        "--scale",
        type=float,
        default=RELEASED_SCALE,
        metavar="CYCLES",
        help="divisor of the files' flits; 1 if they hold flits per cycle",
    )


def add_technology(parser: argparse._ActionsContainer) -> None:
    """Add the option ``--technology``."""
    parser.add_argument(
        "--technology",
        metavar="NAME",
        help="figures of wires, routers and vias for W, pJ, GB/s, mm: 32nm, 12nm, or a JSON file",
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress the library's warnings of traffic, since ``warn_of_traffic`` says more."""
    from problems.noc.chip.traffic import OverloadWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverloadWarning)
        warnings.filterwarnings("ignore", ".* are divided by the default scale")
        yield


def warn_of_traffic(
    traffic: Floats, platform: Platform, scale: float | None, sources: Sequence[str]
) -> None:
    """Print a warning for each application whose busiest port is idle, or takes too much.

    Parameters
    ----------
    traffic : float array [n_apps, n, n] or [n, n]
        In flits per cycle.
    platform : Platform
    scale : float or None
        Divisor that was used; None for synthetic traffic.
    sources : sequence of str
        Name of each application.
    """
    for matrix, source in zip(np.atleast_3d(traffic.T).T, sources, strict=True):
        note = traffic_note(matrix, platform, scale)
        if note is not None:
            warn(f"{Path(source).name}: {note}")


def traffic_note(traffic: Floats, platform: Platform, scale: float | None) -> str | None:
    """Return what is absurd in the traffic [n, n] of an application, and what to do; or None."""
    from problems.noc.chip.traffic import busiest_port, overload

    capacity = platform.link_capacity
    pe, verb, busiest = busiest_port(traffic)
    if busiest < _IDLE * capacity:
        total = traffic.sum() - np.trace(traffic)
        note = (
            f"PE {pe} {verb} {busiest:.3g} flits per cycle, the most of all, and {total:.3g} are "
            "sent in all: the network is idle. "
        )
        if scale is None:
            return note.rstrip()
        if scale > 1:
            note += "If the file holds flits per cycle, add --scale 1. "
        return note + "If it holds flits, --scale is the number of cycles of the trace."
    note_of_ports = overload(traffic, capacity)
    if note_of_ports is not None:
        note = note_of_ports
        if scale is None:
            return f"{note}, and latencies are those of a network that is never full."
        least = scale * busiest / capacity
        return (
            f"{note}. If the file holds flits, --scale is the number of cycles of the trace; from "
            f"{least:.3g} on, the ports suffice."
        )
    return None


def with_technology(platform: Platform, technology: str) -> Platform:
    """Return the platform with a technology by name or from a JSON file."""
    from problems.noc.chip.technology import TECHNOLOGIES

    value: object = technology
    if technology not in TECHNOLOGIES:
        if not Path(technology).exists():
            raise ValueError(
                f"--technology must be a JSON file or one of {sorted(TECHNOLOGIES)}. "
                f"Got {technology!r} instead."
            )
        value = read_json(technology)
    try:
        return replace(platform, technology=value)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"--technology {technology}: {error}") from error
