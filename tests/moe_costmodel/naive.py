"""Simple simulators for comparison with the fast code."""

from __future__ import annotations

import numpy as np


def decode_steps(lengths, size):
    """Return the tokens of each step under continuous batching, one per slot."""
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    waiting = [list(range(s, s + n)) for s, n in zip(starts, lengths, strict=True)]
    slots = [[] for _ in range(size)]
    step_of = {}
    step = 0
    while waiting or any(slots):
        for i in range(size):
            if not slots[i] and waiting:
                slots[i] = waiting.pop(0)
        for slot in slots:
            if slot:
                step_of[slot.pop(0)] = step
        step += 1
    return np.array([step_of[t] for t in range(sum(lengths))])


def misses(steps, capacity, policy):
    """Replay one buffer on steps, a list of lists of experts; return a flag per access."""
    accesses = [e for step in steps for e in step]
    buffer = []  # in order of loading
    last, count = {}, {}
    flags = []
    for step in steps:
        active = set(step)
        for expert in step:
            i = len(flags)
            count[expert] = count.get(expert, 0) + 1
            flags.append(expert not in buffer)
            if expert not in buffer:
                if len(buffer) == capacity:
                    buffer.remove(victim(buffer, policy, active, last, count, accesses[i:]))
                buffer.append(expert)
            last[expert] = i
    return np.array(flags, dtype=bool)


def victim(buffer, policy, active, last, count, future):
    inactive = [e for e in buffer if e not in active]
    if policy == "paper":
        return (inactive or buffer)[-1]
    if policy == "fifo":
        return buffer[0]
    if policy == "lru":
        return min(buffer, key=lambda e: last[e])
    if policy == "lfu":
        return min(buffer, key=lambda e: (count[e], last[e]))
    if policy == "inactive-lfu":
        return min(inactive, key=lambda e: (count[e], last[e])) if inactive else buffer[-1]
    return max(buffer, key=lambda e: future.index(e) if e in future else len(future))


def packing(weights, n_bins):
    """Put items, heaviest first, into the lightest bin with room; return the bin of each item."""
    room = len(weights) // n_bins
    bins = [[] for _ in range(n_bins)]
    for item in sorted(range(len(weights)), key=lambda i: (-weights[i], i)):
        free = [b for b in bins if len(b) < room]
        min(free, key=lambda b: sum(weights[i] for i in b)).append(item)
    out = np.empty(len(weights), dtype=int)
    for number, members in enumerate(bins):
        out[members] = number
    return out
