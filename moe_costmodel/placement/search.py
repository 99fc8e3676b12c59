"""Placements by local search over swaps, and the exact optimum of small cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel._checks import check_loads, count, invalid
from moe_costmodel.placement.heuristics import greedy
from moe_costmodel.placement.placement import Placement, even_devices, shares
from moela.compilation.jit import cached_njit
from moela.files.guard import brief
from moela.heartbeat.working import long_work

__all__ = ["OptimalPlacement", "optimal_placement", "swap_search"]


@dataclass(frozen=True)
class OptimalPlacement:
    """A placement with a proven bound on the optimum.

    Attributes
    ----------
    placement : Placement
        Placement of one layer.
    value : float
        Avg Max Load of the placement on the given steps.
    bound : float
        Lower bound of the Avg Max Load of all placements, up to the solver's tolerance.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import optimal_placement
    >>> best = optimal_placement(np.array([[4, 3, 2, 1]]), n_devices=2)
    >>> best.value, round(best.gap, 6)
    (0.5, 0.0)
    """

    placement: Placement
    value: float
    bound: float

    @property
    def gap(self) -> float:
        """Relative gap, (value - bound) / value: 0 if the placement is proven optimal."""
        return max(0.0, (self.value - self.bound) / self.value)


@long_work("searching the optimal placement")
def optimal_placement(
    loads: ArrayLike, n_devices: int, *, time_limit: float = 60.0
) -> OptimalPlacement:
    """Minimize the Avg Max Load of one layer exactly, by mixed-integer programming (HiGHS).

    Parameters
    ----------
    loads : array_like of shape (n_steps, n_experts)
        Tokens of each expert in each step. The model has n_experts x n_devices binary variables
        and n_steps x n_devices rows, so that only small cases can be solved. The mean as the only
        step gives the classic makespan problem.
    n_devices : int
        Number of devices; each gets n_experts / n_devices experts.
    time_limit : float
        Seconds after which the best placement and bound so far are returned.

    Returns
    -------
    OptimalPlacement

    Raises
    ------
    ValueError
        If the loads are unusable or the devices do not divide the experts.
    RuntimeError
        If the solver finds no placement in time.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import optimal_placement
    >>> best = optimal_placement(np.array([[4, 3, 2, 1]]), n_devices=2)
    >>> best.placement.device_loads([[[4, 3, 2, 1]]]).ravel().tolist()
    [5.0, 5.0]
    """
    owner = "optimal_placement"
    if not isinstance(time_limit, int | float | np.number) or not time_limit > 0:
        raise invalid(owner, "time_limit", time_limit, "a positive number of seconds")
    array = check_loads(owner, loads, ndim=2)
    n_steps, n_experts = array.shape
    n_devices = even_devices(owner, n_devices, n_experts)
    share = shares(array, if_none=1.0 / n_experts)
    n_binary = n_experts * n_devices  # x[e, d] at e * n_devices + d, then one maximum a step
    cost = np.concatenate([np.zeros(n_binary), np.full(n_steps, 1.0 / n_steps)])
    one_device = sparse.kron(sparse.eye(n_experts), np.ones((1, n_devices)))
    room = sparse.kron(np.ones((1, n_experts)), sparse.eye(n_devices))
    device_load = sparse.kron(share, sparse.eye(n_devices))
    step_max = sparse.kron(sparse.eye(n_steps), np.ones((n_devices, 1)))
    rows = sparse.bmat([[one_device, None], [room, None], [device_load, -step_max]], format="csr")
    most = np.repeat(
        [1.0, n_experts // n_devices, 0.0], [n_experts, n_devices, n_steps * n_devices]
    )
    least = np.where(most > 0, most, -np.inf)
    lower = np.zeros(n_binary + n_steps)
    lower[n_binary:] = 1.0 / n_devices
    upper = np.ones(n_binary + n_steps)
    # Devices are interchangeable, so that the busiest expert can be fixed on the first device.
    busiest = int(share.sum(axis=0).argmax())
    upper[busiest * n_devices + 1 : (busiest + 1) * n_devices] = 0.0
    result = milp(
        cost,
        integrality=np.concatenate([np.ones(n_binary), np.zeros(n_steps)]),
        bounds=Bounds(lower, upper),
        constraints=LinearConstraint(rows, least, most),
        options={"time_limit": float(time_limit)},
    )
    if result.x is None:
        raise RuntimeError(
            f"The solver found no placement within {time_limit} s ({result.message}). Use fewer "
            "steps or experts, or more time."
        )
    device = result.x[:n_binary].reshape(n_experts, n_devices).argmax(axis=1)
    value = float((share @ np.eye(n_devices)[device]).max(axis=1).mean())
    bound = max(float(result.mip_dual_bound or 0.0), 1.0 / n_devices)
    return OptimalPlacement(Placement.from_devices(device[None], n_devices), value, bound)


@long_work("searching a placement")
def swap_search(
    loads: ArrayLike,
    n_devices: int,
    *,
    start: Placement | None = None,
    max_sweeps: int = 100,
    random_state: np.random.Generator | int | None = None,
) -> Placement:
    """Improve the Avg Max Load of each layer by swaps of experts until no swap helps.

    A baseline for optimizers: first-improvement local search over all pairs of experts on
    different devices, in random order.

    Parameters
    ----------
    loads, n_devices
        As for :func:`moe_costmodel.greedy`.
    start : Placement, optional
        A placement without replicas; by default :func:`moe_costmodel.greedy`.
    max_sweeps : int
        Maximum number of passes over all pairs.
    random_state : Generator or int, optional
        Order of the pairs.

    Returns
    -------
    Placement

    Raises
    ------
    ValueError
        If the loads are unusable, or `start` does not fit them or has replicas.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import avg_max_load, swap_search
    >>> loads = np.array([[[4, 3, 2, 1]]])
    >>> avg_max_load(swap_search(loads, n_devices=2, random_state=1), loads).tolist()
    [0.5]
    """
    array = check_loads("swap_search", loads, ndim=3)
    max_sweeps = count("swap_search", "max_sweeps", max_sweeps)
    placement = greedy(array, n_devices) if start is None else start
    if not isinstance(placement, Placement):
        expected = "a Placement, such as anti_correlation(loads, n_devices), or None"
        raise invalid("swap_search", "start", brief(start), expected)
    wanted = (*array.shape[1:], n_devices, 0)
    got = placement.n_layers, placement.n_experts, placement.n_devices, placement.n_replicas
    if got != wanted:
        sizes = "{} layers, {} experts, {} devices, {} replicas"
        raise invalid("swap_search", "start", sizes.format(*got), "of " + sizes.format(*wanted))
    random = np.random.default_rng(random_state)
    devices = placement.device_of()
    share = shares(array, if_none=0.0)
    first, second = np.triu_indices(array.shape[2], 1)
    for layer in range(array.shape[1]):
        by_expert = np.ascontiguousarray(share[:, layer].T)
        for _ in range(max_sweeps):
            order = random.permutation(len(first))
            if not _sweep(by_expert, devices[layer], n_devices, first[order], second[order]):
                break
    return Placement.from_devices(devices, n_devices)


@cached_njit()
def _sweep(shares: Floats, device: Ints, n_devices: int, first: Ints, second: Ints) -> bool:
    """Try every pair once; keep the swaps that lower the summed largest shares of all steps."""
    n_experts, n_steps = shares.shape
    load = np.zeros((n_devices, n_steps))
    for expert in range(n_experts):
        load[device[expert]] += shares[expert]
    best = 0.0
    for step in range(n_steps):
        best += load[:, step].max()
    improved = False
    for pair in range(len(first)):
        a, b = first[pair], second[pair]
        da, db = device[a], device[b]
        if da == db:
            continue
        value = 0.0
        for step in range(n_steps):
            moved = shares[a, step] - shares[b, step]
            highest = max(load[da, step] - moved, load[db, step] + moved)
            for d in range(n_devices):
                if d != da and d != db and load[d, step] > highest:
                    highest = load[d, step]
            value += highest
            if value >= best:
                break
        if value < best - 1e-9 * best:
            for step in range(n_steps):
                moved = shares[a, step] - shares[b, step]
                load[da, step] -= moved
                load[db, step] += moved
            device[a], device[b] = db, da
            best = value
            improved = True
    return improved
