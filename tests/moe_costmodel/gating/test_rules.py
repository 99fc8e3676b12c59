"""Gate rules: one definition for numpy and torch, in every precision."""

import numpy as np
import pytest

from moe_costmodel.gating.rules import GateRule, apply_rule, device_mask, keep_mask

RULES = [
    GateRule("skip", 0.3),
    GateRule("skip", 1.0, k_min=2),
    GateRule("top-p", 0.1),
    GateRule("top-p", 0.5, k_min=2),
    GateRule("top-p", 0.8),
    GateRule("top-p", 1.0),
    GateRule("top-k", 1),
    GateRule("top-k", 3),
]
DTYPES = ["float64", "float32", "float16", "bfloat16"]
RULE_IDS = [f"{rule.kind}-{rule.value:g}-{rule.k_min}" for rule in RULES]


def weights_of(k):
    """Return random weights (n, k), most of them unsorted, with ties of all kinds."""
    random = np.random.default_rng(k)
    drawn = random.dirichlet(np.ones(k), size=400)
    return np.concatenate(
        [
            drawn,
            -np.sort(-drawn, axis=1),
            np.full((1, k), 1 / k),  # all equal
            np.full((1, k), 0.125),  # all equal, and exact in every precision
            np.round(drawn * 8 + 1) / 16,  # many ties
        ]
    )


def naive(row, rule):
    """Return which weights of a token are kept by the definition, in float32."""
    row = row.astype(np.float32)
    total = np.float32(0)
    for weight in row:
        total += weight
    before = np.float32(0)
    kept = np.zeros(len(row), dtype=bool)
    for rank, j in enumerate(np.argsort(-row, kind="stable")):
        kept[j] = (
            rank < rule.k_min
            or {
                "skip": row[j] >= np.float32(rule.value) * row.max(),
                "top-p": before < np.float32(rule.value) * total,
                "top-k": rank < rule.value,
            }[rule.kind]
        )
        before += row[j]
    return kept


@pytest.mark.parametrize("k", [1, 6, 10])
@pytest.mark.parametrize("rule", RULES, ids=RULE_IDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_and_torch_keep_the_same_choices(dtype, rule, k):
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(weights_of(k)).to(getattr(torch, dtype))
    # numpy has no bfloat16; float32 holds its values exactly.
    array = tensor.float().numpy() if dtype == "bfloat16" else tensor.numpy()
    mask = keep_mask(array, rule)
    assert np.array_equal(mask, [naive(row, rule) for row in array])
    assert np.array_equal(device_mask(tensor.float(), rule).numpy(), mask)
    applied = apply_rule(tensor, rule)
    assert applied.dtype == tensor.dtype
    assert np.array_equal((applied > 0).numpy(), mask)
    # One rounding of each weight and of the scale: a few units in the last place of the dtype.
    total = tensor.double().sum(dim=1)
    error = (applied.double().sum(dim=1) / total - 1).abs().max()
    assert error < 4 * torch.finfo(tensor.dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_token_without_weight_keeps_none(dtype):
    torch = pytest.importorskip("torch")
    zeros = torch.zeros(2, 4, dtype=getattr(torch, dtype))
    for rule in RULES:
        assert torch.equal(apply_rule(zeros, rule), zeros)


def test_rules_by_hand():
    weights = np.array([[0.1, 0.5, 0.3, 0.1]])
    assert keep_mask(weights, GateRule("skip", 0.6)).tolist() == [[False, True, True, False]]
    assert keep_mask(weights, GateRule("skip", 0.9, 2)).tolist() == [[False, True, True, False]]
    assert keep_mask(weights, GateRule("top-p", 0.6)).tolist() == [[False, True, True, False]]
    assert keep_mask(weights, GateRule("top-k", 3)).tolist() == [[True, True, True, False]]
    assert keep_mask(weights, GateRule.keep_all()).all()
    # The first four of eight equal experts hold exactly half of the mass.
    assert keep_mask(np.full(8, 0.125), GateRule("top-p", 0.5)).tolist() == [True] * 4 + [False] * 4


@pytest.mark.parametrize(
    "bad", [("skip", 1.5), ("top-p", 0.0), ("top-k", 0), ("top-k", 1.5), ("top-q", 1)]
)
def test_bad_rules_are_named(bad):
    with pytest.raises(ValueError, match=r"'(value|kind)'"):
        GateRule(*bad)


def test_weights_must_be_floats():
    with pytest.raises(ValueError, match="'weights'"):
        keep_mask([[1, 2]], RULES[0])


@pytest.mark.parametrize("rule", RULES, ids=RULE_IDS)
def test_every_path_has_the_same_weights_for_infinite_and_missing_ones(rule):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(2)
    weights = random.dirichlet(np.ones(4), size=300).astype(np.float32)
    odd = random.choice([np.nan, np.inf, -np.inf], size=weights.shape)
    weights = torch.from_numpy(np.where(random.random(weights.shape) < 0.3, odd, weights))
    weights = weights.float()
    mask = keep_mask(weights.numpy(), rule)
    assert np.array_equal(device_mask(weights, rule).numpy(), mask)
    single, double = apply_rule(weights, rule), apply_rule(weights.double(), rule)
    assert torch.allclose(single.double(), double, rtol=1e-5, equal_nan=True)
    assert not single.numpy()[~mask].any()
