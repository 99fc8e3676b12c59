"""Measuring the packaged kernel times: what is kept of them, and the links that follow."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("safetensors")

from moe_costmodel import Hardware, LatencyModel, Measurements, Record
from moe_costmodel.example import example_measurements, measure

KINDS = ("layer", "rule", "buffered", "step", "copy")


@pytest.fixture
def measured(monkeypatch):
    """Replace the measurement by timings twice as long; return what it was asked."""
    packaged = example_measurements()
    records = [
        replace(record, repeats=[2 * seconds for seconds in (*record.repeats, *record.repeats)])
        for record in packaged.records if record.kind in KINDS
        for _ in range(2)  # every other point of a kind is kept
    ]  # fmt: skip
    found = Measurements(Hardware.here(threads=1), records, clock="cpu")
    asked = {}

    def measure_model(model, hardware, **settings):
        asked.update(settings, hardware=hardware)
        return SimpleNamespace(measurements=found)

    monkeypatch.setattr(measure, "load_model", lambda: None)
    monkeypatch.setattr(measure, "measure_model", measure_model)
    monkeypatch.setattr(
        measure, "measure_exchange",
        lambda: [Record("all_to_all", {"bytes": n}, [1e-4 + n / 2e9]) for n in (10**4, 10**6)],
    )  # fmt: skip
    return asked


def run(monkeypatch, folder, *words):
    monkeypatch.setattr("sys.argv", ["measure", "--out", str(folder), *words])
    measure.main()
    return Measurements.load(folder / "example_kernels.json")


def test_every_other_point_is_kept_with_the_packaged_exchange(measured, monkeypatch, tmp_path):
    found = run(monkeypatch, tmp_path, "--budget-s", "7")
    packaged = example_measurements()
    assert measured["budget_s"] == 7
    assert measured["n_devices"] == (1, 2, 4)
    for kind in KINDS:
        mine, theirs = list(found.of(kind)), list(packaged.of(kind))
        assert [record.at for record in mine] == [record.at for record in theirs]
        seconds = np.array([[a.seconds, b.seconds] for a, b in zip(mine, theirs, strict=True)])
        np.testing.assert_allclose(seconds[:, 0], 2 * seconds[:, 1], rtol=1e-3)
        assert {len(record.repeats) for record in mine} == {3}
    assert list(found.of("all_to_all")) == list(packaged.of("all_to_all"))
    # Both links are fitted: copies take twice as long, and the exchange is as it was.
    links, before = found.hardware.links, packaged.hardware.links
    assert links["device_to_device"].bandwidth == pytest.approx(
        before["device_to_device"].bandwidth, rel=1e-3
    )
    copy, old = links["slow_to_fast"], before["slow_to_fast"]
    assert copy.seconds(10**6) == pytest.approx(2 * old.seconds(10**6), rel=0.01)
    # The file is what a latency model is fitted to.
    assert LatencyModel.fit(found, method="linear").report
