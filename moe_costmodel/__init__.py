"""A cost model of Mixture-of-Experts inference, fitted to kernels that torch ran.

Follows arXiv 2303.06182. Names are imported when they are first used, so that nothing here loads
torch until a kernel runs or a model is recorded.
"""

from importlib.util import find_spec as _find_spec

from moela._lazy import attach as _attach

# Names are imported on first use; `__init__.pyi` says from where.
__getattr__, __dir__, __all__ = _attach(__name__, __file__)

# Torch is optional: `from moe_costmodel import *` takes these names only if it is installed.
_RUN_TORCH = (
    "MeasuredModel", "edit_routing", "fit_miss_cost", "measure_kernels", "measure_misses",
    "measure_model", "measure_rest",
)  # fmt: skip
if _find_spec("torch") is None:
    __all__ = [name for name in __all__ if name not in _RUN_TORCH]
