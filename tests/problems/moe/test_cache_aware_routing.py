"""Cache-aware gating as a problem: objectives, starts, bad parameters, a search."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from pymoo.optimize import minimize  # noqa: E402

from moe_costmodel import CacheAwareGating, loss_with_cache  # noqa: E402
from moe_costmodel.example import excerpts, load_model  # noqa: E402
from moela import MOELA  # noqa: E402
from problems.moe import CacheAwareRouting  # noqa: E402


@pytest.fixture(scope="module")
def problem():
    return CacheAwareRouting.example(n_excerpts=1)


def test_objectives_are_those_of_the_model_with_these_gatings(problem):
    row = np.array([0, 5, 3, 0, 9, 2, 2])
    plan = problem.decode(row)
    assert [gating.tolerance for gating in plan.gatings] == [0.0, 0.5, 0.3, 0.0, 0.8, 0.2]
    assert {gating.keep for gating in plan.gatings} == {2}
    text = list(excerpts("code", n=1))
    found = loss_with_cache(load_model(), text, plan.gatings, 16)
    plain = loss_with_cache(load_model(), text, CacheAwareGating(0.0), 16)
    assert plan.objectives == {"misses": found.misses, "extra_loss": found.loss - plain.loss}
    np.testing.assert_array_equal(problem.evaluate(row[None]), [list(plan.objectives.values())])


def test_no_preference_loses_nothing_and_misses_the_most(problem):
    starts = problem.evaluate(problem.starts())
    assert starts[0, 1] == 0.0
    assert starts[0, 0] == starts[:, 0].max()
    assert (starts <= problem.ref_point).all()


def test_a_search_beats_the_same_tolerance_in_all_layers(problem):
    front = minimize(problem, MOELA(), ("n_eval", 60), seed=1).F
    uniform = problem.evaluate(problem.starts())
    beaten = (front[:, None] <= uniform).all(axis=2) & (front[:, None] < uniform).any(axis=2)
    # The starts are part of the search, which found better designs than a third of them.
    assert beaten.any(axis=0).mean() > 1 / 3


def test_bad_parameters_are_named(problem):
    model, text = load_model(), list(excerpts("code", n=1))
    for settings, message in (
        ({"slots": 0}, "'slots' parameter of CacheAwareRouting"),
        ({"slots": 4, "tolerances": (0.5, 0.2)}, "ascending numbers from 0 to below 1"),
        ({"slots": 4, "tolerances": (0.5, 1.0)}, "ascending numbers from 0 to below 1"),
        ({"slots": 4, "most_kept": 0}, "'most_kept' parameter"),
    ):
        with pytest.raises(ValueError, match=message):
            CacheAwareRouting(model, text, **settings)
    with pytest.raises(ValueError, match="6 gatings, one for each MoE layer"):
        loss_with_cache(model, text, [CacheAwareGating(0.1)] * 2, 4)


@pytest.mark.parametrize("name", ["mixtral", "olmoe", "deepseek3", "glm4", "hunyuan"])
def test_models_whose_choices_follow_other_scores_are_refused(name):
    pytest.importorskip("transformers")
    from tests.moe_costmodel.tiny_models import build

    model, text = build(name), torch.randint(1, 50, (1, 20))
    if name in ("mixtral", "olmoe"):
        with torch.no_grad():
            logits = model(text[:, :-1]).logits[0]
        expected = torch.nn.functional.cross_entropy(logits, text[0, 1:])
        found = loss_with_cache(model, [text], CacheAwareGating(0.0), slots=4)
        assert found.loss == pytest.approx(float(expected), rel=1e-5)
        return
    with pytest.raises(ValueError, match="softmax of logits, without groups"):
        loss_with_cache(model, [text], CacheAwareGating(0.0), slots=4)
