"""A guard against forked children that return from an evaluation into the library."""

from __future__ import annotations

import os
import traceback
from contextlib import suppress
from types import TracebackType


class SameProcess:
    """Context that a forked child never leaves: the child ends, the process that entered goes on.

    An evaluation may fork, and the child may return, raise, or exit where its parent does. It would
    go on as a second copy of the run and answer through the pipes and stores of its parent. It is
    ended without buffers, locks and exit handlers, which belong to the parent: with status 0 if it
    returned, with the one of ``SystemExit``, else with 1 and its traceback on standard error.
    """

    def __enter__(self) -> SameProcess:
        self._pid = os.getpid()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if os.getpid() != self._pid:
            status = 1
            try:
                status = _status(error)
            finally:  # whatever an exception's own methods do
                os._exit(status)


def _status(error: BaseException | None) -> int:
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        if error.code is None:
            return 0
        if isinstance(error.code, int):
            return error.code & 0xFF
        text = f"{error.code}\n"
    else:
        text = "".join(traceback.format_exception(error))
    with suppress(OSError):  # standard error may be closed; sys.stderr may hold a lock
        os.write(2, text.encode(errors="backslashreplace"))
    return 1
