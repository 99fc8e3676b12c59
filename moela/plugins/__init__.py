"""MOELA's learned local search for algorithms of pymoo, and for Optuna."""

from moela._lazy import attach as _attach

# Names are imported on first use; `__init__.pyi` says from where.
__getattr__, __dir__, __all__ = _attach(__name__, __file__)
