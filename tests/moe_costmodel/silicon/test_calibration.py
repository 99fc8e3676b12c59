"""Calibration: a bias that all systems share is learned, and intervals hold on new pairs."""

import numpy as np
import pytest

from moe_costmodel import CalibrationData, ServingCalibration
from moe_costmodel.silicon.features import version_number


def made_up(rng, n_pairs=9, n=15):
    """Return systems whose time is composed * 1.5 ** feature, with noise and an effect of pairs."""
    groups = np.repeat(np.arange(n_pairs), n)
    feature = rng.integers(0, 2, n_pairs * n).astype(float)
    composed = np.exp(rng.normal(-4, 0.5, n_pairs * n))
    pair = rng.normal(0, 0.1, n_pairs)[groups]
    measured = composed * 1.5**feature * np.exp(pair + rng.normal(0, 0.03, n_pairs * n))
    zeros = np.zeros(n_pairs * n)
    names = ("feature", "share", "concurrency")
    return CalibrationData(
        features=np.column_stack([feature, np.full(n_pairs * n, -7.0), zeros + 3]),
        names=names,
        composed={"tpot": composed, "ttft": composed},
        measured={"tpot": measured, "ttft": measured + 0.05},
        groups=groups,
        labels=tuple(map(str, range(n_pairs))),
        engine=zeros.astype(np.int64),
        outside=zeros,
        moe=zeros.astype(np.int64) + 1,
        known=zeros.astype(np.int64) + 1,
    )


def test_a_shared_bias_is_learned_and_intervals_hold_on_pairs_left_out():
    data = made_up(np.random.default_rng(0))
    held, errors = [], []
    for group in range(2):
        rows = np.flatnonzero(data.groups != group)
        out = np.flatnonzero(data.groups == group)
        times = ServingCalibration().fit(data, rows).predict(data, out)
        measured = data.measured["tpot"][out]
        errors.append(np.abs(times.seconds / measured - 1))
        held.append((measured >= times.low) & (measured <= times.high))
    # The effect of a pair cannot be known: its standard deviation is 10 %.
    assert np.median(errors) < 0.2
    assert np.mean(held) > 0.6


def test_the_same_seed_gives_the_same_times():
    data = made_up(np.random.default_rng(1), n_pairs=5)
    first = ServingCalibration(random_state=3).fit(data).predict(data).seconds
    again = ServingCalibration(random_state=3).fit(data).predict(data).seconds
    assert np.array_equal(first, again)


def test_too_few_pairs_and_unknown_targets_are_refused():
    data = made_up(np.random.default_rng(2), n_pairs=3)
    with pytest.raises(ValueError, match="at least 4 pairs"):
        ServingCalibration().fit(data)
    with pytest.raises(ValueError, match="one of tpot, ttft"):
        ServingCalibration("latency")


def test_version_numbers_rise():
    names = ["0.8.1", "0.8.1.post2", "1.0.0rc3", "1.2.0rc6.post2", "1.2.0rc6.post3", "1.2.0"]
    numbers = [version_number(name) for name in names]
    assert numbers == sorted(numbers)
    assert version_number("") == version_number("nightly") == -1


def test_rows_of_the_package_are_repaired():
    from moe_costmodel import read_sample

    try:
        points = read_sample()
    except ModuleNotFoundError:
        pytest.skip("aiconfigurator-core is not installed")
    assert all(p.layout.n_gpus <= 8 for p in points if p.known_layout)
    names = {p.name: p for p in points}
    row = names["2026_04_06_deepseek_r1_b200_sxm_trtllm_fp4_agg_1024x1024_c64_tp8_ep8_937"]
    assert (row.layout.dp, row.layout.moe_ep, row.concurrency) == (8, 8, 64)
    assert row.shape.dtypes["experts"] == "nvfp4"
    assert row.shape.dtypes["attention"] == "bfloat16"
    assert len({p.architecture for p in points if "deepseek" in p.name}) == 1
