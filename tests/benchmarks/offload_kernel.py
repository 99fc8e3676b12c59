"""Measured and replayed plans of offloaded experts: `python -m tests.benchmarks.offload_kernel`.

Whole models decode texts with plans applied to them: misses are computed in slow memory, and
uploads run behind the next layers. The packaged model decodes code, and a model like OLMoE with
random weights decodes random words. Slow memory is a mapped file, of float32 or of bfloat16, which
is widened at every use. The cost of misses and uploads is measured with static lists, LRU, and two
rules, on the routing of other texts. Runs of both alternate, since the load of a shared machine
changes. Times are process time.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import torch

from moe_costmodel import (
    Admission,
    LayerShape,
    MissCost,
    OffloadRule,
    Placement,
    Plan,
    offload_curves,
)
from moe_costmodel.deployment.miss_timer import MissTimer
from moe_costmodel.example import load_model
from moe_costmodel.example.record import excerpts
from moe_costmodel.kernels import Experts
from moe_costmodel.latency.steps.model_steps import replaced_layers
from moe_costmodel.offloading.planner import layer_streams, uses_of
from tests.benchmarks import harness, hf_models, measured_models

RESULTS = harness.RESULTS / "offload_kernel.json"
MODELS = {"example": "packaged model", "olmoe": "OLMoE-like model"}
STEPS, CONTEXT = 32, 24
DTYPES = (torch.float32, torch.bfloat16)
OLMOE = {
    "hidden_size": 512, "num_hidden_layers": 6, "intermediate_size": 256, "num_experts": 64,
    "num_experts_per_tok": 8,
}  # fmt: skip
STATIC = Admission(per_step=0)
# Share of the experts that fit, rule; none of them is a setting of MissTimer.
PLANS = [
    (0.25, OffloadRule("lfu", STATIC)),
    (0.5, OffloadRule("lfu", STATIC)),
    (0.5, OffloadRule("lru", Admission(after=2))),
    (0.35, OffloadRule("decay", Admission(), half_life=16.0)),
    (0.6, OffloadRule("lfu", Admission(margin=2.0))),
    (0.4, OffloadRule("least-stale", Admission(per_step=1))),
    (0.75, OffloadRule("fifo", Admission())),
    (0.25, OffloadRule("inactive-lfu", Admission(per_step=0.5))),
    (0.5, OffloadRule("paper", Admission())),
    (0.85, OffloadRule("decay", Admission(after=3), half_life=64.0)),
]


class Case:
    """A model, the texts that plans run on and are measured with, and how a step is called."""

    def __init__(self, name: str, batch_size: int, dtype: torch.dtype) -> None:
        self.name, self.batch_size, self.dtype = name, batch_size, dtype
        self.key = f"{name}, {batch_size} sequences, slow memory {str(dtype).split('.')[1]}"
        length, n = CONTEXT + STEPS, batch_size + max(2, batch_size)
        if name == "example":
            self.model = load_model()
            tokens = torch.cat([text[:, :length] for text in excerpts("code", n=10)])[:n]
        else:
            self.model = hf_models.build("olmoe", **OLMOE)
            tokens = hf_models.tokens_of(n, length)
        # Slow memory holds the same numbers as fast memory, so that both compute the same.
        for key, parameter in self.model.named_parameters():
            if key.endswith(("gate_up_proj", "down_proj")):
                parameter.data = parameter.data.to(dtype).to(torch.float32)
        with torch.no_grad():
            own, others = (
                hf_models.trace_of(self.model, part, slice(CONTEXT, None))
                for part in (tokens[:batch_size], tokens[batch_size:])
            )
            self.begin = hf_models.decoding(self.model, tokens[:batch_size], CONTEXT)
        self.trace, self.other = own, others
        self.uses = uses_of(layer_streams(others, batch_size))

    def plan(self, share: float, rule: OffloadRule) -> Plan:
        trace, config = self.trace, self.model.config
        width = getattr(config, "moe_intermediate_size", config.intermediate_size)
        shape = LayerShape(
            n_experts=trace.n_experts, k=trace.k, d_model=config.hidden_size, d_ffn=width,
            gated=True,
        )  # fmt: skip
        slots = max(1, round(share * trace.n_experts))
        # Slots differ by layer, so that plans are not those that the cost was fitted to.
        slots = np.clip(slots + np.arange(trace.n_layers) % 3 - 1, 1, trace.n_experts)
        return Plan(
            model=self.name, shape=shape, mode="decode", batch_size=self.batch_size,
            placement=Placement([list(range(trace.n_experts))] * trace.n_layers, 1),
            capacities=slots[:, None], offload=rule, start=self.uses,
        )  # fmt: skip

    def plans(self, quick: bool = False) -> list[Plan]:
        return [self.plan(*settings) for settings in PLANS[:: 4 if quick else 1]]

    def replayed(self, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
        """Return misses and uploads of each step, as the replay predicts them."""
        misses = uploads = np.zeros(STEPS)
        rule = plan.offload
        for i, stream in enumerate(layer_streams(self.trace, self.batch_size)):
            curve = offload_curves(
                [stream], plan.capacities[i], policies=[rule.policy], admissions=[rule.admission],
                start=plan.start[i : i + 1], half_life=rule.half_life, per_step=True,
            )[rule.policy]  # fmt: skip
            misses = misses + curve.step_misses[:, 0, 0, 0]
            uploads = uploads + curve.step_uploads[:, 0, 0, 0]
        return misses, uploads

    def decode(self, layers: list) -> tuple[float, int, int]:
        """Decode the steps with planned layers; return seconds of a step, misses and uploads."""
        step = self.begin()
        buffers = [layer.buffers[0] for layer in layers]
        for buffer in buffers:
            buffer.reset()
        with replaced_layers(self.model, lambda i, own: layers[i]):
            started = time.process_time()
            for t in range(CONTEXT, CONTEXT + STEPS):
                step(t)
            took = (time.process_time() - started) / STEPS
        counted = [buffer.statistics for buffer in buffers]
        return took, sum(c.misses for c in counted), sum(c.uploads for c in counted)


def cases_of(models: Iterable[str], quick: bool = False) -> Iterator[Case]:
    """Yield each model with 1 and 4 sequences and both types of slow memory; or the first case."""
    for name in models:
        for size, dtype in list(product((1, 4), DTYPES))[: 1 if quick else None]:
            yield Case(name, size, dtype)


def measure(case: Case, plans: list[Plan], turns: int, folder: Path) -> dict:
    """Return the measured seconds of a step of each plan, and the cost measured beside them."""

    def slow(layer: int, experts: Experts) -> Experts:
        path = folder / f"{layer}.safetensors"
        return Experts.map_file(path if path.exists() else experts.to(case.dtype).save(path))

    context = CONTEXT + STEPS // 2
    timer = MissTimer(
        case.model, batch_size=case.batch_size, context=context, trace=case.other, slow=slow
    )
    installed = []
    for plan in plans:  # the layers are put into the model again while the plan runs
        with plan.apply(case.model, slow=slow) as applied:
            installed.append(partial(case.decode, applied.layers))
        # Plans and settings share fast memory: where memory lies changes its speed by 5 %.
        for layer, memory in zip(applied.layers, timer.fast, strict=True):
            layer.buffers[0].use_memory(memory)
    runs = np.array(measured_models.in_turns(timer, installed, turns, np.random.default_rng(0)))
    for plan, (_, misses, uploads) in zip(plans, runs[:, -1], strict=True):
        replayed = [of_step.sum() for of_step in case.replayed(plan)]
        # A router may choose otherwise when sums are rounded otherwise: one choice in 100,000.
        assert abs(misses - replayed[0]) <= 3, "the kernel's misses differ"
        assert abs(uploads - replayed[1]) <= 6, "the kernel's uploads differ"
    low, middle, high = np.percentile(runs[:, :, 0], [25, 50, 75], axis=1)
    return {
        "plans": [words_of(plan) for plan in plans],
        "seconds": middle.tolist(),
        "spread": ((high - low) / middle).tolist(),
        "fitted": [(r.misses, r.uploads, float(np.median(r.seconds))) for r in timer.runs],
        "machine": f"{harness.machine('torch', 'transformers')}, {time.strftime('%d %B %Y')}",
    }


def words_of(plan: Plan) -> str:
    slots = plan.capacities
    return f"{slots.min()}-{slots.max()} of {plan.shape.n_experts}, {plan.offload}"


def predicted(case: Case, plans: list[Plan], row: dict) -> tuple[MissCost, np.ndarray, np.ndarray]:
    """Return the cost, and of each plan misses and uploads of a step, and its seconds."""
    cost = MissCost.fit(*zip(*row["fitted"], strict=True))
    steps = np.array([[of_step.mean() for of_step in case.replayed(plan)] for plan in plans])
    return cost, steps, cost.step_seconds(*steps.T)


def report(case: Case, plans: list[Plan], row: dict) -> float:
    """Print predicted and measured steps of a case; return the median error."""
    cost, steps, seconds = predicted(case, plans, row)
    terms = (cost.base, cost.per_miss, cost.per_upload, cost.hidden)
    listed = ", ".join(f"{t * 1e3:.4f}" for t in terms)
    print(f"{case.key}: base, miss, upload, hidden (ms): {listed}")
    errors = seconds / row["seconds"] - 1
    for i, plan in enumerate(plans):
        print(
            f"  {words_of(plan):62s} misses {steps[i, 0]:6.2f} uploads {steps[i, 1]:5.2f}  "
            f"predicted {seconds[i] * 1e3:7.3f} ms  measured {row['seconds'][i] * 1e3:7.3f}  "
            f"{errors[i]:+.1%} (spread {row['spread'][i]:.1%})"
        )
    alone = np.median(np.abs(cost.base / np.array(row["seconds"]) - 1))
    median = float(np.median(np.abs(errors)))
    print(
        f"  median error {median:.1%}, largest {np.abs(errors).max():.1%}; "
        f"of the base alone {alone:.1%}"
    )
    return median


def main() -> None:
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="three plans, fewer turns, not kept")
    parser.add_argument("--model", choices=tuple(MODELS), help="by default both")
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept = harness.Cases(None if options.quick else RESULTS, show=False)
    medians: dict[str, list[float]] = {}
    turns = 3 if options.quick else options.turns
    for case in cases_of([options.model] if options.model else MODELS, options.quick):
        plans = case.plans(options.quick)
        with tempfile.TemporaryDirectory() as folder:
            row = kept.get(case.key, partial(measure, case, plans, turns, Path(folder)))
        medians.setdefault(case.name, []).append(report(case, plans, row))
    print()
    for name, errors in medians.items():
        for words, value in (("mean", np.mean(errors)), ("largest", max(errors))):
            what = f"{MODELS[name]}, median error, {words} of {len(errors)} cases"
            harness.bar(what, f"{value:.3f}", "0.080 (aim 0.050)")


if __name__ == "__main__":
    main()
