"""Entries of ``out``: stored exactly, or left out by name, and the run goes on."""

import numpy as np
import pytest
from evaluation_cases import One, designs, evaluate, solve, stored
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pymoo.algorithms.moo.nsga2 import NSGA2

from moela.evaluation.storage import values
from moela.evaluation.storage.errors import StoreError
from moela.evaluation.storage.journal import Journal
from moela.evaluation.storage.reader import EvaluationStore

X = designs(6)


class Gives(One):
    """Puts something into ``out``."""

    def __init__(self, **entries):
        super().__init__()
        self._entries = entries

    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        out.update(self._entries)


def back(value):
    """Return a value as it is stored and read."""
    packed = values.pack({"a": value})
    assert packed.left_out == {}
    return values.unpack(packed.data)["a"]


def assert_equal(a, b):
    assert type(a) is type(b)
    if isinstance(a, np.ma.MaskedArray):
        np.testing.assert_array_equal(np.ma.getmaskarray(a), np.ma.getmaskarray(b))
        assert_equal(a.data, b.data)
        np.testing.assert_equal(a.fill_value, b.fill_value)
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if a.dtype == object:
            for x, y in zip(a.ravel(), b.ravel(), strict=True):
                assert_equal(x, y)
        elif a.dtype.names:  # with padding that holds anything
            np.testing.assert_array_equal(a, b)
        else:
            assert a.tobytes() == b.tobytes()
    elif isinstance(a, dict):
        assert_equal(list(a.items()), list(b.items()))  # a key may hold NaN
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    else:
        assert a == b or a != a
        assert repr(a) == repr(b)


plain = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers()),
    *(st.text(st.characters(exclude_categories=[])), st.binary()),
)
arrays = hnp.arrays(
    st.one_of(
        hnp.floating_dtypes(),
        hnp.integer_dtypes(),
        hnp.complex_number_dtypes(),
        hnp.boolean_dtypes(),
        hnp.datetime64_dtypes(),
        hnp.timedelta64_dtypes(),
        hnp.byte_string_dtypes(),
        hnp.unicode_string_dtypes(),
    ),
    hnp.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=3),
)
trees = st.recursive(
    plain | arrays,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        | st.dictionaries(st.integers() | st.none() | st.tuples(st.floats()), inner, max_size=4)
    ),
    max_leaves=10,
)


@given(trees)
def test_values_come_back_exactly(value):
    assert_equal(back(value), value)


RECORDS = np.dtype([("x", "<f8", (2,)), ("y", [("n", "<i4"), ("t", "M8[s]")])], align=True)


@pytest.mark.parametrize(
    "value",
    [
        np.ma.array([1.0, 2.0, 3.0], mask=[True, False, True]),
        np.ma.array([[1, 2], [3, 4]], mask=np.ma.nomask, fill_value=7),
        np.array([(([1.0, 2.0]), (3, "2020-01-01"))], RECORDS),
        np.array([(1, 2.5)], "i4,f8")[0],
        np.array([{"a": 1}, None, [1.5, (2,)], np.arange(3)], dtype=object),
        np.array([[1, "a"], [None, 2.5]], dtype=object),
        np.array("2020-01-01T00", "M8[h]"),
        np.array(5, dtype=object),
        {"field": np.ma.array([1, 2], mask=[0, 1]), "deep": [{"a": (np.float32(1.5), b"\0")}]},
        {1: "a", "1": "b", (1, None): 2.5, 1.5: [], b"x": {}},
        np.arange(6.0).reshape(2, 3).T,
        np.longdouble("1.25"),
        "\0 \ud800 é",
        2**5000,
    ],
    ids=lambda value: type(value).__name__,
)
def test_kinds_of_values(value):
    assert_equal(back(value), value)


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


class Odd(dict):
    def items(self):
        raise KeyError("odd")


ITSELF = []
ITSELF.append(ITSELF)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (object(), "a value of type object"),
        ({"a": [1, {2, 3}]}, "a value of type set"),
        (nested(200), "nested in more than 100 levels"),
        (ITSELF, "nested in more than 100 levels"),
        (Odd(a=1), "a test_values.Odd that raises KeyError"),
    ],
    ids=["object", "set", "deep", "itself", "odd"],
)
def test_what_cannot_be_stored_is_left_out(value, reason):
    packed = values.pack({"good": 1, "bad": value, "better": np.arange(2)})
    assert reason.replace("test_values", Odd.__module__) in packed.left_out["bad"]
    assert [*packed.values] == [*values.unpack(packed.data)] == ["good", "better"]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b'[["a","<f8",[1099511627776,8]]]\0', "must have .* bytes"),
        (b"[" * 100_000, "nested too deeply"),
        (b'[["a",{"z":1}]]\0', "no stored value"),
        (b'[["a",{"o":[[1099511627776],[]]}]]\0', "another size"),
        (b'{"a":1}\0', "must be a list"),
    ],
)
def test_bytes_that_are_no_values_are_refused(data, fault):
    with pytest.raises(ValueError, match=fault):
        values.unpack(data)


# ---- in a run ------------------------------------------------------------------------------------


def test_a_run_goes_on_without_what_cannot_be_stored(store, log):
    problem = Gives(info={"a": [1, 2.5, None]}, lock=object(), rules=[{1, 2}])
    pop = evaluate(problem, X, store=store)
    for source in (pop, evaluate(problem, X, store=store)):  # now, and when it is resumed
        for individual in source:
            assert individual.get("info") == {"a": [1, 2.5, None]}
            assert individual.get("lock") is None
            assert individual.get("rules") is None
    assert all(e.extra == {"info": {"a": [1, 2.5, None]}} for e in stored(store))
    warnings = [r.getMessage() for r in log.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert 'out["lock"], which holds a value of type object' in warnings[0]
    assert 'out["rules"], which holds a value of type set' in warnings[0]
    # Without a store nothing is left out.
    assert evaluate(problem, X)[0].get("rules") == [{1, 2}]


@pytest.mark.parametrize("settings", [{}, {"n_jobs": 2}], ids=["serial", "processes"])
def test_values_are_the_same_now_and_when_resumed(store, settings):
    entries = {
        "info": {"a": (1, "b"), 2: np.arange(2)},
        "text": "a\0b\ud800",
        "flag": True,
        "number": 7,
        "matrix": np.eye(2),
        "field": {"masked": np.ma.array([1.0, 2.0], mask=[1, 0])},
    }
    first = evaluate(Gives(**entries), X, store=store, **settings)
    second = evaluate(Gives(**entries), X, store=store, **settings)
    for a, b in zip(first, second, strict=True):
        assert a.data.keys() == b.data.keys()
        for name in (*entries, "F"):
            assert_equal(a.get(name), b.get(name))
    assert_equal(second[0].get("field"), entries["field"])
    with EvaluationStore(store) as reader:
        assert_equal(reader.population()[0].get("info"), entries["info"])
        assert reader.to_frame()["text"][0] == r"a\x00b\ud800"


def test_an_algorithm_that_reads_further_values_is_resumed_bit_for_bit(store):
    class Reading(NSGA2):
        def _advance(self, infills=None, **kwargs):
            super()._advance(infills=infills, **kwargs)
            seen = [ind.get("secret") is not None for ind in self.pop]
            self.random_state.random(1 + sum(seen))

    problem = Gives(secret=object(), info={"a": 1})
    first = solve(problem, 60, algorithm=Reading(pop_size=20), store=store)
    again = solve(problem, 100, algorithm=Reading(pop_size=20), store=store)
    whole = solve(problem, 100, algorithm=Reading(pop_size=20), store=store.with_name("b.db"))
    assert first.evaluator.n_fresh == 60
    np.testing.assert_array_equal(again.pop.get("F"), whole.pop.get("F"))


def limited(monkeypatch, size):
    monkeypatch.setattr(Journal, "_room", lambda self: size)


def test_values_larger_than_a_row_are_left_out(store, monkeypatch, log):
    limited(monkeypatch, 20_000)
    evaluate(Gives(large=np.zeros(10_000), small=np.zeros(5)), X, store=store)
    assert [*stored(store)[0].extra] == ["small"]
    assert 'out["large"], which holds 80,000 bytes' in log.text


def test_a_wrong_number_of_values_is_told_when_it_is_written(store):
    class More(One):
        def evaluate(self, X, *args, **kwargs):
            return {"F": np.zeros((len(X), 3))}

    with pytest.raises(StoreError, match="gave F with 3 values, but says that its n_obj is 2"):
        evaluate(More(), X, store=store)
