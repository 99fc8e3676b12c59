"""Stand-ins for what a GPU's tables lack, and damaged descriptions of GPUs."""

import pytest

from moe_costmodel import Layout, ModelShape, SiliconModel, gpu_names, legal_layouts
from tests.moe_costmodel.silicon.tables import CONFIG, GPU, gemm_ms, write_tables, writer

pytest.importorskip("pyarrow")
pytest.importorskip("yaml")


def gemm(root, factor, *, backend="sglang", version="1.0.0", dtype="bfloat16", kernel="other"):
    rows = [
        {"m": m, "n": n, "k": 256, "gemm_dtype": dtype, "kernel_source": kernel,
         "latency": factor * gemm_ms(m, n, 256)}
        for m in (1, 16, 256) for n in (64, 256)
    ]  # fmt: skip
    writer(root)("gemm", "gemm", rows, version=version, backend=backend)


def product(root, backend="sglang", dtype="bfloat16"):
    return SiliconModel("toy", backend, root=root).times.products.time(16, 256, 256, dtype)


@pytest.fixture
def root(tmp_path):
    return write_tables(tmp_path)


@pytest.mark.parametrize(("factor", "used"), [(0.45, "other"), (0.55, "toy_linear")])
def test_a_product_that_another_engine_runs_in_half_the_time_was_bound_by_the_host(
    root, factor, used
):
    gemm(root, factor, backend="vllm")
    assert product(root).kernel == f"{used} (bfloat16)"
    # The other engine keeps its own.
    assert product(root, "vllm").kernel == "other (bfloat16)"


def test_an_engine_without_products_has_those_of_another(root):
    found = product(root, "trtllm")
    assert found.source == "sglang 1.0.0"
    assert 1e3 * found.seconds == pytest.approx(gemm_ms(16, 256, 256))


@pytest.mark.parametrize("dtype", ["nvfp4", "fp8_block", "int8_wo", "float16"])
def test_a_type_that_was_not_measured_has_the_next_wider_one(root, dtype):
    assert product(root, dtype=dtype).kernel == "toy_linear (bfloat16)"
    gemm(root, 0.9, version="1.1.0", dtype="fp8", kernel="narrow")
    used = "toy_linear (bfloat16)" if dtype == "float16" else "narrow (fp8)"
    assert product(root, dtype=dtype).kernel == used


@pytest.mark.parametrize(("dtype", "width"), [("int4_wo", 0.5), ("w4a16_nvfp4", 0.5 + 1 / 16)])
def test_products_of_narrow_weights_read_less(root, dtype, width):
    times = SiliconModel("toy", "sglang", root=root).times.products
    # The tables hold twice the bound of bfloat16; a small batch waits for the weights.
    plain, narrow = (times.time(1, 4096, 4096, name) for name in ("bfloat16", dtype))
    assert plain.seconds - narrow.seconds == pytest.approx(4096**2 * (2 - width) / 1e12)
    assert narrow.kernel == f"toy_linear (bfloat16, weights of {dtype})"
    # A large one does not.
    plain, narrow = (times.time(4096, 4096, 4096, name) for name in ("bfloat16", dtype))
    assert plain.seconds == pytest.approx(narrow.seconds)


def test_without_any_table_a_product_takes_its_bound(tmp_path):
    (tmp_path / "toy.yaml").write_text(GPU)
    writer(tmp_path)("other", "other", [{"a": 1}])
    found = product(tmp_path)
    assert (found.kernel, found.outside) == ("bound", float("inf"))
    assert 1e3 * found.seconds == pytest.approx(gemm_ms(16, 256, 256) / 2)
    model = SiliconModel("toy", "sglang", root=tmp_path)
    time, load = model.experts(ModelShape.from_config(CONFIG), Layout(), 64)
    assert (time.kernel, load) == ("bound", 1.0)
    # All eight experts of 3 x 256 x 128 values are read.
    assert time.seconds >= 8 * 3 * 256 * 128 * 2 / 1e12


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (GPU, "gpu: [", r"toy\.yaml.*a file of YAML"),
        ("mem_bw: 1000000000000", "mem_bw: -1", r"gpu\.mem_bw"),
        ("data_dir: data/toy", "data_dir: 3", "data_dir"),
    ],
)
def test_damaged_descriptions_are_named(root, old, new, message):
    (root / "toy.yaml").write_text(GPU.replace(old, new))
    with pytest.raises(ValueError, match=message) as error:
        SiliconModel("toy", "sglang", root=root)
    assert "toy.yaml" in str(error.value)


def test_a_folder_without_gpus_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a folder with GPUs as NAME\.yaml") as error:
        gpu_names(tmp_path)
    assert str(tmp_path) in str(error.value)
    # A GPU without tables has no steps.
    (tmp_path / "bare.yaml").write_text(GPU)
    assert gpu_names(tmp_path) == []


def test_dense_models_are_divided_by_tensors_and_stages():
    llama = {k: v for k, v in CONFIG.items() if "experts" not in k} | {"model_type": "llama"}
    found = legal_layouts(ModelShape.from_config(llama), 4, "sglang")
    assert set(found) == {
        Layout(tp=tp, moe_tp=tp, pp=pp) for tp in (1, 2, 4) for pp in (1, 2, 4) if tp * pp <= 4
    }
    # 6 is no divisor of 8 heads.
    wide = legal_layouts(ModelShape.from_config(llama), 6, "sglang")
    assert {layout.tp for layout in wide} == {1, 2}
