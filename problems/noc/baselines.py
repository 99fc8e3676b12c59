"""Regular networks to compare designs with: folded torus, express mesh, and optimized placements.

A mesh as it is loses to any search. A fair comparison also has what an architect would build
without a search of the links: the mesh, the folded torus [1]_ and the express mesh [2]_, each with
the PEs placed by simulated annealing for the traffic at hand.

All networks keep the platform's vertical links and join tiles within layers.

References
----------
.. [1] W. J. Dally, B. Towles, "Route packets, not wires: on-chip interconnection networks",
   DAC 2001.
.. [2] W. J. Dally, "Express cubes: improving the performance of k-ary n-cube interconnection
   networks", IEEE Transactions on Computers, 1991.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from moela.heartbeat.working import long_work
from problems._arrays import Floats, Ints
from problems._checks import (
    check_int,
    check_ints,
    check_random_state,
    check_real,
    require,
    setting_error,
)
from problems.noc.chip.layout import Grid, link_candidates, link_lengths
from problems.noc.chip.platform import Platform
from problems.noc.design.design import Design
from problems.noc.problem import NoC3D

__all__ = ["express_mesh", "folded_torus", "optimize_placement"]

Pair = tuple[int, int]

HOTTEST, COLDEST = 0.03, 0.0003
"""First and last temperature of the annealing, as shares of the first value."""


def folded_torus(platform: Platform) -> Design:
    """Return the torus of each layer, folded so that no link is longer than two pitches.

    Parameters
    ----------
    platform : Platform

    Returns
    -------
    Design
        Of the platform itself if it has as many planar links; otherwise of a copy of it whose
        planar links are those of the torus. The placement is that of the mesh.

    Raises
    ------
    ValueError
        The degree cap or the longest link of the platform does not allow a torus.

    Examples
    --------
    >>> from problems.noc import Platform
    >>> from problems.noc.baselines import folded_torus
    >>> len(folded_torus(Platform.mesh_8x8()).links)
    128
    """
    require("folded_torus", "platform", platform, isinstance(platform, Platform), "a Platform")
    return _design_of(platform, _in_layers(platform.grid, _ring), "folded_torus")


def express_mesh(
    platform: Platform, *, wire_length: float | None = None, spans: Sequence[int] = (2, 3)
) -> Design:
    """Return the mesh with express links along rows and columns.

    Express links of each span come in order of how far they are from the middle of the layer, as
    long as their wires and the degree cap allow.

    Parameters
    ----------
    platform : Platform
    wire_length : float, optional
        Most tile pitches of all planar links; by default those of the folded torus, twice the
        mesh's without its borders.
    spans : sequence of int
        Lengths of express links, tried in this order.

    Returns
    -------
    Design
        As from ``folded_torus``.

    Raises
    ------
    ValueError
        The platform has too few ports for a mesh, or the wires are shorter than those of the mesh.

    Examples
    --------
    >>> from problems.noc import Platform
    >>> from problems.noc.baselines import express_mesh
    >>> design = express_mesh(Platform.mesh_8x8(), wire_length=160)
    >>> len(design.links)
    136
    """
    owner = "express_mesh"
    require(owner, "platform", platform, isinstance(platform, Platform), "a Platform")
    listed, grid = check_ints(owner, "spans", spans, 2), platform.grid
    mesh = list(_in_layers(grid, _line))
    if wire_length is None:
        pairs = np.array(list(_in_layers(grid, _ring)), dtype=np.int64).reshape(-1, 2)
        wire_length = float(link_lengths(grid, pairs).sum())
    most = check_real(owner, "wire_length", wire_length, float(len(mesh)))
    degree = _degrees(platform, mesh)
    links, wires = mesh, float(len(mesh))
    for span in listed:
        if platform.max_length is not None and span > platform.max_length:
            continue
        express = list(_in_layers(grid, partial(_jumps, span)))
        for a, b in sorted(express, key=lambda pair: _from_middle(grid, pair)):
            free = max(degree[a], degree[b]) < platform.max_degree
            if free and wires + span <= most:
                links.append((a, b))
                wires += span
                degree[a] += 1
                degree[b] += 1
    return _design_of(platform, links, owner)


@long_work("optimizing a placement")
def optimize_placement(
    design: Design,
    traffic: ArrayLike | Sequence[Floats],
    *,
    random_state: np.random.Generator,
    metric: str = "edp",
    n_eval: int = 5000,
) -> Design:
    """Return the design with its PEs swapped by simulated annealing; the links stay.

    Parameters
    ----------
    design : Design
    traffic : float array-like [n_tiles, n_tiles], or a sequence of them
        As in ``NoC3D``.
    random_state : numpy Generator
    metric : str
        Minimized; an objective of ``NoC3D``.
    n_eval : int
        Designs that are evaluated.

    Returns
    -------
    Design
        The best one, of the same platform.

    Raises
    ------
    ValueError
        A parameter is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.noc import Design, NoC3D
    >>> from problems.noc.baselines import optimize_placement
    >>> problem, rng = NoC3D.example("bfs", objectives=("edp",)), np.random.default_rng(1)
    >>> design = optimize_placement(Design.mesh(), problem.traffic, random_state=rng, n_eval=300)
    >>> bool(problem.evaluate(problem.encode(design)) < problem.ref_point)
    True
    """
    rng = check_random_state("optimize_placement", random_state)
    n_eval = check_int("optimize_placement", "n_eval", n_eval, 1)
    require("optimize_placement", "design", design, isinstance(design, Design), "a Design")
    problem = NoC3D(
        traffic, platform=with_links(design.platform, design.links), objectives=(metric,)
    )
    return anneal(design, problem, lambda row: float(problem.evaluate(row)[0]), rng, n_eval)


def anneal(
    design: Design,
    problem: NoC3D,
    value_of: Callable[[Ints], float],
    rng: np.random.Generator,
    n_eval: int,
) -> Design:
    """Return the design after simulated annealing of its placement.

    The platform of the problem has no other links than the design (``with_links``). ``value_of``
    returns the value of a row of X, which is minimized.
    """
    n = problem.platform.n_tiles
    x = np.concatenate((design.placement, problem.mesh_row()[n:]))
    value = value_of(x)
    best, least = x, value
    hottest = HOTTEST * abs(value)
    for k in range(1, n_eval):
        heat = hottest * (COLDEST / HOTTEST) ** (k / n_eval)
        other = problem.neighbors(x, 1, rng)[0]
        new = value_of(other)
        if new <= value or rng.random() < math.exp((value - new) / max(heat, 1e-300)):
            x, value = other, new
            if value < least:
                best, least = x, value
    return Design(best[:n], design.links, design.platform)


def _line(k: int) -> list[Pair]:
    return [(i, i + 1) for i in range(k - 1)]


def _jumps(span: int, k: int) -> list[Pair]:
    return [(i, i + span) for i in range(k - span)]


def _ring(k: int) -> list[Pair]:
    """Return the links of a folded ring of k tiles."""
    if k < 3:
        return _line(k)
    return [(0, 1), (k - 2, k - 1), *((i, i + 2) for i in range(k - 2))]


def _in_layers(grid: Grid, along: Callable[[int], list[Pair]]) -> Iterator[Pair]:
    """Yield the tile pairs of all rows and columns; ``along`` gives those of a row of k tiles."""
    x, y, z = grid
    for layer, j in itertools.product(range(z), range(y)):
        first = (layer * y + j) * x
        yield from ((first + a, first + b) for a, b in along(x))
    for layer, i in itertools.product(range(z), range(x)):
        first = layer * x * y + i
        yield from ((first + a * x, first + b * x) for a, b in along(y))


def _from_middle(grid: Grid, pair: Pair) -> float:
    """Return the distance of the middle of a link from the middle of its layer."""
    x, y, _ = grid
    middle = [sum(t % x for t in pair) / 2.0, sum(t // x % y for t in pair) / 2.0]
    return math.dist(middle, [(x - 1) / 2.0, (y - 1) / 2.0])


def _degrees(platform: Platform, links: Sequence[Pair]) -> Ints:
    ends = np.concatenate((np.array(links, dtype=np.int64).ravel(), _verticals(platform).ravel()))
    return np.bincount(ends, minlength=platform.n_tiles)


def _verticals(platform: Platform) -> Ints:
    """Return the vertical links of the reference design, [n_vertical, 2]."""
    chosen = platform.candidates[platform.mesh[1][platform.n_planar_links :]]
    return np.concatenate((chosen, platform.vertical_array))


def with_links(platform: Platform, links: Ints) -> Platform:
    """Return a copy of a platform whose links are some planar and vertical ones."""
    layer = links // (platform.grid[0] * platform.grid[1])
    within = layer[:, 0] == layer[:, 1]
    vertical = np.concatenate((links[~within], platform.vertical_array))
    return replace(
        platform,
        n_planar_links=int(within.sum()),
        planar_links=tuple((a, b) for a, b in links[within].tolist()),
        vertical_links=tuple((a, b) for a, b in vertical.tolist()),
        n_vertical_links=None,
        mesh_placement=tuple(platform.mesh[0].tolist()),
    )


def _design_of(platform: Platform, links: Iterable[Pair], owner: str) -> Design:
    """Return a design of the platform, or of a copy with as many planar links."""
    pairs = np.sort(np.array(list(links), dtype=np.int64).reshape(-1, 2), axis=1)
    verticals = platform.candidates[platform.mesh[1][platform.n_planar_links :]]
    known = set(map(tuple, link_candidates(platform.grid, platform.max_length).tolist()))
    degree = _degrees(platform, [(first, second) for first, second in pairs.tolist()])
    if degree.max() > platform.max_degree or not known.issuperset(map(tuple, pairs.tolist())):
        longest = float(link_lengths(platform.grid, pairs).max())
        expected = f"with a max_degree of {degree.max()} and a max_length of {longest:g} or more"
        raise setting_error(owner, "platform", expected, platform)
    chosen = np.concatenate((pairs, verticals))
    if len(pairs) == platform.n_planar_links and (platform.candidate_index(pairs) >= 0).all():
        return Design(platform.mesh[0], chosen, platform)
    copy = with_links(platform, chosen)
    return Design(copy.mesh[0], copy.candidates, copy)
