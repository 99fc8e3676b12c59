"""Versions of packages, machine and date: the environment in which a result was made."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TypedDict

PACKAGES = ("moela", "pymoo", "numpy", "scipy", "scikit-learn", "numba", "joblib", "moocore")


class Provenance(TypedDict):
    """The environment of a result, as JSON data."""

    date: str  # UTC, ISO 8601
    python: str
    versions: dict[str, str]  # by distribution
    machine: dict[str, str | int | None]  # processor, cores and system


def version_of(package: str, missing: str = "not installed") -> str:
    """Return the version of an installed distribution, or `missing`."""
    try:
        return metadata.version(package) or missing  # None if its description is lost
    except metadata.PackageNotFoundError:
        return missing


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that results may depend on, by distribution."""
    return {package: version_of(package) for package in PACKAGES}


def versions() -> dict[str, str]:
    """Return the versions of Python, platform and packages, as a store keeps them with a run."""
    system = {"python": platform.python_version(), "platform": platform.platform()}
    return system | package_versions()


def provenance() -> Provenance:
    """Return versions, machine and date of this process."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": package_versions(),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def _processor() -> str:
    # platform.processor() is empty on most Linux systems.
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
