import json

import numpy as np
import pytest

from moe_costmodel import RoutingTrace, static_waste


def test_the_paper_s_waste_factors():
    assert static_waste(512, 2, 0.05) == pytest.approx(12.8)
    assert static_waste(128, 2, 1.0) == pytest.approx(64.0)
    with pytest.raises(ValueError, match="'k'"):
        static_waste(2, 3, 1.0)


def test_description_by_hand():
    # Four steps of two tokens, top-1 of 4 experts.
    ids = np.array([0, 0, 0, 1, 0, 0, 2, 3]).reshape(8, 1, 1)
    found = RoutingTrace(ids, n_experts=4).describe(2, "prefill")
    assert found.n_steps == 4
    assert found.inactive[0] == pytest.approx((3 + 2 + 3 + 2) / 16)
    assert found.hottest_over_mean[0] == pytest.approx((4 + 2 + 4 + 2) / 4)
    assert found.waste_factor[0] == pytest.approx(4.0)  # capacity of both tokens, E C / k = 4
    assert found.mean_load[0] == pytest.approx([5 / 8, 1 / 8, 1 / 8, 1 / 8])


def test_description_of_real_traffic(deepseek):
    few, many = (deepseek["intent"].describe(size) for size in (1, 16))
    assert few.inactive.mean() == pytest.approx(1 - 6 / 64)
    assert many.inactive.mean() < few.inactive.mean()
    # Measured: the lowest layer has 3.66 times the persistence of chance.
    assert (many.persistence > 2 * many.chance_persistence).all()
    assert "26 layers of 64 experts, top-6" in str(many)
    json.dumps(many.to_dict(), allow_nan=False)


def test_dense_layers_of_a_dump_are_left_out(shared_data):
    trace = RoutingTrace.load(shared_data / "loads/deepseek-v3/prefill_in512.json")
    found = trace.describe()
    assert found.n_layers == 58
    assert found.layers[0] == 3
    assert np.isnan(found.persistence).all()
    assert "as recorded" in str(found)
    json.dumps(found.to_dict(), allow_nan=False)
