"""Array types that annotations share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
# Of a dtype that is known at run time only, such as that of an array in a file.
Array = NDArray[Any]
