"""Requests of a serving system, drawn from rates or read from JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moe_costmodel._arrays import Ints
from moe_costmodel._checks import check_number, count, invalid, one_of
from moela.files.fields import number_in, object_in, whole_in
from moela.files.text import lines_of, parse_json, read_text

__all__ = ["Request", "TokenLengths", "at_rate", "poisson_requests", "read_requests"]

_MOST_TOKENS = 2**24
_INPUT = ("input_tokens", "input_toks", "prompt_tokens")
_OUTPUT = ("output_tokens", "output_toks", "completion_tokens")


@dataclass(frozen=True)
class Request:
    """A request to a served model: its arrival, and the lengths of its prompt and answer.

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

    Examples
    --------
    >>> from moe_costmodel import read_requests
    >>> requests = read_requests("requests.jsonl")  # doctest: +SKIP
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


@dataclass(frozen=True)
class TokenLengths:
    """Distribution of the lengths of prompts or answers.

    Lengths are rounded, and drawn values below 1 count as 1. The mean of drawn lengths is then
    larger than `mean` if `mean` is a few tokens and `spread` is large: 1.86 for a lognormal mean of
    1.5 and spread of 2, and 2.11 for a mean of 2 and spread of 1.

    Parameters
    ----------
    mean : float
        Mean length in tokens, at least 1.
    spread : float
        Standard deviation over the mean ("lognormal"), or the largest distance from the mean over
        the mean ("uniform"); 0 for equal lengths.
    kind : {"lognormal", "uniform"}
        Form of the distribution.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import TokenLengths
    >>> TokenLengths(1000, 0.2, "uniform").draw(3, np.random.default_rng(0)).tolist()
    [1055, 908, 816]
    """

    mean: float
    spread: float = 0.0
    kind: str = "lognormal"

    def __post_init__(self) -> None:
        if not 1 <= check_number("TokenLengths", "mean", self.mean) <= _MOST_TOKENS:
            raise invalid("TokenLengths", "mean", self.mean, f"from 1 to {_MOST_TOKENS} tokens")
        one_of("TokenLengths", "kind", self.kind, ("lognormal", "uniform"))
        most = 1.0 if self.kind == "uniform" else 10.0
        if not 0 <= check_number("TokenLengths", "spread", self.spread) <= most:
            raise invalid("TokenLengths", "spread", self.spread, f"from 0 to {most:g}")

    def draw(self, n: int, random_state: np.random.Generator) -> Ints:
        """Return `n` lengths."""
        if self.kind == "uniform":
            ends = self.mean * (1 - self.spread), self.mean * (1 + self.spread)
            values = random_state.uniform(*ends, n)
        else:
            # Of the logarithm, so that mean and standard deviation are as given.
            deviation = np.sqrt(np.log1p(self.spread**2))
            center = np.log(self.mean) - deviation**2 / 2
            values = np.exp(random_state.normal(center, deviation, n))
        return np.clip(np.rint(values), 1, _MOST_TOKENS).astype(np.int64)


def at_rate(requests: Sequence[Request], rate: float) -> list[Request]:
    """Return the same requests with their gaps scaled to another mean rate.

    Parameters
    ----------
    requests : sequence of Request
        At least two, not all at one time.
    rate : float
        Requests per second.

    Returns
    -------
    list of Request

    Raises
    ------
    ValueError
        If the requests have no rate, or `rate` is not positive.

    Examples
    --------
    >>> from moe_costmodel import Request, at_rate
    >>> [r.arrival for r in at_rate([Request(0.0, 8, 8), Request(1.0, 8, 8)], 4.0)]
    [0.0, 0.25]
    """
    if check_number("at_rate", "rate", rate) <= 0:
        raise invalid("at_rate", "rate", rate, "a positive number of requests per second")
    times = [request.arrival for request in requests]
    span = max(times) - min(times) if times else 0.0
    if not span:
        raise invalid("at_rate", "requests", "one time of arrival", "requests at several times")
    scale = (len(times) - 1) / (rate * span)
    first = min(times)
    return [Request((r.arrival - first) * scale, r.input_tokens, r.output_tokens) for r in requests]


def poisson_requests(
    rate: float,
    n_requests: int,
    input_tokens: int | TokenLengths,
    output_tokens: int | TokenLengths,
    *,
    random_state: np.random.Generator,
) -> list[Request]:
    """Draw requests that arrive independently of each other.

    Parameters
    ----------
    rate : float
        Requests per second.
    n_requests : int
        Requests to draw.
    input_tokens, output_tokens : int or TokenLengths
        Tokens of each prompt and answer, or the distribution of them.
    random_state : numpy.random.Generator
        Source of the gaps, which are exponential, and of the lengths.

    Returns
    -------
    list of Request

    Raises
    ------
    ValueError
        If a number is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import TokenLengths, poisson_requests
    >>> rng = np.random.default_rng(0)
    >>> len(poisson_requests(10.0, 300, TokenLengths(1024, 0.3), 128, random_state=rng))
    300
    """
    owner = "poisson_requests"
    if check_number(owner, "rate", rate) <= 0:
        raise invalid(owner, "rate", rate, "a positive number of requests per second")
    count(owner, "n_requests", n_requests)
    times = np.cumsum(random_state.exponential(1 / rate, n_requests))
    lengths = []
    for name, value in (("input_tokens", input_tokens), ("output_tokens", output_tokens)):
        if isinstance(value, TokenLengths):
            lengths.append(value.draw(n_requests, random_state))
        else:
            lengths.append(np.full(n_requests, count(owner, name, value)))
    rows = zip((times - times[0]).tolist(), *(x.tolist() for x in lengths), strict=True)
    return [Request(*row) for row in rows]
