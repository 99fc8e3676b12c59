"""Tracebacks from a cache are the text that Python's own module gives."""

import itertools
import statistics
import time
import traceback
from pathlib import Path

import pytest

from moela import _tracebacks


def by_division(n):
    return [1 / n, n.missing] if n else by_division(n) if n is None else 1 / n


def by_recursion(n):
    return by_recursion(n + 1)


def with_a_cause(n):
    try:
        by_division(0)
    except ZeroDivisionError as error:
        raise ValueError(f"{n} is bad") from error


def with_a_context(n):
    try:
        by_division(0)
    finally:
        raise ValueError(f"{n} is bad")


def without_its_context(n):
    try:
        by_division(0)
    except ZeroDivisionError:
        raise ValueError(f"{n} is bad") from None


def with_a_wrong_name(n):
    numbers = [n]
    return numbers + number  # noqa: F821


def with_a_group(n):
    raise ExceptionGroup("two", [ValueError(n), TypeError("b")])


def with_a_note(n):
    error = ValueError("several\nlines")
    error.add_note(f"with {n}")
    raise error


def with_bad_syntax(n):
    compile(f"{n} +* 2", "expression", "eval")


class Odd(Exception):
    def __str__(self):
        raise TypeError("no text")


def with_an_odd_one(n):
    raise Odd(n)


KINDS = [
    by_division, by_recursion, with_a_cause, with_a_context, without_its_context,
    with_a_wrong_name, with_a_group, with_a_note, with_bad_syntax, with_an_odd_one,
]  # fmt: skip


def texts(function, argument):
    try:
        function(argument)
    except Exception as error:
        return _tracebacks.formatted(error), traceback.format_exc()
    pytest.fail("did not raise")


@pytest.mark.parametrize("function", KINDS, ids=lambda f: f.__name__)
def test_they_are_those_of_python_at_first_and_again(function):
    # The second has the places of the first and another message; the third is of another place.
    for argument in (0, 0.0, 3):
        text, expected = texts(function, argument)
        assert text == expected


def with_indented_lines(n):
    error = RuntimeError("diverged at step 12\n  residual 1e9\n\nsee log.txt")
    error.add_note('a note\n  File "x.py", line 3, in y')
    raise error


def with_the_traceback_of_another_process(n):
    raise RuntimeError(
        "the solver ended with\nTraceback (most recent call last):\n  File x\nKeyError: 1"
    )


def with_an_empty_first_line(n):
    raise RuntimeError("\n  no mesh\n")


class Divergence(Exception):
    pass


def of_a_class_in_a_module(n):
    raise Divergence("at 12: no mesh")


def of_a_class_in_a_function(n):
    class Local(Exception):
        pass

    raise Local


EXCEPTIONS = {
    by_division: "ZeroDivisionError: division by zero",
    by_recursion: "RecursionError: maximum recursion depth exceeded",
    with_a_cause: "ValueError: 0 is bad",
    with_a_context: "ValueError: 0 is bad",
    without_its_context: "ValueError: 0 is bad",
    with_a_wrong_name: "NameError: name 'number' is not defined",
    with_a_group: "ExceptionGroup: two (2 sub-exceptions)",
    with_a_note: "ValueError: several",
    with_bad_syntax: "SyntaxError: invalid syntax",
    with_indented_lines: "RuntimeError: diverged at step 12",
    with_the_traceback_of_another_process: "RuntimeError: the solver ended with",
    with_an_empty_first_line: "RuntimeError: no mesh",
    of_a_class_in_a_module: "Divergence: at 12: no mesh",
    of_a_class_in_a_function: "Local",
}


@pytest.mark.parametrize("function", EXCEPTIONS, ids=lambda f: f.__name__)
def test_the_line_of_the_exception(function):
    text, _ = texts(function, 0)
    assert _tracebacks.exception_of(text).startswith(EXCEPTIONS[function])
    assert "\n" not in _tracebacks.exception_of(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("\n", ""),
        ("It took too long.\nmore", "It took too long."),
        ("ValueError: a\n", "ValueError: a"),
    ],
)
def test_the_line_of_a_text_without_frames_is_the_first(text, line):
    assert _tracebacks.exception_of(text) == line


def test_frames_of_callers_are_left_out_of_each_stack():
    folders = [Path("/lib/a"), Path("/lib/b")]
    callers = (
        '  File "/lib/a/x.py", line 1, in f\n    g()\n    ~^^\n  File "/lib/b/y.py", line 2, in g\n'
    )
    own = '  File "/own/z.py", line 3, in h\n    f(\n  File "/lib/a/x.py", line 1, in f\n    g()\n'
    head, between = (
        "Traceback (most recent call last):\n",
        "ValueError: a\n\nDuring handling ...\n\n",
    )
    end = 'KeyError: 1\n  File "/lib/a/x.py", line 1\n'
    whole = head + own + between + head + callers + own + end
    assert _tracebacks.without_callers(whole, folders) == head + own + between + head + own + end
    for text in (head + callers + end, end, ""):
        assert _tracebacks.without_callers(text, folders) == text


def test_an_error_that_was_never_raised_has_no_stack():
    assert _tracebacks.formatted(ValueError("as it is")) == "ValueError: as it is\n"


def test_equal_code_in_two_files_has_two_names(tmp_path):
    found = []
    for name in ("one.py", "other.py"):
        file = tmp_path / name
        file.write_text("def f(n):\n    return 1 / n\n")
        space = {}
        exec(compile(file.read_text(), str(file), "exec"), space)
        found.append(texts(space["f"], 0))
    assert all(text == expected for text, expected in found)
    assert found[0] != found[1]


def test_few_are_kept(monkeypatch):
    monkeypatch.setattr(_tracebacks, "_STACKS", {})
    for i in range(3 * _tracebacks._MOST_STACKS):
        space = {}
        exec(f"def f{i}(n):\n    return {i} / n\n", space)
        texts(space[f"f{i}"], 0)
    assert 1 <= len(_tracebacks._STACKS) <= _tracebacks._MOST_STACKS


def test_those_of_one_place_take_a_fraction_of_the_time():
    def seconds(of):
        start = time.process_time()
        for n in itertools.repeat(0, 300):
            try:
                by_division(n)
            except ZeroDivisionError as error:
                of(error)
        return time.process_time() - start

    # In turn, since other processes slow the machine down at times.
    pairs = [
        (seconds(_tracebacks.formatted), seconds(lambda error: traceback.format_exc()))
        for _ in range(3)
    ]
    ours, theirs = zip(*pairs, strict=True)
    assert statistics.median(ours) < 0.5 * statistics.median(theirs)
