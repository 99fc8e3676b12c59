"""Hardware: the devices, memory and links of a machine, detected or read from JSON."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path

from moe_costmodel._checks import count, invalid, invalid_field, one_of, read_json, require

__all__ = ["Hardware", "Link"]

LINKS = ("slow_to_fast", "device_to_device", "node_to_node")


@dataclass(frozen=True)
class Link:
    """A link that carries bytes between memories or devices.

    Parameters
    ----------
    bandwidth : float
        Bytes per second.
    latency : float
        Seconds until the first byte arrives.

    Examples
    --------
    >>> from moe_costmodel import Link
    >>> Link(bandwidth=12e9, latency=1e-5).seconds(12e6)
    0.00101
    """

    bandwidth: float
    latency: float = 0.0

    def __post_init__(self) -> None:
        positive = 0 < self.bandwidth < float("inf")
        require("Link", "bandwidth", self.bandwidth, positive, "a positive number of bytes/s")
        holds = 0 <= self.latency < float("inf")
        require("Link", "latency", self.latency, holds, "a number of seconds, 0 or more")

    def seconds(self, n_bytes: float) -> float:
        """Return the time of one message."""
        return self.latency + n_bytes / self.bandwidth


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """A machine with one or more equal nodes.

    Parameters
    ----------
    name : str
        Name of the machine.
    device : {"cpu", "cuda"}
        Kind of device that runs the experts.
    n_devices : int
        Devices of all nodes together.
    n_nodes : int
        Number of nodes, each with the same number of devices.
    memory_bytes : int
        Fast memory of one device.
    slow_memory_bytes : int
        Slow memory of one node, from which missing experts are copied.
    threads : int
        CPU threads that run a kernel.
    links : dict of str to Link
        "slow_to_fast" (copies of missing experts), "device_to_device", "node_to_node".
    versions : dict of str to str
        Versions that affect times: python, torch, cuda.

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
        owner = "Hardware"
        one_of(owner, "device", self.device, ("cpu", "cuda"))
        require(owner, "name", self.name, isinstance(self.name, str), "text")
        versions = self.versions.values() if isinstance(self.versions, dict) else [None]
        texts = all(isinstance(value, str) for value in versions)
        require(owner, "versions", self.versions, texts, "a mapping of text")
        count(owner, "slow_memory_bytes", self.slow_memory_bytes, 0)
        for name in ("memory_bytes", "n_devices", "n_nodes", "threads"):
            count(owner, name, getattr(self, name))
        divides = self.n_devices % self.n_nodes == 0
        require(owner, "n_nodes", self.n_nodes, divides, f"a divisor of {self.n_devices}")
        unknown = set(self.links) - set(LINKS)
        if unknown:
            raise invalid(owner, "links", sorted(unknown), f"among {LINKS}")

    @classmethod
    def here(cls, *, threads: int = 1) -> Hardware:
        """Return a description of this machine: its GPUs if torch finds any, otherwise its CPU.

        The links are left out; :func:`moe_costmodel.measure_kernels` measures them.
        """
        import torch

        versions = {"python": platform.python_version(), "torch": torch.__version__}
        ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if not torch.cuda.is_available():
            return cls(name=_cpu_name(), memory_bytes=ram, threads=threads, versions=versions)
        properties = torch.cuda.get_device_properties(0)
        return cls(
            name=properties.name,
            device="cuda",
            n_devices=torch.cuda.device_count(),
            memory_bytes=properties.total_memory,
            slow_memory_bytes=ram,
            threads=threads,
            versions=versions | {"cuda": str(torch.version.cuda)},
        )

    def link(self, name: str) -> Link:
        """Return a link; a ValueError tells how to add a link that the description lacks."""
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
        """Read a file that :meth:`save` wrote; a ValueError names the file and the wrong field."""
        return cls.from_dict(read_json(Path(path)), source=str(path))

    @classmethod
    def from_dict(cls, content: object, *, source: str) -> Hardware:
        """Return the hardware that a dictionary describes; errors name `source`."""
        if not isinstance(content, dict):
            raise ValueError(f"{source}: must be an object. Got {type(content).__name__} instead.")
        for missing in {"name", "memory_bytes"} - set(content):
            raise invalid_field(source, missing, sorted(content), "present")
        fields = set(cls.__dataclass_fields__)
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
