"""
A real model on GPUs, from its config to the engine's command
=============================================================

Sixteen GPUs shall serve a language model of 30 billion parameters. How many GPUs share one copy of
the model, how are its layers and experts divided among them, and how many requests run together?
This page starts from the model's ``config.json`` and ends with the command that starts the engine.
It needs the tables of measured GPU kernels: ``pip install ".[silicon]"``.
"""

# %%
# The model
# ---------
#
# A config of Hugging Face tells the sizes of all parts. This one is that of Qwen3-30B-A3B, with the
# fields that are read.

import json
import tempfile
from pathlib import Path

import numpy as np
from pymoo.optimize import minimize

from moe_costmodel import ModelShape
from moela import MOELA, front_of
from problems import MoEServing

folder = Path(tempfile.mkdtemp())
config = folder / "config.json"
config.write_text(
    json.dumps(
        {
            "architectures": ["Qwen3MoeForCausalLM"],
            "model_type": "qwen3_moe",
            "hidden_size": 2048,
            "num_hidden_layers": 48,
            "num_attention_heads": 32,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "intermediate_size": 6144,
            "moe_intermediate_size": 768,
            "num_experts": 128,
            "num_experts_per_tok": 8,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "vocab_size": 151936,
            "tie_word_embeddings": False,
            "torch_dtype": "bfloat16",
        }
    )
)
shape = ModelShape.from_config(config)
print(shape)

# %%
# The problem
# -----------
#
# Prompts have 4,096 tokens and answers 1,024. The first token of an answer shall come within two
# seconds, and each further token within 50 milliseconds. Everything else is free: tensor, data,
# expert and pipeline parallelism, the number of copies, the batch, and the most tokens of a step.
# The time of a step is composed from kernels that were measured on an H200 with SGLang.

problem = MoEServing(
    config,
    gpu="h200_sxm",
    n_gpus=16,
    backend="sglang",
    input_tokens=4096,
    output_tokens=1024,
    objectives=("tokens_per_s_per_user", "tokens_per_s_per_gpu"),
    ttft_slo_s=2.0,
    tpot_slo_s=0.05,
)
res = minimize(problem, MOELA(), ("n_eval", 600), seed=1)
front = front_of(res)

# %%
# A plan
# ------
#
# The front ranges from few fast users to many slower ones. The plan in its middle states its
# settings, each predicted value with an interval, what was extrapolated, and what was assumed.

middle = np.argsort(res.F[:, 0])[len(res.F) // 2]
plan = problem.plan(res.X[middle])
print(plan)

# %%
# The command that starts the engine has every setting of the plan.

for export in plan.export(folder, model="Qwen/Qwen3-30B-A3B"):
    print(export.command)

# %%
# Each point of the picture is a way to serve the model on the sixteen GPUs. An instance is a copy
# of the model, which several GPUs share. The star is the plan above.

from matplotlib.figure import Figure

figure = Figure(figsize=(8, 5.6), layout="constrained")
axes = figure.subplots()
plans = [problem.plan(x) for x in res.X]
sizes = sorted({p.pools[0].layout.n_gpus for p in plans})
looks = [("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#000000", "v")]
names = ["tokens_per_s_per_user", "tokens_per_s_per_gpu"]
for size, (color, marker) in zip(sizes, looks, strict=False):
    some = [p.objectives for p in plans if p.pools[0].layout.n_gpus == size]
    speed, throughput = ([values[name].value for values in some] for name in names)
    axes.plot(speed, throughput, marker, color=color, ms=8, label=f"{size} GPUs an instance")
speed, throughput = (plan.objectives[name].value for name in names)
axes.plot(speed, throughput, "*", color="black", ms=16, label="the plan")
axes.set(xlabel="tokens per second of a request", ylabel="tokens per second and GPU")
axes.set(xscale="log", yscale="log")
for axis in (axes.xaxis, axes.yaxis):
    axis.set_major_formatter("{x:g}")
axes.set_xticks([20, 50, 100, 200])
axes.xaxis.set_minor_formatter("")
axes.legend()
