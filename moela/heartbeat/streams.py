"""Writing to the standard streams, which may be closed, full, or unable to show a letter."""

from __future__ import annotations

from contextlib import suppress
from typing import TextIO

__all__ = ["say"]


def say(stream: TextIO | None, text: str) -> None:
    """Write a message and flush; a stream that takes none does not end the work that goes on.

    Letters that the encoding of the stream lacks are written by their numbers.

    Parameters
    ----------
    stream : text stream or None
        Such as ``sys.stdout``, which is None in a process that was started without one.
    text : str
    """
    if stream is None:
        return
    # A ValueError: the stream is closed. A RuntimeError: a signal came in the middle of a line.
    with suppress(OSError, ValueError, RuntimeError):
        encoding = getattr(stream, "encoding", None) or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
