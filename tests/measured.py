"""A plugin of coverage.py for workers, which are killed and so never save what they ran.

pyproject.toml names it; it is loaded in each process that is measured.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress

from coverage import Coverage, CoveragePlugin
from coverage.plugin_support import Plugins

_WORKERS = ("moela.evaluation.runners.worker", "popen_loky_posix", "default_worker.py")
_SECONDS = 0.2


class _Saving(CoveragePlugin):
    """Plugin that is there to be loaded."""

    def configure(self, config: object) -> None:
        """Change no setting."""


def _save() -> None:
    while True:
        time.sleep(_SECONDS)
        with suppress(Exception):
            Coverage.current().save()


def coverage_init(registry: Plugins, options: object) -> None:
    """Save the measurements of a worker again and again."""
    registry.add_configurer(_Saving())
    if any(name in word for word in sys.orig_argv for name in _WORKERS):
        threading.Thread(target=_save, daemon=True).start()
