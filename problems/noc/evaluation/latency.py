"""Compiled waiting times of packets in a network whose routers have finite buffers.

**Injection.** In each cycle a node creates a packet with a fixed probability, so its queue is
Geo/G/1: the mean wait is rho (S2 - 1) / (2 (1 - rho)), where rho is the load of the port, S the
cycles that a packet takes and S2 = E[S^2] / E[S].

**Merging.** Packets that come over one channel are already spaced, so they never wait for each
other; what a channel adds is the wait among its inputs. For equal packets, the waits of all
channels of a tree towards a root add up to the wait at a root that gets all packets at once [1]_.
So a channel of load rho adds the wait of one queue of that load, less the waits that each input of
load r would have alone:

    rho W = (S2 rho^2 - sum r^2) / (2 (1 - rho)) - sum (S2 - 1) r^2 / (2 (1 - r)),

where - sum r^2 stands for heads that cannot come over one channel in one cycle. Routers take flits
of packets in different virtual channels in turn, and the last flit counts. Two packets of S flits
that overlap by chance then wait S^2 + S - 1 cycles instead of S (S + 1) / 2, summed over the
offsets 0 to S - 1; the sharing of a processor is insensitive to lengths otherwise [2]_.

**Credits.** A flit's place is free again after a loop of twice the hop plus five cycles, plus the
wait in the next router. A virtual channel that holds k packets makes the head of a packet wait if
the k packets before it in this channel left less than R = loop - depth cycles before it. Packets
take any channel without an owner, and each of the n channels is owned while its packet waits (w)
and leaves (S). So the time to the next packet in a free channel is about exponential of rate a,

    a = l / (1 - l (S + w)) with l = rho / (S n),   w = E[(R - t)+],   t the sum of k such times,

a fixed point in w. Packets of one input take the channels in turn rather than at random. That
prevents half of the waits that they cause each other, measured on chains of routers that carry one
flow; so w is multiplied by 1 - H / 2, with H the sum of squared shares of the inputs.

Loads beyond 0.95 follow the tangent, so that waits stay finite and grow with the load.

References
----------
.. [1] I. Rubin, "Communication networks: message path delays", IEEE Transactions on Information
   Theory, 1974.
.. [2] L. Kleinrock, "Queueing Systems, Volume 2: Computer Applications", Wiley, 1976, section 4.4.
"""

from __future__ import annotations

import numpy as np

from problems._arrays import Floats, Ints
from problems.noc.chip.jit import compiled, inlined

__all__ = ["CREDIT_CYCLES", "LAST_EXACT", "injection_wait", "waits_batch"]

LAST_EXACT = 0.95
"""Load above which waits follow their tangent."""

CREDIT_CYCLES = 5
"""Cycles of the credit loop beside twice the hop."""

SWEEPS, STEPS = 4, 6
"""Sweeps over the channels, each with so many steps towards the fixed point of each channel."""


@inlined
def queueing(rho: float) -> float:
    """Return rho^2 / (1 - rho), continued along its tangent."""
    x = min(rho, LAST_EXACT)
    value = x * x / (1.0 - x)
    slope = x * (2.0 - x) / (1.0 - x) ** 2
    return value + slope * (rho - x)


@compiled
def injection_wait(load: Floats, second: float) -> float:
    """Return loads times waits, summed over queues of nodes [n], per unit of capacity."""
    total = 0.0
    for rho in load:
        total += 0.5 * max(second - 1.0, 0.0) * queueing(rho)
    return total


@inlined
def buffer_wait(rate: float, room: float, packets: int) -> float:
    """Return E[(room - t)+] for t the sum of some exponential times of a rate."""
    mean = rate * room
    if mean < 1e-12:
        return 0.0
    # Probabilities that a Poisson number is at least `packets`, and at least one more.
    term = np.exp(-mean)
    below = term
    for k in range(1, packets):
        term *= mean / k
        below += term
    least = 1.0 - below
    more = least - term * mean / packets
    return max(room * least - packets / rate * more, 0.0)


@inlined
def merge_waits(
    turn: Floats, wiring: Ints, gap: Floats, second: float, sharing: float, merge: Floats
) -> float:
    """Fill ``merge`` [n, ports] with load times wait at each output; return their sum.

    A slower channel is one in which a cycle is longer, ``gap`` cycles: loads are multiplied by it,
    and load times wait needs no other change.
    """
    n, most = merge.shape
    total = 0.0
    for u in range(n):
        for o in range(most):
            merge[u, o] = 0.0
            if o < most - 1 and wiring[u, o, 2] == 0:
                continue
            rho, squares, alone = 0.0, 0.0, 0.0
            for i in range(most):
                r = turn[u, i, o] * gap[u, o]
                if r > 0.0:
                    rho += r
                    squares += r * r
                    alone += queueing(turn[u, i, o] * gap[u, i])
            free = 1.0 - min(rho, LAST_EXACT)
            wait = second * queueing(rho) - squares / free - max(second - 1.0, 0.0) * alone
            merge[u, o] = 0.5 * sharing * max(wait, 0.0)
            total += merge[u, o]
    return total


@inlined
def buffer_waits(
    turn: Floats,
    wiring: Ints,
    gap: Floats,
    service: float,
    n_vc: int,
    depth: int,
    packets: int,
    merge: Floats,
    late: Floats,
) -> float:
    """Fill ``late`` [n, ports] with the wait for credits at each output; return load times wait."""
    n, most = merge.shape
    late[:] = 0.0
    total = 0.0
    for _ in range(SWEEPS):
        total = 0.0
        for u in range(n):
            for o in range(most - 1):
                hop = wiring[u, o, 2]
                if hop == 0:
                    continue
                rho, squares = 0.0, 0.0
                for i in range(most):
                    rho += turn[u, i, o]
                    squares += turn[u, i, o] ** 2
                if rho <= 0.0:
                    continue
                # The wait of these packets in the next router.
                v, entry = wiring[u, o, 0], wiring[u, o, 1]
                ahead = 0.0
                for out in range(most):
                    flow = turn[v, entry, out]
                    if flow > 0.0:
                        load = 0.0
                        for i in range(most):
                            load += turn[v, i, out]
                        ahead += flow / rho * (merge[v, out] / load + late[v, out])
                loop = 2.0 * hop + CREDIT_CYCLES + ahead
                room = loop - depth * gap[u, o]
                if room <= 0.0:
                    late[u, o] = 0.0
                    continue
                rate = rho / service / n_vc
                taken = service * gap[u, o]
                wait = late[u, o]
                for _ in range(STEPS):
                    a = rate / max(1.0 - rate * (taken + wait), 0.02)
                    wait = 0.5 * (wait + buffer_wait(min(a, 5.0), room, packets))
                spread = 1.0 - 0.5 * squares / rho**2
                # More than the credits let through: a queue that grows with the load.
                share = rho * (2.0 * hop + CREDIT_CYCLES) / (n_vc * depth)
                excess = max(share - LAST_EXACT, 0.0)
                late[u, o] = spread * wait + excess * taken / (2.0 * (1.0 - LAST_EXACT) ** 2)
                total += rho * late[u, o]
    return total


@compiled
def waits_batch(
    transits: Floats,
    wirings: Ints,
    gaps: Floats,
    capacity: float,
    flits: int,
    second: float,
    sharing: float,
    n_vc: int,
    depth: int,
    out: Floats,
) -> None:
    """Fill ``out`` [n, n_apps] with flits per cycle times waiting cycles, summed over channels.

    Parameters
    ----------
    transits : float array [n, n_apps, n_tiles, ports, ports]
        Flits per cycle of each router from each input to each output; the last port is the PE.
    wirings : int array [n, n_tiles, ports - 1, 3]
        Of each output: next router, its input, cycles of the hop (0 for no link).
    gaps : float array [n, n_tiles, ports]
        Of the channels of each port: ``capacity`` over their own capacity, at least 1.
    capacity : float
        Flits per cycle of a channel.
    flits, second : int, float
        Mean packet length, and E[S^2] / E[S] of its cycles in a channel.
    sharing : float
        Factor of waits where routers take flits of several packets in turn.
    n_vc, depth : int
        Virtual channels and their flits; depth 0 stands for any number.
    out : float array [n, n_apps]
    """
    n, most = transits.shape[2], transits.shape[3]
    merge, late = np.empty((n, most)), np.zeros((n, most))
    turn = np.empty((n, most, most))
    load = np.empty(n)
    service = flits / capacity
    packets = max(depth // flits, 1)
    for row in range(transits.shape[0]):
        for app in range(transits.shape[1]):
            for u in range(n):
                for i in range(most):
                    for j in range(most):
                        turn[u, i, j] = transits[row, app, u, i, j] / capacity
                load[u] = 0.0
                for j in range(most):
                    load[u] += turn[u, most - 1, j]
            total = 0.0
            for u in range(n):
                total += 0.5 * max(second - 1.0, 0.0) * queueing(load[u])
            total += merge_waits(turn, wirings[row], gaps[row], second, sharing, merge)
            if depth > 0:
                total += buffer_waits(
                    turn, wirings[row], gaps[row], service, n_vc, depth, packets, merge, late
                )
            out[row, app] = capacity * total
