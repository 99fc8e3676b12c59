"""Recording from tiny, randomly initialized models of every family, without downloads."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from moe_costmodel import RoutingTrace  # noqa: E402
from moe_costmodel.example import load_model  # noqa: E402
from moe_costmodel.traces.families import count_chosen, find_routers  # noqa: E402
from moe_costmodel.traces.record import edit_routing  # noqa: E402
from tests.moe_costmodel.tiny_models import MODELS, OTHERS, build, ids, nllb, switch  # noqa: E402


@pytest.mark.parametrize("name", MODELS)
def test_decoder_families(name):
    model = build(name)
    trace = RoutingTrace.record(model, [ids(2, 7), {"input_ids": ids(1, 5)}])
    assert trace.topk_ids.shape == (19, len(MODELS[name][3]), 2)
    assert trace.sequence_lengths.tolist() == [7, 7, 5]
    assert trace.layers.tolist() == MODELS[name][3]
    assert trace.n_experts == 8
    assert not any(m._forward_hooks for m in model.modules())
    # The choices of the last router, computed from its input.
    routers = find_routers(model)[1]
    name_of, router = list(routers.items())[-1]
    assert MODELS[name][2] in name_of
    seen = []
    handle = router.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        model(ids(2, 7))
        handle.remove()
        _, weights, chosen = router(seen[0].reshape(-1, 16))
    assert np.array_equal(trace.topk_ids[:14, -1], chosen.numpy())
    # The weights are float32 numbers below 1: 1e-6 is about ten units in their last place.
    assert np.allclose(trace.topk_weights[:14, -1], weights.numpy(), atol=1e-6)


@pytest.mark.parametrize("name", OTHERS)
def test_choices_that_no_router_returns_as_a_triple(name):
    model, tokens = build(name), ids(2, 7)
    trace = RoutingTrace.record(model, [tokens])
    assert trace.topk_ids.shape == (14, len(OTHERS[name][3]), 2)
    assert trace.layers.tolist() == OTHERS[name][3]
    assert trace.n_experts == 8
    routers = find_routers(model)[1]
    assert all(router.endswith(OTHERS[name][2]) for router in routers)
    assert [count_chosen(model, router) for router in routers] == [2] * len(routers)
    with torch.no_grad():
        plain = model(tokens).logits
        with edit_routing(model, lambda layer, i, w: (i, w)):
            assert torch.equal(model(tokens).logits, plain)
        with edit_routing(model, lambda layer, i, w: (i.flip(1), w.flip(1))):
            # The order of choices does not matter; sums of two float32 numbers may.
            assert torch.allclose(model(tokens).logits, plain, rtol=1e-4, atol=1e-4)
        with edit_routing(model, lambda layer, i, w: (i, w * torch.tensor([1.0, 0.0]))):
            assert not torch.allclose(model(tokens).logits, plain, rtol=1e-2)
        assert torch.equal(model(tokens).logits, plain)


def test_routers_of_images_are_left_out():
    class Two(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.language, self.vision_moe = build("mixtral"), build("mixtral").model
            self.embedding = self.language.get_input_embeddings()

        def forward(self, input_ids):
            return self.language(input_ids)

    assert RoutingTrace.record(Two(), [ids(1, 5)]).layers.tolist() == [0, 1, 2]


def test_routers_that_see_only_some_tokens_are_named():
    model = build("mixtral")
    model.model.layers[1].forward = lambda hidden_states, *given, **others: hidden_states
    with pytest.raises(ValueError, match=r"'model'.*layers\.1\.mlp\.gate' saw 0 of 5"):
        RoutingTrace.record(model, [ids(1, 5)])


def test_padding_is_left_out():
    model = build("mixtral")
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    tokens = ids(2, 5)
    trace = RoutingTrace.record(model, [{"input_ids": tokens, "attention_mask": mask}])
    alone = RoutingTrace.record(model, [tokens[:1, :3], tokens[1:]])
    assert trace.sequence_lengths.tolist() == [3, 5]
    assert np.array_equal(trace.topk_ids, alone.topk_ids)


@pytest.mark.parametrize(("make", "k"), [(switch, 1), (nllb, 2)])
def test_encoder_decoder_families(make, k):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the models' own constructors warn
        model = make()
    batch = {"input_ids": ids(2, 7), "decoder_input_ids": ids(2, 4)}
    encoder = RoutingTrace.record(model, [batch], part="encoder")
    decoder = RoutingTrace.record(model, [batch], part="decoder")
    assert encoder.topk_ids.shape == (14, 2, k)
    assert decoder.topk_ids.shape == (8, 2, k)
    assert decoder.layers.tolist() == [1, 3]
    assert encoder.n_experts == 6
    family, routers = find_routers(model, part="encoder")
    outputs = []
    router = next(iter(routers.values()))
    handle = router.register_forward_hook(lambda m, a, out: outputs.append(out))
    with torch.no_grad():
        model(**batch)
    handle.remove()
    mask, _, logits = outputs[0]
    ranked = logits.reshape(-1, 6).argsort(dim=-1, descending=True)[:, :k]
    assert np.array_equal(encoder.topk_ids[:, 0], ranked.numpy())
    if family.name == "NLLB-MoE":
        # The two weights are normalized in float32, whose rounding error is 1e-7.
        assert np.allclose(encoder.topk_weights[:, 0].sum(axis=1), 1.0, atol=1e-5)
        assert np.array_equal(mask.argmax(dim=-1).numpy(), encoder.topk_ids[:, 0, 0])
    else:  # a capacity of 2 per sequence drops some of the 7 tokens
        routed = mask.reshape(-1, 6).sum(dim=1).bool().numpy()
        assert 0 < routed.sum() < 14
        assert np.array_equal(encoder.topk_weights[:, 0, 0] > 0, routed)
    with pytest.raises(ValueError, match="'part'"):
        RoutingTrace.record(model, [batch])
    with torch.no_grad():
        with edit_routing(model, lambda layer, i, w: (i, w), part="decoder"):
            plain = model(**batch).logits
        with edit_routing(model, lambda layer, i, w: (i, 0 * w), part="decoder"):
            without = model(**batch).logits
        with edit_routing(model, lambda layer, i, w: (i.flip(0), w), part="decoder"):
            elsewhere = model(**batch).logits
    if family.name == "Switch":
        assert torch.equal(plain, model(**batch).logits)
    assert not torch.allclose(without, plain)
    assert not torch.allclose(elsewhere, plain)


def test_nllb_uses_the_experts_that_its_router_chooses():
    """transformers itself sends all tokens of this model to experts 0 and 1."""
    from transformers.models.nllb_moe.modeling_nllb_moe import NllbMoeSparseMLP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = nllb()
    (layer,) = [m for m in whole.model.encoder.modules() if isinstance(m, NllbMoeSparseMLP)][:1]
    x = torch.randn(1, 9, 16, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        _, combine, _ = layer.router(x[0])
        each = torch.stack([layer.experts[f"expert_{e}"](x[0]) for e in range(6)], dim=1)
        expected = (combine[:, :, None] * each).sum(dim=1) * (1 - layer.experts.moe_token_dropout)
        routed = []
        with edit_routing(layer, lambda number, i, w: routed.append((i, w)) or (i, w)):
            # Sums of a few float32 products in another order; the rounding error is 1e-7.
            assert torch.allclose(layer(x)[0], expected, atol=1e-6)
    assert torch.allclose(combine.gather(1, routed[0][0]), routed[0][1])


@pytest.mark.parametrize("name", MODELS)
def test_editing_changes_the_model_and_leaves_no_trace(name):
    model = build(name)
    tokens = ids(1, 6)
    with torch.no_grad():
        plain = model(tokens).logits
        with edit_routing(model, lambda layer, i, w: (i, w)):
            assert torch.equal(model(tokens).logits, plain)

        def first_only(layer, i, w):
            return i, w * torch.tensor([1.0, 0.0])

        with edit_routing(model, first_only):
            assert not torch.allclose(model(tokens).logits, plain)
        assert torch.equal(model(tokens).logits, plain)


def test_models_that_cannot_be_recorded_are_named():
    class OddTopKRouter(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x), x

    odd = torch.nn.Sequential(OddTopKRouter(2, 2))
    with (
        pytest.raises(ValueError, match=r"'model'.*OddTopKRouter"),
        edit_routing(odd, lambda layer, i, w: (i, w)),
    ):
        odd(torch.ones(1, 2))
    with pytest.raises(ValueError, match=r"'model'.*Mixtral.*Linear"):
        RoutingTrace.record(torch.nn.Linear(2, 2), [])
    with pytest.raises(ValueError, match="'batches'"):
        RoutingTrace.record(build("mixtral"), [])
    with pytest.raises(ValueError, match="'part'"):
        RoutingTrace.record(build("mixtral"), [ids(1, 3)], part="encoder")


@pytest.mark.parametrize("model", ["mixtral", "example"])
def test_batches_may_be_arrays_lists_and_single_sequences(model):
    model = build("mixtral") if model == "mixtral" else load_model()
    tokens = ids(2, 9)
    expected = RoutingTrace.record(model, [tokens[:1], tokens[1:]])
    for batches in (
        tokens, tokens.numpy(), tokens.tolist(), list(tokens), iter(tokens),
        [tokens[:1].numpy().astype(np.uint8), [tokens[1].tolist()]],
        [{"input_ids": row.tolist()} for row in tokens],
    ):  # fmt: skip
        found = RoutingTrace.record(model, batches)
        assert np.array_equal(found.topk_ids, expected.topk_ids)
        assert found.sequence_lengths.tolist() == [9, 9]
    assert RoutingTrace.record(model, {"input_ids": tokens}).sequence_lengths.tolist() == [9, 9]


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([torch.rand(2, 3)], r"'batches\[0\]'.*integers.*float32"),
        ([torch.tensor([[50]])], r"'batches\[0\]'.*in 0 \.\. 49, .*50 \.\. 50"),
        ([torch.zeros(1, 0, dtype=torch.long)], r"'batches\[0\]'.*at least one token.*\(1, 0\)"),
        ([[[1, 2], [3]]], r"'batches\[0\]'.*rows of different lengths"),
        ([1, 2, 3], r"'batches\[0\]'.*of shape \(batch, length\)"),
        ("a b", "'batches'.*list of batches"),
        ([{"input_ids": [1, 2], "attention_mask": [1]}], r"mask of the shape.*\(1, 2\)"),
        ([{"input_ids": [1, 2], "attention_mask": [float("nan"), 1]}], "mask with nan"),
        ([{"inputs_embeds": torch.rand(1, 2, 16)}], "'batches'.*mappings with input_ids"),
    ],
)
def test_batches_without_token_ids_are_refused(batches, message):
    with pytest.raises(ValueError, match=message):
        RoutingTrace.record(build("mixtral"), batches)
