import json

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from moe_costmodel import RoutingTrace
from tests.moe_costmodel.random_traces import random_trace

torch = pytest.importorskip("torch")


def same(a, b):
    assert np.array_equal(a.topk_ids, b.topk_ids)
    assert a.has_weights == b.has_weights
    if a.has_weights:
        assert np.array_equal(a.topk_weights, b.topk_weights)
    assert a.sequence_lengths.tolist() == b.sequence_lengths.tolist()
    assert a.layers.tolist() == b.layers.tolist()
    assert a.n_experts == b.n_experts


def test_an_uncompressed_npz_is_mapped_not_read(trace, tmp_path):
    path = trace.save(tmp_path / "t.npz", compress=False)
    mapped = RoutingTrace.load(path, mmap=True)
    assert isinstance(mapped.topk_ids, np.memmap)
    assert isinstance(mapped.topk_weights, np.memmap)
    same(mapped, trace)
    squeezed = trace.save(tmp_path / "z.npz")
    with pytest.raises(ValueError, match=r"z\.npz: .*compress=False"):
        RoutingTrace.load(squeezed, mmap=True)


@pytest.mark.parametrize("keep", [0, 10, 200, 0.5, 0.98])
@pytest.mark.parametrize("mmap", [True, False])
def test_a_truncated_npz_is_named(trace, tmp_path, keep, mmap):
    path = trace.save(tmp_path / "t.npz", compress=False)
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    with pytest.raises(ValueError, match=r"t\.npz"):
        RoutingTrace.load(path, mmap=mmap)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"topk_ids": None}, "topk_ids"),
        ({"n_experts": None}, "n_experts"),
        ({"n_experts": np.int64(4)}, "topk_ids"),
        ({"topk_weights": np.full((60, 2, 2), np.nan)}, "topk_weights"),
        ({"sequence_lengths": np.array([1, 2])}, "sequence_lengths"),
        ({"topk_ids": np.array([[1, 2], [3]], dtype=object)}, "topk_ids"),
    ],
)
def test_bad_fields_of_an_npz_are_named(trace, tmp_path, change, field):
    fields = {"topk_ids": trace.topk_ids, "n_experts": np.int64(8)} | change
    path = tmp_path / "bad.npz"
    np.savez(path, **{k: v for k, v in fields.items() if v is not None})
    with pytest.raises(ValueError, match=rf"bad\.npz: field '{field}'"):
        RoutingTrace.load(path)


def test_json_counts(tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"logical_count": [[1, 2, 3], [4, 5, 6]]}))
    assert RoutingTrace.load(path).loads().tolist() == [[[1, 2, 3], [4, 5, 6]]]
    for text, field in (
        ('{"logical_count": [[1, 2], [3]]}', "logical_count"),
        ('{"logical_count": [[NaN, 2]]}', "logical_count"),
        ('{"count": 3}', "logical_count"),
        ("[1, 2]", "logical_count"),
        ("{", "JSON"),
        ("[" * 100_000, "JSON"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=rf"c\.json.*{field}"):
            RoutingTrace.load(path)


def test_unknown_and_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        RoutingTrace.load(tmp_path / "none.npz")
    (tmp_path / "t.csv").write_text("1,2")
    with pytest.raises(ValueError, match="csv"):
        RoutingTrace.load(tmp_path / "t.csv")


def test_sglang_stat_dump(tmp_path):
    count = torch.arange(24).reshape(2, 3, 4)
    dump = {
        "rank": 0,
        "logical_count": count,
        "average_utilization_rate_over_window": {10: 0.5},
    }
    torch.save(dump, tmp_path / "s.pt")
    trace = RoutingTrace.load(tmp_path / "s.pt")
    assert trace.is_load_only
    assert np.array_equal(trace.loads(), count.numpy())


def detail_dump():
    """Return a dump of a prefill and two decode passes; the map of its MoE layer is swapped."""
    to_logical = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0]])

    def routed(rows, width=3):
        ids = torch.full((2, len(rows), width), -1, dtype=torch.int32)
        ids[1, :, :2] = torch.tensor(rows)
        return ids

    return {
        "last_physical_to_logical_map": to_logical,
        "records": [
            {
                "forward_pass_id": 0,
                "rank": 0,
                "extend_seq_lens": [3, 2],
                "positions": [0, 1, 2, 0, 1],
                "topk_ids_of_layer": routed([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3]]),
            },
            {
                "extend_seq_lens": None,
                "positions": [3, 2],
                "topk_ids_of_layer": routed([[2, 3], [3, 1]]),
            },
            {
                "extend_seq_lens": None,
                "positions": [4, 9],
                "topk_ids_of_layer": routed([[1, 0], [0, 2]]),
            },
        ],
    }


def test_sglang_detail_dump_is_mapped_and_sequenced(tmp_path):
    torch.save(detail_dump(), tmp_path / "d.pt")
    trace = RoutingTrace.load(tmp_path / "d.pt")
    assert trace.layers.tolist() == [1]
    assert (trace.n_experts, trace.k, trace.has_weights) == (4, 2, False)
    # A prefill of 3 and 2 tokens. Then slot 0 decodes positions 3 and 4; slot 1 decodes position 2,
    # then a new request.
    assert trace.sequence_lengths.tolist() == [3, 2, 2, 1, 1]
    expected = [[3, 2], [3, 1], [3, 0], [2, 1], [2, 0], [1, 0], [2, 3], [0, 2], [3, 1]]
    assert trace.topk_ids[:, 0].tolist() == expected


def pass_dump():
    """Return a dump of two passes: a dense layer, and one of 3 experts, one of which has a copy."""
    return {
        "last_physical_to_logical_map": torch.tensor([[0, 1, 2, 2], [2, 1, 0, 2]]),
        "records": [
            {
                "forward_pass_id": 7,
                "rank": 0,
                "gatherer_key": "primary",
                "global_physical_count": torch.tensor([[0, 0, 0, 0], [1, 2, 3, 4]]),
            },
            {
                "forward_pass_id": 8,
                "global_physical_count": torch.tensor([[0, 0, 0, 0], [0, 1, 0, 1]]),
            },
        ],
    }


def test_sglang_dump_of_passes_is_a_trace_of_loads(tmp_path):
    torch.save(pass_dump(), tmp_path / "p.pt")
    trace = RoutingTrace.load(tmp_path / "p.pt")
    assert trace.is_load_only
    assert trace.loads()[:, 1].tolist() == [[3, 2, 5], [0, 1, 1]]
    assert not trace.loads()[:, 0].any()
    again = RoutingTrace.load(trace.save(tmp_path / "p.npz"))
    assert np.array_equal(again.loads(), trace.loads())


@pytest.mark.parametrize(
    ("make", "field", "value"),
    [
        (pass_dump, "global_physical_count", torch.ones(2, 3, dtype=torch.int32)),
        (pass_dump, "global_physical_count", torch.full((2, 4), -1)),
        (detail_dump, "topk_ids_of_layer", torch.full((2, 5, 3), 4, dtype=torch.int32)),
        (detail_dump, "extend_seq_lens", [3, 3]),
    ],
)
def test_bad_fields_of_a_dump_are_named(tmp_path, make, field, value):
    dump = make()
    number = 1 if make is pass_dump else 0
    dump["records"][number][field] = value
    torch.save(dump, tmp_path / "d.pt")
    with pytest.raises(ValueError, match=rf"d\.pt: field 'records\[{number}\]\.{field}'"):
        RoutingTrace.load(tmp_path / "d.pt")


class Bomb:
    def __reduce__(self):
        return (print, ("code from the file ran",))


def test_a_pt_that_needs_code_is_refused(tmp_path, capsys):
    torch.save({"logical_count": Bomb()}, tmp_path / "evil.pt")
    with pytest.raises(ValueError, match=r"evil\.pt: field 'data.pkl'.*Got __builtin__.print"):
        RoutingTrace.load(tmp_path / "evil.pt")
    assert capsys.readouterr().out == ""


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.integers(0, 2**32),
    st.integers(1, 30),
    st.sampled_from([".npz", ".pt", ".json"]),
    st.booleans(),
)
@example(229, 7, ".npz", True)  # numpy reads a header with Python's tokenizer
def test_no_corruption_gets_past_the_loader(tmp_path, seed, n_flips, suffix, mmap):
    """After any change of bytes, a file loads as a valid trace or a ValueError names it."""
    random = np.random.default_rng(seed)
    path = tmp_path / f"fuzzed{suffix}"
    trace = random_trace(random, n_tokens=12, lengths=[5, 7])
    if suffix == ".npz":
        trace.save(path, compress=not mmap)
    elif suffix == ".pt":
        torch.save(detail_dump(), path)
    else:
        path.write_text(json.dumps({"logical_count": trace.loads()[0].tolist()}))
    data = bytearray(path.read_bytes())
    for place in random.integers(len(data), size=n_flips):
        data[place] = random.integers(256)
    path.write_bytes(bytes(data))
    try:
        loaded = RoutingTrace.load(path, mmap=mmap and suffix == ".npz")
    except ValueError as error:
        if "fuzzed" not in str(error):
            raise
    else:
        assert loaded.loads().sum() > 0
        assert loaded.is_load_only or loaded.topk_ids.max() < loaded.n_experts


def test_padding_among_routed_experts_is_named(tmp_path):
    ids = np.array([[[0, 1]], [[2, -1]]])
    np.save(tmp_path / "padded.npy", ids)
    message = r"remove tokens of padding, whose choices are often -1\). Got -1 at \(1, 0, 1\)"
    with pytest.raises(ValueError, match=message):
        RoutingTrace.load(tmp_path / "padded.npy")
