"""Instances of the rho-MNK-landscapes: random ones, and the mocobench file format."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np

from moela.files.guard import brief
from problems._arrays import Floats, Ints
from problems._checks import check_int, setting_error
from problems.classic.correlated import check_correlation, correlated_uniforms
from problems.classic.textfile import MAX_OBJECTIVES, LineReader

__all__ = ["MAX_K", "random_instance", "read_instance", "write_instance"]


OWNER = "MNKLandscape.random"
MAX_K = 20
_MOST_BYTES = 16 << 30
_HEADER = "a line 'p rMNK rho M N K'"


def random_instance(*, n: int, k: int, n_obj: int, rho: float, seed: int) -> tuple[Ints, Floats]:
    """Return links [m, n, k + 1] and tables [m, n, 2^(k+1)]; see `MNKLandscape.random`."""
    n = check_int(OWNER, "n", n, 1)
    k = check_int(OWNER, "k", k, 0, min(n - 1, MAX_K))
    m = check_int(OWNER, "n_obj", n_obj, 1)
    check_correlation(OWNER, "rho", rho, m)
    size = 8 * m * (n << (k + 1))
    if size > _MOST_BYTES:
        expected = f"small enough for tables of {_MOST_BYTES >> 30} GiB, 8 n_obj n 2^(k+1) bytes"
        got = f"{k} with n={n} and n_obj={m}: {size / 2**30:,.0f} GiB"
        raise setting_error(OWNER, "k", expected, got)
    rng = np.random.default_rng(check_int(OWNER, "seed", seed, 0))
    links = np.empty((n, k + 1), dtype=np.int64)
    for i in range(n):
        others = rng.choice(n - 1, size=k, replace=False)
        links[i, 0] = i
        links[i, 1:] = others + (others >= i)
    cells = correlated_uniforms(n << (k + 1), m, rho, rng)
    tables = np.ascontiguousarray(cells.T.reshape(m, n, 1 << (k + 1)))
    return np.tile(links, (m, 1, 1)), tables


def read_instance(path: str | Path) -> tuple[Ints, Floats, float]:
    """Return links, tables and rho of a mocobench file; see `MNKLandscape.from_file`."""
    reader = LineReader(path)
    line = reader.line(_HEADER)
    while line.split(None, 1)[0] == "c":
        line = reader.line(_HEADER)
    tokens = line.split(None, 6)
    if tokens[:2] != ["p", "rMNK"] or len(tokens) != 6:
        raise reader.error(_HEADER, brief(line))
    (rho,) = reader.parse("rho", tokens[2:3], whole=False, low=-1.0, high=1.0, first=3)
    m, n, k = map(int, reader.parse("M, N and K", tokens[3:], first=4))
    if not 1 <= m <= MAX_OBJECTIVES or n < 1 or not 0 <= k <= min(n - 1, MAX_K):
        raise reader.error(
            f"M from 1 to {MAX_OBJECTIVES}, N of at least 1, and K from 0 to N - 1 and at most "
            f"{MAX_K}",
            f"M={m}, N={n}, K={k}",
        )
    _section(reader, "links")
    entries = array("d")  # grows: no memory is taken for a header alone
    for i in range(n):
        for j in range(k + 1):
            what = f"link {j} of bit {i} for {m} objectives"
            entries.extend(reader.numbers(what, m, high=n - 1))
    links = np.array(entries, dtype=np.int64).reshape(-1, m).T.reshape(m, n, k + 1)
    _section(reader, "tables")
    entries = array("d")
    for i in range(n):
        for cell in range(1 << (k + 1)):
            what = f"table entry {cell} of bit {i} for {m} objectives"
            entries.extend(reader.numbers(what, m, whole=False, high=1.0))
    reader.end()
    return links, np.array(entries).reshape(-1, m).T.reshape(m, n, 1 << (k + 1)), rho


def _section(reader: LineReader, name: str) -> None:
    line = reader.line(f"a line 'p {name}'")
    if line.split(None, 2) != ["p", name]:
        raise reader.error(f"a line 'p {name}'", brief(line))


def write_instance(path: str | Path, links: Ints, tables: Floats, rho: float) -> None:
    """Write a mocobench file that `read_instance` reads back bit by bit."""
    m, n, width = links.shape
    lines = [f"p rMNK {rho!r} {m} {n} {width - 1}", "p links"]
    lines += [" ".join(map(str, row)) for row in links.reshape(m, -1).T.tolist()]
    lines.append("p tables")
    lines += [" ".join(map(repr, row)) for row in tables.reshape(m, -1).T.tolist()]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
