"""Results as JSON data."""

from __future__ import annotations

import math
from typing import Any

from moela.quality.words import encodable


def finite(value: Any) -> Any:
    """Return JSON data in which numbers that aren't finite, which JSON doesn't have, are null.

    Texts have escapes for what UTF-8 cannot hold, which parsers of other languages refuse.
    """
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {encodable(str(k)): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value
