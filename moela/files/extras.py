"""Optional packages that are not installed, and the extra of this library that brings each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["EXTRAS", "how_to_install", "needed_by"]

EXTRAS = {
    "torch": "torch", "safetensors": "torch", "transformers": "hf", "pyarrow": "tables",
    "yaml": "silicon", "aiconfigurator_core": "silicon", "distributed": "cluster", "ray": "cluster",
    "plotly": "report", "jinja2": "report", "pandas": "report", "optuna": "optuna",
}  # fmt: skip


def how_to_install(error: ImportError) -> str | None:
    """Return which package is missing and the command that installs it, or None if none is known.

    Parameters
    ----------
    error : ImportError
        That of the import.
    """
    package = (error.name or "").partition(".")[0]
    return f"{package}: pip install 'moela[{EXTRAS[package]}]'" if package in EXTRAS else None


@contextmanager
def needed_by(user: str) -> Iterator[None]:
    """Return a context for imports, whose errors then say what needs a package, and its extra.

    Parameters
    ----------
    user : str
        What needs the packages, such as "load_model()".
    """
    try:
        yield
    except ModuleNotFoundError as error:
        advice = how_to_install(error)
        if advice is None:
            raise
        raise ModuleNotFoundError(f"{user} needs {advice}.", name=error.name) from error
