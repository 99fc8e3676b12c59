"""Time `moela moe headroom` on shared traces: `python -m tests.benchmarks.headroom`.

Rows of the headroom are compared with a replay of the same rule without any shortcut.
"""

from __future__ import annotations

import time

import numpy as np

from moe_costmodel import Admission, MissCost, RoutingTrace, headroom, offload_events
from moe_costmodel.offloading.planner import layer_streams, uses_of
from tests.benchmarks import harness


def traces(quick):
    """Yield the packaged traces, and the shared ones."""
    yield RoutingTrace.example("code")
    yield RoutingTrace.example("prose")
    paths = [] if quick else sorted((harness.data_folder() / "routing").glob("*.npz"))
    yield from map(RoutingTrace.load, paths)


def difference(found, trace):
    """Return the largest relative difference of LRU and fourth-miss rows from single replays."""
    first, second = trace.split()
    uses, streams = uses_of(layer_streams(first)), layer_streams(second)
    worst = 0.0
    for name, policy, rule in (
        ("LRU, every miss uploaded", "lru", Admission()),
        ("LFU, uploaded at the fourth miss", "lfu", Admission(after=4)),
    ):
        events = [
            offload_events(stream, [found.slots], policy, [rule], start=use)
            for stream, use in zip(streams, uses, strict=True)
        ]
        n_steps = len(streams[0].bounds) - 1
        misses = sum(int(e.missed.sum()) for e in events) / n_steps
        uploads = sum(int(e.uploaded.sum()) for e in events) / n_steps
        seconds = float(MissCost.published().step_seconds(misses, uploads))
        worst = max(worst, abs(found.rows[name].seconds / seconds - 1.0))
    return worst


def main() -> None:
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="packaged traces only")
    quick = parser.parse_args().quick
    headroom(RoutingTrace.example())  # compile
    seconds, differences = [], []
    for trace in traces(quick):
        begin = time.process_time()
        found = headroom(trace)
        seconds.append(time.process_time() - begin)
        differences.append(difference(found, trace))
        print(found, f"\n{seconds[-1]:.1f} s\n")
    harness.bar(f"headroom, slowest of {len(seconds)} traces (s)", f"{max(seconds):.1f}", "10")
    worst = f"{np.max(differences):.1e}"
    harness.bar("headroom against single replays, difference", worst, "1e-9")


if __name__ == "__main__":
    main()
