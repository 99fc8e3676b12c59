"""MoE layers in torch, one way of computing a module, all with the signature of `Kernel`.

``kernel(x, ids, weights, experts)`` takes tokens [S, D], chosen experts [S, k], their weights
[S, k] and the experts, and returns [S, D]. A choice of weight 0 is not computed.
"""

from moela._lazy import attach as _attach

# Names are imported on first use; `__init__.pyi` says from where.
__getattr__, __dir__, __all__ = _attach(__name__, __file__)
