"""MOELA's learned local search for algorithms of pymoo, and for Optuna."""

import lazy_loader

# Names are imported on first use; `__init__.pyi` says from where.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
