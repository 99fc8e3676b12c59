"""Progress of a run: its pace, bars, lines in the log, and the heartbeat behind them."""

from moela.evaluation.progress.lines import log_to_stderr
from moela.evaluation.progress.progress import Progress, begin
from moela.evaluation.progress.screen import bar_class, wanted

__all__ = ["Progress", "bar_class", "begin", "log_to_stderr", "wanted"]
