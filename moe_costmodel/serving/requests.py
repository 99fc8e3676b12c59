"""Requests of a serving system, drawn from rates or read from JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moe_costmodel._checks import check_number, count, invalid
from moela.files.fields import number_in, object_in, whole_in
from moela.files.text import lines_of, parse_json, read_text

__all__ = ["Request", "poisson_requests", "read_requests"]

_MOST_TOKENS = 2**24
_INPUT = ("input_tokens", "input_toks", "prompt_tokens")
_OUTPUT = ("output_tokens", "output_toks", "completion_tokens")


@dataclass(frozen=True)
class Request:
    """One request.

    Parameters
    ----------
    arrival : float
        Seconds at which it arrives.
    input_tokens, output_tokens : int
        Tokens of its prompt and of its answer.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> from moe_costmodel import Request
    >>> Request(0.5, 512, 128).input_tokens
    512
    """

    arrival: float
    input_tokens: int
    output_tokens: int

    def __post_init__(self) -> None:
        check_number("Request", "arrival", self.arrival)
        count("Request", "input_tokens", self.input_tokens)
        count("Request", "output_tokens", self.output_tokens)


def read_requests(path: str | Path) -> list[Request]:
    """Read requests from JSON lines.

    Each line is an object with ``arrival_time`` (seconds), ``input_tokens`` and ``output_tokens``;
    the names ``input_toks``, ``prompt_tokens``, ``output_toks`` and ``completion_tokens`` are
    known, too. Other fields are ignored.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    list of Request
        In the order of their arrival, the first at 0.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If a line is damaged, or the file holds none.
    """
    rows: list[tuple[float, int, int]] = []
    for number, line in lines_of(read_text(path)):
        if not line.strip():
            continue
        place = f"line {number}"
        found = object_in(path, place, parse_json(line, path, place))
        values = [
            whole_in(path, f"{place}, {names[0]}", _first(found, names), 1, _MOST_TOKENS)
            for names in (_INPUT, _OUTPUT)
        ]
        arrival = number_in(path, f"{place}, arrival_time", found.get("arrival_time"))
        rows.append((arrival, values[0], values[1]))
    if not rows:
        raise invalid("read_requests", "path", f"{path}, which holds none", "a file with requests")
    begin = min(row[0] for row in rows)
    return [Request(a - begin, i, o) for a, i, o in sorted(rows, key=lambda row: row[0])]


def _first(found: dict[str, object], names: Sequence[str]) -> object:
    return next((found[name] for name in names if name in found), None)


def poisson_requests(
    rate: float,
    n_requests: int,
    input_tokens: int,
    output_tokens: int,
    *,
    random_state: np.random.Generator,
) -> list[Request]:
    """Draw requests of equal lengths that arrive independently of each other.

    Parameters
    ----------
    rate : float
        Requests per second.
    n_requests : int
        How many.
    input_tokens, output_tokens : int
        Tokens of each prompt and answer.
    random_state : numpy.random.Generator
        Source of the gaps, which are exponential.

    Returns
    -------
    list of Request

    Raises
    ------
    ValueError
        If a number is not positive.
    """
    owner = "poisson_requests"
    if check_number(owner, "rate", rate) <= 0:
        raise invalid(owner, "rate", rate, "a positive number of requests per second")
    count(owner, "n_requests", n_requests)
    times = np.cumsum(random_state.exponential(1 / rate, n_requests))
    return [Request(float(t - times[0]), input_tokens, output_tokens) for t in times]
