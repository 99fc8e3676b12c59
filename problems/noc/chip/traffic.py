"""Traffic between PEs: read from a file, or synthetic with the shares of a named application."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from moela.files.guard import invalid_file
from moela.files.tables import TextTable
from problems._arrays import Floats
from problems._checks import check_choice, check_real, setting_error
from problems.noc.chip.files import WITHOUT_TITLES, read_rows

if TYPE_CHECKING:
    from problems.noc.chip.platform import Platform

__all__ = [
    "APPLICATIONS",
    "RELEASED_SCALE",
    "OverloadWarning",
    "busiest_port",
    "check_applications",
    "check_traffic",
    "load_traffic",
    "overload",
    "sent_and_received",
    "synthetic_traffic",
    "warn_of_overload",
    "warn_of_scale",
]

_LEAST_FLITS = 1e-6  # per cycle, of a PE
_IN_A_LIST = 3
_MOST_IN_LIST = 10_000_000
_TRAFFIC = "a finite number >= 0"

RELEASED_SCALE = 2e8
"""Divisor of the numbers of a traffic file in the released MOELA code."""

# The shares of CPU-LLC and GPU-LLC traffic are those of the Rodinia traces that MOELA used. The
# small shares and the totals are rounded from these traces for bfs, bp, gau, hotspot and pf. For
# the other four applications they are made up, except the total of kmeans.
APPLICATIONS: dict[str, tuple[float, float, float, float, float]] = {
    "bfs": (34.6, 62.2, 2.5, 0.7, 2.2e8),
    "bp": (94.2, 4.5, 0.5, 0.8, 1.3e7),
    "gau": (20.9, 53.9, 24.9, 0.3, 1.3e7),
    "hotspot": (98.9, 0.02, 0.0, 1.08, 1.8e7),
    "kmeans": (23.6, 74.0, 2.0, 0.4, 2.3e9),
    "nw": (8.3, 91.1, 0.4, 0.2, 1e8),
    "pf": (86.7, 0.2, 0.0, 13.1, 2.1e8),
    "sc": (80.6, 19.3, 0.05, 0.05, 1e8),
    "srad": (99.1, 0.2, 0.1, 0.6, 1e8),
}
"""Application -> CPU-LLC, GPU-LLC, GPU-GPU and CPU-CPU share in per cent, total of a file."""


class OverloadWarning(UserWarning):
    """Some PE sends or receives more than its port takes, whatever the design.

    Examples
    --------
    >>> import warnings
    >>> from problems.noc import OverloadWarning
    >>> warnings.simplefilter("error", OverloadWarning)  # doctest: +SKIP
    """


def sent_and_received(traffic: Floats) -> tuple[Floats, Floats]:
    """Return the traffic of each PE into the network and out of it, two float [n_tiles]."""
    inside = np.diag(traffic)
    return traffic.sum(axis=1) - inside, traffic.sum(axis=0) - inside


def busiest_port(traffic: Floats) -> tuple[int, str, float]:
    """Return the PE that sends or receives most, "sends" or "receives", and flits per cycle."""
    sent, received = sent_and_received(traffic)
    verb, flits = ("sends", sent) if sent.max() >= received.max() else ("receives", received)
    return int(flits.argmax()), verb, float(flits.max())


def overload(traffic: Floats, capacity: float) -> str | None:
    """Return the PE whose port cannot take its part of the traffic [n, n], and the numbers.

    The result is None if every port can. A port takes ``capacity`` flits per cycle each way.
    """
    pe, verb, flits = busiest_port(traffic)
    if flits <= capacity:
        return None
    return (
        f"PE {pe} {verb} {flits:.3g} flits per cycle, the most of all, but a port takes "
        f"{capacity:g}: no design can carry this traffic"
    )


def warn_of_overload(
    traffic: Sequence[Floats] | Floats, capacity: float, sources: Sequence[str] = ()
) -> None:
    """Warn of each application that no design can carry, with the PE and its flits per cycle."""
    for i, matrix in enumerate(traffic):
        note = overload(matrix, capacity)
        if note is not None:
            source = sources[i] if sources else f"traffic[{i}]" if len(traffic) > 1 else "traffic"
            advice = "divide it by the cycles of its trace ('scale'), or limit 'port_load'"
            warnings.warn(f"{source}: {note}; {advice}.", OverloadWarning, stacklevel=3)


def warn_of_scale(traffic: Floats, scale: float, source: str) -> None:
    """Warn of a file next to nothing of which is left after the division by the default scale."""
    busiest = busiest_port(traffic)[2]
    if scale == RELEASED_SCALE and busiest < _LEAST_FLITS:
        warnings.warn(
            f"{source}: the busiest PE sends or receives {busiest:.2g} flits per cycle, since the "
            f"numbers are divided by the default scale, {RELEASED_SCALE:g}. If they are flits per "
            "cycle, pass scale=1; if they are counts of flits, the cycles of their trace.",
            stacklevel=3,
        )


def check_traffic(traffic: ArrayLike, n: int, source: str = "traffic") -> Floats:
    """Return traffic from PE i to PE j as a float array [n, n].

    A ValueError names ``source``, such as the file of the traffic, and row and column of the fault.
    """
    if np.ma.is_masked(traffic):
        raise ValueError(f"{source}: must have no masked entries. Fill them, for example with 0.")
    try:
        if np.iscomplexobj(traffic):
            raise TypeError("complex numbers")
        values = np.array(traffic, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{source}: must be numbers [{n}, {n}]. Got {error}.") from None
    if values.shape != (n, n):
        raise ValueError(
            f"{source}: must have {n} rows and {n} columns, one of each for every PE of the "
            f"platform. Got shape {values.shape} instead."
        )
    wrong = np.argwhere(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        i, j = wrong[0].tolist()
        raise ValueError(
            f"{source}, row {i + 1}, column {j + 1}: must be a finite number >= 0, the traffic "
            f"from PE {i} to PE {j}. Got {values[i, j]} instead."
        )
    if np.count_nonzero(values) == np.count_nonzero(np.diag(values)):
        raise ValueError(f"{source}: must hold some traffic between two PEs. Got none.")
    # The deviation squares loads.
    highest = values.max()
    if not 1e-100 < highest < 1e100:
        raise ValueError(
            f"{source}: must have a largest number between 1e-100 and 1e100, so that its square is "
            f"finite and not 0. Got {highest:g} instead; use another unit."
        )
    return values


def check_applications(
    traffic: ArrayLike | Sequence[Floats], n: int, source: str = "traffic"
) -> Floats:
    """Return the traffic of one or several applications as a float array [n_apps, n, n].

    Errors are those of ``check_traffic``; they name the application if there are several.
    """
    if isinstance(traffic, np.ndarray):
        several = traffic.ndim == 3
    else:
        several = isinstance(traffic, list | tuple) and len(traffic) > 0
        several = several and all(_is_matrix(t) for t in traffic)  # type: ignore[union-attr]
    if not several:
        return check_traffic(traffic, n, source)[None]
    if not len(traffic):  # type: ignore[arg-type]
        raise ValueError(f"{source}: must hold one application or more. Got none.")
    return np.stack([check_traffic(t, n, f"{source}[{i}]") for i, t in enumerate(traffic)])  # type: ignore[arg-type]


def _is_matrix(value: object) -> bool:
    """Return whether a value is a table: an array, a frame, or a list of rows."""
    if isinstance(value, list | tuple):
        return len(value) > 0 and all(np.ndim(row) == 1 for row in value)
    return np.ndim(value) == 2  # type: ignore[arg-type]


def load_traffic(path: str | Path, *, n: int = 64, scale: float = RELEASED_SCALE) -> Floats:
    """Read a traffic file: a table, or a list of pairs; white space or commas separate numbers.

    Parameters
    ----------
    path : str or Path
        A table has n rows of n numbers: row i, column j is the traffic from PE i to PE j, counted
        from 0. A list has three numbers in each row: the PE that sends, the PE that receives, and
        the traffic. Rows of the same pair add up, and pairs that are left out have no traffic.
    n : int
        Number of PEs.
    scale : float
        Divisor of the numbers; the default is that of the released code.

    Returns
    -------
    float array [n, n]

    Raises
    ------
    ValueError
        A row is missing or too long, or an entry is not a finite number >= 0; the message names
        file, row (counted from 1) and column.
    FileNotFoundError
        There is no such file.

    Examples
    --------
    >>> from problems.noc import load_traffic
    >>> traffic = load_traffic("traffic.csv", n=64, scale=1.0)  # doctest: +SKIP
    """
    check_real("load_traffic", "scale", scale, 0.0, above=True)
    first = next((cells for _, cells in TextTable(path) if cells), [])
    if n > _IN_A_LIST and len(first) - (not any(first[-1:])) == _IN_A_LIST:
        return check_traffic(_of_list(path, n) / scale, n, str(path))
    rows: list[list[float]] = []
    for place, row in read_rows(path, _is_traffic, _TRAFFIC, n):
        if len(row) != n:
            wanted = f"{n} columns, one for every PE of the platform"
            if not rows:
                wanted += ", or 3 in every row: sender, receiver and traffic"
            error = invalid_file(path, len(row), wanted, place)
            raise ValueError(f"{error}{WITHOUT_TITLES}") if len(row) == n + 1 else error
        rows.append(row)
    if len(rows) != n:
        wanted = f"a table of {n} rows, one for every PE of the platform"
        raise invalid_file(path, len(rows), wanted)
    with np.errstate(over="ignore"):  # infinity is refused by its place
        scaled = np.array(rows) / scale
    return check_traffic(scaled, n, str(path))


def _is_traffic(value: float) -> bool:
    return 0 <= value < math.inf


def _of_list(path: str | Path, n: int) -> Floats:
    """Read a list of senders, receivers and traffic as a table [n, n]."""
    table = np.zeros((n, n))
    for place, row in read_rows(path, _is_traffic, _TRAFFIC, _MOST_IN_LIST):
        if len(row) != _IN_A_LIST:
            wanted = "3 numbers, as in the rows before: sender, receiver and traffic"
            raise invalid_file(path, len(row), wanted, place)
        sender, receiver, amount = row
        for column, pe in ((1, sender), (2, receiver)):
            if not (pe < n and pe.is_integer()):
                wanted = f"a PE from 0 to {n - 1}, in a list of senders, receivers and traffic"
                raise invalid_file(path, f"{pe:g}", wanted, f"{place}, column {column}")
        table[int(sender), int(receiver)] += amount
    return table


def synthetic_traffic(
    application: str, platform: Platform, random_state: np.random.Generator
) -> Floats:
    """Make synthetic traffic with the class-to-class shares of a named application.

    No trace was recorded. Only the shares of CPU-LLC, GPU-LLC, GPU-GPU and CPU-CPU traffic and the
    total follow the application (see ``APPLICATIONS``). The rest is made up: PEs of a class differ
    by log-normal weights, PE 0 has three times its weight as the main thread, and LLCs send twice
    as much as they receive.

    Parameters
    ----------
    application : str
        One of ``APPLICATIONS``.
    platform : Platform
        Only PEs of its types "CPU", "LLC" and "GPU" have traffic; shares of absent types are
        omitted.
    random_state : numpy Generator

    Returns
    -------
    float array [n_tiles, n_tiles]
        In the unit of ``load_traffic`` with its default scale.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.noc import Platform, synthetic_traffic
    >>> synthetic_traffic("bfs", Platform.paper_4x4x4(), np.random.default_rng(1)).shape
    (64, 64)
    """
    check_choice("synthetic_traffic", "application", application, tuple(APPLICATIONS))
    cpu_llc, gpu_llc, gpu_gpu, cpu_cpu, total = APPLICATIONS[application]
    blocks = (
        ("CPU", "LLC", cpu_llc / 3),
        ("LLC", "CPU", cpu_llc * 2 / 3),
        ("GPU", "LLC", gpu_llc / 3),
        ("LLC", "GPU", gpu_llc * 2 / 3),
        ("GPU", "GPU", gpu_gpu),
        ("CPU", "CPU", cpu_cpu),
    )
    n = platform.n_tiles
    weight = random_state.lognormal(0.0, 0.5, size=n)
    if platform.pes_of("CPU"):
        weight[platform.pes_of("CPU")[0]] *= 3.0
    noise = random_state.lognormal(0.0, 0.5, size=(n, n))
    # In place if possible: with a thousand PEs, each of these arrays takes 8 MB.
    shape = weight[:, None] * weight[None, :]
    shape *= noise
    np.fill_diagonal(shape, 0.0)
    traffic = np.zeros((n, n))
    for source, target, share in blocks:
        block = np.ix_(platform.pes_of(source), platform.pes_of(target))
        amount = shape[block].sum()
        if amount > 0:
            traffic[block] = shape[block] * (share / amount)
    if not traffic.any():
        expected = "a platform with two of the types CPU, LLC and GPU (for others, use own traffic)"
        types = [kind.name for kind in platform.pe_types]
        raise setting_error("synthetic_traffic", "platform", expected, types)
    # Counts of flits, as in a file.
    traffic *= total / traffic.sum()
    np.round(traffic, out=traffic)
    traffic /= RELEASED_SCALE
    return traffic
