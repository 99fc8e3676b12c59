"""Design problems for pymoo: 3D networks-on-chip, Mixture-of-Experts deployment, classics."""

from moela._lazy import attach as _attach

# Names are imported on first use; `__init__.pyi` says from where.
__getattr__, __dir__, __all__ = _attach(__name__, __file__)
