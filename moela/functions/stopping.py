"""Stopping `moela.minimize` by Ctrl-C."""

from moela.evaluation.interrupts import Interrupts, advising, given_advice

__all__ = ["Interrupts", "advising", "given_advice"]
