"""Bars on a terminal and in a notebook."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm


def bar_class() -> type[tqdm[object]]:
    """Return tqdm's bar for a notebook if this is one and has ipywidgets, else that of text."""
    if not in_notebook():
        from tqdm import tqdm
    else:
        with warnings.catch_warnings():
            # Without ipywidgets, tqdm takes the bar of text and warns; both are known.
            warnings.simplefilter("ignore")
            from tqdm.autonotebook import tqdm
    return tqdm


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    # Both modules are loaded if so; importing them would take time.
    if "ipykernel.zmqshell" not in sys.modules or "IPython" not in sys.modules:
        return False
    shell = getattr(sys.modules["IPython"], "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def wanted(progress: bool | None) -> bool:
    """Return whether to show a bar; None shows it on a terminal and in a notebook."""
    if progress is not None:
        return progress
    return (sys.stderr is not None and sys.stderr.isatty()) or in_notebook()
