"""Memory of a process in which `measure_model` measures a model, relative to the model.

    python -m tests.benchmarks.measure_memory [quick] [olmoe]

Models with random weights are measured, each in a process of its own. Its peak of resident memory
is taken less what it held before the model was built, with all libraries loaded and code compiled.
The C library returns freed memory to the system at once, so only memory in use counts, and the peak
is the same each time. Linux only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import torch

from moe_costmodel import measure_model
from tests.benchmarks import harness

# Family, number of layers, sizes, and steps to measure.
SETTINGS = {
    "quick": (
        "Mixtral",
        2,
        {"hidden_size": 512, "intermediate_size": 512, "num_local_experts": 8,
         "num_experts_per_tok": 2},
        {"batch_sizes": (24, 28, 32), "contexts": (256,), "prompts": (64, 128)},
    ),
    "olmoe": (
        "Olmoe",
        8,
        {"hidden_size": 512, "intermediate_size": 256, "num_experts": 64, "num_experts_per_tok": 8},
        {"batch_sizes": (1, 2, 4, 8, 16, 32), "contexts": (16, 128, 512),
         "prompts": (64, 256, 512)},
    ),
}  # fmt: skip
TINY = {"hidden_size": 32, "intermediate_size": 16}
# Larger blocks than this, in bytes, are returned when they are freed; glibc would raise the limit.
RETURNED = {"MALLOC_MMAP_THRESHOLD_": "131072"}
CHILD = """
import json, sys
from tests.benchmarks.measure_memory import child
print(json.dumps(child(sys.argv[1], float(sys.argv[2]))))
"""


def built(family, n_layers, sizes):
    import transformers

    config = getattr(transformers, f"{family}Config")(
        vocab_size=2000, num_hidden_layers=n_layers, num_attention_heads=8, num_key_value_heads=8,
        **sizes,
    )  # fmt: skip
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    return model.eval().requires_grad_(False)


def status(field):
    """Return a field of this process, in bytes: "VmRSS" now, or "VmHWM" at most."""
    with open("/proc/self/status", encoding="utf-8") as lines:
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def child(name, budget_s):
    """Measure a model in this process; return bytes of model, largest KV cache, and peak."""
    torch.set_num_threads(1)
    family, n_layers, sizes, steps = SETTINGS[name]
    measure_model(
        built(family, 1, sizes | TINY), batch_sizes=(2,), contexts=(8,), prompts=(8,),
        budget_s=0.01,
    )  # fmt: skip
    before = status("VmRSS")
    model = built(family, n_layers, sizes)
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    with torch.no_grad():
        cache = model(torch.zeros(1, 1, dtype=torch.int64), use_cache=True).past_key_values
    a_token = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    batches, contexts = steps["batch_sizes"], steps["contexts"]
    middle, largest = contexts[len(contexts) // 2], batches[len(batches) // 2]
    tokens = max(batches[-1] * middle, largest * contexts[-1])
    with open("/proc/self/clear_refs", "w", encoding="utf-8") as peak:
        peak.write("5")
    measure_model(model, budget_s=budget_s, **steps)
    return {"model": size, "cache": tokens * a_token, "peak": status("VmHWM") - before}


def measured(name, budget_s):
    """Return what `child` returns in a process of its own."""
    command, own = [sys.executable, "-c", CHILD, name, str(budget_s)], os.environ | RETURNED
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=own)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("models", nargs="*", default=list(SETTINGS))
    print(harness.machine("torch", "transformers"))
    for name in parser.parse_args().models:
        found = measured(name, 1.0 if name == "quick" else 60.0)
        model, cache, peak = (found[key] / 2**20 for key in ("model", "cache", "peak"))
        print(f"{name}: model {model:.0f} MiB, largest cache {cache:.0f} MiB, peak {peak:.0f} MiB")
        worst = f"{(peak - cache) / model:.2f}"
        harness.bar(f"{name}, peak less the largest KV cache, in models", worst, "at most 2")


if __name__ == "__main__":
    main()
