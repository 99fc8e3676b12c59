import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.benchmarks.measure_memory import measured


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_measuring_takes_at_most_twice_the_model_and_one_cache():
    # Measured: 1.71 models and a cache, every time.
    found = measured("quick", budget_s=1)
    # All caches together would be 2.6 times the largest, and buffers of all layers 0.8 models.
    assert found["cache"] > 0.5 * found["model"]
    assert found["model"] < found["peak"] <= 2 * found["model"] + found["cache"]
