"""Outputs that cannot cross to another process, and messages on the pipes of a worker."""

import os
import threading

import numpy as np
import pytest
from evaluation_cases import One, Rows, designs, evaluate, zdt

from moela.evaluation.runners import call, frames

BACKENDS = [{"n_jobs": 2}, {"n_jobs": 2, "backend": "loky"}]


class Odd(One):
    """Sets outputs that cannot be sent, beside one that can."""

    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        out["G"] = [x[1] - 0.5]
        out["lock"] = threading.Lock()
        out["function"] = lambda: x
        out["file"] = open(os.devnull)  # noqa: SIM115
        out["steps"] = (n for n in range(3))
        out["settings"] = {"mesh": [1, 2]}
        out["temperature"] = x * 100


@pytest.mark.parametrize("settings", BACKENDS, ids=str)
def test_outputs_that_cannot_be_sent_are_left_out_by_name(settings, log):
    X = designs(8)
    pop = evaluate(Odd(n_ieq_constr=1), X, **settings)
    np.testing.assert_array_equal(pop.get("F"), zdt(X))
    np.testing.assert_array_equal(pop.get("G"), X[:, 1:2] - 0.5)
    np.testing.assert_array_equal(pop.get("temperature"), X * 100)
    assert list(pop.get("settings")) == [{"mesh": [1, 2]}] * 8
    warnings = [r.getMessage() for r in log.records if "left out" in r.getMessage()]
    names = ("lock", "function", "file", "steps")
    assert sorted(text.split('"')[1] for text in warnings) == sorted(names)  # once each
    assert all("of Odd cannot be sent from its worker" in text for text in warnings)
    assert not any(name in ind.data for ind in pop for name in names)


@pytest.mark.parametrize("problem", [One, Rows])
def test_a_value_that_is_too_large_is_left_out(problem, log, monkeypatch):
    monkeypatch.setattr(call, "MOST_BYTES", 1000)

    class Verbose(problem):
        def _evaluate(self, X, out, *args, **kwargs):
            super()._evaluate(X, out)
            out["field"] = np.zeros((*np.shape(X)[:-1], 200))
            out["small"] = np.zeros((*np.shape(X)[:-1], 100))

    pop = evaluate(Verbose(), designs(20))
    assert np.all(np.isfinite(pop.get("F")))
    assert pop.get("small").shape == (20, 100)
    assert not any("field" in ind.data for ind in pop)
    assert "is larger than 1 GB" in log.text


TOKEN = b"t" * 32


def test_a_message_is_accepted_once_under_its_number():
    head = frames.header(TOKEN, 5, b"content")
    assert frames.size(TOKEN, 5, head) == 7
    frames.check(TOKEN, head, b"content")
    for number in (4, 6):
        with pytest.raises(frames.RefusedError, match=f"message 5 instead of {number}"):
            frames.size(TOKEN, number, head)


@pytest.mark.parametrize("position", range(frames.HEADER_SIZE))
def test_a_header_with_a_changed_byte_is_refused(position):
    head = bytearray(frames.header(TOKEN, 5, b"content"))
    head[position] ^= 1
    with pytest.raises(frames.RefusedError, match="something else was written to the pipe"):
        frames.size(TOKEN, 5, bytes(head))


def test_a_message_of_another_worker_or_with_other_content_is_refused():
    with pytest.raises(frames.RefusedError):
        frames.size(TOKEN, 5, frames.header(b"another" * 4, 5, b"content"))
    with pytest.raises(frames.RefusedError, match="into a message"):
        frames.check(TOKEN, frames.header(TOKEN, 5, b"content"), b"c0ntent")
