"""Tracebacks as text, at little cost where the same line of a program fails again and again."""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, TracebackType

_HEAD = "Traceback (most recent call last):\n"
# Texts of stacks by their places: file, code (which may be equal in two files), instruction.
_STACKS: dict[tuple[tuple[str, CodeType, int], ...], str] = {}
_MOST_STACKS = 100
# Comes between the traceback of an exception and that of a later one, which it led to.
_CHAINED = re.compile(
    r"\n\n(?:The above exception was the direct cause of the following exception"
    r"|During handling of the above exception, another exception occurred):\n\n"
    r"(?=Traceback |  \+ Exception Group Traceback )"
)
_BEGIN = re.compile(r"(?:Traceback|  \+ Exception Group Traceback) \(most recent call last\):$")
# A frame: its place, then its line of code with marks below it, or a number of repetitions.
_FRAME = r'  File "(.*)", line .*\n(?:(?!  File ")  .*\n)*'
_FRAMES = re.compile(f"(?<={re.escape(_HEAD)})(?:{_FRAME})+")
_MODULE = re.compile(r"^(?:[\w<>]+\.)+(?=\w+(?::|$))")


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


def exception_of(text: str) -> str:
    r"""Return the line of a traceback's text that names the exception, without its module.

    It is the first line after the frames, which are indented. Further lines of the message and
    notes follow it, with any indentation. In a text without frames, it is the first line.

    >>> exception_of("Traceback (most recent call last):\n  File ...\nValueError: no mesh\na note")
    'ValueError: no mesh'
    """
    lines = _CHAINED.split(text)[-1].split("\n")
    if _BEGIN.match(lines[0]):
        rest = [line.removeprefix("  | ") for line in lines[1:]]  # as in the traceback of a group
        n_frames = next((i for i, line in enumerate(rest) if line[:1].strip()), len(rest))
        lines = rest[n_frames:]
    lines = [line.strip() for line in lines if line.strip()] or [""]
    line = _MODULE.sub("", lines[0])
    if re.fullmatch(r"\w+:", line):  # the first line of the message is empty
        line = " ".join([line, *lines[1:2]])
    return line


def without_callers(text: str, folders: Sequence[Path]) -> str:
    """Return a traceback's text without the first frames of each stack that lie in the folders.

    A stack of such frames only is left as it is.
    """

    def shorter(stack: re.Match[str]) -> str:
        frames = list(re.finditer(_FRAME, stack[0]))
        inside = [any(map(Path(frame[1]).is_relative_to, folders)) for frame in frames]
        return stack[0][0 if all(inside) else frames[inside.index(False)].start() :]

    return _FRAMES.sub(shorter, text)


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
