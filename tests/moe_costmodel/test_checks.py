"""Checks of parameters: one form of message, and values of the right type."""

import numpy as np
import pytest

from moe_costmodel import Hardware
from moe_costmodel._checks import (
    check_fraction,
    check_loads,
    count,
    first_where,
    one_of,
    require,
    several_of,
)


def test_good_values_are_returned():
    assert count("f", "n", np.int64(3)) == 3
    assert count("f", "n", 0, 0) == 0
    assert check_fraction("f", "share", np.float32(0.5)) == 0.5
    assert one_of("f", "mode", "a", ("a", "b")) == "a"
    assert several_of("f", "names", ["a", "b"], ("a", "b")) == ("a", "b")
    assert check_loads("f", [[1, 2]], ndim=2).dtype == np.float64
    require("f", "x", 1, True, "anything")


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: require("f", "x", "1", False, "a number"), "be a number. Got '1' instead."),
        (lambda: count("f", "x", 0), "be an integer of at least 1. Got 0 instead."),
        (lambda: count("f", "x", True), "be an integer of at least 1. Got True instead."),
        (lambda: count("f", "x", 1.0), "be an integer of at least 1. Got 1.0 instead."),
        (lambda: check_fraction("f", "x", 1), "strictly between 0 and 1. Got 1 instead."),
        (lambda: check_fraction("f", "x", "a"), "strictly between 0 and 1. Got 'a' instead."),
        (lambda: one_of("f", "x", "c", ("b", "a")), "be one of a, b. Got 'c' instead."),
        (lambda: several_of("f", "x", ["c"], ("b", "a")), "be one of a, b. Got 'c' instead."),
        (
            lambda: several_of("f", "x", "lru", ("fifo", "lru")),
            "be a sequence of names, such as ('lru',). Got 'lru' instead.",
        ),
        (lambda: several_of("f", "x", 3, ("b",)), "such as ('b',). Got 3 instead."),
    ],
)
def test_messages_have_one_form(check, message):
    with pytest.raises(ValueError, match=r"^The 'x' parameter of f must") as caught:
        check()
    assert str(caught.value).endswith(message)


def test_the_first_bad_entry_is_named():
    assert first_where(np.array([[1, -2], [-3, 4]]), np.array([[0, 1], [1, 0]], bool)) == (
        "-2 at (0, 1)"
    )
    with pytest.raises(ValueError, match=r"'loads' .* finite and not negative. Got -1.0 at \(1,\)"):
        check_loads("f", [0, -1], ndim=1)


def test_links_of_hardware_are_links():
    links = {"device_to_device": {"bandwidth": 1e9, "latency": 0}}
    with pytest.raises(ValueError, match=r"'links' .* such as \{'device_to_device': Link\(bandw"):
        Hardware(name="x", memory_bytes=1, links=links)
