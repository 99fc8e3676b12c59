"""The version of a network-on-chip problem: a hash of all that determines an evaluation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from problems._arrays import Floats
from problems.noc.chip.platform import Platform
from problems.noc.evaluation.metrics import NEEDS_WAITS
from problems.noc.evaluation.stalls import waits_alone

EVALUATION = 1
"""Version of the evaluation; increased whenever a design gets other objectives than before.

It is not increased if only last bits change, so that stores of earlier versions resume.
"""

WAITS = "waits-2"
"""Version of the waiting times, for problems that need them."""

CREDITS = "credits-1"
"""Version of the waits of packets longer than a virtual channel, for problems that have them."""


def version_of(
    platform: Platform,
    traffic: Floats,
    model: str,
    objectives: tuple[str, ...],
    constraints: Mapping[str, float],
    aggregate: str,
) -> str:
    """Return the version; `traffic` [n_apps, n, n] has an `aggregate` if there are several."""
    digest = hashlib.sha256(json.dumps(platform.to_dict(), sort_keys=True).encode())
    digest.update(traffic.tobytes())
    digest.update(repr(objectives).encode())
    if constraints:
        digest.update(repr(constraints).encode())
    if not NEEDS_WAITS.isdisjoint((*objectives, *constraints)):
        digest.update(WAITS.encode())
        if waits_alone(platform):
            digest.update(CREDITS.encode())
    if len(traffic) > 1:
        digest.update(f"{len(traffic)} {aggregate}".encode())
    return f"noc-{EVALUATION}-{model}-{digest.hexdigest()[:16]}"
