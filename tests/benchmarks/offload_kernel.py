"""Measured and replayed plans of offloaded experts: `python -m tests.benchmarks.offload_kernel`.

Whole models decode texts with plans applied to them: misses are computed in slow memory, and
uploads run behind the next layers. The packaged model decodes code, and a model like OLMoE with
random weights decodes random words. Slow memory is a mapped file, of float32 or of bfloat16, which
is widened at every use. The cost of misses and uploads is measured with static lists, LRU, and two
rules, on the routing of other texts. Runs of both alternate, since the load of a shared machine
changes. Times are process time.

    --quick        three plans, fewer turns; results are printed only
    --model NAME   example or olmoe; by default both
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
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
    RoutingTrace,
    offload_curves,
)
from moe_costmodel.deployment.miss_timer import MissTimer
from moe_costmodel.example import load_model
from moe_costmodel.example.record import excerpts
from moe_costmodel.kernels import Experts
from moe_costmodel.offloading.planner import layer_streams, uses_of
from tests.benchmarks import hf_models

RESULTS = Path(__file__).parent / "results" / "offload_kernel.json"
STEPS, CONTEXT = 32, 24
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
        self.name, self.batch_size = name, batch_size
        if name == "example":
            self.model = load_model()
            length = CONTEXT + STEPS
            tokens = torch.cat([text[:, :length] for text in excerpts("code", n=10)])
            tokens = tokens[: batch_size + max(2, batch_size)]
        else:
            hf_models.SETTINGS["bench"] = ("Olmoe", OLMOE)
            self.model = hf_models.build("bench")
            n = batch_size + max(2, batch_size)
            tokens = hf_models.tokens_of(n, CONTEXT + STEPS)
        # Slow memory holds the same numbers as fast memory, so that both compute the same.
        for key, parameter in self.model.named_parameters():
            if key.endswith(("gate_up_proj", "down_proj")):
                parameter.data = parameter.data.to(dtype).to(torch.float32)
        self.tokens, others = tokens[:batch_size], tokens[batch_size:]
        with torch.no_grad():
            self.trace = self._decoded(RoutingTrace.record(self.model, [self.tokens]))
            self.other = self._decoded(RoutingTrace.record(self.model, [others]))
            self.uses = uses_of(layer_streams(self.other, batch_size))

    def _decoded(self, trace: RoutingTrace) -> RoutingTrace:
        """Return the part of the sequences that is decoded token by token."""
        lengths = np.asarray(trace.sequence_lengths)
        ends = np.cumsum(lengths)
        kept = np.concatenate([np.arange(e - STEPS, e) for e in ends])
        return RoutingTrace(
            topk_ids=np.asarray(trace.topk_ids)[kept], layers=trace.layers,
            n_experts=trace.n_experts, sequence_lengths=np.full(len(lengths), STEPS),
            source=trace.source,
        )  # fmt: skip

    def prefilled(self):
        """Return a call that decodes the next token of all sequences, after a prompt."""
        prompt = self.tokens[:, :CONTEXT]
        if self.name == "example":
            cache: list = []
            self.model(prompt, cache=cache)
            return lambda t: self.model(self.tokens[:, t : t + 1], cache=cache)
        held = self.model(prompt, use_cache=True).past_key_values
        return lambda t: self.model(self.tokens[:, t : t + 1], past_key_values=held, use_cache=True)

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


def measure(case: Case, dtype: torch.dtype, plans: list[Plan], turns: int, folder: Path) -> dict:
    """Return the measured seconds of a step of each plan, and the cost measured beside them."""

    def slow(layer: int, experts: Experts) -> Experts:
        path = folder / f"{case.name}-{layer}-{dtype}.safetensors"
        return Experts.map_file(path if path.exists() else experts.to(dtype).save(path))

    context = CONTEXT + STEPS // 2
    timer = MissTimer(
        case.model, batch_size=case.batch_size, context=context, trace=case.other, slow=slow
    )
    installed = []
    for plan in plans:  # the layers are put into the model again while the plan runs
        with plan.apply(case.model, slow=slow) as applied:
            installed.append(applied.layers)
        # Plans and settings share fast memory: where memory lies changes its speed by 5 %.
        for layer, memory in zip(applied.layers, timer.fast, strict=True):
            layer.buffers[0].use_memory(memory)
    random = np.random.default_rng(0)
    seconds: list[list[float]] = [[] for _ in plans]
    counts = [(0, 0)] * len(plans)
    for turn in range(turns + 1):
        timer.turn(keep=turn > 0)
        for i in random.permutation(len(plans)):
            took, counts[i] = run(case, installed[i])
            if turn:
                seconds[i].append(took)
    return {
        "seconds": [float(np.median(row)) for row in seconds],
        "spread": [float(np.subtract(*np.percentile(r, [75, 25])) / np.median(r)) for r in seconds],
        "counts": counts,
        "fitted": [(r.misses, r.uploads, float(np.median(r.seconds))) for r in timer.runs],
    }


def run(case: Case, layers: list) -> tuple[float, tuple[int, int]]:
    """Decode the steps with some planned layers; return seconds of a step, misses and uploads."""
    from moe_costmodel.latency.steps.model_steps import replaced_layers

    step = case.prefilled()  # by the model's own layers
    buffers = [layer.buffers[0] for layer in layers]
    for buffer in buffers:
        buffer.reset()
    with replaced_layers(case.model, lambda i, own: layers[i]):
        started = time.process_time()
        for t in range(CONTEXT, CONTEXT + STEPS):
            step(t)
        took = (time.process_time() - started) / STEPS
    misses = sum(buffer.statistics.misses for buffer in buffers)
    return took, (misses, sum(buffer.statistics.uploads for buffer in buffers))


def report(name: str, row: dict) -> float:
    """Print predicted and measured steps of a case; return the median error."""
    cost = MissCost.fit(*zip(*row["fitted"], strict=True))
    terms = (cost.base, cost.per_miss, cost.per_upload, cost.hidden)
    print(f"{name}: base, miss, upload, hidden (ms): " + ", ".join(f"{t * 1e3:.4f}" for t in terms))
    errors = []
    for plan, took, spread, (misses, uploads) in zip(
        row["plans"], row["seconds"], row["spread"], row["replayed"], strict=True
    ):
        predicted = float(cost.step_seconds(misses, uploads))
        errors.append(abs(predicted / took - 1))
        print(
            f"  {plan:62s} misses {misses:6.2f} uploads {uploads:5.2f}  predicted "
            f"{predicted * 1e3:7.3f} ms  measured {took * 1e3:7.3f}  {predicted / took - 1:+.1%} "
            f"(spread {spread:.1%})"
        )
    alone = np.median(np.abs(cost.base / np.array(row["seconds"]) - 1))
    print(
        f"  median error {np.median(errors):.1%}, largest {max(errors):.1%}; "
        f"of the base alone {alone:.1%}"
    )
    return float(np.median(errors))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--model", choices=("example", "olmoe"))
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = [options.model] if options.model else ["example", "olmoe"]
    results = {} if options.quick or not RESULTS.exists() else json.loads(RESULTS.read_text())
    medians: dict[str, list[float]] = {name: [] for name in names}
    cases = [(n, b, d) for n in names for b in (1, 4) for d in (torch.float32, torch.bfloat16)]
    if options.quick:
        cases = [(name, 1, torch.float32) for name in names]
    for name, batch_size, dtype in cases:
        kind = str(dtype).removeprefix("torch.")
        key = f"{name}, {batch_size} sequences, slow memory {kind}"
        if key not in results:
            with tempfile.TemporaryDirectory() as folder:
                case = Case(name, batch_size, dtype)
                plans = [case.plan(*settings) for settings in PLANS[:: 4 if options.quick else 1]]
                turns = 3 if options.quick else options.turns
                row = measure(case, dtype, plans, turns, Path(folder))
            replayed = [case.replayed(plan) for plan in plans]
            for (misses, uploads), counted in zip(replayed, row.pop("counts"), strict=True):
                # A router may choose otherwise when sums are rounded otherwise: about one choice
                # in 100,000.
                assert abs(misses.sum() - counted[0]) <= 3, "the kernel's misses differ"
                assert abs(uploads.sum() - counted[1]) <= 6, "the kernel's uploads differ"
            row["replayed"] = [(float(m.mean()), float(u.mean())) for m, u in replayed]
            row["plans"] = [
                f"{p.capacities.min()}-{p.capacities.max()} of {p.shape.n_experts}, {p.offload}"
                for p in plans
            ]
            row["machine"] = (
                f"{platform.machine()}, torch {torch.__version__}, {time.strftime('%d %B %Y')}"
            )
            results[key] = row
            if not options.quick:
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        medians[name].append(report(key, results[key]))
    print()
    for name, errors in medians.items():
        what = "packaged model" if name == "example" else "OLMoE-like model"
        for words, value in (("mean", np.mean(errors)), ("largest", max(errors))):
            cases_of = f"median error, {words} of {len(errors)} cases"
            print(f"bar: {what}, {cases_of}, {value:.3f}, 0.080 (aim 0.050)")


if __name__ == "__main__":
    main()
