"""Compiled flit-level simulation of routers with virtual channels and credits.

All steps are in one file because numba's cache looks only at the file of the function itself.

Ports are numbered: port k < n_channels is the directed channel k, an output of its source and an
input of its target. Port n_channels + i is the terminal of node i, an output (ejection) and an
input (injection) of its router.

One cycle of the network (Dally and Towles, "Principles and Practices of Interconnection Networks",
2004, chapters 16 and 17):

1. flits and credits arrive;
2. every node creates packets and sends at most one flit into its router;
3. virtual channels are allocated to the packets at the head of their buffers, by one round of
   separable allocation with round-robin arbiters;
4. the switch is allocated to flits that had a virtual channel before this cycle and have a credit,
   in the same way; a flit crosses the switch in the next cycle.

So a head flit spends three cycles in a router without contention, and a credit returns after twice
the cycles of a channel plus five.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from problems._arrays import Floats, Ints
from problems.noc.chip.jit import inlined, lean

__all__ = [
    "DEADLOCKED",
    "ENDS",
    "PER_ROUTER",
    "RUNNING",
    "SATURATED",
    "Channels",
    "State",
    "run_cycles",
]

Int32s = NDArray[np.int32]

FLIT_PIPELINE = 2
"""Cycles from the grant of the switch to the first cycle on the next channel."""

CREDIT_PIPELINE = 2
"""Cycles, beside the channel, from the grant of the switch until the credit can be used."""

EJECTION_LOOP = 6
"""Cycles from the grant of the switch to a terminal until the credit can be used again."""

TO_NODE = 3
"""Cycles from the grant of the switch to a terminal until the node has the flit."""

PER_ROUTER, ENDS = 3, 3
"""Cycles of the pipeline in each router, and at both ends of a path, without contention."""

INJECTION = 2
"""Cycles that a flit takes from the node into the buffer of its router."""

STILL = 2000
"""Cycles without any movement of flits in the network that count as a deadlock."""

FREE, OWNED = 0, 1

RUNNING, SATURATED, DEADLOCKED = 0, 1, 2


class Channels(NamedTuple):
    """Routers, channels, paths and traffic of a simulation."""

    delay: Ints  # [n_channels] cycles of each channel
    gap: Floats  # [n_ports] cycles between the flits of each output port
    target: Ints  # [n_channels] router at the end of each channel
    inputs: Ints  # [n, most ports] input ports of each router; the last one is the terminal
    n_inputs: Ints  # [n]
    place: Ints  # [n_ports] position of each input port among those of its router
    out_place: Ints  # [n_ports] position of each output port among those of its router
    path: Ints  # output ports of all paths, one path after the other, each ending in a terminal
    start: Ints  # [n, n] start of the path from node to node in `path`
    idle: Floats  # [n_classes, ...] cycles of each path without waiting, at its start in `path`
    first: Ints  # [n + 1] start of the destinations of each node in `chosen` and `below`
    chosen: Ints  # destinations of the packets of each node
    below: Floats  # cumulative probability of these destinations
    rate: Floats  # [n] probability that a node creates a packet in a cycle
    flits: Ints  # [n_classes] length of the packets of each class
    classes: Floats  # [n_classes] cumulative probability of the classes
    layer: Ints  # [n, n] virtual layer of the path from node to node
    first_vc: Ints  # [n_layers + 1] first virtual channel of each layer


class State(NamedTuple):
    """The state of all buffers, channels and packets; v is a virtual channel."""

    clock: Ints  # [6] cycle, status, packets in sources, last movement, free packets, flits inside
    buffer: Int32s  # [n_ports, v, depth] 4 * packet + 2 * (head) + (tail) of each flit
    begin: Int32s  # [n_ports, v] place of the first flit
    held: Int32s  # [n_ports, v] flits in the buffer
    filled: Int32s  # [n_ports] flits of the input port
    resident: Int32s  # [n] flits of the router
    out: Int32s  # [n_ports, v] output port of the packet at the head; -1 without a channel
    out_vc: Int32s  # [n_ports, v] its virtual channel there
    since: Ints  # [n_ports, v] cycle of the allocation
    owner: Int32s  # [n_ports, v] whether a packet owns the channel of an output port
    credit: Int32s  # [n_ports + n, v] free places behind each output port, then each node's
    grant_vc: Int32s  # [n_ports, v] round-robin pointer of the arbiter of each output channel
    accept_vc: Int32s  # [n_ports, v] of each input channel
    grant: Int32s  # [n, most ports] of the switch, for outputs
    accept: Int32s  # [n_ports] of the switch, for inputs
    turn: Int32s  # [n_ports] of the virtual channels of an input port
    wheel: Int32s  # [horizon, n_ports] flits to arrive: their code
    wheel_port: Int32s  # [horizon, n_ports] port of arrival times v plus virtual channel
    wheel_count: Int32s  # [horizon]
    back: Int32s  # [horizon, 2 * n_ports] credits to arrive: output port times v plus channel
    back_count: Int32s  # [horizon]
    next_packet: Ints  # [n] cycle of the next packet of each node
    queue_first: Int32s  # [n] first packet in the queue of the node, -1 if none
    queue_last: Int32s  # [n]
    sent: Int32s  # [n] flits of the first packet that are already sent
    source_vc: Int32s  # [n] virtual channel of the first packet, -1 before its choice
    last_vc: Int32s  # [n]
    link: Int32s  # [n_packets] next packet in a queue or in the list of free ones
    born: Ints  # [n_packets] cycle of creation
    hop: Int32s  # [n_packets] place of the head flit's next output port in `path`
    begun: Int32s  # [n_packets] place of the first one
    kind: Int32s  # [n_packets] class
    layer: Int32s  # [n_packets] virtual layer
    asking: Int32s  # [most ports * v] scratch: input channels that ask for a channel
    wish: Int32s  # [most ports, most ports] scratch: virtual channel by input and output
    granted: Int32s  # [most ports] scratch
    ready: Floats  # [n_ports] cycle from which each output port takes the next flit
    carried: Ints  # [n_ports] flits that each output port has sent


@inlined
def create_packets(net: Channels, state: State, t: int, rng: np.random.Generator) -> None:
    """Add the packets that are created in this cycle to the queues of their nodes."""
    clock = state.clock
    for i in range(net.rate.size):
        if state.next_packet[i] > t:
            continue
        state.next_packet[i] = t + rng.geometric(net.rate[i])
        packet = clock[4]
        if packet < 0:
            clock[1] = SATURATED
            return
        clock[4] = state.link[packet]
        low, high = net.first[i], net.first[i + 1] - 1
        draw = rng.random()
        while low < high:
            middle = (low + high) // 2
            if net.below[middle] > draw:
                high = middle
            else:
                low = middle + 1
        kind = 0
        if net.flits.size > 1:
            draw = rng.random()
            while net.classes[kind] <= draw and kind < net.flits.size - 1:
                kind += 1
        state.born[packet] = t
        state.hop[packet] = state.begun[packet] = net.start[i, net.chosen[low]]
        state.kind[packet] = kind
        state.layer[packet] = net.layer[i, net.chosen[low]]
        state.link[packet] = -1
        if state.queue_first[i] < 0:
            state.queue_first[i] = packet
        else:
            state.link[state.queue_last[i]] = packet
        state.queue_last[i] = packet
        clock[2] += 1


@inlined
def inject(net: Channels, state: State, t: int) -> None:
    """Send at most one flit of each node towards its router."""
    n_channels, n_vc = net.delay.size, state.held.shape[1]
    horizon = state.wheel_count.size
    for i in range(net.rate.size):
        packet = state.queue_first[i]
        if packet < 0:
            continue
        port = n_channels + net.rate.size + i
        vc = state.source_vc[i]
        if vc < 0:
            low = net.first_vc[state.layer[packet]]
            high = net.first_vc[state.layer[packet] + 1]
            for k in range(1, n_vc + 1):
                v = (state.last_vc[i] + k) % n_vc
                if low <= v < high and state.credit[port, v] > 0:
                    vc = v
                    break
            if vc < 0:
                continue
            state.source_vc[i] = vc
            state.last_vc[i] = vc
        if state.credit[port, vc] == 0:
            continue
        state.credit[port, vc] -= 1
        length = net.flits[state.kind[packet]]
        k = state.sent[i]
        code = 4 * packet + 2 * (k == 0) + (k == length - 1)
        slot = (t + INJECTION) % horizon
        place = state.wheel_count[slot]
        state.wheel[slot, place] = code
        state.wheel_port[slot, place] = (n_channels + i) * n_vc + vc
        state.wheel_count[slot] = place + 1
        state.clock[5] += 1
        state.clock[3] = t
        if k == length - 1:
            state.queue_first[i] = state.link[packet]
            state.sent[i] = 0
            state.source_vc[i] = -1
            state.clock[2] -= 1
        else:
            state.sent[i] = k + 1


@inlined
def arrive(net: Channels, state: State, t: int) -> None:
    """Put the flits and the credits that arrive in this cycle into their buffers."""
    n_channels, n_vc, depth = net.delay.size, state.held.shape[1], state.buffer.shape[2]
    slot = t % state.wheel_count.size
    for k in range(state.wheel_count[slot]):
        place = state.wheel_port[slot, k]
        port, vc = place // n_vc, place % n_vc
        end = (state.begin[port, vc] + state.held[port, vc]) % depth
        state.buffer[port, vc, end] = state.wheel[slot, k]
        state.held[port, vc] += 1
        state.filled[port] += 1
        router = net.target[port] if port < n_channels else port - n_channels
        state.resident[router] += 1
    state.wheel_count[slot] = 0
    for k in range(state.back_count[slot]):
        place = state.back[slot, k]
        state.credit[place // n_vc, place % n_vc] += 1
    state.back_count[slot] = 0


@inlined
def allocate_channels(net: Channels, state: State, router: int, t: int) -> None:
    """Give free virtual channels of output ports to packets whose head is first in a buffer."""
    n_vc = state.held.shape[1]
    asking = state.asking
    n_asking = 0
    for a in range(net.n_inputs[router]):
        port = net.inputs[router, a]
        if state.filled[port] == 0:
            continue
        for v in range(n_vc):
            if state.held[port, v] > 0 and state.out_vc[port, v] < 0:
                packet = state.buffer[port, v, state.begin[port, v]] >> 2
                state.out[port, v] = net.path[state.hop[packet]]
                asking[n_asking] = a * n_vc + v
                n_asking += 1
    size = net.n_inputs[router] * n_vc
    for k in range(n_asking):
        mine = asking[k]
        port, v = net.inputs[router, mine // n_vc], mine % n_vc
        out = state.out[port, v]
        # The pointer counts the virtual channels of all output ports of the router.
        pointer = state.accept_vc[port, v]
        base = net.out_place[out] * n_vc
        offset = pointer - base if base <= pointer < base + n_vc else 0
        layer = state.layer[state.buffer[port, v, state.begin[port, v]] >> 2]
        low, high = net.first_vc[layer], net.first_vc[layer + 1]
        for step in range(n_vc):
            w = (offset + step) % n_vc
            if state.owner[out, w] == OWNED or w < low or w >= high:
                continue
            best, wins = size, True
            for j in range(n_asking):
                other = asking[j]
                p, x = net.inputs[router, other // n_vc], other % n_vc
                rival = state.buffer[p, x, state.begin[p, x]] >> 2
                if state.out[p, x] == out and state.layer[rival] == layer:
                    distance = (other - state.grant_vc[out, w]) % size
                    if distance < best:
                        best, wins = distance, other == mine
            if wins:
                state.out_vc[port, v] = w
                state.since[port, v] = t
                state.accept_vc[port, v] = (base + w + 1) % size
                break
    # Only now, since all arbiters decide on the state before this cycle.
    for k in range(n_asking):
        mine = asking[k]
        port, v = net.inputs[router, mine // n_vc], mine % n_vc
        w = state.out_vc[port, v]
        if w >= 0:
            out = state.out[port, v]
            state.owner[out, w] = OWNED
            state.grant_vc[out, w] = (mine + 1) % size


@inlined
def request_switch(net: Channels, state: State, router: int, t: int) -> bool:
    """Fill in `wish`: the virtual channel that each input offers each output; False if none."""
    n_vc, wish = state.held.shape[1], state.wish
    n_ports = net.n_inputs[router]
    found = False
    for a in range(n_ports):
        for b in range(n_ports):
            wish[a, b] = -1
        port = net.inputs[router, a]
        if state.filled[port] == 0:
            continue
        for k in range(n_vc):
            v = (state.turn[port] + k) % n_vc
            if state.held[port, v] == 0 or state.out_vc[port, v] < 0 or state.since[port, v] == t:
                continue
            out = state.out[port, v]
            if state.credit[out, state.out_vc[port, v]] > 0 and state.ready[out] <= t:
                b = net.out_place[out]
                if wish[a, b] < 0:
                    wish[a, b] = v
                    found = True
    return found


@inlined
def move_flit(net: Channels, state: State, router: int, port: int, v: int, t: int) -> int:
    """Send the first flit of a buffer over the switch; return its code if it leaves, else -1."""
    n_channels, n_vc, depth = net.delay.size, state.held.shape[1], state.buffer.shape[2]
    horizon = state.wheel_count.size
    out, w = state.out[port, v], state.out_vc[port, v]
    code = state.buffer[port, v, state.begin[port, v]]
    state.begin[port, v] = (state.begin[port, v] + 1) % depth
    state.held[port, v] -= 1
    state.filled[port] -= 1
    state.resident[router] -= 1
    state.credit[out, w] -= 1
    state.carried[out] += 1
    # A part of a cycle that was left counts, so that gaps need not be whole cycles.
    state.ready[out] = max(state.ready[out], t - 1.0 + 1e-9) + net.gap[out]
    packet = code >> 2
    if code & 2:
        state.hop[packet] += 1
    if code & 1:
        state.out_vc[port, v] = -1
        state.owner[out, w] = FREE
    # The credit for the place that this flit leaves.
    if port < n_channels:
        slot = (t + net.delay[port] + CREDIT_PIPELINE) % horizon
        place = port * n_vc + v
    else:
        slot = (t + INJECTION) % horizon
        place = (port + net.rate.size) * n_vc + v
    state.back[slot, state.back_count[slot]] = place
    state.back_count[slot] += 1
    if out >= n_channels:
        slot = (t + EJECTION_LOOP) % horizon
        state.back[slot, state.back_count[slot]] = out * n_vc + w
        state.back_count[slot] += 1
        return code
    slot = (t + FLIT_PIPELINE + net.delay[out]) % horizon
    place = state.wheel_count[slot]
    state.wheel[slot, place] = code
    state.wheel_port[slot, place] = out * n_vc + w
    state.wheel_count[slot] = place + 1
    return -1


@lean
def run_cycles(
    net: Channels,
    state: State,
    cycles: int,
    rng: np.random.Generator,
    totals: Floats,
    since: int,
) -> int:
    """Simulate some cycles; return 0, or 1 if the sources overflow, or 2 for a deadlock.

    Adds to ``totals`` [n_classes, 3] the packets that arrive, their cycles from creation to the
    arrival of the last flit without the router pipeline, and those of these cycles that they would
    take alone in the network. Only packets created from cycle ``since`` on count.
    """
    clock = state.clock
    for _ in range(cycles):
        t = clock[0]
        arrive(net, state, t)
        create_packets(net, state, t, rng)
        if clock[1] != RUNNING:
            break
        inject(net, state, t)
        for router in range(net.rate.size):
            if state.resident[router] == 0:
                continue
            allocate_channels(net, state, router, t)
            if not request_switch(net, state, router, t):
                continue
            n_ports = net.n_inputs[router]
            for b in range(n_ports):
                state.granted[b] = -1
                pointer = state.grant[router, b]
                for k in range(n_ports):
                    a = (pointer + k) % n_ports
                    if state.wish[a, b] >= 0:
                        state.granted[b] = a
                        break
            for a in range(n_ports):
                port = net.inputs[router, a]
                if state.filled[port] == 0:
                    continue
                for k in range(n_ports):
                    b = (state.accept[port] + k) % n_ports
                    if state.granted[b] != a:
                        continue
                    v = state.wish[a, b]
                    state.grant[router, b] = (a + 1) % n_ports
                    state.accept[port] = (b + 1) % n_ports
                    state.turn[port] = (v + 1) % state.held.shape[1]
                    clock[3] = t
                    code = move_flit(net, state, router, port, v, t)
                    if code >= 0:
                        clock[5] -= 1
                        if code & 1:
                            packet = code >> 2
                            kind = state.kind[packet]
                            if state.born[packet] >= since:
                                routers = state.hop[packet] - state.begun[packet]
                                cycles_taken = t + TO_NODE - state.born[packet]
                                totals[kind, 0] += 1
                                totals[kind, 1] += cycles_taken - PER_ROUTER * routers - ENDS
                                totals[kind, 2] += net.idle[kind, state.begun[packet]]
                            state.link[packet] = clock[4]
                            clock[4] = packet
                    break
        if clock[5] > 0 and t - clock[3] > STILL:
            clock[1] = DEADLOCKED
            break
        clock[0] = t + 1
    return int(clock[1])
