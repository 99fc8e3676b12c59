"""Claims of the first version of arXiv 2303.06182, on whole models scaled in width.

    python -m tests.benchmarks.paper_v1 [--quick]

A language model (LM: 24 layers, every second one MoE, 512 experts, top-2, capacity factor 0.05) and
the two halves of a translation model (MT: 24 + 24 layers, every fourth one MoE, 128 experts, top-2,
capacity factor 1) have the paper's layers and experts. Widths, vocabulary, and tokens of a step are
a sixteenth of the paper's, so that activations keep their size relative to weights. Static and
dynamic gating run in turns on the same weights and tokens. Process time, one thread, float32.

Memory is that of one of eight devices: dense weights, an eighth of the experts, and the measured
peak of activations. Buffers keep 1 or 10 of a device's 16 experts in each MoE layer of the decoder.
"""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F

from moe_costmodel.kernels import (
    BufferedExperts,
    Experts,
    dynamic_gating,
    peak_activation_bytes,
    route,
    static_gating,
)
from tests.benchmarks import harness

RESULTS = harness.RESULTS / "paper_v1.json"
SCALE = 16
N_DEVICES = 8
# Layers, one MoE layer in how many, experts, k, capacity factor, width, vocabulary (of the paper's
# models and of NLLB's tokenizer), and the paper's range of times and its memory, static / dynamic.
MODELS = {
    "LM": (24, 2, 512, 2, 0.05, 1024, 50_257, (1.25, 4.0), 1.36),
    "encoder": (24, 4, 128, 2, 1.0, 2048, 256_206, (2.0, 5.0), 1.1),
    "decoder": (24, 4, 128, 2, 1.0, 2048, 256_206, (1.09, 1.5), 1.1),
}
# Tokens of a step; in decode, sequences.
TOKENS = {"LM": (64, 128, 256, 384), "encoder": (16, 32, 64, 128), "decoder": (4, 8, 16, 48)}
CONTEXT = 32  # cached tokens, and tokens of the source, of a sequence that is decoded
SEQUENCE = 32  # tokens of a sequence of the LM and the encoder
BUFFERED = {1: 1.47, 10: 1.15}  # of 16 experts a device: the paper's ratio of static memory


class Model:
    """Layers of attention and a dense or MoE network, between an embedding and a head."""

    def __init__(self, kind, n_layers=None):
        layers, every, n_experts, self.k, self.factor, width, words, _, _ = MODELS[kind]
        layers = n_layers or layers
        self.kind, self.width, self.gating = kind, width // SCALE, "dynamic"
        d, self.heads = self.width, max(1, self.width // 32)
        generator = torch.Generator().manual_seed(0)

        def normal(*shape):
            return torch.randn(*shape, generator=generator) * shape[-1] ** -0.5

        self.embedding = normal(words // SCALE, d)
        n_attention = 2 if kind == "decoder" else 1
        self.attention = [[normal(4 * d, d) for _ in range(n_attention)] for _ in range(layers)]
        self.is_moe = [i % every == every - 1 for i in range(layers)]
        self.dense = [None if moe else (normal(4 * d, d), normal(d, 4 * d)) for moe in self.is_moe]
        self.experts = [
            Experts.random(n_experts, d, 4 * d, seed=i) if moe else None
            for i, moe in enumerate(self.is_moe)
        ]
        self.gates = [normal(n_experts, d) * 4 if moe else None for moe in self.is_moe]

    def inputs(self, n):
        """Return tokens with the skewed popularity of words: sequences, or the last of each."""
        popularity = 1 / np.arange(1, len(self.embedding) + 1)
        random = np.random.default_rng(n)
        length = 1 if self.kind == "decoder" else min(SEQUENCE, n)
        drawn = random.choice(
            len(popularity), size=(n // length, length), p=popularity / popularity.sum()
        )
        return torch.from_numpy(drawn)

    def __call__(self, tokens):
        x = F.embedding(tokens, self.embedding)
        batch, _, d = x.shape
        cached = None
        if self.kind == "decoder":
            cached = torch.ones(2, batch, self.heads, CONTEXT, d // self.heads)
        for i, weights in enumerate(self.attention):
            for own in weights:
                x = x + self._attend(F.rms_norm(x, (d,)), own, cached)
            x = x + self._feed(i, F.rms_norm(x, (d,)).view(-1, d)).view(x.shape)
        return F.linear(F.rms_norm(x, (d,)), self.embedding)

    def _attend(self, x, weights, cached):
        batch, length, d = x.shape
        projected = F.linear(x, weights[: 3 * d]).view(batch, length, 3, self.heads, -1)
        q, k, v = projected.permute(2, 0, 3, 1, 4)
        if cached is not None:
            k, v = (torch.cat(pair, dim=2) for pair in zip(cached, (k, v), strict=True))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=self.kind == "LM")
        return F.linear(mixed.transpose(1, 2).reshape(batch, length, d), weights[3 * d :])

    def _feed(self, i, x):
        if not self.is_moe[i]:
            up, down = self.dense[i]
            return F.linear(F.relu(F.linear(x, up)), down)
        ids, weights = route(x, self.gates[i], self.k)
        if self.gating == "dynamic":
            return dynamic_gating(x, ids, weights, self.experts[i])
        return static_gating(x, ids, weights, self.experts[i], capacity_factor=self.factor)

    def timed(self, gating, tokens):
        """Return the seconds of a step."""
        self.gating, started = gating, time.process_time()
        self(tokens)
        return time.process_time() - started

    def peak(self, gating, tokens):
        """Return the bytes of the activations at their peak."""
        self.gating = gating
        return peak_activation_bytes(lambda: self(tokens))

    def device_bytes(self):
        """Return the bytes of the weights on one device: dense ones, and of experts."""
        dense = [self.embedding, *(w for own in self.attention for w in own)]
        dense += [w for own in self.dense if own for w in own]
        dense += [gate for gate in self.gates if gate is not None]
        held = [e for e in self.experts if e is not None]
        experts = sum(e.n_experts * e.expert_bytes for e in held) / N_DEVICES
        return sum(w.nbytes for w in dense), experts


def run(kind, n, rounds, n_layers=None):
    """Return times and memory of both gatings for steps of n tokens."""
    model = Model(kind, n_layers)
    tokens = model.inputs(n)
    ratios, took = [], {"static": [], "dynamic": []}
    for number in range(rounds + 1):
        one = {gating: model.timed(gating, tokens) for gating in took}
        if number:  # the first finds cold caches
            ratios.append(one["static"] / one["dynamic"])
            for gating, seconds in one.items():
                took[gating].append(seconds)
    weights = sum(model.device_bytes())
    peak = {gating: model.peak(gating, tokens) for gating in took}
    return {
        "model": kind, "tokens": n, "time": float(np.median(ratios)),
        "seconds": {gating: float(np.median(times)) for gating, times in took.items()},
        "memory": (weights + peak["static"]) / (weights + peak["dynamic"]),
    }  # fmt: skip


def buffering():
    """Return the memory of static weights, of one device, without and with buffers."""
    decoder, encoder = Model("decoder"), Model("encoder")
    dense, experts = np.add(decoder.device_bytes(), encoder.device_bytes())
    dense -= encoder.embedding.nbytes  # both halves share it
    out = {}
    for capacity in BUFFERED:
        resident = 0
        for layer in (e for e in decoder.experts if e is not None):
            n_local = layer.n_experts // N_DEVICES
            own = Experts(layer.up[:n_local], layer.down[:n_local], "relu", False)
            fast = BufferedExperts(own, capacity).fast
            resident += fast.up.nbytes + fast.down.nbytes
        buffered = dense + experts - decoder.device_bytes()[1] + resident
        out[str(capacity)] = float((dense + experts) / buffered)
    return out


def report(rows):
    table = [["model", "tokens", "static", "dynamic", "time, static/dynamic", "memory"]]
    for row in rows:
        seconds = [f"{1e3 * row['seconds'][gating]:.0f} ms" for gating in ("static", "dynamic")]
        ratios = [f"{row[what]:.2f}" for what in ("time", "memory")]
        table.append([row["model"], str(row["tokens"]), *seconds, *ratios])
    print(harness.markdown(table))
    for kind, (*_, (low, high), memory) in MODELS.items():
        own = [row for row in rows if row["model"] == kind]
        times = [row["time"] for row in own]
        found = f"{min(times):.2f} to {max(times):.2f}"
        harness.bar(f"{kind}, time of static over dynamic gating", found, f"{low} to {high}")
        most = max(row["memory"] for row in own)
        harness.bar(f"{kind}, memory of static over dynamic gating", f"{most:.2f}", memory)


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="models of 4 layers, smallest steps")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    print(harness.machine("torch"))
    if quick:
        report([run(kind, TOKENS[kind][0], 2, n_layers=4) for kind in MODELS])
        return
    cases = harness.Cases(RESULTS, show=False)
    cases.get("machine", lambda: {"text": harness.machine("torch")})
    sizes = [(kind, n) for kind, tokens in TOKENS.items() for n in tokens]
    report([cases.get(f"{kind} {n}", partial(run, kind, n, 7)) for kind, n in sizes])
    for capacity, ratio in cases.get("buffering", buffering).items():
        what = f"static memory, {capacity} of 16 experts in the decoder's buffers"
        harness.bar(what, f"{ratio:.2f}", BUFFERED[int(capacity)])


if __name__ == "__main__":
    main()
