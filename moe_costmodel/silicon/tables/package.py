"""Finding the tables of aiconfigurator-core, without importing it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from moe_costmodel._checks import invalid
from moe_costmodel.silicon.tables.gpu import Gpu
from moela.files.extras import needed_by
from moela.files.fields import number_in, object_in, text_in, whole_in
from moela.files.guard import invalid_file
from moela.files.text import read_text

__all__ = ["gpu_named", "gpu_names", "silicon_root", "version_key"]

_PACKAGE = "aiconfigurator_core"
_HOW = (
    "Whole steps need the tables of aiconfigurator-core, which is not installed. "
    "Install it with `pip install 'moela[silicon]'` (Python below 3.14)."
)


def silicon_root(root: str | Path | None = None) -> Path:
    """Return the folder `systems` of an installed aiconfigurator-core, or a given one.

    Parameters
    ----------
    root : str or Path, optional
        Such a folder, with GPUs as ``NAME.yaml`` and tables in ``data/NAME``.

    Returns
    -------
    Path

    Raises
    ------
    ModuleNotFoundError
        If the package is not installed and no folder is given.
    ValueError
        If the folder holds no GPUs.
    """
    if root is None:
        spec = find_spec(_PACKAGE)  # looks at the path, and runs nothing
        places = list(spec.submodule_search_locations or ()) if spec else []
        if not places:
            raise ModuleNotFoundError(_HOW)
        root = Path(places[0]) / "systems"
    root = Path(root)
    if not any(root.glob("*.yaml")):
        raise invalid_file(root, "no *.yaml in it", "a folder with GPUs as NAME.yaml")
    return root


def gpu_names(root: str | Path | None = None) -> list[str]:
    """Return the names of all GPUs that have tables.

    Parameters
    ----------
    root : str or Path, optional
        Folder of the tables; by default that of the installed package.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from moe_costmodel import gpu_names
    >>> gpu_names()[:2]  # doctest: +SKIP
    ['a100_sxm', 'a30']
    """
    folder = silicon_root(root)
    return sorted(
        path.stem
        for path in folder.glob("*.yaml")
        if any((folder / "data" / path.stem).glob("*/*/*/*.parquet"))
    )


@cache
def _gpu(folder: Path, name: str) -> Gpu:
    with needed_by("A table of GPUs"):
        import yaml

    path = folder / f"{name}.yaml"
    try:
        content = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise invalid_file(path, str(error), "a file of YAML") from error
    found = object_in(path, "", content)
    chip, node = (
        object_in(path, "gpu", found.get("gpu")),
        object_in(path, "node", found.get("node")),
    )

    def number(part: Mapping[str, object], field: str, name: str, default: float = 0.0) -> float:
        value = part.get(name, default or None)
        return number_in(path, f"{field}.{name}", value, 1.0)

    bf16 = number(chip, "gpu", "bfloat16_tc_flops")
    fp8 = number(chip, "gpu", "fp8_tc_flops", bf16)
    return Gpu(
        name=name,
        data=folder / text_in(path, "data_dir", found.get("data_dir")),
        memory_bytes=number(chip, "gpu", "mem_capacity"),
        bandwidth=number(chip, "gpu", "mem_bw"),
        operations={"bf16": bf16, "fp8": fp8, "fp4": number(chip, "gpu", "fp4_tc_flops", fp8)},
        n_per_node=whole_in(path, "node.num_gpus_per_node", node.get("num_gpus_per_node"), 1, 4096),
        node_bandwidth=number(node, "node", "intra_node_bw"),
        network_bandwidth=number(node, "node", "inter_node_bw"),
        generation=whole_in(path, "gpu.sm_version", chip.get("sm_version", 0), 0, 10_000),
    )


def gpu_named(name: str, root: str | Path | None = None) -> Gpu:
    """Return the GPU of a name; an error names the nearest that has tables."""
    folder = silicon_root(root)
    known = gpu_names(folder)
    if name not in known:
        close = get_close_matches(str(name), known, n=1, cutoff=0.0)
        nearest = f"; the nearest name is {close[0]!r}" if close else ""
        expected = f"the name of a GPU with tables{nearest}, all are {', '.join(known)}"
        raise invalid("SiliconModel", "gpu", repr(name), expected)
    return _gpu(folder, name)


def version_key(version: str) -> tuple[float, ...]:
    """Return a key that sorts versions such as 1.3.0rc20 and 0.5.6.post2."""
    import re

    main, numbers = version.split("+")[0], []
    for piece in re.findall(r"\d+|rc|post|dev", main):
        if piece.isdigit():
            numbers.append(float(piece))
        else:
            numbers.append({"rc": -0.5, "dev": -0.7, "post": 0.5}[piece])
    return tuple(numbers)
