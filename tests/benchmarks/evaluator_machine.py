"""Machine and versions, which the benchmarks of the evaluator print beside their numbers."""

import datetime
import os
import platform
from importlib import metadata


def machine():
    """Return machine, load, versions and date as one line."""
    cpu = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            cpu = next(line.split(":")[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        pass
    versions = ", ".join(f"{p} {metadata.version(p)}" for p in ("pymoo", "numpy", "joblib"))
    return (
        f"{cpu}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start; "
        f"Python {platform.python_version()}, {versions}; {datetime.date.today()}"
    )


def table(heading, rows):
    """Return rows as a Markdown table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
