"""Memory of a process in which `measure_model` measures a model, relative to the model.

The model is measured in a process of its own. Its peak of resident memory is taken less what it
held before the model was built, with all libraries loaded and code compiled. The C library returns
freed memory to the system at once, so only memory in use counts, and the peak never changes.
"""

import json
import os
import subprocess
import sys

import pytest

from moe_costmodel import measure_model

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

# Larger blocks than this, in bytes, are returned when they are freed; glibc would raise the limit.
RETURNED = {"MALLOC_MMAP_THRESHOLD_": "131072"}
BATCHES, CONTEXT = (24, 28, 32), 256


def built(n_layers, width, d_ffn):
    config = transformers.MixtralConfig(
        vocab_size=2000, num_attention_heads=8, num_key_value_heads=8, num_local_experts=8,
        num_experts_per_tok=2, num_hidden_layers=n_layers, hidden_size=width,
        intermediate_size=d_ffn,
    )  # fmt: skip
    return transformers.MixtralForCausalLM(config).eval().requires_grad_(False)


def status(field):
    """Return a field of this process, in bytes: "VmRSS" now, or "VmHWM" at most."""
    with open("/proc/self/status", encoding="utf-8") as lines:
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def child():
    """Measure a model in this process; return bytes of model, largest KV cache, and peak."""
    torch.set_num_threads(1)
    tiny = {"batch_sizes": (2,), "contexts": (8,), "prompts": (8,), "budget_s": 0.01}
    measure_model(built(1, 32, 16), **tiny)
    before = status("VmRSS")
    model = built(2, 512, 512)
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    with torch.no_grad():
        cache = model(torch.zeros(1, 1, dtype=torch.int64), use_cache=True).past_key_values
    a_token = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    with open("/proc/self/clear_refs", "w", encoding="utf-8") as peak:
        peak.write("5")
    measure_model(model, batch_sizes=BATCHES, contexts=(CONTEXT,), prompts=(64, 128), budget_s=1.0)
    largest = BATCHES[-1] * CONTEXT * a_token
    return {"model": size, "cache": largest, "peak": status("VmHWM") - before}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_measuring_takes_at_most_twice_the_model_and_one_cache():
    # Measured: 1.71 models and a cache, every time.
    command = [sys.executable, "-m", "tests.moe_costmodel.latency.steps.test_measured_memory"]
    own = os.environ | RETURNED
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=own)
    found = json.loads(done.stdout.splitlines()[-1])
    # All caches together would be 2.6 times the largest, and buffers of all layers 0.8 models.
    assert found["cache"] > 0.5 * found["model"]
    assert found["model"] < found["peak"] <= 2 * found["model"] + found["cache"]


if __name__ == "__main__":
    print(json.dumps(child()))
