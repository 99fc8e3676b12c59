"""KernelTable: latencies of MoE kernels that others measured on other machines."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from scipy import ndimage

from moe_costmodel._arrays import Array, Bools, Floats, Ints
from moe_costmodel.measure.parquet import read_columns
from moe_costmodel.shapes import DTYPE_BYTES, MAX_EXPERTS, LayerShape
from moe_costmodel.work import TILES, Work
from moela.files.guard import check_count, invalid_file
from moela.files.text import number_of

__all__ = ["DEVICE_PEAKS", "KernelTable", "Peaks"]


@dataclass(frozen=True)
class Peaks:
    """Peak rates of a device, from its data sheet."""

    bandwidth: float  # bytes per second of the memory
    operations: dict[str, float]  # dense operations per second, by type
    units: int  # processors, each of which computes one tile of a product at a time


DEVICE_PEAKS: dict[str, Peaks] = {
    "NVIDIA A100-SXM4-80GB": Peaks(2.039e12, {"bfloat16": 312e12}, 108),
    "NVIDIA L40S": Peaks(0.864e12, {"bfloat16": 362e12, "fp8": 733e12}, 142),
    "NVIDIA H100 80GB HBM3": Peaks(3.35e12, {"bfloat16": 989e12, "fp8": 1979e12}, 132),
    "NVIDIA H200": Peaks(4.8e12, {"bfloat16": 989e12, "fp8": 1979e12}, 132),
    "NVIDIA B200": Peaks(8e12, {"bfloat16": 2250e12, "fp8": 4500e12, "nvfp4": 9000e12}, 148),
    "NVIDIA GB200": Peaks(8e12, {"bfloat16": 2500e12, "fp8": 5000e12, "nvfp4": 10000e12}, 148),
}
_LONGEST = 1e12  # milliseconds; what takes longer was not measured
_NUMBERS = (
    "num_tokens",
    "hidden_size",
    "inter_size",
    "topk",
    "num_experts",
    "moe_tp_size",
    "moe_ep_size",
)
_TEXTS = ("device", "kernel_source", "moe_dtype", "distribution")
_SLOPE = 1.25
Columns: TypeAlias = dict[str, Array]


@dataclass(frozen=True)
class KernelTable:
    """Latencies of fused MoE kernels, one row per measured point.

    Attributes
    ----------
    device : str
        Name of the device.
    shapes : list of LayerShape
        Layers that occur, with their sizes on one device.
    layer : ndarray of shape (n_rows,), int64
        Index into `shapes`.
    family : ndarray of shape (n_rows,), int64
        Number of the model family: rows with the same hidden size, inner size, k and experts
        before the layer is split over devices.
    kernel : ndarray of shape (n_rows,), int64
        Index into `kernels`.
    kernels : list of str
        Names of the kernel sources.
    tokens : ndarray of shape (n_rows,), int64
        Tokens over all devices.
    work : Work
        Expected work of the busiest device.
    seconds : ndarray of shape (n_rows,)
        Latency.
    dropped : dict of str to int
        Number of rows that each sanity check removed.

    Examples
    --------
    >>> from moe_costmodel import KernelTable, LatencyModel
    >>> latency = LatencyModel.fit(
    ...     KernelTable.from_aiconfigurator("moe_perf.parquet")
    ... )  # doctest: +SKIP
    """

    device: str
    shapes: list[LayerShape]
    layer: Ints
    family: Ints
    kernel: Ints
    kernels: list[str]
    tokens: Ints
    work: Work
    seconds: Floats
    dropped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.seconds)

    @classmethod
    def from_aiconfigurator(cls, path: str | Path, *, device: str | None = None) -> KernelTable:
        """Read a parquet file of MoE latencies in the format of aiconfigurator.

        Parameters
        ----------
        path : str or Path
            The file.
        device : str, optional
            Device whose rows are kept; required if the file has several devices.

        Returns
        -------
        KernelTable
            Repeated points are merged by their median. A row that fails one of these checks is
            dropped, and counted in `dropped`:

            - *latency*: above zero, and below 10^12 ms;
            - *impossible*: not faster than the memory can read the weights of the active experts
              of a balanced step (known devices only, with a tolerance of 10 %);
            - *falling*: at most 1.25 times the latency of the same layer for more tokens.

        Raises
        ------
        FileNotFoundError
            If the file does not exist.
        ValueError
            If the file is not parquet, a column is missing or of another type, a value is out of
            range, or no row is left. The message names the file and the column.
        """
        path = Path(path)
        columns, texts = _read(path)
        devices = texts["device"]
        known = ", ".join(map(repr, devices))
        if device is None and len(devices) > 1:
            raise invalid_file(path, known, "chosen, since the file has several", "device")
        device = devices[0] if device is None else device
        if device not in devices:
            raise invalid_file(path, known, f"{device!r} in some row", "device")
        keep = columns["device"] == devices.index(device)
        columns = {name: values[keep] for name, values in columns.items()}
        good = (columns["latency"] < _LONGEST) & (columns["latency"] > 0)
        dropped = {"latency": int((~good).sum())}
        if not good.any():
            expected = f"above zero and below {_LONGEST:g} in some row"
            raise invalid_file(path, "none such", expected, "latency")
        columns = _merged({name: values[good] for name, values in columns.items()})
        exponent = _exponents(path, texts["distribution"])[columns["distribution"]]
        work = _expected_work(path, columns, exponent)
        width = np.array([DTYPE_BYTES[name] for name in texts["moe_dtype"]])[columns["moe_dtype"]]
        checks = {
            "impossible": _impossible(columns, exponent, work, width, device),
            "falling": _falling(columns),
        }
        good = np.ones(len(columns["latency"]), dtype=bool)
        for name, failing in checks.items():
            dropped[name] = int((failing & good).sum())
            good &= ~failing
        if not good.any():
            got = f"dropped rows: {dropped}"
            raise invalid_file(path, got, "plausible in some row", "latency")
        columns = {name: values[good] for name, values in columns.items()}
        return cls._build(device, columns, texts, work.take(good), dropped)

    @classmethod
    def _build(
        cls,
        device: str,
        columns: Columns,
        texts: dict[str, list[str]],
        work: Work,
        dropped: dict[str, int],
    ) -> KernelTable:
        sizes = np.stack([columns[name] for name in _NUMBERS[1:]], axis=1)
        kinds = np.column_stack([sizes, columns["moe_dtype"]])
        keys, layer = np.unique(kinds, axis=0, return_inverse=True)
        shapes = [
            LayerShape(
                n_experts=int(experts),
                k=int(k),
                d_model=int(hidden),
                d_ffn=max(1, int(inner // tp)),
                n_local=max(1, int(experts // ep)),
                gated=True,
                dtype=texts["moe_dtype"][code],
            )
            for hidden, inner, k, experts, tp, ep, code in keys
        ]
        family = np.unique(sizes[:, :4], axis=0, return_inverse=True)[1]
        kernels, kernel = np.unique(columns["kernel_source"], return_inverse=True)
        return cls(
            device,
            shapes,
            layer.ravel(),
            family.ravel(),
            kernel.ravel(),
            [texts["kernel_source"][code] for code in kernels],
            columns["num_tokens"],
            work,
            columns["latency"] / 1e3,
            dropped,
        )

    def __str__(self) -> str:
        gone = ", ".join(f"{n} {name}" for name, n in self.dropped.items())
        return (
            f"{len(self)} points of {len(np.unique(self.family))} model shapes on {self.device} "
            f"(rows dropped: {gone})"
        )


def _read(path: Path) -> tuple[Columns, dict[str, list[str]]]:
    """Return the columns, those of text as indices, and the values of the columns of text."""
    columns, texts = read_columns(path, (*_NUMBERS, "latency"), _TEXTS)
    columns["latency"] = columns["latency"].astype(np.float64)
    if not len(columns["latency"]):
        raise invalid_file(path, "none", "of at least one row", "latency")
    for name in _NUMBERS:
        values = columns[name]
        whole = np.isfinite(values) & (values == np.floor(values))
        if not whole.all():
            raise invalid_file(path, f"{values[~whole][0]}", "integers", name)
        most = MAX_EXPERTS if name == "num_experts" else 2**31
        if values.min() < 1 or values.max() > most:
            got = f"{values.min()} .. {values.max()}"
            raise invalid_file(path, got, f"from 1 to {most}", name)
        columns[name] = values.astype(np.int64)
    if (columns["topk"] > columns["num_experts"]).any():
        raise invalid_file(path, "more in some row", "at most num_experts", "topk")
    if (columns["num_experts"] % columns["moe_ep_size"]).any():
        got = "another in some row"
        raise invalid_file(path, got, "a divisor of num_experts", "moe_ep_size")
    unknown = sorted(set(texts["moe_dtype"].values) - set(DTYPE_BYTES))
    if unknown:
        expected = f"among {', '.join(sorted(DTYPE_BYTES))}"
        raise invalid_file(path, ", ".join(map(repr, unknown)), expected, "moe_dtype")
    columns |= {name: text.codes for name, text in texts.items()}
    return columns, {name: text.values for name, text in texts.items()}


def _merged(columns: Columns) -> Columns:
    """Merge repeated points by the median of their latencies."""
    first, group = _groups(columns, "latency")
    merged = {name: values[first] for name, values in columns.items()}
    merged["latency"] = ndimage.median(columns["latency"], group, np.arange(len(first)))
    return merged


def _groups(columns: Columns, *ignored: str) -> tuple[Ints, Ints]:
    """Return the first row of each group of rows that differ in `ignored` only, and all groups."""
    names = [name for name in columns if name not in ignored]
    codes = np.column_stack([np.unique(columns[n], return_inverse=True)[1] for n in names])
    _, first, group = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    return first, group.ravel()


def _exponents(path: Path, distributions: list[str]) -> Floats:
    """Return the exponent of each distribution: 0 if balanced, a if power_law_a[_eplb]."""
    exponents = []
    for name in distributions:
        base, value = name.removesuffix("_eplb"), 0.0
        if base not in ("balanced", "uniform"):
            value = number_of(base.removeprefix("power_law_")) or 0.0
            if not base.startswith("power_law_") or not 0 < value < 10:
                expected = "balanced, uniform or power_law_<exponent>"
                raise invalid_file(path, repr(name), expected, "distribution")
        exponents.append(value)
    return np.array(exponents)


def _expected_work(path: Path, columns: Columns, exponent: Floats) -> Work:
    """Return the work of the busiest device, computed once for each combination of sizes."""
    names = ("num_tokens", "num_experts", "topk", "moe_ep_size")
    keys = np.column_stack([*(columns[name] for name in names), exponent])
    combinations, inverse = np.unique(keys, axis=0, return_inverse=True)
    # A skewed combination takes draws of all its experts. As measured, it takes as long as
    # 64 experts at least, and a balanced one takes a quarter of that.
    skewed = combinations[:, 4] > 0
    n_draws = 2 * np.where(skewed, np.maximum(combinations[:, 1], 64), 16).sum()
    check_count(path, int(n_draws), "cells", "num_tokens")
    uniform = np.random.default_rng(0).random((24, int(columns["num_experts"].max())))
    parts = []
    for *numbers, power in combinations:
        sizes = [int(number) for number in numbers]
        draws = uniform[:, : sizes[1]]
        parts.append(_skewed(draws, power, *sizes) if power else _balanced(*sizes))
    return Work.concatenate(parts).take(inverse.ravel())


def _balanced(tokens: int, experts: int, k: int, devices: int) -> Work:
    local, rows = experts // devices, tokens * k / devices
    active = min(float(local), max(rows, min(1.0, rows)))
    each = rows / active
    tiled = [active * t * np.ceil(each / t) for t in TILES]
    return Work(np.array([rows]), np.array([active]), np.array([max(each, 1.0)]), np.array([tiled]))


def _skewed(uniform: Floats, power: float, tokens: int, experts: int, k: int, devices: int) -> Work:
    """Return the mean work of the device with the most rows over fixed draws.

    The benchmark draws the popularity of each expert from a power law between 1 and 0.8 times the
    tokens (between 0.01 and 2 if there are fewer choices than experts), and times the device with
    the most rows.
    """
    low, high = (1.0, tokens * 0.8) if tokens * k > experts else (0.01, 2.0)
    if power == 1.0:
        popularity = low * (high / low) ** uniform
    else:
        a, b = low ** (1 - power), high ** (1 - power)
        popularity = ((b - a) * uniform + a) ** (1 / (1 - power))
    exact = popularity / popularity.sum(axis=1, keepdims=True) * tokens * k
    counts = np.floor(exact)
    # The largest remainders are rounded up until the counts add up to all choices.
    missing = np.round(tokens * k - counts.sum(axis=1)).astype(int)
    order, rank = np.argsort(counts - exact, axis=1), np.empty(counts.shape, dtype=np.int64)
    np.put_along_axis(rank, order, np.arange(experts)[None], axis=1)
    counts += rank < missing[:, None]
    counts = np.minimum(counts, tokens)
    by_device = counts.reshape(len(counts), devices, -1)
    busiest = by_device.sum(axis=2).argmax(axis=1)
    work = Work.from_counts(by_device[np.arange(len(counts)), busiest])
    return Work(*(value.mean(axis=0, keepdims=True) for value in vars(work).values()))


def _impossible(
    columns: Columns, exponent: Floats, work: Work, width: Floats, device: str
) -> Bools:
    """Return the rows that are faster than the memory; `width` is the bytes of their weights."""
    if device not in DEVICE_PEAKS:
        return np.zeros(len(exponent), dtype=bool)
    bandwidth = DEVICE_PEAKS[device].bandwidth
    inner = columns["inter_size"] / columns["moe_tp_size"]
    weights = np.floor(work.active) * 3 * columns["hidden_size"] * inner * width
    fastest = weights / (1.1 * bandwidth) * 1e3
    return (exponent == 0) & (columns["latency"] < fastest)


def _falling(columns: Columns) -> Bools:
    """Return the rows that take far longer than the same layer with more tokens."""
    first, group = _groups(columns, "latency", "num_tokens")
    latency = columns["latency"]
    falling = np.zeros(len(latency), dtype=bool)
    least = np.full(len(first), np.inf)  # latency of each group for more tokens
    for row in np.argsort(columns["num_tokens"])[::-1]:
        falling[row] = latency[row] > _SLOPE * least[group[row]]
        least[group[row]] = min(least[group[row]], latency[row])
    return falling
