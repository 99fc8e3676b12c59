"""Keys of designs: exact and unique bytes; signatures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from moela.evaluation.storage import keys
from moela.evaluation.storage import values as stored_values
from moela.provenance import signature

values = st.one_of(st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.none())


@given(hnp.arrays(st.sampled_from([np.float64, np.int64, np.bool_]), st.integers(0, 8)))
def test_arrays_come_back_exactly(x):
    back = keys.decode(keys.encode(x))
    assert back.dtype == x.dtype
    assert back.tobytes() == x.tobytes()


@given(st.dictionaries(st.text(), st.one_of(values, st.lists(values))))
def test_mixed_designs_come_back_exactly(x):
    assert keys.decode(keys.encode(x)) == x


@given(values, values)
def test_different_values_have_different_keys(a, b):
    same = type(a) is type(b) and a == b and repr(a) == repr(b)
    assert (keys.encode({"v": a}) == keys.encode({"v": b})) == same


def test_the_type_of_numpy_and_python_does_not_matter_in_a_mixed_design():
    ours = {"a": np.float64(0.5), "b": np.int32(3), "c": np.bool_(True), "d": np.str_("x")}
    assert keys.encode(ours) == keys.encode({"d": "x", "c": True, "b": 3, "a": 0.5})


def test_kinds_are_kept_apart():
    different = {keys.encode(np.array([1, 0], dtype=kind)) for kind in (float, int, bool)}
    assert len(different) == 3
    assert keys.encode(np.array([1], np.int32)) == keys.encode(np.array([1], np.int64))
    assert keys.encode(np.array([0.0])) != keys.encode(np.array([-0.0]))


def test_something_else_is_named():
    with pytest.raises(TypeError, match=r"must consist of numbers.* Got a complex instead"):
        keys.encode({"z": 1j})


@given(
    st.dictionaries(
        st.text(),
        hnp.arrays(st.sampled_from([np.float64, np.int8, np.bool_]), hnp.array_shapes(min_side=0)),
    )
)
def test_named_arrays_come_back_exactly(arrays):
    back = stored_values.unpack(stored_values.pack(arrays).data)
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()


def test_a_signature_is_the_same_in_another_process(script):
    import json

    text = """
        from moela.provenance import signature
        from evaluation_cases import Mixed, One
        from pymoo.algorithms.moo.nsga2 import NSGA2
        problem = One()
        problem.names = {"b", "a", "c"}
        problem.rule = lambda x: x
        print(signature.dump([signature.of_problem(p) for p in (problem, Mixed())]))
        print(signature.dump(signature.of_algorithm(NSGA2(pop_size=8))))
    """
    first, second = (script(text) for _ in range(2))
    assert first == second
    assert "0x" not in first
    assert json.loads(first.split("\n")[0])[1]["n_var"] == 4


def test_settings_of_every_kind_are_told_apart():
    from dataclasses import dataclass
    from enum import Enum
    from functools import partial
    from types import SimpleNamespace

    import scipy.sparse

    class Color(Enum):
        RED = 1
        BLUE = 2

    @dataclass(frozen=True, slots=True)
    class Platform:
        size: int

    def scaled(by):
        return lambda x: x * by

    pairs = [
        (1, 1.0),
        (Color.RED, Color.BLUE),
        (Platform(1), Platform(2)),
        (scaled(1), scaled(2)),
        (partial(max, 1), partial(max, 2)),
        (np.arange(100), np.arange(100)[::-1]),
        (np.arange(100), np.arange(100.0)),
        (scipy.sparse.eye(30), scipy.sparse.eye(30) * 2),
        (np.random.default_rng(1), np.random.default_rng(2)),
        (float("nan"), float("inf")),
        (b"a", b"b"),
        ([1, 2], [2, 1]),
    ]
    for a, b in pairs:
        signatures = [signature.of_algorithm(SimpleNamespace(value=value)) for value in (a, b, a)]
        texts = [signature.dump(value) for value in signatures]
        assert texts[0] == texts[2]
        assert texts[0] != texts[1]


def test_a_problem_can_say_itself_what_it_is():
    from evaluation_cases import One

    class Own(One):
        def signature(self):
            return {"traffic": "bfs"}

    problem = Own()
    problem.counter = 1
    before = signature.of_problem(problem)
    problem.counter = 2
    assert signature.of_problem(problem) == before
    assert before["settings"] == {"signature": {"traffic": "bfs"}}
