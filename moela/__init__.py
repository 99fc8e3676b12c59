"""The best compromises between several goals, in few evaluations of an expensive function."""

from moela._lazy import attach as _attach
from moela._version import __version__ as __version__

# Names are imported on first use; `__init__.pyi` says from where.
__getattr__, __dir__, __all__ = _attach(__name__, __file__)
