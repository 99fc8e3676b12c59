"""Tracebacks as text, at little cost where the same line of a program fails again and again."""

from __future__ import annotations

import traceback
from types import CodeType, TracebackType

_HEAD = "Traceback (most recent call last):\n"
# Texts of stacks by their places: file, code (which may be equal in two files), instruction.
_STACKS: dict[tuple[tuple[str, CodeType, int], ...], str] = {}
_MOST_STACKS = 100


def formatted(error: BaseException) -> str:
    """Return the text that ``traceback.format_exc()`` returns while the error is handled.

    Python reads the lines of a stack and marks the failing parts, which takes longer than many an
    evaluation. Many evaluations fail at the same place, so the texts of up to 100 stacks are kept.
    """
    context = None if error.__suppress_context__ else error.__context__
    chained = error.__cause__ is not None or context is not None
    # A group has several stacks, and for a wrong name Python suggests another one of its frame.
    if chained or isinstance(error, (BaseExceptionGroup, NameError)):
        return "".join(traceback.format_exception(error))
    stack = _stack(error.__traceback__)
    return (_HEAD + stack if stack else "") + "".join(traceback.format_exception_only(error))


def _stack(trace: TracebackType | None) -> str:
    places, tb = [], trace
    while tb is not None:
        code = tb.tb_frame.f_code
        places.append((code.co_filename, code, tb.tb_lasti))
        tb = tb.tb_next
    key = tuple(places)
    text = _STACKS.get(key)
    if text is None:
        if len(_STACKS) >= _MOST_STACKS:
            _STACKS.clear()
        text = _STACKS[key] = "".join(traceback.format_tb(trace))
    return text
