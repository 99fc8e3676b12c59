"""Hardware: what a machine has, detected here or read from JSON."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from moe_costmodel._checks import count, invalid, require

__all__ = ["Hardware", "Link"]

LINKS = ("slow_to_fast", "device_to_device", "node_to_node")


@dataclass(frozen=True)
class Link:
    """A way that bytes go.

    Parameters
    ----------
    bandwidth : float
        Bytes a second.
    latency : float
        Seconds before the first byte arrives.

    Examples
    --------
    >>> from moe_costmodel import Link
    >>> Link(bandwidth=12e9, latency=1e-5).seconds(12e6)
    0.00101
    """

    bandwidth: float
    latency: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.bandwidth < float("inf"):
            raise invalid("Link", "bandwidth", self.bandwidth, "a positive number of bytes/s")
        if not 0 <= self.latency < float("inf"):
            raise invalid("Link", "latency", self.latency, "a number of seconds, 0 or more")

    def seconds(self, n_bytes: float) -> float:
        """Return the time of one message."""
        return self.latency + n_bytes / self.bandwidth


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """A machine, or several alike.

    Parameters
    ----------
    name : str
        What it is called.
    device : {"cpu", "cuda"}
        Where experts run.
    n_devices : int
        Devices in all.
    n_nodes : int
        Nodes that the devices are on, as many on each.
    memory_bytes : int
        Fast memory of one device.
    slow_memory_bytes : int
        Memory behind it, of one node.
    threads : int
        Threads that kernels were or are to be run with (CPU).
    links : dict of str to Link
        "slow_to_fast" (a missing expert), "device_to_device", "node_to_node".
    versions : dict of str to str
        Of what matters: python, torch, driver.

    Raises
    ------
    ValueError
        If a number is not positive, or the nodes do not divide the devices.

    Examples
    --------
    >>> from moe_costmodel import Hardware, Link
    >>> machine = Hardware(
    ...     name="node",
    ...     memory_bytes=80 * 2**30,
    ...     device="cuda",
    ...     n_devices=8,
    ...     links={"slow_to_fast": Link(bandwidth=25e9)},
    ... )
    >>> machine.link("slow_to_fast").seconds(25e9)
    1.0
    """

    name: str
    memory_bytes: int
    slow_memory_bytes: int = 0
    device: str = "cpu"
    n_devices: int = 1
    n_nodes: int = 1
    threads: int = 1
    links: dict[str, Link] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.device not in ["cpu", "cuda"]:
            raise invalid("Hardware", "device", repr(self.device), "'cpu' or 'cuda'")
        require("Hardware", "name", self.name, isinstance(self.name, str), "text")
        if not isinstance(self.versions, dict) or not all(
            isinstance(value, str) for value in self.versions.values()
        ):
            raise invalid("Hardware", "versions", repr(self.versions), "a mapping of text")
        if isinstance(self.slow_memory_bytes, bool) or not (
            isinstance(self.slow_memory_bytes, int) and self.slow_memory_bytes >= 0
        ):
            raise invalid(
                "Hardware", "slow_memory_bytes", repr(self.slow_memory_bytes), "0 or more bytes"
            )
        for name in ("memory_bytes", "n_devices", "n_nodes", "threads"):
            count("Hardware", name, getattr(self, name))
        if self.n_devices % self.n_nodes:
            raise invalid("Hardware", "n_nodes", self.n_nodes, f"a divisor of {self.n_devices}")
        unknown = set(self.links) - set(LINKS)
        if unknown:
            raise invalid("Hardware", "links", sorted(unknown), f"among {LINKS}")

    @classmethod
    def here(cls, *, threads: int = 1) -> Hardware:
        """Describe this machine: its GPUs where torch finds any, else its CPU.

        Links are not measured here; :func:`moe_costmodel.measure_kernels` does that.
        """
        import torch

        versions = {"python": platform.python_version(), "torch": torch.__version__}
        ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if torch.cuda.is_available():
            properties = torch.cuda.get_device_properties(0)
            versions["cuda"] = str(torch.version.cuda)
            return cls(
                name=properties.name,
                device="cuda",
                n_devices=torch.cuda.device_count(),
                memory_bytes=properties.total_memory,
                slow_memory_bytes=ram,
                threads=threads,
                versions=versions,
            )
        return cls(name=_cpu_name(), memory_bytes=ram, threads=threads, versions=versions)

    def link(self, name: str) -> Link:
        """Return a link, or say that the machine's description lacks it."""
        require("Hardware.link", "name", name, name in LINKS, f"one of {LINKS}")
        if name not in self.links:
            raise ValueError(
                f"The hardware {self.name!r} must have the link {name!r} for this. It has "
                f"{sorted(self.links) or 'none'}; measure it (measure_kernels), or add to its JSON "
                f'"links": {{"{name}": {{"bandwidth": bytes/s, "latency": s}}}}.'
            )
        return self.links[name]

    def save(self, path: str | Path) -> Path:
        """Write the description as JSON."""
        path = Path(path)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")
        return path

    @classmethod
    def load(cls, path: str | Path) -> Hardware:
        """Read a description from JSON (what :meth:`save` writes).

        Raises
        ------
        ValueError
            If the file is no JSON, or a field is missing, unknown or wrong; it names both.
        """
        path = Path(path)
        try:
            content = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}: must be JSON. Got {error} instead.") from error
        return cls.from_dict(content, source=str(path))

    @classmethod
    def from_dict(cls, content: Any, *, source: str) -> Hardware:
        """Build from a dictionary; errors name `source`."""
        if not isinstance(content, dict):
            raise ValueError(f"{source}: must be an object. Got {type(content).__name__} instead.")
        fields = set(cls.__dataclass_fields__)
        for missing in ("name", "memory_bytes"):
            if missing not in content:
                raise ValueError(
                    f"{source}: field '{missing}' must be present. Got {sorted(content)} instead."
                )
        unknown = sorted(set(content) - fields)
        if unknown:
            raise ValueError(f"{source}: fields must be among {sorted(fields)}. Got {unknown} too.")
        try:
            links = {name: Link(**link) for name, link in content.get("links", {}).items()}
            return cls(**(content | {"links": links}))
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{source}: {error}") from error


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
