"""Words for quantities: no powers of ten, and the unit that fits the rounded number."""

import math

import pytest

from moe_costmodel.objectives import beyond, quantity


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (999.6e-6, "s", "1 ms"),
        (0.0123, "s", "12.3 ms"),
        (0.0, "s", "0 s"),
        (1010 * 2**20, "bytes", "1,010 MiB"),
        (2**30 - 1, "bytes", "1 GiB"),
        (0.31, "tokens/s", "0.31 tokens/s"),
        (1028.4, "tokens/s", "1,028 tokens/s"),
        (0.34333, "", "0.3433"),
    ],
)
def test_quantities_are_readable(value, unit, words):
    assert quantity(value, unit) == words


def test_words_for_times_that_were_not_measured():
    assert beyond(4.0) == "extrapolated by a factor of 4"
    assert beyond(math.inf) == "a roofline bound, since no table has it"
