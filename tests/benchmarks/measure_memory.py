"""Memory of a process in which `measure_model` measures a model, relative to the model.

    python -m tests.benchmarks.measure_memory [--quick] [--models NAME ...] [--budget-s S]

Models of three families with random weights are measured, each in a process of its own. Its peak of
resident memory is taken less what it held before the model was built, with all libraries loaded and
code compiled. The C library returns freed memory to the system at once, so only memory in use
counts, and the peak is the same each time. Linux only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import torch

from moe_costmodel import measure_model
from tests.benchmarks import harness

_HEADS = {"num_attention_heads": 8, "num_key_value_heads": 8, "num_hidden_layers": 8}
SETTINGS = {
    "quick": (
        "Mixtral",
        {"num_hidden_layers": 2, "hidden_size": 512, "intermediate_size": 512,
         "num_local_experts": 8, "num_experts_per_tok": 2},
    ),
    "mixtral": (
        "Mixtral",
        {"hidden_size": 768, "intermediate_size": 1024, "num_local_experts": 8,
         "num_experts_per_tok": 2},
    ),
    "olmoe": (
        "Olmoe",
        {"hidden_size": 512, "intermediate_size": 256, "num_experts": 64,
         "num_experts_per_tok": 8},
    ),
    "qwen3": (
        "Qwen3Moe",
        {"hidden_size": 512, "intermediate_size": 256, "moe_intermediate_size": 128,
         "num_experts": 64, "num_experts_per_tok": 8, "head_dim": 128},
    ),
}  # fmt: skip
TINY = {"hidden_size": 32, "intermediate_size": 16, "moe_intermediate_size": 16, "head_dim": 4}
STEPS = {"batch_sizes": (1, 2, 4, 8, 16, 32), "contexts": (16, 128, 512), "prompts": (64, 256, 512)}
# Larger blocks than this, in bytes, are returned when they are freed; glibc would raise the limit.
RETURNED = {"MALLOC_MMAP_THRESHOLD_": "131072"}
QUICK = {"batch_sizes": (24, 28, 32), "contexts": (256,), "prompts": (64, 128)}


def built(family, own):
    import transformers

    config = getattr(transformers, f"{family}Config")(vocab_size=2000, **own)
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    return model.eval().requires_grad_(False)


def status(field):
    """Return a field of this process, in bytes: "VmRSS" now, or "VmHWM" at most."""
    with open("/proc/self/status", encoding="utf-8") as lines:
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def child(name, budget_s):
    """Measure a model in this process; print bytes of model, largest KV cache, and peak."""
    torch.set_num_threads(1)
    family, own = SETTINGS[name]
    tiny = {key: TINY[key] for key in TINY if key in own}
    measure_model(
        built(family, _HEADS | own | tiny | {"num_hidden_layers": 1}), batch_sizes=(2,),
        contexts=(8,), prompts=(8,), budget_s=0.01,
    )  # fmt: skip
    before = status("VmRSS")
    model = built(family, _HEADS | own)
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    with torch.no_grad():
        cache = model(torch.zeros(1, 1, dtype=torch.int64), use_cache=True).past_key_values
    a_token = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    sizes = QUICK if name == "quick" else STEPS
    batches, contexts = sizes["batch_sizes"], sizes["contexts"]
    middle, largest = contexts[len(contexts) // 2], batches[len(batches) // 2]
    tokens = max(batches[-1] * middle, largest * contexts[-1])
    with open("/proc/self/clear_refs", "w", encoding="utf-8") as peak:
        peak.write("5")
    found = measure_model(model, budget_s=budget_s, **sizes)
    values = {"model": size, "cache": tokens * a_token, "peak": status("VmHWM") - before}
    print(json.dumps(values | {"notes": list(found.measurements.notes)}))


def measured(name, budget_s):
    """Return what `child` prints in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.measure_memory", "--child"]
    command += ["--models", name, "--budget-s", str(budget_s)]
    environment = os.environ | RETURNED
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--models", nargs="+", default=["mixtral", "olmoe", "qwen3"])
    parser.add_argument("--budget-s", type=float, default=60.0)
    parser.add_argument("--quick", action="store_true", help="one small model")
    parser.add_argument("--child", action="store_true", help="measure in this process")
    arguments = parser.parse_args()
    if arguments.child:
        return child(arguments.models[0], arguments.budget_s)
    if arguments.quick:
        arguments.models, arguments.budget_s = ["quick"], 1.0
    print(harness.machine("torch", "transformers"))
    worst = -1.0
    for name in arguments.models:
        found = measured(name, arguments.budget_s)
        model, cache, peak = (found[key] / 2**20 for key in ("model", "cache", "peak"))
        worst = max(worst, (peak - cache) / model)
        print(
            f"{name:<9} model {model:.0f} MiB, largest KV cache {cache:.0f} MiB, peak {peak:.0f} "
            f"MiB: {peak / model:.2f} models, {(peak - cache) / model:.2f} without the cache; "
            f"{'; '.join(found['notes'])}",
            flush=True,
        )
    print(f"bar: peak less the largest KV cache, in models, {worst:.2f}, at most 2")
    return None


if __name__ == "__main__":
    main()
