"""Train the example model on CPU: ``python -m moe_costmodel.example.train --out FOLDER``.

Writes ``model.safetensors`` (half precision), ``config.json`` and ``loss.json`` (the loss curve and
all settings). With one thread and one seed, the same machine gives the same weights.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch.nn import functional as F
from tqdm import tqdm

from moe_costmodel.example.model import ExampleConfig, ExampleModel
from moe_costmodel.example.text import DOMAINS, corpus
from moela.heartbeat.working import long_work

LENGTH = 256
BATCH = 8
PEAK_RATE = 3e-3
WARM_UP = 200
BALANCE = 0.01
CODE_SHARE = 0.6


def rate_at(step: int, n_steps: int) -> float:
    """Return the learning rate: linear warm-up, then a cosine down to a twentieth of the peak."""
    if step < WARM_UP:
        return PEAK_RATE * (step + 1) / WARM_UP
    phase = (step - WARM_UP) / max(1, n_steps - WARM_UP)
    return PEAK_RATE * (0.05 + 0.475 * (1 + math.cos(math.pi * phase)))


def draw(
    texts: dict[str, NDArray[np.uint8]], random_state: np.random.Generator, batch_size: int
) -> torch.Tensor:
    """Return (batch_size, LENGTH + 1) bytes of random windows, a CODE_SHARE of them code."""
    rows = []
    for _ in range(batch_size):
        text = texts["code" if random_state.random() < CODE_SHARE else "prose"]
        start = random_state.integers(len(text) - LENGTH)
        rows.append(text[start : start + LENGTH + 1])
    return torch.from_numpy(np.stack(rows).astype(np.int64))


@torch.no_grad()
def held_out_loss(model: ExampleModel, text: NDArray[np.uint8], n_windows: int = 32) -> float:
    """Return the mean negative log-likelihood (nats a byte) on evenly spaced windows."""
    starts = np.linspace(0, len(text) - LENGTH - 1, n_windows).astype(int)
    windows = np.lib.stride_tricks.sliding_window_view(text, LENGTH + 1)
    rows = torch.from_numpy(windows[starts].astype(np.int64))
    logits = model(rows[:, :-1])
    return float(F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()))


def optimizer_of(model: ExampleModel) -> torch.optim.AdamW:
    """Return AdamW with weight decay on matrices only."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.95))


@long_work("training the example model")
def train(*, n_steps: int, seed: int, out: Path, every: int = 250) -> None:
    """Train and write the model; see the module's docstring."""
    torch.set_num_threads(1)
    random_state = np.random.default_rng(seed)
    train_texts = {d: corpus(d, held_out=False) for d in DOMAINS}
    test_texts = {d: corpus(d, held_out=True) for d in DOMAINS}
    model = ExampleModel(ExampleConfig())
    model.initialize(torch.Generator().manual_seed(seed))
    optimizer = optimizer_of(model)
    curve: list[dict[str, float]] = []
    recent: list[tuple[float, float]] = []
    started = time.process_time()
    out.mkdir(parents=True, exist_ok=True)
    for step in tqdm(range(n_steps), mininterval=30.0):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, n_steps)
        rows = draw(train_texts, random_state, BATCH)
        balance: list[torch.Tensor] = []
        logits = model(rows[:, :-1], balance=balance)
        loss = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        spread = torch.stack(balance).mean()
        optimizer.zero_grad(set_to_none=True)
        (loss + BALANCE * spread).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recent.append((loss.item(), spread.item()))
        if (step + 1) % every == 0 or step + 1 == n_steps:
            mean_loss, mean_spread = np.mean(recent, axis=0)
            entry = {"step": step + 1, "train": float(mean_loss), "balance": float(mean_spread)}
            entry |= {f"held_out_{d}": held_out_loss(model, test_texts[d]) for d in DOMAINS}
            curve.append({key: round(value, 4) for key, value in entry.items()})
            recent.clear()
            write(model, out, curve, n_steps=n_steps, seed=seed, started=started)


def write(
    model: ExampleModel,
    out: Path,
    curve: list[dict[str, float]],
    *,
    n_steps: int,
    seed: int,
    started: float,
) -> None:
    """Write the current weights, sizes and loss curve."""
    weights = {name: value.half().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, out / "model.safetensors")
    config = json.dumps(model.config.to_dict(), indent=1)
    (out / "config.json").write_text(config + "\n", encoding="utf-8")
    record = {
        "how": f"python -m moe_costmodel.example.train --steps {n_steps} --seed {seed} --out .",
        "text": "pydoc topics and standard library source of the CPython below, a tenth held out",
        "units": "nats a byte; balance: 1 is a uniform load (Switch Transformers, eq. 4)",
        "steps": n_steps,
        "seed": seed,
        "batch": [BATCH, LENGTH],
        "peak_rate": PEAK_RATE,
        "balance_coefficient": BALANCE,
        "code_share": CODE_SHARE,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu_seconds": round(time.process_time() - started),
        "curve": curve,
    }
    (out / "loss.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data")
    arguments = parser.parse_args()
    train(n_steps=arguments.steps, seed=arguments.seed, out=arguments.out)


if __name__ == "__main__":
    main()
