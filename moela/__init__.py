"""The best compromises between several goals, in few evaluations of an expensive function."""

import lazy_loader

from moela._version import __version__ as __version__

# Names are imported on first use; `__init__.pyi` says from where.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
