import json
import zlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from moe_costmodel import RoutingTrace  # noqa: E402
from moe_costmodel.example import (  # noqa: E402
    excerpts,
    load_model,
    loss_curve,
    to_transformers,
    trace_path,
)
from moe_costmodel.example import train as training  # noqa: E402
from moe_costmodel.example.text import DOMAINS, corpus  # noqa: E402

DATA = trace_path("code").parent
RECORDED_EXCERPT = 1372098502  # checksum of the first excerpt that the trace was recorded on


@pytest.fixture(scope="module")
def model():
    torch.set_num_threads(1)
    return load_model()


def test_held_out_loss_is_the_recorded_one(model):
    last = loss_curve()["curve"][-1]
    for domain in DOMAINS:
        loss = training.held_out_loss(model, corpus(domain, held_out=True))
        # Measured: 2e-4 on the same text. Another CPython has slightly different text.
        assert loss == pytest.approx(last[f"held_out_{domain}"], abs=0.05)
        assert loss < 1.25  # nats per byte; a uniform guess has 5.5, the first 250 steps reach 2
    assert loss_curve()["curve"][0]["held_out_code"] > 1.5


def test_no_expert_has_collapsed():
    for domain in DOMAINS:
        shares = RoutingTrace.example(domain).shares()
        # Measured, relative to a uniform share: 0.21 to 1.99 on prose, 0.32 to 2.19 on code.
        assert shares.min() > 0.1 / 32
        assert shares.max() < 4 / 32


def test_packaged_traces_agree_with_the_model(model):
    trace = RoutingTrace.example("prose")
    assert (trace.n_layers, trace.n_experts, trace.k) == (6, 32, 4)
    excerpt = next(iter(excerpts("prose")))
    if zlib.crc32(excerpt.numpy().astype(np.uint8).tobytes()) != RECORDED_EXCERPT:
        pytest.skip("this CPython's topics differ from those the trace was recorded on")
    again = RoutingTrace.record(model, [excerpt])
    n = again.n_tokens
    assert n == trace.sequence_lengths[0]
    agree = (np.sort(again.topk_ids, axis=2) == np.sort(trace.topk_ids[:n], axis=2)).mean()
    # All choices agree on the machine of the trace; another may break near-ties otherwise.
    assert agree > 0.9


def test_transformers_computes_the_same(model):
    pytest.importorskip("transformers")
    other = to_transformers(model)
    tokens = torch.from_numpy(corpus("code", held_out=True)[:200].astype(np.int64))[None]
    with torch.no_grad():
        # Measured: 1.9e-5.
        assert torch.allclose(model(tokens), other(tokens).logits, atol=1e-4)
    own, converted = (RoutingTrace.record(m, [tokens]) for m in (model, other))
    # All 4,800 choices agree except for near-ties, of which four are allowed.
    assert (own.topk_ids == converted.topk_ids).mean() > 0.999


def test_decoding_with_a_cache_is_the_same(model):
    tokens = torch.from_numpy(corpus("prose", held_out=True)[:60].astype(np.int64)).view(2, 30)
    with torch.no_grad():
        whole = model(tokens)
        cache = []
        parts = [model(tokens[:, :10], cache=cache), model(tokens[:, 10:14], cache=cache)]
        parts += [model(tokens[:, i : i + 1], cache=cache) for i in range(14, 30)]
    # Measured: 1.5e-5.
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-4)


def test_training_learns_and_repeats(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LENGTH", 32)
    monkeypatch.setattr(training, "BATCH", 4)
    monkeypatch.setattr(training, "WARM_UP", 5)
    for name in "ab":
        training.train(n_steps=12, seed=3, out=tmp_path / name, every=6)
    curves = [json.loads((tmp_path / n / "loss.json").read_text())["curve"] for n in "ab"]
    assert curves[0] == curves[1]
    assert curves[0][-1]["train"] < curves[0][0]["train"]
    weights = [(tmp_path / n / "model.safetensors").read_bytes() for n in "ab"]
    assert weights[0] == weights[1]
