"""Example files that are texts: a function, a pymoo Problem, a model's config, and prices."""

FUNCTION = '''"""A heat sink: which fins cool best? Replace `simulate` by your own program."""

# Two numbers are bounds, integers make an integer variable; a list holds options.
variables = {
    "height": (0.01, 0.06),  # m
    "fins": (5, 25),
    "shape": ["round", "pin"],
    "fan": bool,
}
# Names of what `simulate` returns, each minimized; or {"mass": "min", "yield": "max"}.
objectives = ["mass", "rise"]
# Lowest and highest allowed value of what `simulate` returns; None leaves a side open.
constraints = {"noise": (None, 33)}


def simulate(d):
    """Return mass (kg), rise (K) and noise (dB) of a design, a dict of the variables."""
    area = d["fins"] * d["height"] * (0.16 if d["shape"] == "pin" else 0.12)
    mass = area * (3.6 if d["shape"] == "pin" else 2.7) + 0.1 * d["fan"]
    reached = 1.0 / (1.0 + 400.0 * d["height"] ** 2 + (d["fins"] / 25.0) ** 3)  # by the air
    transfer = (60.0 if d["fan"] else 15.0) * area * reached
    noise = 20.0 + 0.7 * d["fins"] if d["fan"] else 0.0
    return {"mass": mass, "rise": 20.0 / transfer, "noise": noise}
'''

PROBLEM = '''"""A heat sink as a pymoo Problem: designs are rows, objectives are minimized."""

import numpy as np
from pymoo.core.problem import ElementwiseProblem


class Sink(ElementwiseProblem):
    """Height (m) and pitch (m) of fins; mass (kg) and temperature rise (K)."""

    objective_names = ("mass", "rise")

    def __init__(self, width=0.1):
        self.width = width  # m
        super().__init__(
            n_var=2, n_obj=2, n_ieq_constr=1, xl=np.array([0.01, 0.002]), xu=np.array([0.06, 0.02])
        )

    def _evaluate(self, x, out, *args, **kwargs):
        height, pitch = x
        fins = self.width / pitch
        area = 2.0 * fins * height * self.width
        out["F"] = [2700.0 * fins * height * self.width * 0.001, 20.0 / (15.0 * area)]
        out["G"] = [fins - 40.0]  # at most 40 fins
'''

CONFIG = """{
  "model_type": "mixtral",
  "hidden_size": 4096,
  "intermediate_size": 14336,
  "num_hidden_layers": 32,
  "num_attention_heads": 32,
  "num_key_value_heads": 8,
  "num_local_experts": 8,
  "num_experts_per_tok": 2,
  "vocab_size": 32000,
  "max_position_embeddings": 32768
}
"""

PRICES = """{
  "a100_sxm": 1.6,
  "h100_sxm": 2.4,
  "h200_sxm": 3.2,
  "l40s": {"price_per_gpu_hour": 0.9, "gpus": 8}
}
"""
