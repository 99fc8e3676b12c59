"""Interrupts of evaluations, and signals in the workers of other libraries."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from types import FrameType

_senders: set[int] = set()


def note_sender() -> None:
    """Note that this process sends evaluations: Ctrl-C is meant for it.

    Some backends of joblib evaluate in the very process that sends.
    """
    _senders.add(os.getpid())


def outlive_interrupts() -> None:
    """Let a worker in the process group of its parent outlive the Ctrl-C that the parent handles.

    Programs that the worker starts still get the signal.
    """
    if os.getpid() in _senders:
        return
    with suppress(AttributeError, ValueError, OSError):  # no such groups, or not the main thread
        default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if default and os.getpgrp() == os.getpgid(os.getppid()):
            signal.signal(signal.SIGINT, _ignore)


def raise_interrupt(error: BaseException) -> None:
    """Raise KeyboardInterrupt if an error of the user's code is one, or is a group with one."""
    if isinstance(error, KeyboardInterrupt):
        raise error
    if isinstance(error, BaseExceptionGroup) and error.subgroup(KeyboardInterrupt) is not None:
        raise KeyboardInterrupt from error


def _ignore(number: int, stack_frame: FrameType | None) -> None:
    """Do nothing; unlike ``SIG_IGN``, this is not passed on to programs."""
