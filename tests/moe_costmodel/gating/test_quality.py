import numpy as np
import pytest

from moe_costmodel import RoutingTrace
from moe_costmodel.gating.quality import gate_mass, keep_choices, measured_loss
from moe_costmodel.gating.rules import GateRule
from tests.moe_costmodel.random_traces import random_trace


@pytest.mark.parametrize(
    ("rule", "experts", "mass"),
    [
        (GateRule("skip", 0.3), 4.72, 0.894),
        (GateRule("skip", 0.4), 3.89, 0.804),
        (GateRule("skip", 0.5), 3.11, 0.708),
        (GateRule("top-p", 0.8), 4.38, 0.866),
    ],
)
def test_published_mass_on_deepseek(deepseek, rule, experts, mass):
    found = gate_mass(deepseek["intent"], rule)
    # The published values have two and three decimals. A fixed k keeps at most 0.011 less or 0.002
    # more.
    assert found.experts.mean() == pytest.approx(experts, abs=0.005)
    assert found.mass.mean() == pytest.approx(mass, abs=0.002)
    assert found.equal_k_mass.mean() == pytest.approx(found.mass.mean(), abs=0.015)


def test_kept_choices_are_what_is_loaded(trace):
    rules = [GateRule("top-k", 1), GateRule.keep_all()]
    keep = keep_choices(trace, rules)
    loads = trace.loads(3, keep=keep)
    full = trace.loads(3)
    assert loads[:, 0].sum() * 2 == full[:, 0].sum()
    assert np.array_equal(loads[:, 1], full[:, 1])
    heaviest = np.take_along_axis(
        trace.topk_ids[:, 0], trace.topk_weights[:, 0].argmax(axis=1)[:, None], axis=1
    )
    total = trace.loads(keep=keep)[0, 0]
    assert total.tolist() == np.bincount(heaviest.ravel(), minlength=8).tolist()


def test_a_trace_without_weights_is_refused(rng):
    bare = RoutingTrace(random_trace(rng).topk_ids, n_experts=8)
    with pytest.raises(ValueError, match="topk_weights"):
        gate_mass(bare, GateRule("skip", 0.5))
    with pytest.raises(ValueError, match="'rules'"):
        gate_mass(random_trace(rng), [GateRule("skip", 0.5)] * 3)
    with pytest.raises(ValueError, match="'keep'"):
        bare.loads(keep=np.ones(3, bool))


def test_measured_loss_of_the_example_in_both_implementations():
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from moe_costmodel.example import load_model, to_transformers
    from moe_costmodel.example.record import excerpts

    model = load_model()
    batches = list(excerpts("prose", n=4))
    rules = [GateRule("skip", beta) for beta in (0.0, 0.2, 0.3, 0.4, 0.5, 0.6)]
    own = measured_loss(model, batches, rules)
    other = measured_loss(to_transformers(model), batches, rules)
    # Measured: 4e-8 nats, and the same experts. Another machine may break near-ties otherwise.
    assert own.loss == pytest.approx(other.loss, abs=1e-3)
    assert own.experts == pytest.approx(other.experts, abs=0.01)
    # More than one and fewer than all four experts.
    assert 1.0 < own.experts < 4.0
    assert own.full_loss < own.loss < own.fixed_k_loss[0]
    assert (np.diff(own.fixed_k_loss) < 0).all()
    assert own.n_tokens == sum(b.numel() - 1 for b in batches)
    everything = measured_loss(model, batches, GateRule.keep_all())
    # The same computation, so only float32 rounding could differ.
    assert everything.loss == pytest.approx(own.full_loss, abs=1e-6)
    with pytest.raises(ValueError, match="'rules'"):
        measured_loss(model, batches, rules[:2])
    with pytest.raises(ValueError, match="'batches'"):
        measured_loss(model, [], rules)
