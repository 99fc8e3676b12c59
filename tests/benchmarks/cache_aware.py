"""Measure cache-aware gating: `python -m tests.benchmarks.cache_aware [--search]`.

The packaged model on text that was held out of its training, LRU, 16 of 32 experts resident, one
sequence at a time. `--search` lets MOELA choose a tolerance for each layer on eight texts, and
scores the front on sixteen others, beside the same tolerance in all layers (eight minutes).
"""

from __future__ import annotations

import time

import moocore
import numpy as np
import torch
from pymoo.optimize import minimize

from moe_costmodel import CacheAwareGating, loss_with_cache
from moe_costmodel.example import excerpts, load_model
from moela import MOELA
from problems.moe import CacheAwareRouting
from tests.benchmarks import harness

TOLERANCES = (0.3, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.825, 0.85)


def main() -> None:
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer texts and tolerances")
    parser.add_argument("--search", action="store_true", help="a tolerance for each layer")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.search:
        search()
    else:
        one_for_all(arguments.quick)


def one_for_all(quick: bool) -> None:
    """Measure the same tolerance in all layers."""
    model = load_model()
    begin = time.perf_counter()
    halved, most_saved = [], []
    for domain in ("prose", "code"):
        texts = list(excerpts(domain, n=8 if quick else 32, random_state=1))
        plain = loss_with_cache(model, texts, CacheAwareGating(0.0), 16)
        print(f"{domain}: {plain.loss:.4f} nats, {plain.misses:.2f} misses a token")
        front = []
        for keep in (1, 2):
            for tolerance in TOLERANCES[1::2] if quick else TOLERANCES:
                found = loss_with_cache(model, texts, CacheAwareGating(tolerance, keep), 16)
                more, fewer = found.loss / plain.loss - 1, 1 - found.misses / plain.misses
                front.append((more, fewer))
                what = f"keep {keep}, tolerance {tolerance:5.3f}"
                print(f"  {what}: {more:+.2%} nats, {fewer:.1%} fewer misses")
        halved.append(min((more for more, fewer in front if fewer >= 0.5), default=float("inf")))
        most_saved.append(max((fewer for more, fewer in front if more <= 0.02), default=0.0))
    print(f"{time.perf_counter() - begin:.0f} s\n")
    harness.bar("cache-aware gating, more nats at half the misses", f"{max(halved):.4f}", "0.01")
    saved = f"{min(most_saved):.3f}"
    harness.bar("cache-aware gating, fewer misses for 2 % (aim)", saved, "0.8")


def search() -> None:
    """Compare tolerances of each layer with the same in all, by the hypervolume of their fronts."""
    model, held_out = load_model(), []
    for domain in ("prose", "code"):
        texts = list(excerpts(domain, n=24, random_state=1))
        planned, others = (
            CacheAwareRouting(model, part, slots=16) for part in (texts[:8], texts[8:])
        )
        for seed in (1, 2, 3):
            found = minimize(planned, MOELA(), ("n_eval", 300), seed=seed).X.astype(int)
            ratios = []
            for problem in (planned, others):
                fronts = problem.evaluate(found), problem.evaluate(problem.starts())
                volumes = [moocore.hypervolume(F, ref=problem.ref_point) for F in fronts]
                ratios.append(volumes[0] / volumes[1])
            held_out.append(ratios[1])
            what = f"{ratios[0]:.3f} on the texts of the search, {ratios[1]:.3f} on others"
            print(f"{domain}, seed {seed}: hypervolume {what}", flush=True)
    what = "tolerances of each layer over one for all, hypervolume"
    harness.bar(what, f"{np.median(held_out):.3f}", "above 1")


if __name__ == "__main__":
    main()
