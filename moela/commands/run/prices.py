"""Price lists of GPUs: JSON or CSV files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from moela.files.fields import number_in, object_in, text_in, whole_in
from moela.files.guard import brief, invalid_file
from moela.files.tables import TextTable
from moela.files.text import number_of, read_json
from moela.quality.words import listed

PRICE = "price_per_gpu_hour"
_FORM = f'an object such as {{"h200_sxm": 3.5}}, or a list of {{"gpu": ..., "{PRICE}": ...}}'
# Far above any price, in any currency.
_HIGHEST, _MOST_GPUS = 1e9, 4096


@dataclass(frozen=True)
class Price:
    """Price of one GPU of a kind for an hour, and how many can be had (0 if any number)."""

    per_hour: float
    most: int = 0


def read_prices(path: str | Path) -> dict[str, Price]:
    """Read a price list.

    JSON holds an object of prices by the name of the GPU, or a list of objects with "gpu",
    "price_per_gpu_hour" and perhaps "gpus", the most that can be had; CSV has these columns.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict of Price by name

    Raises
    ------
    ValueError
        If the file has another form; the message names the file, the place, and the value.
    """
    rows = _rows_of_json(path) if Path(path).suffix.lower() == ".json" else _rows_of_csv(path)
    found: dict[str, Price] = {}
    for place, name, price in rows:
        if name in found:
            raise invalid_file(path, f"{name!r} again", "one price for each GPU", place)
        found[name] = price
    if not found:
        raise invalid_file(path, "no prices", "a price list of at least one GPU")
    return found


def price_of(path: str | Path, gpu: str) -> Price:
    """Return the price of a GPU; the error about a list without it names the nearest GPU in it."""
    prices = read_prices(path)
    if gpu not in prices:
        close = get_close_matches(gpu, prices, n=1, cutoff=0.0)[0]
        expected = f"a price list with {gpu!r}; the nearest name in it is {close!r}"
        raise invalid_file(path, f"prices of {listed(prices)}", expected)
    return prices[gpu]


def _rows_of_json(path: str | Path) -> Iterable[tuple[str, str, Price]]:
    content = read_json(path)
    if isinstance(content, list):
        for i, item in enumerate(content):
            yield _row(path, f"[{i}]", object_in(path, f"[{i}]", item))
        return
    if not isinstance(content, dict):
        raise invalid_file(path, brief(content), _FORM)
    for name, value in content.items():
        if isinstance(value, dict):
            yield _row(path, name, {"gpu": name, **value})
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise invalid_file(path, brief(value), _FORM, name)
        yield name, name, Price(number_in(path, name, value, 0.0, _HIGHEST))


def _row(path: str | Path, place: str, item: Mapping[str, object]) -> tuple[str, str, Price]:
    for name in item:
        if name not in ("gpu", PRICE, "gpus"):
            raise invalid_file(path, brief(name), f"gpu, {PRICE} or gpus", place)
    per_hour = number_in(path, f"{place}.{PRICE}", item.get(PRICE), 0.0, _HIGHEST)
    most = 0
    if item.get("gpus") is not None:
        most = whole_in(path, f"{place}.gpus", item["gpus"], 1, _MOST_GPUS)
    return place, text_in(path, f"{place}.gpu", item.get("gpu")), Price(per_hour, most)


def _rows_of_csv(path: str | Path) -> Iterable[tuple[str, str, Price]]:
    table = TextTable(path)
    lines = ((number, cells) for number, cells in table if cells)
    _, heading = next(lines, (0, []))
    for name in ("gpu", PRICE):
        if name not in heading:
            raise invalid_file(
                path, brief(heading), f"a heading with gpu and {PRICE}, or a .json file", "heading"
            )
    for number, cells in lines:
        if len(cells) != len(heading):
            raise table.error(number, f"{len(cells)} cells", f"{len(heading)} cells")
        item: dict[str, object] = {}
        for name, cell in zip(heading, cells, strict=True):
            value = number_of(cell)
            if name == "gpus" and cell:
                item[name] = int(value) if value is not None and value == int(value) else cell
            elif name == PRICE:
                item[name] = cell if value is None else value
            elif name == "gpu":
                item[name] = cell
        yield _row(path, f"line {number}", item)
