"""Time the replay of offloaded experts: `python -m tests.benchmarks.offload_replay`.

One trace of 26 layers and 8,222 steps, 16 sizes x 8 policies x 4 admissions, in one thread.
"""

from __future__ import annotations

import time

import numpy as np

from moe_costmodel import OFFLOAD_POLICIES, Admission, offload_curves
from moe_costmodel.offloading.planner import layer_streams
from tests.benchmarks import harness
from tests.benchmarks.moe_parts import routing

ADMISSIONS = (Admission(), Admission(after=2), Admission(after=4), Admission(per_step=0.1))


def main() -> None:
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="one repetition")
    repeats = 1 if parser.parse_args().quick else 5
    trace = routing("intent")
    streams = layer_streams(trace)
    sizes = np.linspace(trace.n_experts / 16, trace.n_experts, 16).astype(int)
    offload_curves(streams[:1], sizes, admissions=ADMISSIONS)  # compile
    seconds = []
    for policy in OFFLOAD_POLICIES:
        begin = time.process_time()
        offload_curves(streams, sizes, policies=[policy], admissions=ADMISSIONS)
        print(f"  {policy:14s} {time.process_time() - begin:.3f} s")
    for _ in range(repeats):
        begin = time.process_time()
        offload_curves(streams, sizes, admissions=ADMISSIONS)
        seconds.append(time.process_time() - begin)
    n = len(OFFLOAD_POLICIES)
    what = f"16 sizes x {n} policies x 4 admissions, {sum(len(s.ids) for s in streams):,} accesses"
    taken = f"{np.median(seconds):.2f}"
    harness.bar(f"replay, {what} (s of one thread)", taken, "2.0 (aim 0.5)")


if __name__ == "__main__":
    main()
