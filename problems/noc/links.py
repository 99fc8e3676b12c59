"""Compiled parts of moves of network-on-chip designs: links as a network, and single moves.

Random numbers are those of a splitmix64 stream for each row. numba's cache looks only at the file
of the function itself: after an edit here, delete the cache of ``problems.noc.moves``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from problems._arrays import Ints
from problems.noc.chip.jit import compiled, lean
from problems.noc.chip.tables import Seeds, Tables

__all__ = [
    "LINKS",
    "NOTHING",
    "PES",
    "Network",
    "add_link",
    "copy_canonical",
    "copy_row",
    "draw",
    "draw_link_move",
    "draw_swap",
    "exchange_ends",
    "load_links",
    "may_replace",
    "move_link",
    "new_network",
    "remove_link",
    "replace",
    "replace_link",
    "replace_sorted",
    "shuffle",
]

FEW_ATTEMPTS = 100
"""The same for a single link where ports are scarce, since other moves are at hand."""

NOTHING, LINKS, PES, ALL = 0, 1, 2, 3
"""Parts that no move changes; ``ALL`` leaves designs as they are."""

ATTEMPTS = 1_000
"""Draws before a move counts as impossible on a platform."""


ALIKE = 4
"""Two PEs of one type differ in their traffic only. They are drawn so many times less often."""

SCARCE = 8
"""A platform with fewer free ports than one for so many tiles has few moves of single links."""


class Network(NamedTuple):
    """The links of one design as neighbor lists of tiles, and scratch for the moves."""

    used: NDArray[np.uint8]  # [n_candidates] 1 for the chosen links
    degree: Ints  # [n_tiles]
    neighbor: Ints  # [n_tiles, max_degree]
    queue: Ints  # [n_tiles] scratch
    reached: NDArray[np.uint8]  # [n_tiles] scratch
    candidate: Ints  # [n_tiles, n_tiles] candidate of two tiles; empty unless ports are scarce
    singles: Ints  # [1] moves of single links among eight moves of links


@lean
def draw(state: Seeds, n: int) -> int:
    """Return an integer from 0 to n - 1 and advance the splitmix64 state."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return int(np.int64(((z >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)))


@lean
def shuffle(values: Ints, size: int, state: Seeds) -> None:
    """Shuffle the first ``size`` values in place."""
    for i in range(size - 1, 0, -1):
        j = draw(state, i + 1)
        values[i], values[j] = values[j], values[i]


@lean
def copy_row(row: Ints, out: Ints) -> None:
    """Copy a row of X. An explicit loop compiles ten times as fast as a slice assignment."""
    for k in range(row.size):
        out[k] = row[k]


@lean
def copy_canonical(row: Ints, n_tiles: int, out: Ints) -> None:
    """Copy a row of X and put its links in ascending order (they nearly always are)."""
    copy_row(row, out)
    for k in range(n_tiles + 1, row.size):
        value = out[k]
        while k > n_tiles and out[k - 1] > value:
            out[k] = out[k - 1]
            k -= 1
        out[k] = value


@compiled
def new_network(tables: Tables) -> Network:
    """Return an empty network for a platform."""
    n = tables.pe_type.size
    free = n * tables.max_degree - tables.vertical_degree.sum() - 2 * tables.n_chosen
    scarce = free * SCARCE < n
    index = np.full((n if scarce else 0, n), -1, np.int64)
    for c in range(tables.n_planar_candidates if scarce else 0):
        index[tables.link_a[c], tables.link_b[c]] = c
        index[tables.link_b[c], tables.link_a[c]] = c
    return Network(
        np.zeros(tables.n_candidates, np.uint8),
        np.zeros(n, np.int64),
        np.zeros((n, tables.max_degree), np.int64),
        np.zeros(n, np.int64),
        np.zeros(n, np.uint8),
        index,
        np.full(1, 8 if not scarce else 2 if free > 0 else 0),
    )


@lean
def replace(network: Network, tables: Tables, old: int, new: int) -> None:
    """Replace a chosen link by a candidate."""
    neighbor, degree = network.neighbor, network.degree
    a, b = tables.link_a[old], tables.link_b[old]
    for end, other in ((a, b), (b, a)):
        degree[end] -= 1
        for k in range(degree[end]):
            if neighbor[end, k] == other:
                neighbor[end, k] = neighbor[end, degree[end]]
                break
    a, b = tables.link_a[new], tables.link_b[new]
    neighbor[a, degree[a]] = b
    neighbor[b, degree[b]] = a
    degree[a] += 1
    degree[b] += 1
    network.used[old] = 0
    network.used[new] = 1


@lean
def load_links(network: Network, tables: Tables, links: Ints) -> None:
    """Fill the network with the links of a design."""
    used, degree, neighbor = network.used, network.degree, network.neighbor
    link_a, link_b, n_candidates = tables.link_a, tables.link_b, tables.n_candidates
    used.fill(0)
    degree.fill(0)
    n_fixed = link_a.size - n_candidates
    for k in range(n_fixed + links.size):
        c = n_candidates + k if k < n_fixed else links[k - n_fixed]
        a, b = link_a[c], link_b[c]
        neighbor[a, degree[a]] = b
        neighbor[b, degree[b]] = a
        degree[a] += 1
        degree[b] += 1
        if c < n_candidates:
            used[c] = 1


@lean
def may_replace(network: Network, tables: Tables, old: int, new: int) -> bool:
    """Return whether an unused link can replace another of its kind.

    Every router must stay within the degree cap, and the network connected.
    """
    planar = tables.n_planar_candidates
    if network.used[new] == 1 or (old < planar) != (new < planar):
        return False
    degree, neighbor = network.degree, network.neighbor
    a, b = tables.link_a[old], tables.link_b[old]
    c, d = tables.link_a[new], tables.link_b[new]
    for end in (c, d):
        if degree[end] - (end in (a, b)) >= tables.max_degree:
            return False
    # The network stays connected if a path leads from a to b without the old link, or if the new
    # link joins the tiles that a reaches to the others.
    reached, queue = network.reached, network.queue
    reached.fill(0)
    reached[a] = 1
    queue[0] = a
    n_reached = 1
    i = 0
    while i < n_reached:
        v = queue[i]
        for k in range(degree[v]):
            u = neighbor[v, k]
            if reached[u] == 0 and not (v == a and u == b):
                if u == b:
                    return True
                reached[u] = 1
                queue[n_reached] = u
                n_reached += 1
        i += 1
    return reached[c] != reached[d]


@lean
def may_swap(placement: Ints, tables: Tables, a: int, b: int) -> bool:
    """Return whether the PEs on two tiles may change places."""
    p, q = tables.pe_type[placement[a]], tables.pe_type[placement[b]]
    return a != b and tables.allowed[p, b] and tables.allowed[q, a]


@lean
def replace_sorted(links: Ints, position: int, new: int) -> None:
    """Replace the link at a position by another and keep the list ascending."""
    i = position
    while i > 0 and links[i - 1] > new:
        links[i] = links[i - 1]
        i -= 1
    while i < links.size - 1 and links[i + 1] < new:
        links[i] = links[i + 1]
        i += 1
    links[i] = new


@lean
def draw_swap(placement: Ints, tables: Tables, state: Seeds) -> tuple[int, int]:
    """Return two tiles that may be swapped, or (-1, -1)."""
    n, several = placement.size, tables.allowed.shape[0] > 1
    for _ in range(ATTEMPTS):
        a, b = draw(state, n), draw(state, n)
        if not may_swap(placement, tables, a, b):
            continue
        # On a platform of one type, all pairs are alike, and none is to be preferred.
        alike = tables.pe_type[placement[a]] == tables.pe_type[placement[b]]
        if not (several and alike and draw(state, ALIKE) > 0):
            return min(a, b), max(a, b)
    return -1, -1


@lean
def draw_link_move(links: Ints, network: Network, tables: Tables, state: Seeds) -> tuple[int, int]:
    """Return the position of a link and a candidate that may replace it, or (-1, -1)."""
    if links.size > 0:
        for _ in range(ATTEMPTS if network.singles[0] == 8 else FEW_ATTEMPTS):
            position = draw(state, links.size)
            n_planar = tables.n_planar_candidates
            planar = links[position] < n_planar
            low, high = (0, n_planar) if planar else (n_planar, tables.n_candidates)
            new = low + draw(state, high - low)
            if may_replace(network, tables, links[position], new):
                return position, new
    return -1, -1


@lean
def add_link(network: Network, tables: Tables, c: int) -> None:
    """Add a candidate to the network, within the degree cap."""
    for end, other in (
        (tables.link_a[c], tables.link_b[c]),
        (tables.link_b[c], tables.link_a[c]),
    ):
        network.neighbor[end, network.degree[end]] = other
        network.degree[end] += 1
    network.used[c] = 1


@lean
def remove_link(network: Network, tables: Tables, c: int) -> None:
    """Remove a candidate from the network."""
    neighbor, degree = network.neighbor, network.degree
    for end, other in (
        (tables.link_a[c], tables.link_b[c]),
        (tables.link_b[c], tables.link_a[c]),
    ):
        degree[end] -= 1
        for k in range(degree[end]):
            if neighbor[end, k] == other:
                neighbor[end, k] = neighbor[end, degree[end]]
                break
    network.used[c] = 0


@lean
def is_connected(network: Network) -> bool:
    """Return whether paths lead from the first tile to all."""
    reached, queue = network.reached, network.queue
    reached.fill(0)
    reached[0] = 1
    queue[0] = 0
    n_reached, i = 1, 0
    while i < n_reached:
        v = queue[i]
        for k in range(network.degree[v]):
            u = network.neighbor[v, k]
            if reached[u] == 0:
                reached[u] = 1
                queue[n_reached] = u
                n_reached += 1
        i += 1
    return n_reached == queue.size


@lean
def exchange_ends(
    links: Ints, network: Network, tables: Tables, state: Seeds
) -> tuple[int, int, int, int]:
    """Exchange ends of two planar links in the network, which keeps all degrees.

    Return the two old and the two new candidates, or (-1, ...) if none was found.
    """
    n_planar = tables.n_planar
    for _ in range(ATTEMPTS if n_planar > 1 else 0):
        old, other = links[draw(state, n_planar)], links[draw(state, n_planar)]
        a, b = tables.link_a[old], tables.link_b[old]
        c, d = tables.link_a[other], tables.link_b[other]
        if draw(state, 2) == 1:
            c, d = d, c
        if a in (c, d) or b in (c, d):
            continue
        new, last = network.candidate[a, c], network.candidate[b, d]
        if new < 0 or last < 0 or network.used[new] == 1 or network.used[last] == 1:
            continue
        remove_link(network, tables, old)
        remove_link(network, tables, other)
        add_link(network, tables, new)
        add_link(network, tables, last)
        if is_connected(network):
            return old, other, new, last
        remove_link(network, tables, new)
        remove_link(network, tables, last)
        add_link(network, tables, old)
        add_link(network, tables, other)
    return -1, -1, -1, -1


@lean
def replace_link(links: Ints, old: int, new: int) -> None:
    """Replace a link of the row by another and keep the list ascending."""
    for position in range(links.size):
        if links[position] == old:
            replace_sorted(links, position, new)
            break


@lean
def move_link(links: Ints, network: Network, tables: Tables, state: Seeds) -> None:
    """Replace a random link in the row and in its network, if any may be replaced.

    If ports are scarce, most moves exchange the ends of two links instead.
    """
    if network.singles[0] < 8 and draw(state, 8) >= network.singles[0]:
        old, other, new, last = exchange_ends(links, network, tables, state)
        if new >= 0:
            replace_link(links, old, new)
            replace_link(links, other, last)
        return
    position, new = draw_link_move(links, network, tables, state)
    if new >= 0:
        replace(network, tables, links[position], new)
        replace_sorted(links, position, new)
