"""Hardware: the devices, memory and links of a machine, detected or read from JSON."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path

from moe_costmodel._checks import check_number, count, invalid, one_of, require
from moe_costmodel._fields import made_in, of_numpy, place_of
from moela.files.extras import needed_by
from moela.files.fields import object_in, text_in
from moela.files.guard import brief
from moela.files.text import read_json

__all__ = ["Hardware", "Link"]

_CPUINFO = Path("/proc/cpuinfo")
LINKS = ("slow_to_fast", "device_to_device", "node_to_node")
# Of files. Threads: torch starts them all; the others are far above any machine.
_AT_MOST = {
    "memory_bytes": 2**63 - 1, "slow_memory_bytes": 2**63 - 1, "n_devices": 65_536,
    "threads": 4096,
}  # fmt: skip


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
        expected = "a positive number of bytes/s"
        bandwidth = check_number("Link", "bandwidth", self.bandwidth, expected)
        # The time of a message must be finite, too.
        require("Link", "bandwidth", self.bandwidth, bandwidth > 1e-9, expected)
        expected = "a number of seconds, 0 or more"
        latency = check_number("Link", "latency", self.latency, expected)
        require("Link", "latency", self.latency, latency >= 0, expected)

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
        texts = isinstance(self.versions, dict) and all(
            isinstance(item, str) for pair in self.versions.items() for item in pair
        )
        require(owner, "versions", self.versions, texts, "a mapping of text")
        count(owner, "slow_memory_bytes", self.slow_memory_bytes, 0)
        for name in ("memory_bytes", "n_devices", "n_nodes", "threads"):
            count(owner, name, getattr(self, name))
        divides = self.n_devices % self.n_nodes == 0
        require(owner, "n_nodes", self.n_nodes, divides, f"a divisor of {self.n_devices}")
        is_mapping = isinstance(self.links, dict)
        unknown = sorted(set(self.links) - set(LINKS), key=str) if is_mapping else self.links
        if unknown or not is_mapping:
            raise invalid(owner, "links", unknown, f"among {LINKS}")
        for name, link in self.links.items():
            if not isinstance(link, Link):
                expected = f"of Links, such as {{{name!r}: Link(bandwidth=25e9, latency=1e-5)}}"
                raise invalid(owner, "links", brief({name: link}), expected)

    @classmethod
    def here(cls, *, threads: int = 1, memory_bytes: int | None = None) -> Hardware:
        """Return a description of this machine: its GPUs if torch finds any, otherwise its CPU.

        The links are left out; :func:`moe_costmodel.measure_kernels` measures them.

        Parameters
        ----------
        threads : int
            CPU threads that run a kernel.
        memory_bytes : int, optional
            The machine's memory without that of GPUs; by default what the system tells. A system
            that does not tell it raises a ValueError, unless there are GPUs.
        """
        with needed_by("Hardware.here()"):
            import torch

        versions = {"python": platform.python_version(), "torch": torch.__version__}
        ram = _memory_of_machine() if memory_bytes is None else memory_bytes
        if not torch.cuda.is_available():
            if ram is None:
                raise ValueError(
                    f"The memory of this machine is unknown: {platform.system() or 'its system'} "
                    "does not tell it. Give Hardware.here(memory_bytes=...), or describe the "
                    "machine in JSON (Hardware.save)."
                )
            return cls(name=_cpu_name(), memory_bytes=ram, threads=threads, versions=versions)
        properties = torch.cuda.get_device_properties(0)
        return cls(
            name=properties.name,
            device="cuda",
            n_devices=torch.cuda.device_count(),
            memory_bytes=properties.total_memory,
            slow_memory_bytes=ram or 0,
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
        text = json.dumps(asdict(self), indent=1, default=of_numpy)
        path.write_text(text + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path) -> Hardware:
        """Read a file that :meth:`save` wrote; a ValueError names the file and the wrong field."""
        return cls.from_dict(read_json(path), source=path)

    @classmethod
    def from_dict(cls, content: object, *, source: str | Path, field: str = "") -> Hardware:
        """Return the hardware that a dictionary describes; errors name `source` and `field`."""
        found = object_in(source, field, content)
        place = place_of(field, "links")
        links = {
            name: made_in(source, place_of(place, name), link, Link)
            for name, link in object_in(source, place, found.get("links", {})).items()
        }
        place = place_of(field, "versions")
        versions = {
            name: text_in(source, place_of(place, name), version)
            for name, version in object_in(source, place, found.get("versions", {})).items()
        }
        made = found | {"links": links, "versions": versions}
        return made_in(source, field, made, cls, _AT_MOST)


def _memory_of_machine() -> int | None:
    """Return the bytes of the machine's memory; None if the system does not tell."""
    try:
        size = int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # AttributeError: Windows has no sysconf
        size = _memory_of_windows()
    return size if size > 0 else None


def _memory_of_windows() -> int:
    """Return the bytes of memory that Windows tells of; 0 on other systems."""
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_uint32),
            ("load", ctypes.c_uint32),
            *((f"bytes_{i}", ctypes.c_ulonglong) for i in range(7)),  # the first: all memory
        )

    status = Status(length=ctypes.sizeof(Status))
    try:
        known = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return 0
    return int(status.bytes_0) if known else 0


def _cpu_name() -> str:
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:  # Windows, macOS
        text = ""
    for line in text.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "unknown CPU"
