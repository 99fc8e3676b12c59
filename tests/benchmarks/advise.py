"""Advice on placements when traffic changes: `python -m tests.benchmarks.advise`.

All 30 ordered pairs of the six published DeepSeek-V3 workloads (sums of loads of 256 experts in the
even ones of 58 layers), on 2 to 128 devices. The first workload is the trace; the second is the
traffic that the advice is used on, and the gain there is the share by which the load of the busiest
device, summed over layers, is lower. The oracle is the best placement of the same kinds that is
fitted on the second workload. Three cases differ in what the adviser has:

trace alone    a server starts; experts are in order of ids. The trace is one sum, without time, and
               nothing of the second workload is known.
short record   the same, and 200 tokens of the second workload are recorded.
running plan   a server runs the placement of the trace; 200 tokens of the second workload are
               recorded, and moving experts takes 0.5 % of the time that the new placement serves.
"""

from __future__ import annotations

import time
from itertools import permutations

import numpy as np

from moe_costmodel import (
    Migration,
    RoutingTrace,
    advise,
    contiguous,
    greedy,
    replicate_and_pack,
)
from moe_costmodel.advice.windows import busiest_loads, gain_on
from tests.benchmarks import harness

TOKENS, K = 200, 8
STALL = 0.005


def workloads():
    paths = sorted((harness.data_folder() / "loads" / "deepseek-v3").glob("*.json"))
    loads = {path.stem: RoutingTrace.load(path).loads()[0] for path in paths}
    return {name: array[array.sum(axis=1) > 0] for name, array in loads.items()}


def short_record(loads, generator):
    """Return the counts of a few tokens, whose choices are drawn from the workload."""
    shares = loads / loads.sum(axis=1, keepdims=True)
    return RoutingTrace.from_counts(
        np.stack([generator.multinomial(TOKENS * K, row) for row in shares])
    )


def pair(case, before, later, n, generator):
    """Return whether something is advised, its gain on the later workload, and the oracle's."""
    trace = RoutingTrace.from_counts(before, source="trace")
    running, migration, settings = contiguous(*before.shape, n), None, {}
    loads = later[None]
    options = [greedy(loads, n), replicate_and_pack(loads, n, n_replicas=n)]
    stalls = [0.0, 0.0]
    if case != "trace alone":
        settings["recent"] = short_record(later, generator)
    if case == "running plan":
        running, options = greedy(before[None], n), options[:1]
        # All experts of a device take STALL of the serving time.
        migration = Migration(1.0, before.size / n / STALL, 1.0)
        stalls = [stall_of(running, option, migration) for option in options]
        settings |= {"running": running, "migration": migration, "max_replicas": 0}
    found = advise(trace, devices=[n], **settings)
    now = busiest_loads(running, loads)
    oracle = max(
        gain_on(busiest_loads(option, loads), now) - stall
        for option, stall in zip(options, stalls, strict=True)
    )
    chosen = [item for item in found.adopted if item.placement is not None]
    if not chosen:
        return False, 0.0, oracle
    placement = chosen[-1].placement
    gain = gain_on(busiest_loads(placement, loads), now)
    if migration is not None:
        gain -= stall_of(running, placement, migration)
    return True, gain, oracle


def stall_of(running, placement, migration):
    """Return the share of the serving time until the device that waits for the most has it."""
    arriving = (placement.on_device() > 0) & (running.on_device() == 0)
    most = arriving.sum(axis=(0, 1)).max() * migration.expert_bytes
    return most / migration.bandwidth / migration.serving_s


def main() -> None:
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="all layers, 32 devices only")
    quick = parser.parse_args().quick
    loads = {name: array[:: 1 if quick else 2] for name, array in workloads().items()}
    for case in ("trace alone", "short record", "running plan"):
        rows = []
        for n in (32,) if quick else (2, 4, 8, 16, 32, 64, 128):
            begin = time.process_time()
            generator = np.random.default_rng(n)
            found = np.array(
                [pair(case, loads[a], loads[b], n, generator) for a, b in permutations(loads, 2)]
            )
            rows.append(found)
            advised, gain, oracle = found.T
            print(
                f"{case}, {n} devices: advised in {advised.mean():.0%}, gain {gain.mean():.1%} "
                f"(lowest {gain.min():.1%}) of the oracle's {oracle.mean():.1%}; "
                f"{time.process_time() - begin:.1f} s"
            )
        advised, gain, oracle = np.concatenate(rows).T
        worth = oracle > 0.05
        losing = int(((gain < 0) & (advised > 0)).sum())
        reached = float(advised[worth].mean()) if worth.any() else np.nan
        kept = gain[worth].sum() / oracle[worth].sum()
        harness.bar(f"advise, {case}, losing advice of {int(advised.sum())}", losing, "0")
        what = f"advise, {case}, advised of {int(worth.sum())} in which an oracle gains over 5 %"
        aim = f"0.800 (aim 1.000; {kept:.0%} of the oracle's gain)"
        harness.bar(what, f"{reached:.3f}", aim)


if __name__ == "__main__":
    main()
