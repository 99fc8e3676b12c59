"""Results as JSON data."""

from __future__ import annotations

import math
from typing import Any


def finite(value: Any) -> Any:
    """Return JSON data in which numbers that aren't finite, which JSON doesn't have, are null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value
