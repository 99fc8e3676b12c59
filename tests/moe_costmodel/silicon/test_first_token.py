"""Estimates of serving points: parts of the time to the first token, and features."""

from dataclasses import replace

import pytest

from moe_costmodel import (
    Chunk,
    ClosedLoop,
    Layout,
    ServingPoint,
    SiliconModel,
    gpu_memory,
)
from moe_costmodel.silicon.first_token import PARTS
from moe_costmodel.silicon.serving import estimate_of
from tests.moe_costmodel.silicon.tables import GPU, write_kinds, write_tables

pytest.importorskip("pyarrow")
pytest.importorskip("yaml")


def made(folder, backend="sglang", memory=None):
    folder.mkdir(exist_ok=True)
    root = write_kinds(write_tables(folder))
    if memory is not None:
        path = root / "toy.yaml"
        path.write_text(GPU.replace("mem_capacity: 80000000000", f"mem_capacity: {memory}"))
    return SiliconModel("toy", backend, root=root)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return made(tmp_path_factory.mktemp("points"))


def point(shape, **settings):
    given = {
        "name": "a", "architecture": "toy", "gpu": "toy", "backend": "sglang", "version": "0.5.6",
        "layout": Layout(), "known_layout": True, "input_tokens": 256, "output_tokens": 64,
        "concurrency": 16, "ttft": 0.1, "tpot": 0.01, "year": 2026.25,
    }  # fmt: skip
    return ServingPoint(shape=shape, **given | settings)


def parts_of(model, place, **settings):
    return dict(zip(PARTS, estimate_of(model, place, **settings).first_token, strict=True))


def test_the_first_wave_of_equal_prompts_waits_for_half_of_them(model, experts):
    loop = ClosedLoop(
        concurrency=16, n_requests=16, input_tokens=256, output_tokens=64, least=1.0,
        policy="prompts first", step_tokens=256, gap=0.0,
    )  # fmt: skip
    parts = parts_of(model, point(experts, benchmark=loop))
    prompt = model.prefill(experts, Layout(), [Chunk(256)]).seconds
    assert parts["prompt"] == prompt
    assert parts["launches"] == model.decode(experts, Layout(), 1, 256 + 32).seconds
    # Prompts are computed one after the other, so the waits are 1, 2, ... 16 prompts.
    assert parts["first_wave"] == pytest.approx(prompt * 17 / 2)
    assert parts["queue"] == 0  # there are no later requests
    # Of twice as many requests, half wait so.
    twice = parts_of(model, point(experts, benchmark=replace(loop, n_requests=32)))
    assert twice["first_wave"] == pytest.approx(prompt * 17 / 4)
    assert twice["queue"] >= 0


def test_parts_that_engines_weigh_are_told_apart(model, experts, latent):
    mine, published = (
        parts_of(model, point(experts, published=flag)) for flag in (False, True)
    )  # fmt: skip
    assert (mine["client"], published["client"]) == (0.1, 0)
    assert mine["ranks"] == mine["latent"] == mine["linear"] == 0
    ranks = point(experts, layout=Layout(dp=2, moe_ep=2))
    assert parts_of(model, ranks)["ranks"] > 0
    # A millisecond for each of four layers of latent attention.
    assert parts_of(model, point(latent))["latent"] == pytest.approx(0.004)
    delta = replace(experts.blocks[0].attention, kind="linear", conv_kernel=4)
    blocks = (replace(experts.blocks[0], n_layers=3, attention=delta),
              replace(experts.blocks[0], n_layers=1))  # fmt: skip
    assert parts_of(model, point(replace(experts, blocks=blocks)))["linear"] == 0.1


def test_requests_that_memory_does_not_hold_wait_for_others(model, experts, tmp_path):
    # Half of the answer is counted, since engines admit a request before there is room for all.
    memory = gpu_memory(experts, Layout(), 1, 256 + 32)
    four = int((memory.weights + 4.5 * memory.per_sequence) / 0.87)
    tight = made(tmp_path / "tight", memory=four)
    place = point(experts)
    free, full = parts_of(model, place), parts_of(tight, place)
    # Of 16 requests, 12 wait until one of the 4 running ones ends, whose answers have 51 to 64
    # tokens: nine tenths of the requests are later ones.
    step = model.decode(experts, Layout(), 1, 256).seconds
    assert full["queue"] - free["queue"] > 0.9 * 51 * step
    # A point that ran does not fill its memory with weights: then they were counted too large.
    filled = made(tmp_path / "filled", memory=10**6)
    assert parts_of(filled, place) == free


def test_tensorrt_llm_keeps_narrow_models_caches_in_fp8(model, latent, tmp_path):
    narrow = replace(latent, dtypes=latent.dtypes | {"experts": "fp8_block"})
    given = {"input_tokens": 4064, "concurrency": 64}
    engine = made(tmp_path / "trtllm", "trtllm")
    seconds = [
        estimate_of(m, point(s, backend=m.backend, **given)).decode.by_part()["mla decode"]
        for m, s in ((engine, narrow), (engine, latent), (model, narrow))
    ]
    assert seconds[0] < seconds[1] == pytest.approx(seconds[2])
