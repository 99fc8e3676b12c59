"""Steps composed of a profile of one model's kernels, whose times are power laws here."""

import itertools

import pytest

from moe_costmodel import Chunk, ModelShape, RankLoad
from moe_costmodel.serving.profile import ProfiledKernels
from moe_costmodel.silicon.operators.experts import active_experts
from moe_costmodel.silicon.tables.reader import OperatorTime
from tests.moe_costmodel.silicon.tables import CONFIG

N_LAYERS = 4
# Microseconds of the kernels of one token; each grows with its own power of (tokens + 1).
LAYER = {
    "layernorm": (3.0, 0.5), "qkv_proj": (7.0, 0.9), "qk_norm": (2.0, 0.4),
    "rotary_emb": (1.5, 0.3), "o_proj": (5.0, 0.8),
}  # fmt: skip
ONCE = {"embedding": (4.0, 0.6), "final_layernorm": (2.5, 0.5)}
SAMPLES = {"lm_head": (20.0, 0.7), "sampler": (6.0, 0.2)}
SIZES = (0, 1, 15, 255, 4095)


def power(law, n):
    return law[0] * (n + 1.0) ** law[1]


def attention_us(chunk, prefix, n, context):
    return 9.0 * ((chunk + 1) ** 2 * (prefix + 1) * (n + 1) ** 2 * (context + 1)) ** 0.25


def experts_us(tokens, active):
    return 11.0 * (tokens + 1) ** 0.5 * (active + 1) ** 0.25


def write(path, header, rows):
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path):
    laws = (LAYER | ONCE).items()
    write(tmp_path / "dense.csv", "layer,tokens,time_us",
          [(name, n, power(law, n)) for name, law in laws for n in SIZES])  # fmt: skip
    write(tmp_path / "per_sequence.csv", "layer,sequences,time_us",
          [(name, n, power(law, n)) for name, law in SAMPLES.items() for n in SIZES])  # fmt: skip
    write(tmp_path / "moe.csv", "time_us,tokens,activated_experts",
          [(experts_us(t, a), t, a) for t in SIZES for a in (1, 8)])  # fmt: skip
    write(tmp_path / "attention.csv", "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us",
          [(*p, attention_us(*p)) for p in itertools.product((0, 4095), repeat=4)])  # fmt: skip
    return tmp_path


@pytest.fixture
def shape():
    return ModelShape.from_config(CONFIG)


def own_us(tokens, samples, attention):
    """Return the microseconds of a rank's own kernels."""
    layer = sum(power(law, tokens) for law in LAYER.values()) + power(LAYER["layernorm"], tokens)
    once = sum(power(law, tokens) for law in ONCE.values())
    once += sum(power(law, samples) for law in SAMPLES.values()) if samples else 0.0
    return N_LAYERS * (layer + attention) + once


def shared_us(tokens, n=1):
    """Return the microseconds of the experts of all layers: 2 of 8 a token, over n ranks."""
    active = 8 / n * (1 - (1 - 2 / 8) ** tokens)
    return N_LAYERS * experts_us(max(tokens / n, 1), max(active, 1))


def test_a_mixed_step_is_the_sum_of_its_kernels(folder, shape):
    timer = ProfiledKernels(folder, shape)
    load = RankLoad(16, 300.0, (Chunk(100, prefix=50), Chunk(40, last=False)))
    # The first chunk is computed beside the running sequences, and each other one alone.
    attention = attention_us(100, 50, 16, 300) + attention_us(40, 0, 0, 0)
    expected = own_us(156, 17, attention) + shared_us(156)
    assert timer([load]) == pytest.approx(expected / 1e6, rel=1e-6)


def test_the_slowest_rank_decides_and_all_share_the_experts(folder, shape):
    timer = ProfiledKernels(folder, shape, n_ranks=2)
    long, short, idle = RankLoad(8, 4000.0), RankLoad(8, 10.0), RankLoad()
    own = own_us(8, 8, attention_us(0, 0, 8, 4000))
    expected = (own + shared_us(16, n=2)) / 1e6
    assert timer([long, short]) == timer([short, long]) == pytest.approx(expected)
    # A rank without tokens takes part in the step with its experts only.
    assert timer([long, idle]) == pytest.approx((own + shared_us(8, n=2)) / 1e6)
    every, local = 8 / 2, float(active_experts(16.0, 2, 8, 4.0))
    assert 0 < local < every


class Wires:
    """Exchanges that take a nanosecond for each value, and remember what they were asked."""

    def __init__(self):
        self.asked = []

    def nccl(self, name, values, n_gpus):
        self.asked.append((name, values, n_gpus))
        return OperatorTime(name, values * 1e-9, "wires", "none")


def test_ranks_exchange_as_many_rows_as_the_one_with_most(folder, shape):
    loads = [RankLoad(30, 100.0), RankLoad(10, 100.0)]
    wires = Wires()
    without = ProfiledKernels(folder, shape, n_ranks=2)(loads)
    found = ProfiledKernels(folder, shape, n_ranks=2, exchanges=wires)(loads)
    values = 2 * 30 * 256
    assert set(wires.asked) == {("all_gather", values, 2), ("reduce_scatter", values, 2)}
    assert found - without == pytest.approx(N_LAYERS * 2 * values * 1e-9)
    alone = Wires()
    ProfiledKernels(folder, shape, exchanges=alone)(loads[:1])
    assert alone.asked == []


def test_dense_models_and_missing_tables_are_refused(folder, shape):
    llama = {k: v for k, v in CONFIG.items() if "experts" not in k} | {"model_type": "llama"}
    with pytest.raises(ValueError, match=r"'llama' has no experts; it is dense. Give a model"):
        ProfiledKernels(folder, ModelShape.from_config(llama))
    with pytest.raises(ValueError, match="'n_ranks' parameter of ProfiledKernels"):
        ProfiledKernels(folder, shape, n_ranks=0)
    (folder / "moe.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"moe\.csv"):
        ProfiledKernels(folder, shape)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("dense.csv", "qkv_proj,15,", "qkv_proj,many,", r"line 9\b.*tokens, time_us as numbers"),
        ("dense.csv", "layer,tokens,time_us", "layer,rows,time_us",
         r"line 1\b.*a header with layer, tokens, time_us"),
        ("per_sequence.csv", "sampler,1,", "sampler,", r"line 8\b.*3 cells"),
        ("moe.csv", "activated_experts", "experts",
         r"line 1\b.*a header with tokens, activated_experts, time_us"),
        ("attention.csv", "\n0,0,0,0,9.0\n", "\n0,0,0,0,0.0\n", r"line 2\b.*the time above 0"),
        ("dense.csv", "rotary_emb", "rotary", r"rows of all of .*rotary_emb"),
    ],
)  # fmt: skip
def test_damage_is_named_with_file_and_line(folder, shape, name, old, new, message):
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message) as error:
        ProfiledKernels(folder, shape)
    assert name in str(error.value)
