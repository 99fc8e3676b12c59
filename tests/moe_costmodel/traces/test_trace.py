import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_costmodel import RoutingTrace
from tests.moe_costmodel.naive import decode_steps


def ids(n_tokens=6, n_layers=2, k=2):
    return np.tile(np.arange(k), (n_tokens, n_layers, 1))


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"topk_ids": ids() + 8}, "topk_ids"),
        ({"topk_ids": ids(k=9)}, "topk_ids"),
        ({"topk_ids": np.zeros((6, 2, 2), int)}, "topk_ids"),
        ({"topk_ids": ids().astype(float)}, "topk_ids"),
        ({"topk_ids": ids()[0]}, "topk_ids"),
        ({"topk_ids": [[[0, 1]], [[0]]]}, "'topk_ids' must be a rectangular array"),
        ({"topk_weights": np.full((6, 2, 2), np.nan)}, "topk_weights"),
        ({"topk_weights": -np.ones((6, 2, 2))}, "topk_weights"),
        ({"topk_weights": np.ones((6, 2, 2), int)}, "topk_weights"),
        ({"sequence_lengths": [3, 2]}, "sequence_lengths"),
        ({"sequence_lengths": [2**62, 2**62, 6]}, "sequence_lengths"),
        ({"layers": [1]}, "layers"),
        ({"layers": np.array([5, 3], dtype=np.uint8)}, "'layers'.*ascending.*Got 3 after 5"),
        ({"n_experts": 0}, "n_experts"),
    ],
)
def test_bad_fields_are_named(arguments, field):
    good = {"topk_ids": ids(), "n_experts": 8, "source": "here.npz"}
    with pytest.raises(ValueError, match=field):
        RoutingTrace(**(good | arguments))


def test_tensors_of_any_type_are_taken():
    torch = pytest.importorskip("torch")
    weights = torch.rand(6, 2, 2, requires_grad=True)
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        given = weights.to(dtype)
        trace = RoutingTrace(torch.from_numpy(ids().astype(np.int64)), given, n_experts=8)
        expected = given.detach().float().numpy()
        assert np.array_equal(trace.topk_weights.astype(np.float32), expected)
        assert np.array_equal(trace.topk_ids, ids())
    assert RoutingTrace(ids(), weights.bfloat16(), n_experts=8).topk_weights.dtype == np.float32


@pytest.mark.parametrize("counts", [[], [[1, 2], [3]], [[-1.0, 2]], [[np.inf, 1]], [[0, 0]], "ab"])
def test_bad_counts_are_named(counts):
    with pytest.raises(ValueError, match="logical_count"):
        RoutingTrace.from_counts(counts)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 5))
def test_decode_interleaves_like_the_naive_server(lengths, size):
    n = sum(lengths)
    trace = RoutingTrace(ids(n), n_experts=8, sequence_lengths=lengths)
    expected = decode_steps(lengths, size)
    assert trace.steps(size, drop_last=False).tolist() == expected.tolist()
    full = [s for s in range(expected.max() + 1) if (expected == s).sum() == size]
    if not full:
        with pytest.raises(ValueError, match="size"):
            trace.steps(size)
        return
    batches = trace.batches(size)
    assert [sorted(b.tolist()) for b in batches] == [
        np.flatnonzero(expected == s).tolist() for s in full
    ]


def test_prefill_takes_consecutive_tokens(trace):
    assert [b.tolist() for b in trace.batches(25, "prefill")] == [
        list(range(25)),
        list(range(25, 50)),
    ]
    assert len(trace.batches(25, "prefill", drop_last=False)) == 3


def test_loads_count_the_tokens_of_each_step(trace):
    loads = trace.loads(3)
    for step, batch in enumerate(trace.batches(3)):
        for layer in range(trace.n_layers):
            expected = np.bincount(trace.topk_ids[batch, layer].ravel(), minlength=8)
            assert loads[step, layer].tolist() == expected.tolist()
    assert trace.loads().sum() == trace.topk_ids.size


def test_split_keeps_sequences_and_everything_else(trace):
    first, second = trace.split(0.5)
    assert first.sequence_lengths.tolist() == [10, 25]
    assert second.sequence_lengths.tolist() == [5, 13, 7]
    assert np.array_equal(np.concatenate([first.topk_ids, second.topk_ids]), trace.topk_ids)
    assert np.array_equal(
        np.concatenate([first.topk_weights, second.topk_weights]), trace.topk_weights
    )
    assert trace.head(0.2).n_tokens == 10
    assert trace.tail(0.1).sequence_lengths.tolist() == [7]
    with pytest.raises(ValueError, match="fraction"):
        trace.split(1.0)


def test_drift_is_total_variation(trace):
    assert trace.drift(trace).tolist() == [0.0, 0.0]
    left = RoutingTrace.from_counts([[4, 0, 0, 0], [1, 1, 1, 1]])
    right = RoutingTrace.from_counts([[0, 9, 0, 0], [3, 1, 0, 0]])
    assert left.drift(right).tolist() == [1.0, 0.5]
    with pytest.raises(ValueError, match="other"):
        left.drift(trace)


def test_a_load_only_trace_says_what_it_lacks():
    trace = RoutingTrace.from_counts(np.ones((5, 3, 4)))
    assert trace.is_load_only
    assert trace.loads().shape == (5, 3, 4)
    assert [len(t.loads()) for t in trace.split(0.4)] == [2, 3]
    with pytest.raises(ValueError, match="topk_ids"):
        trace.steps(2)
    with pytest.raises(ValueError, match="topk_weights"):
        _ = trace.topk_weights
    with pytest.raises(ValueError, match="size"):
        trace.loads(3)
