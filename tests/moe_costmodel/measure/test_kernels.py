import json
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from moe_costmodel.hardware import Hardware, Link  # noqa: E402
from moe_costmodel.measure import kernels  # noqa: E402
from moe_costmodel.measure.exchange import measure_exchange  # noqa: E402
from moe_costmodel.measure.kernels import measure_kernels  # noqa: E402
from moe_costmodel.measure.measurements import KINDS, Measurements, Record  # noqa: E402
from moe_costmodel.measure.timing import time_call  # noqa: E402
from moe_costmodel.shapes import LayerShape  # noqa: E402

KINDS_HERE = [kind for kind in KINDS if kind != "all_to_all"]
SHAPE = LayerShape(n_experts=4, k=2, d_model=16, d_ffn=8)


def test_timing_is_right():
    measured = []

    def sleep():
        start = time.perf_counter()
        time.sleep(0.01)
        measured.append(time.perf_counter() - start)  # longer than 10 ms on a busy machine

    repeats = time_call(sleep, min_seconds=0.05)
    assert len(repeats) >= 5
    extra = np.array(repeats) - measured[-len(repeats) :]
    assert np.all(extra >= 0)
    assert np.median(extra) < 0.005
    assert np.median(repeats) >= 0.01
    # Sleeping takes no CPU time; 5 ms is half of the sleep.
    idle = time_call(lambda: time.sleep(0.01), min_seconds=0.0, clock="cpu")
    assert np.median(idle) < 0.005


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_timing_on_a_gpu():
    x = torch.randn(2048, 2048, device="cuda")
    repeats = time_call(lambda: x @ x, device="cuda")
    # 17 GFLOP take 17 us at 1 PFLOP/s and 86 ms at 0.2 TFLOP/s.
    assert 1e-6 < np.median(repeats) < 0.1


def test_measure_save_and_load(tmp_path):
    found = measure_kernels(
        shapes=[SHAPE], budget_s=1.0, tokens=(1, 8), kinds=KINDS_HERE, progress=False, clock="cpu"
    )
    assert found.hardware.link("slow_to_fast").bandwidth > 1e6
    assert found.clock == "cpu"
    again = Measurements.load(found.save(tmp_path / "k.json"))
    assert again == found
    assert all(r.seconds > 0 and r.spread >= 0 for r in again.records)


def test_a_short_budget_leaves_out_the_exchange(monkeypatch):
    monkeypatch.setattr(kernels, "measure_exchange", lambda **_: pytest.fail("was measured"))
    found = measure_kernels(shapes=[SHAPE], budget_s=0.01, tokens=(1,), progress=False)
    assert "no time for the exchange" in found.notes[0]
    with pytest.raises(ValueError, match=r"'budget_s'.*long enough to prepare and to measure"):
        measure_kernels(
            shapes=[SHAPE], budget_s=1e-6, tokens=(1,), kinds=("layer",), progress=False
        )


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("before", [None, "old"])
def test_what_was_measured_before_an_end_is_saved(tmp_path, monkeypatch, error, before):
    path, calls = tmp_path / "k.json", []

    def two(*_, **__):
        calls.append(1)
        if len(calls) % 3 == 0:
            raise error
        return [1.0] * 5

    monkeypatch.setattr(kernels, "time_call", two)
    settings = {"shapes": [SHAPE], "tokens": (1,), "kinds": KINDS_HERE, "progress": False}
    if before:
        path.write_text(before)
    message = r"interrupted; .*k\.json holds the 2 points" if error is KeyboardInterrupt else None
    with pytest.raises(error, match=message):
        measure_kernels(path=path, **settings)
    found = Measurements.load(path)
    assert (len(found.records), found.notes) == (2, ["ended early, after 2 points"])
    calls += [1, 1]
    with pytest.raises(error):
        measure_kernels(path=tmp_path / "none.json", **settings)
    assert not (tmp_path / "none.json").exists()


def test_a_file_that_cannot_be_written_is_said_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "jobs_of", lambda *_: pytest.fail("was measured"))
    for path in (tmp_path / "none" / "k.json", tmp_path):
        with pytest.raises(OSError, match=tmp_path.name):
            measure_kernels(shapes=[SHAPE], budget_s=1.0, path=path)


def test_exchange_between_two_processes():
    records = measure_exchange()
    assert len(records) == 5
    assert all(r.kind == "all_to_all" and len(r.repeats) == 15 for r in records)
    assert records[-1].seconds > records[0].seconds


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        ({"dtypes": ["int99"]}, "dtypes"),
        ({"shapes": []}, "shapes"),
        ({"kinds": ["magic"]}, "kinds"),
        ({"tokens": [2.5]}, "tokens"),
        ({"budget_s": 0}, "budget_s"),
        ({"hardware": Hardware(name="gpu", memory_bytes=1, device="cuda")}, "hardware"),
    ],
)
def test_bad_parameters_are_named(arguments, parameter):
    if parameter == "hardware" and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(ValueError, match=f"'{parameter}'"):
        measure_kernels(**arguments)


def test_hardware_here_and_json(tmp_path):
    here = Hardware.here(threads=2)
    assert here.memory_bytes > 1 << 28
    assert here.versions["torch"] == torch.__version__
    linked = Hardware(
        name="two",
        memory_bytes=1 << 30,
        n_devices=4,
        n_nodes=2,
        links={"device_to_device": Link(1e9, 1e-6)},
    )
    assert Hardware.load(linked.save(tmp_path / "h.json")) == linked
    assert linked.link("device_to_device").seconds(1e9) == pytest.approx(1.000001)
    with pytest.raises(ValueError, match=r"two.*'slow_to_fast'.*\['device_to_device'\].*measure"):
        linked.link("slow_to_fast")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "JSON"),
        ('{"name": "x", "memory_bytes": -1}', "memory_bytes"),
        ('{"name": "x", "memory_bytes": 1, "color": 2}', "color"),
        ('{"name": "x", "memory_bytes": 1, "n_devices": 3, "n_nodes": 2}', "n_nodes"),
        ('{"name": "x", "memory_bytes": 1, "links": {"warp": {"bandwidth": 1}}}', "warp"),
        ('{"name": "x", "memory_bytes": 1, "links": {"node_to_node": {"bandwidth": 0}}}', "band"),
    ],
)
def test_a_bad_hardware_file_is_named(assert_file_rejected, content, message):
    assert_file_rejected(Hardware.load, content, message)


BUFFERED = {"tokens": 1, "counts": [[1, 1, 0, 0], [0, 0, 0, 1]], "capacity": 1, "misses": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "dance"}, "kind"),
        ({"repeats": [1.0, -1.0]}, "repeats"),
        ({"at": 3}, "at"),
        ({"at": {"bytes": -1}}, "at.bytes"),
        ({"kind": "layer", "at": {"tokens": 2, "counts": [1, 2, "a", -1]}}, "at.counts"),
        ({"kind": "layer", "at": {"tokens": 5.5, "counts": [1, 1, 0, 0]}}, "at.tokens"),
        ({"kind": "buffered", "at": BUFFERED | {"misses": 4}}, "at.misses"),
        ({"kind": "offloaded", "at": BUFFERED | {"uploads": 3}}, "at.uploads"),
        ({"kind": "step", "at": {"tokens": 1, "context": 2.5, "prefill": 2}}, "at.prefill"),
        ({"shape": {"n_experts": 2}}, "shape"),
        ({"shape": {"n_experts": 2, "k": 3, "d_model": 1, "d_ffn": 1}}, "shape"),
    ],
)
def test_a_bad_measurements_file_is_named(tmp_path, change, message):
    good = Measurements(
        Hardware(name="x", memory_bytes=1), [Record("copy", {"bytes": 3}, [1.0], SHAPE)]
    )
    path = good.save(tmp_path / "k.json")
    content = json.loads(path.read_text())
    content["records"][0] |= change
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"k\.json: field 'records\[0\]\.{message}['.[]"):
        Measurements.load(path)
    for text in ("[]", "{", '{"records": []}'):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"k\.json"):
            Measurements.load(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_no_json_gets_past_the_loaders_unnamed(tmp_path, data):
    """With any value anywhere in a good file, it loads, or a ValueError names the file."""
    hardware = Hardware(
        name="x", memory_bytes=1, links={"slow_to_fast": Link(1.0)}, versions={"python": "3"}
    )
    record = Record("layer", {"tokens": 1, "counts": [1, 1, 0, 0]}, [1.0], SHAPE)
    path = Measurements(hardware, [record], "cpu").save(tmp_path / "fuzzed.json")
    content = json.loads(path.read_text())
    place = content
    while True:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        place[key] = data.draw(JSON)
        break
    for loader, part in ((Measurements, content), (Hardware, content["hardware"])):
        path.write_text(json.dumps(part))
        try:
            loader.load(path)
        except ValueError as error:
            if "fuzzed" not in str(error):
                raise


def test_measurements_print_their_kinds_not_their_points():
    hardware = Hardware(name="box", memory_bytes=10**9)
    records = [Record("copy", {"bytes": 8}, [1e-6]), Record("copy", {"bytes": 9}, [1e-6])]
    text = str(Measurements(hardware, records, "cpu", "2026-11-26T12:00:00", ["a note"]))
    assert text == "2 points of box (cpu time, 2026-11-26): 2 of copy\na note"
