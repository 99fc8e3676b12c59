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

**Packets longer than a channel.** If a packet has more flits than a virtual channel, its flits
leave in groups, one group per credit loop, see ``problems.noc.evaluation.stalls``. So it takes
longer on its own, and holds virtual channels and its node for longer. With T the cycles for which
packets hold one of the n channels of an output, and x = l T / n, the packets that wait for a free
channel are about x^sqrt(2 (n + 1)) / (2 (1 - x)) [3]_; the same with T = S is taken off, since the
queue of the link counts it, and so are the waits that the inputs would have alone. T includes the
wait in the next router. The queue of the node has the cycles of a packet there. Links take groups
rather than packets: a wait within a group delays the packet only if the last group is about as long
as the others.

Loads of links, channels and nodes beyond 0.95 follow the tangent, so that waits stay finite and
grow with the load.

References
----------
.. [1] I. Rubin, "Communication networks: message path delays", IEEE Transactions on Information
   Theory, 1974.
.. [2] L. Kleinrock, "Queueing Systems, Volume 2: Computer Applications", Wiley, 1976, section 4.4.
.. [3] H. Sakasegawa, "An approximation formula L_q = alpha rho^beta / (1 - rho)", Annals of the
   Institute of Statistical Mathematics, 1977.
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
def grouped(
    flits: int, depth: int, last: int, second: float, sharing: float
) -> tuple[float, float]:
    """Return E[S^2] / E[S] and the sharing of packets that leave in groups with pauses between.

    Links take groups of ``depth`` flits and one of the ``last`` flits. The pause behind a full
    group hides waits of its later flits, unless the last group is full as well.
    """
    parts = second * ((flits - last) * depth + last * last) / flits**2
    turns = 0.5 * (1.0 + max(sharing * (1.0 - 1.0 / (last * (last + 1.0))), 1.0))
    full = (last - 1.0) / (depth - 1.0) if depth > 1 else 1.0
    return full * second + (1.0 - full) * parts, full * sharing + (1.0 - full) * turns


@inlined
def crowding(load: float, cycles: float, service: float, n_vc: int) -> float:
    """Return what waits for one of ``n_vc`` channels, in flits, if packets hold it some cycles."""
    x = load / service * cycles / n_vc
    power = np.sqrt(2.0 * (n_vc + 1.0))
    edge = min(x, LAST_EXACT)
    value = edge**power / (1.0 - edge)
    slope = value * (power / edge + 1.0 / (1.0 - edge)) if edge > 0.0 else 0.0
    return 0.5 * service * (value + slope * (x - edge))


@inlined
def channel_wait(
    turn: Floats,
    wiring: Ints,
    gap: Floats,
    held: Floats,
    kept: Floats,
    u: int,
    o: int,
    service: float,
    n_vc: int,
) -> float:
    """Return load times wait for a free channel at an output, beside the wait for the link.

    As in ``merge_waits``, packets of one input are already spaced by the channel before.
    """
    most = turn.shape[0]
    rho, total = 0.0, 0.0
    for i in range(most):
        r = turn[i, o]
        if r <= 0.0:
            continue
        rho += r
        if i == most - 1:
            total -= crowding(r, kept[u, i], service, 1)
            total += crowding(r, service, service, 1)
        else:
            before = kept[wiring[i, 0], wiring[i, 1]]
            total -= crowding(r, before, service, n_vc)
            total += crowding(r, service * gap[u, i], service, n_vc)
    # Waits in the next router, of some packets and of up to the whole time, add to the variance.
    more = 2.0 / 3.0 * held[u, o] * (kept[u, o] - held[u, o]) / kept[u, o] ** 2
    total += (1.0 + more) * crowding(rho, kept[u, o], service, n_vc)
    total -= crowding(rho, service * gap[u, o], service, n_vc)
    return max(total, 0.0)


@inlined
def node_waits(
    turn: Floats,
    load: Floats,
    held: Floats,
    spread: Floats,
    service: float,
    varied: float,
    merge: Floats,
    late: Floats,
) -> float:
    """Return load times wait in the queues of nodes that send longer than packets have flits.

    ``varied`` is E[S^2] / E[S]^2 of packets.
    """
    n, most = merge.shape
    total = 0.0
    for u in range(n):
        if load[u] <= 0.0:
            continue
        ahead = 0.0
        for o in range(most - 1):
            if turn[u, most - 1, o] > 0.0:
                flow = 0.0
                for i in range(most):
                    flow += turn[u, i, o]
                ahead += turn[u, most - 1, o] / load[u] * (merge[u, o] / flow + late[u, o])
        ahead = min(ahead, held[u, most - 1])
        busy = held[u, most - 1] + ahead
        second = (
            spread[u] + ahead + ahead * (2.0 / 3.0 * held[u, most - 1] - ahead) / busy
        ) * varied
        rho = load[u] / service * busy
        total += 0.5 * service / busy * max(second - 1.0, 0.0) * queueing(rho)
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
    held: Floats,
    kept: Floats,
    merge: Floats,
    late: Floats,
) -> float:
    """Fill ``late`` [n, ports] with the wait for credits at each output; return load times wait.

    ``held`` [n, ports] is empty unless packets wait for their own credits. Then it states for how
    long single packets hold channels, ``kept`` [n, ports] is filled with the same under load, and
    ``late`` includes the wait for a free channel.
    """
    n, most = merge.shape
    alone = held.shape[0] > 0
    if alone:
        kept[:] = held
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
                if alone:
                    # The rest of a packet also waits while its head does.
                    taken = held[u, o] + min(ahead, held[u, o])
                    kept[u, o] = taken
                wait = late[u, o]
                for _ in range(STEPS):
                    a = rate / max(1.0 - rate * (taken + wait), 0.02)
                    wait = 0.5 * (wait + buffer_wait(min(a, 5.0), room, packets))
                spread = 1.0 - 0.5 * squares / rho**2
                # More than the credits let through: a queue that grows with the load.
                share = rho * (2.0 * hop + CREDIT_CYCLES) / (n_vc * depth)
                excess = max(share - LAST_EXACT, 0.0)
                late[u, o] = spread * wait + excess * taken / (2.0 * (1.0 - LAST_EXACT) ** 2)
                if alone:
                    late[u, o] += (
                        channel_wait(turn[u], wiring[u], gap, held, kept, u, o, service, n_vc) / rho
                    )
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
    held: Floats,
    spread: Floats,
    stall: Floats,
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
    held, spread, stall : float arrays
        As in ``stalls.Held``; the first two are empty if packets fit into channels.
    out : float array [n, n_apps]
    """
    n, most = transits.shape[2], transits.shape[3]
    merge, late = np.empty((n, most)), np.zeros((n, most))
    turn = np.empty((n, most, most))
    load = np.empty(n)
    service = flits / capacity
    alone = held.shape[0] > 0
    none = np.empty((0, most))
    kept = np.empty((n if alone else 0, most))
    # Flits of the last group of a packet, and so many packets that leave them in one channel.
    last = (flits - 1) % max(depth, 1) + 1
    packets = max(depth // last, 1)
    varied = second / service
    if alone:
        second, sharing = grouped(flits, depth, last, second, sharing)
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
            for u in range(n if not alone else 0):
                total += 0.5 * max(second - 1.0, 0.0) * queueing(load[u])
            total += merge_waits(turn, wirings[row], gaps[row], second, sharing, merge)
            if depth > 0:
                single = held[row, app] if alone else none
                total += buffer_waits(
                    turn, wirings[row], gaps[row], service, n_vc, depth, packets, single, kept,
                    merge, late,
                )  # fmt: skip
            if alone:
                total += node_waits(
                    turn, load, held[row, app], spread[row, app], service, varied, merge, late
                )
            out[row, app] = capacity * total + stall[row, app]
