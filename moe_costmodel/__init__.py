"""A cost model of Mixture-of-Experts inference, fitted to kernels that torch ran.

Follows arXiv 2303.06182. Names are imported when they are first used, so that nothing here loads
torch until a kernel runs or a model is recorded.
"""

import lazy_loader

# Names are imported on first use; `__init__.pyi` says from where.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
