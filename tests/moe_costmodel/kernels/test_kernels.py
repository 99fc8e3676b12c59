import numpy as np
import pytest

torch = pytest.importorskip("torch")

from moe_costmodel.buffering.replay import expert_streams  # noqa: E402
from moe_costmodel.gating.rules import GateRule  # noqa: E402
from moe_costmodel.kernels import (  # noqa: E402
    BufferedExperts,
    Experts,
    OffloadedExperts,
    apply_rule,
    dynamic_gating,
    padded_batch,
    reference,
    route,
    static_gating,
)
from moe_costmodel.kernels import dynamic as dynamic_module  # noqa: E402
from moe_costmodel.kernels.replacement import ONLINE_POLICIES  # noqa: E402
from moe_costmodel.kernels.sorting import bags_of, sort_choices  # noqa: E402
from moe_costmodel.kernels.static import capacity_of, dispatch_positions  # noqa: E402

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(
            not torch.cuda.is_available(), reason="there is no GPU here, so CUDA is not tested"
        ),
    ),
]
KERNELS = {
    "static": static_gating,
    "padded": padded_batch,
    "dynamic": dynamic_gating,
    "dynamic-loop": lambda *a: dynamic_gating(*a, product="loop"),
    "dynamic-grouped": lambda *a: dynamic_gating(*a, product="grouped"),
    "buffered": lambda x, ids, w, e: BufferedExperts(e, 3, device=x.device)(x, ids, w),
    "buffered-1": lambda x, ids, w, e: BufferedExperts(e, 1, policy="lru", device=x.device)(
        x, ids, w
    ),
}
# Largest errors of all kernels, relative to the largest output: 3e-7, 5e-16 and 9e-3.
ACCURACY = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 3e-2}


def layer(device="cpu", *, n_tokens=37, k=2, dtype=torch.float32, gated=False, activation="relu"):
    generator = torch.Generator().manual_seed(3)
    experts = Experts.random(
        8, 16, 24, gated=gated, activation=activation, dtype=dtype, device=device
    )
    x = torch.randn(n_tokens, 16, generator=generator).to(device, dtype)
    gate = torch.randn(8, 16, generator=generator).to(device, dtype)
    ids, weights = route(x, gate, k)
    return x, ids, weights, experts


def close(got, expected, dtype):
    scale = expected.abs().max().clamp_min(1.0)
    assert got.dtype == dtype
    assert ((got.double() - expected).abs().max() / scale).item() < ACCURACY[dtype]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", ACCURACY)
@pytest.mark.parametrize(
    ("gated", "activation"),
    [(False, "relu"), (False, "relu2"), (False, "gelu"), (True, "silu"), (True, "gelu_tanh")],
)
def test_every_kernel_is_the_reference(device, kernel, dtype, gated, activation):
    if kernel == "dynamic-grouped" and dtype == torch.float64:
        pytest.skip("torch's grouped_mm knows no float64")
    if kernel == "dynamic-grouped" and not hasattr(torch.nn.functional, "grouped_mm"):
        pytest.skip("this torch has no grouped_mm")
    arguments = layer(device, dtype=dtype, gated=gated, activation=activation)
    before = [t.clone() for t in arguments[:3]]
    close(KERNELS[kernel](*arguments), reference(*arguments), dtype)
    assert all(torch.equal(a, b) for a, b in zip(before, arguments[:3], strict=True))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("n_tokens", [0, 1, 2])
@pytest.mark.parametrize("k", [1, 2, 8])
def test_odd_sizes(kernel, n_tokens, k):
    arguments = layer(n_tokens=n_tokens, k=k)
    out = KERNELS[kernel](*arguments)
    assert out.shape == (n_tokens, 16)
    if n_tokens:
        close(out, reference(*arguments), torch.float32)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    "rule", [GateRule("skip", 0.8), GateRule("top-p", 0.5), GateRule("top-k", 1)]
)
def test_every_kernel_obeys_thresholds(kernel, rule):
    x, ids, weights, experts = layer(k=4)
    kept = apply_rule(weights, rule)
    assert (kept == 0).any()
    close(KERNELS[kernel](x, ids, kept, experts), reference(x, ids, kept, experts), torch.float32)


@pytest.mark.parametrize("kernel", KERNELS)
def test_only_weight_0_leaves_a_choice_out(kernel):
    x, ids, weights, experts = layer()
    weights[1], weights[2, 1], weights[3, 0] = -weights[1], -0.5, 0.0
    close(
        KERNELS[kernel](x, ids, weights, experts),
        reference(x, ids, weights, experts),
        torch.float32,
    )
    weights[4, 1] = float("nan")
    missing = KERNELS[kernel](x, ids, weights, experts).isnan().any(dim=1)
    assert missing.nonzero().ravel().tolist() == [4]


@pytest.mark.parametrize("kernel", [*KERNELS, "reference"])
@pytest.mark.parametrize("number", [-1, 8, 10_000_000])
def test_an_id_that_is_no_expert_is_named(kernel, number):
    x, ids, weights, experts = layer()
    ids[5, 1] = number
    message = r"'ids'.*experts in 0 \.\. 7 \(to leave out a choice, give it weight 0.*Got -?\d+ "
    for given in (weights, torch.where(ids == number, 0.0, weights)):
        with pytest.raises(ValueError, match=message):
            {**KERNELS, "reference": reference}[kernel](x, ids, given, experts)


@pytest.mark.parametrize("kernel", ["padded", "dynamic-loop", "buffered"])
def test_skipped_experts_cost_nothing(kernel):
    """An expert that has only dropped choices is never computed: its weights may be NaN."""
    x, ids, weights, experts = layer(k=4)
    weights = torch.where(ids == 5, 0.0, weights)
    clean = KERNELS[kernel](x, ids, weights, experts)
    if kernel != "padded":
        experts.up[5] = experts.down[5] = float("nan")
    assert torch.equal(KERNELS[kernel](x, ids, weights, experts), clean)


def test_static_gating_drops_over_capacity_first_choices_first():
    ids = torch.tensor([[0, 1], [0, 1], [1, 0]])
    weights = torch.tensor([[0.6, 0.4]] * 3)
    # First choices of expert 0: tokens 0, 1; then token 2's second. Expert 1: token 2, then 0, 1.
    assert dispatch_positions(ids, weights, 2).tolist() == [[0, 1], [1, 2], [0, 2]]
    experts = Experts.random(2, 4, 6)
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert capacity_of(3, 0.5) == 2
    kept = torch.tensor([[0.6, 0.4], [0.6, 0.0], [0.6, 0.0]])
    close(
        static_gating(x, ids, weights, experts, capacity_factor=0.5),
        reference(x, ids, kept, experts),
        torch.float32,
    )


@pytest.mark.parametrize(
    ("n_tokens", "factor", "expected"),
    [(100, 0.07, 7), (100, 0.14, 14), (100, 0.56, 56), (200, 0.07, 14), (100, 0.071, 8),
     (6, 5 / 6, 5), (3, 1 / 3, 1), (7, 0.5, 4), (5, 0.01, 1), (0, 1.0, 1), (10**6, 0.0000011, 2)],
)  # fmt: skip
def test_capacities_round_up_fractions_alone(n_tokens, factor, expected):
    assert capacity_of(n_tokens, factor) == expected


@pytest.mark.parametrize("policy", ONLINE_POLICIES)
@pytest.mark.parametrize("capacity", [1, 2, 5, 8])
def test_buffered_experts_miss_what_the_model_says(policy, capacity):
    random = np.random.default_rng(5)
    experts = Experts.random(8, 4, 6)
    buffered = BufferedExperts(experts, capacity, policy=policy)
    loads, misses = [], []
    for _ in range(40):
        ids = torch.from_numpy(
            np.stack([random.choice(8, 2, replace=False, p=PULL) for _ in range(3)])
        )
        x = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
        weights = torch.full((3, 2), 0.5)
        before = buffered.statistics.misses
        close(buffered(x, ids, weights), reference(x, ids, weights, experts), torch.float32)
        misses.append(buffered.statistics.misses - before)
        loads.append(np.bincount(ids.numpy().ravel(), minlength=8))
    stream = expert_streams(np.array(loads)[:, None], np.zeros(8, int), 1)[0][0]
    assert misses == stream.misses([capacity], policy)[:, 0].tolist()
    statistics = buffered.statistics
    assert statistics.hits + statistics.misses == len(stream.ids)
    assert statistics.bytes_copied == statistics.misses * experts.expert_bytes
    assert statistics.steps == 40


def test_buffers_may_share_fast_memory():
    experts, fast = Experts.random(8, 4, 6), Experts.random(5, 4, 6)
    small, large = (BufferedExperts(experts, n, fast=fast) for n in (2, 5))
    assert small.fast.up.data_ptr() == large.fast.up.data_ptr() == fast.up.data_ptr()
    assert small.fast.n_experts == 2
    x, ids = torch.randn(3, 4), torch.tensor([[0, 1], [5, 0], [7, 2]])
    weights = torch.full((3, 2), 0.5)
    for buffered in (large, small):
        close(buffered(x, ids, weights), reference(x, ids, weights, experts), torch.float32)


PULL = np.array([0.3, 0.05, 0.2, 0.05, 0.1, 0.1, 0.1, 0.1])


def test_experts_behind_a_mapped_file(tmp_path):
    x, ids, weights, experts = layer(gated=True, activation="silu")
    mapped = Experts.map_file(experts.save(tmp_path / "experts.safetensors"))
    assert (mapped.activation, mapped.gated) == ("silu", True)
    close(
        BufferedExperts(mapped, 2)(x, ids, weights),
        reference(x, ids, weights, experts),
        torch.float32,
    )
    (tmp_path / "bad.safetensors").write_bytes(b"\x08" + b"\0" * 30)
    with pytest.raises(ValueError, match=r"bad\.safetensors"):
        Experts.map_file(tmp_path / "bad.safetensors")


@pytest.mark.parametrize(
    ("call", "parameter"),
    [
        (lambda x, i, w, e: dynamic_gating(x[:, :3], i, w, e), "x"),
        (lambda x, i, w, e: dynamic_gating(x.double(), i, w, e), "x"),
        (lambda x, i, w, e: dynamic_gating(x, i[:3], w, e), "ids"),
        (lambda x, i, w, e: dynamic_gating(x, i, w[:, :1], e), "weights"),
        (lambda x, i, w, e: dynamic_gating(x, i, w, e, product="fast"), "product"),
        (lambda x, i, w, e: static_gating(x, i, w, e, capacity_factor=0), "capacity_factor"),
        (lambda x, i, w, e: route(x, e.down[:, :, 0], k=9), "k"),
        (
            lambda x, i, w, e: dynamic_gating(
                x.double(), i, w, e.to(torch.float64), product="grouped"
            ),
            "product",
        ),
        (lambda x, i, w, e: BufferedExperts(e, 0), "capacity"),
        (lambda x, i, w, e: BufferedExperts(e, 2, policy="min"), "policy"),
        (lambda x, i, w, e: Experts(e.up, e.down[:, :, :5]), "up"),
        (lambda x, i, w, e: Experts(e.up, e.down, "tanh"), "activation"),
        (lambda x, i, w, e: Experts.from_module(torch.nn.Linear(2, 2)), "module"),
    ],
)
def test_bad_parameters_are_named(call, parameter):
    with pytest.raises(ValueError, match=f"'{parameter}'"):
        call(*layer())


@pytest.mark.parametrize("kernel", [dynamic_gating, padded_batch])
def test_an_infinite_output_reaches_only_the_tokens_that_chose_its_expert(kernel):
    experts = Experts.random(n_experts=3, d_model=4, d_ffn=8)
    x = torch.ones(3, 4)
    x[0] = torch.inf
    ids = torch.tensor([[0, 1], [1, 2], [2, 0]])
    weights = torch.tensor([[0.5, 0.0], [0.0, 0.5], [0.0, 0.0]])
    y = kernel(x, ids, weights, experts)
    assert not y[0].isfinite().all()
    assert torch.allclose(y[1].double(), reference(x, ids, weights, experts)[1], atol=1e-5)
    assert not y[2].any()


@pytest.mark.parametrize("kept", [0.2, 0.7])
def test_dropped_choices_are_sorted_alike_on_every_device(kept):
    generator = np.random.default_rng(3)
    n_tokens, k = 37, 4
    expert = generator.integers(0, 8, n_tokens * k)
    order, _ = sort_choices(expert, generator.random(n_tokens * k) < kept, 8)
    compiled = bags_of(order, n_tokens, k)
    of_torch = dynamic_module._bags_on_device(torch.from_numpy(order), n_tokens, k)
    for one, other in zip(compiled, of_torch, strict=True):
        assert np.array_equal(one, other.numpy())


DIFFERENTIABLE = {
    "reference": reference,
    **{name: KERNELS[name] for name in ("static", "padded", "dynamic", "dynamic-loop")},
}


@pytest.mark.parametrize("kernel", DIFFERENTIABLE)
@pytest.mark.parametrize(
    ("gated", "activation"), [(False, "relu2"), (True, "relu"), (True, "silu"), (True, "gelu")]
)
def test_gradients_are_those_of_finite_differences(kernel, gated, activation):
    x, ids, weights, experts = layer(
        n_tokens=4, dtype=torch.float64, gated=gated, activation=activation
    )
    experts = Experts(experts.up[:, :, :5], experts.down[:, :5], activation, gated)
    x, weights = x[:, :5], weights.double().clone()
    weights[1, 1] = 0.0

    def compute(x, some, up, down):
        return DIFFERENTIABLE[kernel](
            x, ids, torch.where(weights == 0, weights, some), Experts(up, down, activation, gated)
        )

    inputs = [t.contiguous().requires_grad_() for t in (x, weights.clone(), experts.up)]
    assert torch.autograd.gradcheck(
        compute, (*inputs, experts.down.contiguous().requires_grad_()), fast_mode=True
    )


@pytest.mark.parametrize("kind", [BufferedExperts, OffloadedExperts])
def test_kernels_without_gradients_say_so(kind):
    x, ids, weights, experts = layer()
    with pytest.raises(ValueError, match=f"of {kind.__name__} .*under torch.no_grad"):
        kind(experts, 3)(x.requires_grad_(), ids, weights)
    with torch.no_grad():
        assert not kind(experts, 3)(x, ids, weights).requires_grad


@pytest.mark.skipif(not hasattr(torch.nn.functional, "grouped_mm"), reason="torch lacks grouped_mm")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("widths", [(12, 10), (16, 10), (10, 16)])
def test_rows_that_the_grouped_product_cannot_take_are_refused(dtype, widths):
    experts = Experts.random(4, *widths, dtype=dtype)
    ids, x = torch.tensor([[0, 1], [2, 3]]), torch.ones(2, widths[0], dtype=dtype)
    with pytest.raises(ValueError, match=r"'loop' or 'auto', .* multiples of 16 bytes"):
        dynamic_gating(x, ids, torch.full((2, 2), 0.5), experts, product="grouped")
    assert dynamic_gating(x, ids, torch.full((2, 2), 0.5), experts).shape == x.shape


class Gated(torch.nn.Module):
    """Experts as transformers has them, with a limit on the gate if it is given."""

    def __init__(self, act_fn, limit=None):
        super().__init__()
        self.gate_up_proj, self.down_proj = torch.zeros(2, 8, 4), torch.zeros(2, 4, 4)
        self.act_fn, self.limit = act_fn, limit

    def _apply_gate(self, gate_up):
        gate, up = gate_up.chunk(2, dim=-1)
        return self.act_fn(gate if self.limit is None else gate.clamp(max=self.limit)) * up


def test_the_activation_of_a_module_is_told_by_its_values():
    activations = pytest.importorskip("transformers.activations").ACT2FN
    found = {}
    for name in (*activations, "limit"):
        module = Gated(activations["silu"], 7.0) if name == "limit" else Gated(activations[name])
        try:
            found[name] = Experts.from_module(module).activation
        except ValueError as error:
            assert type(module.act_fn).__name__ in str(error)  # noqa: PT017
    tanh = {name for name, own in found.items() if own == "gelu_tanh"}
    assert "gelu_pytorch_tanh" in tanh <= {name for name in activations if "gelu" in name}
    assert {name: own for name, own in found.items() if name not in tanh} == {
        "relu": "relu",
        "relu2": "relu2",
        **dict.fromkeys(("silu", "swish"), "silu"),
        **dict.fromkeys(("gelu", "gelu_python"), "gelu"),
    }


def test_experts_of_other_layouts_are_named_with_their_shapes():
    module = Gated(torch.nn.SiLU())
    module.gate_up_proj = torch.zeros(3, 8, 4)  # one expert more than in down_proj
    with pytest.raises(ValueError, match=r"all have weights.*gate_up_proj \(3, 8, 4\), down_proj"):
        Experts.from_module(module)
    module.has_gate, module.up_proj = False, torch.zeros(2, 4, 4)
    found = Experts.from_module(module)
    assert not found.gated
    assert found.activation == "silu"
