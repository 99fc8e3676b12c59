import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from moe_costmodel.latency.features import Points  # noqa: E402
from moe_costmodel.measure.kernel_table import KernelTable  # noqa: E402

H100 = "NVIDIA H100 80GB HBM3"


def columns(**changes):
    rows = {
        "device": [H100] * 6,
        "kernel_source": ["triton"] * 6,
        "moe_dtype": ["bfloat16"] * 6,
        "distribution": ["balanced"] * 4 + ["power_law_1.2"] * 2,
        "num_tokens": [1, 64, 64, 4096, 1, 4096],
        "hidden_size": [2048] * 6,
        "inter_size": [768] * 6,
        "topk": [8] * 6,
        "num_experts": [128] * 6,
        "moe_tp_size": [1] * 6,
        "moe_ep_size": [2] * 6,
        "latency": [0.1, 0.4, 0.6, 2.0, 0.1, 2.2],
    }
    return {k: v for k, v in (rows | changes).items() if v is not None}


def write(path, **changes):
    pq.write_table(pa.table(columns(**changes)), path)
    return path


def test_rows_become_work(tmp_path):
    table = KernelTable.from_aiconfigurator(write(tmp_path / "t.parquet"))
    assert len(table) == 5  # the two measurements at 64 tokens are one point
    assert table.seconds[table.tokens == 64].tolist() == [0.0005]
    (shape,) = table.shapes
    assert (shape.n_experts, shape.n_local, shape.d_ffn, shape.gated) == (128, 64, 768, True)
    balanced = np.flatnonzero((table.tokens == 4096) & (table.seconds == 0.002))[0]
    skewed = np.flatnonzero((table.tokens == 4096) & (table.seconds == 0.0022))[0]
    assert table.work.rows[balanced] == 4096 * 8 / 2
    assert table.work.active[balanced] == 64
    assert table.work.largest[balanced] == 256
    # The busier of two devices has more than half of the tokens, and the hottest expert.
    assert table.work.rows[skewed] > table.work.rows[balanced]
    # Measured: 13.4 times.
    assert table.work.largest[skewed] > 3 * table.work.largest[balanced]
    assert (table.work.tiled >= table.work.rows[:, None] - 1e-9).all()


def test_sanity_checks_count_what_they_drop(tmp_path):
    path = write(tmp_path / "t.parquet", latency=[3.0, 0.4, 0.4, 0.002, np.nan, 2.2])
    table = KernelTable.from_aiconfigurator(path)
    # A NaN; 4096 tokens faster than memory could read the experts; 1 token slower than 64.
    assert table.dropped == {"latency": 1, "impossible": 1, "falling": 2}
    assert "1 impossible" in str(table)
    assert len(table) == 1


@pytest.mark.parametrize("missing", sorted(columns()))
def test_a_missing_column_is_named(tmp_path, missing):
    path = write(tmp_path / "t.parquet", **{missing: None})
    with pytest.raises(ValueError, match=rf"t\.parquet: field '{missing}' must be present"):
        KernelTable.from_aiconfigurator(path)


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"num_tokens": [1.5] * 6}, "num_tokens"),
        ({"topk": [200] * 6}, "topk"),
        ({"moe_dtype": ["int1"] * 6}, "moe_dtype"),
        ({"distribution": ["bursty"] * 6}, "distribution"),
        ({"hidden_size": [None, 1, 1, 1, 1, 1]}, "hidden_size"),
        ({"device": ["a", "b"] * 3}, "device"),
        ({"latency": [-1.0] * 6}, "latency"),
        ({name: [] for name in columns()}, "num_tokens"),
    ],
)
def test_bad_columns_are_named(tmp_path, changes, column):
    path = write(tmp_path / "t.parquet", **changes)
    with pytest.raises(ValueError, match=rf"t\.parquet: field '{column}'"):
        KernelTable.from_aiconfigurator(path)


@pytest.mark.parametrize(
    ("dtype", "weight", "operand"),
    [
        ("fp8", 1.0, 1.0),
        ("nvfp4", 0.5625, 0.5),
        ("w4a16_mxfp4", 0.53125, 2.0),
        ("w4a16_nvfp4", 0.5625, 2.0),
        ("w4a8_mxfp4_mxfp8", 0.53125, 1.0),
        ("w4afp8", 0.5, 1.0),
        ("int4_wo", 0.5, 2.0),
        ("int4_wo_g32", 0.5625, 2.0),
    ],
)
def test_types_that_published_tables_have(tmp_path, dtype, weight, operand):
    path = write(tmp_path / "t.parquet", moe_dtype=[dtype] * 6, device=["some device"] * 6)
    table = KernelTable.from_aiconfigurator(path)
    assert {shape.dtype for shape in table.shapes} == {dtype}
    points = Points.build(
        table.shapes, table.layer, table.work, table.tokens.astype(float), table.kernel
    )
    assert set(points.width) == {weight}
    assert set(points.operand) == {operand}


def test_one_device_can_be_chosen(tmp_path):
    path = write(tmp_path / "t.parquet", device=["a", "b"] * 3)
    assert KernelTable.from_aiconfigurator(path, device="b").device == "b"
    with pytest.raises(ValueError, match="'c'"):
        KernelTable.from_aiconfigurator(path, device="c")
    with pytest.raises(FileNotFoundError):
        KernelTable.from_aiconfigurator(tmp_path / "none.parquet")
