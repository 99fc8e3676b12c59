"""Goals of the deployment problems on the shared traces: sections of the page of tables_moe."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import combinations, product
from typing import Any

import moocore
import numpy as np
from pymoo.optimize import minimize

from moe_costmodel import (
    LayerShape,
    RoutingTrace,
    avg_max_load,
    balancedness,
    expert_streams,
    replay,
    replicate_and_pack,
    swap_search,
)
from moe_costmodel.example.measured import example_hardware, example_latency
from moela import MOELA
from problems import ExpertBuffering, ExpertPlacement, GatingThresholds, MoEDeployment
from tests.benchmarks.harness import markdown

DOMAINS = ("intent", "translation")


def routing(data: Any, domain: str) -> RoutingTrace:
    """Return a shared trace of DeepSeek-V2-Lite."""
    return RoutingTrace.load(data / f"routing/deepseek-v2-lite-{domain}.npz")


def timed(make: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a call, and its process time."""
    start = time.process_time()
    result = make()
    return result, time.process_time() - start


def placement(data: Any, seed: int, budget: int) -> str:
    """Return Avg Max Load on the unseen half, relative to anti-correlation, with seconds."""
    rows = [["trace, devices", "anti-correlation", "greedy = replicate-and-pack", "swaps",
             "spread pairs", "MOELA from these", "swaps on the scored half"]]  # fmt: skip
    # A first call compiles, so that compilation is not timed.
    small = ExpertPlacement.example(n_devices=2)
    swap_search(small.windows[0].loads(4), 2, random_state=seed)
    for domain, devices in product(DOMAINS, (4, 8)):
        seen, unseen = routing(data, domain).split()
        fitted, scored = seen.loads(4), unseen.loads(4)
        problem, made = timed(partial(ExpertPlacement, seen, n_devices=devices))
        start = problem.named_starts["anti-correlation"]
        swaps, took = timed(
            lambda f=fitted, d=devices, s=start: swap_search(f, d, start=s, random_state=seed)
        )
        res, searched = timed(lambda p=problem: minimize(p, MOELA(), ("n_eval", budget), seed=seed))
        best = problem.decode(res.X[res.F[:, 0].argmin()])
        spread = problem.named_starts["spread pairs"]
        bound = swap_search(scored, devices, start=spread, random_state=seed)
        base = avg_max_load(start, scored).mean()

        def share(placement: Any, scored: Any = scored, base: float = base) -> str:
            return f"{avg_max_load(placement, scored).mean() / base - 1:+.1%}"

        rows.append(
            [f"{domain}, {devices}", f"{base:.4f}", share(problem.named_starts["greedy"]),
             f"{share(swaps)} ({took:.1f} s)",
             f"{share(spread)} ({made:.1f} s, all starts)",
             f"{share(best)} (+{searched:.1f} s)", share(bound)]
        )  # fmt: skip
    return markdown(rows)


def workloads(data: Any, layers: slice) -> str:
    """Return balancedness on DeepSeek-V3 workloads that a placement was not fitted to."""
    paths = sorted((data / "loads/deepseek-v3").glob("*.json"))
    loads = [RoutingTrace.load(path).loads()[:, layers] for path in paths]
    traces = [RoutingTrace.from_counts(part) for part in loads]
    rows = [["fitted on, scored on the others", "replicas", "replicate-and-pack", "spread pairs",
             "gain", "least gain"]]  # fmt: skip
    for n_fitted, replicas in product((5, 4, 3, 2, 1), (0, 32)):
        sets = list(combinations(range(len(paths)), n_fitted))
        picked = sets if len(sets) <= 6 else [sets[i] for i in range(0, len(sets), len(sets) // 6)]
        both = []
        for chosen in picked:
            problem = ExpertPlacement([traces[i] for i in chosen], n_devices=32, replicas=replicas)
            spread = [p for n, p in problem.named_starts.items() if n.startswith("spread")][-1]
            packed = replicate_and_pack(
                np.concatenate([loads[i] for i in chosen]), 32, n_replicas=replicas
            )
            other = np.concatenate([loads[i] for i in range(len(paths)) if i not in chosen])
            both.append([balancedness(p, other).mean() for p in (packed, spread)])
        scores = np.array(both)
        gain = scores[:, 1] - scores[:, 0]
        rows.append(
            [f"{n_fitted} of {len(paths)}, {len(picked)} choices", str(replicas),
             *(f"{v:.3f}" for v in scores.mean(axis=0)), f"{gain.mean():+.3f}",
             f"{gain.min():+.3f}"]
        )  # fmt: skip
    return markdown(rows)


def buffering(data: Any) -> str:
    """Return mean miss times of the second half, relative to the paper's buffers of equal size."""
    sizes = (4, 8, 12)
    rows = [["trace, sequences per step",
             *(f"{size} of 16: ours (equal sizes, clairvoyant)" for size in sizes)]]  # fmt: skip
    for domain, batch in product(DOMAINS, (1, 4, 16)):
        seen, unseen = (
            ExpertBuffering(
                half, expert_bytes=1.0, miss_seconds=1.0, n_devices=4, batch_size=batch,
                objectives=("memory_bytes", "miss_mean_s"),
            )
            for half in routing(data, domain).split()
        )  # fmt: skip
        path = seen.marginal("inactive-lfu")
        memory = seen.evaluate(path)[:, 0]
        streams = expert_streams(
            unseen.windows[0].loads(batch), unseen.placement.device_of(), 4
        )  # fmt: skip
        cells = []
        for size in sizes:
            paper = unseen.evaluate(unseen.equal_capacity(size)[None])[0]
            row = seen.polished(path[memory == paper[0]][0])
            tried = np.array([row, unseen.equal_capacity(size, "inactive-lfu")])
            values = unseen.evaluate(tried)
            assert (values[:, 0] <= paper[0]).all()
            best = replay(streams, np.full((26, 4), size), "min").max(axis=2).sum(axis=1).mean()
            varied, equal = values[:, 1] / paper[1] - 1
            cells.append(f"{varied:+.1%} ({equal:+.1%}, {best / paper[1] - 1:+.1%})")
        rows.append([f"{domain}, {batch}", *cells])
    return markdown(rows)


def thresholds(seed: int, budget: int, n_excerpts: int) -> str:
    """Return how fronts of MOELA compare with all choices of k for each layer, in measured loss."""
    rows = [["domain, rule", "best k per layer: points", "MOELA is below", "equal", "above",
             "largest excess, nats"]]  # fmt: skip
    for domain in ("prose", "code"):
        fixed = GatingThresholds.example(domain, measured=True, n_excerpts=n_excerpts, rule="top-k")
        every = np.array(list(product(range(fixed.k), repeat=fixed.n_var)))
        F = fixed.evaluate(every)
        F = F[moocore.is_nondominated(F)]
        for rule in ("top-p", "any"):
            problem = GatingThresholds.example(
                domain, measured=True, n_excerpts=n_excerpts, rule=rule
            )
            res = minimize(problem, MOELA(), ("n_eval", budget), seed=seed)
            loss = np.array([res.F[res.F[:, 0] <= f[0] + 1e-9, 1].min(initial=np.inf) for f in F])
            excess = loss - F[:, 1]
            rows.append(
                [f"{domain}, {rule}", str(len(F)), str((excess < -1e-9).sum()),
                 str((np.abs(excess) <= 1e-9).sum()), str((excess > 1e-9).sum()),
                 f"{max(0.0, excess.max()):.4f}"]
            )  # fmt: skip
    return markdown(rows)


def speed(data: Any) -> str:
    """Return evaluations per second of the joint problem on 26 layers of 64 experts."""

    def make() -> MoEDeployment:
        shape = LayerShape(n_experts=64, k=6, d_model=2048, d_ffn=1408, gated=True, dtype="float16")
        return MoEDeployment(
            routing(data, "intent"), example_hardware(), example_latency(), shape=shape,
            n_devices=4, memory_budget=float("inf"),
        )  # fmt: skip

    problem, fresh = make(), make()
    rng = np.random.default_rng(0)
    layout = problem.layout
    rows = [["sequences per step", "steps", "cold", "one part of one layer changed", "all cached"]]
    for i, batch in enumerate(problem.batch_sizes):
        base = problem.layout.base_row(problem.layout.placed.rows["spread"])
        base[layout.batch_size], base[layout.capacities] = i, 8
        cold = np.repeat(base[None], 10, axis=0)
        slots = cold[:, layout.slots].reshape(10, layout.n_layers, -1)
        cold[:, layout.slots] = rng.permuted(slots, axis=2).reshape(10, -1)
        problem.evaluate(base[None])
        neighbors = one_layer_changed(problem, base, 300, rng)
        rates = []
        for X in (cold, neighbors, neighbors):
            _, took = timed(partial(problem.evaluate, X))
            rates.append(f"{len(X) / took:,.0f}")
        assert np.array_equal(problem.evaluate(neighbors[-1:]), fresh.evaluate(neighbors[-1:]))
        rows.append([str(batch), f"{problem.model.n_steps(batch):,}", *rates])
    return markdown(rows)


def one_layer_changed(problem: MoEDeployment, base: Any, n: int, rng: Any) -> Any:
    """Draw n neighbors of a row; return those that change one part of one layer, [m, n_var]."""
    layout = problem.layout
    neighbors = problem.neighbors(base, n, rng)
    # Changes of the policy, the batch size, or all layers at once are left out.
    changed = (neighbors[:, layout.gates] != base[layout.gates]).sum(axis=1)
    kept = neighbors[:, layout.capacities] != base[layout.capacities]
    changed += kept.reshape(n, layout.n_layers, -1).any(axis=2).sum(axis=1)
    whole = [layout.policy, layout.batch_size]
    return neighbors[(neighbors[:, whole] == base[whole]).all(axis=1) & (changed <= 1)]
