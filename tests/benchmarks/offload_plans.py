"""Compare plans of offloaded experts with fixed rules: `python -m tests.benchmarks.offload_plans`.

All 26 layers of DeepSeek-V2-Lite, 32 of 64 experts resident, the published cost of a miss and an
upload. Numbers are milliseconds of a step above the base. Each row is fitted on the first traffic
of a column and scored on the second. `bound` is a lower bound for every plan, also for those that
know the future.
"""

from __future__ import annotations

import time

import numpy as np

from moe_costmodel import (
    Admission,
    MissCost,
    least_seconds,
    offload_curves,
    plan_offload,
)
from moe_costmodel.offloading.planner import layer_streams, uses_of
from tests.benchmarks import harness
from tests.benchmarks.moe_parts import routing

FIXED = {
    "static list": ("lfu", Admission(per_step=0)),
    "LRU, every miss uploaded": ("lru", Admission()),
    "frequency, every miss uploaded": ("inactive-lfu", Admission()),
    "frequency, at the fourth miss": ("lfu", Admission(after=4)),
}


def fixed_rows(fitted, scored, slots, cost, batch_size):
    """Return the milliseconds of each fixed rule."""
    streams = layer_streams(scored, batch_size)
    uses = uses_of(layer_streams(fitted, batch_size))
    size = [slots // len(streams)]
    rows = {}
    for name, (policy, rule) in FIXED.items():
        curves = offload_curves(streams, size, policies=[policy], admissions=[rule], start=uses)
        of_step = (curves[policy].misses.sum(), curves[policy].uploads.sum())
        misses, uploads = (n / curves[policy].n_steps for n in of_step)
        rows[name] = float(cost.step_seconds(misses, uploads)) * 1e3
    rows["bound"] = least_seconds(streams, slots, cost) * 1e3
    return rows


def main() -> None:
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="one batch size")
    quick = parser.parse_args().quick
    published = MissCost.published()
    cost = MissCost(0.0, published.per_miss, published.per_upload)
    intent, translation = routing("intent"), routing("translation")
    cases = {
        "intent 1 > intent 2": (intent.head(), intent.tail()),
        "translation > intent": (translation, intent),
        "intent > translation": (intent, translation),
        "intent 2 > intent 1": (intent.tail(), intent.head()),
        "translation 1 > translation 2": (translation.head(), translation.tail()),
        "translation 2 > translation 1": (translation.tail(), translation.head()),
    }
    ratios, static_ratios = {}, {}
    for batch_size in (1,) if quick else (1, 4, 8):
        for name, (fitted, scored) in cases.items():
            begin = time.process_time()
            slots = 32 * scored.n_layers
            plan = plan_offload(fitted, slots=slots, cost=cost, batch_size=batch_size)
            rows = fixed_rows(fitted, scored, slots, cost, batch_size)
            rows["planned"] = plan.seconds(scored, cost) * 1e3
            best = min(rows[key] for key in FIXED)
            ratios[batch_size, name] = rows["planned"] / best
            static_ratios[batch_size, name] = rows["planned"] / rows["static list"]
            print(f"batch {batch_size}, {name} ({time.process_time() - begin:.1f} s)")
            for key, value in rows.items():
                print(f"  {key:32s} {value:8.3f}  {value / best - 1:+.1%}")
    columns = list(cases)[:3]
    for name, must in zip(columns, ("0.900 (aim 0.800)", *2 * ["1.000 (aim 0.900)"]), strict=True):
        harness.bar(f"plan, {name}, of the best fixed row", f"{ratios[1, name]:.3f}", must)
    others = [value for key, value in static_ratios.items() if key[1] not in columns or key[0] > 1]
    what = "plan, other halves and batch sizes, most of a static list"
    harness.bar(what, f"{max(others):.3f}", "1.000")
    mean = np.mean(list(ratios.values()))
    print(f"mean of the best fixed row over {len(ratios)} cases: {mean:.3f}")


if __name__ == "__main__":
    main()
