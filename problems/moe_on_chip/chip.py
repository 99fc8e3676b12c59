"""A chip with its experts: a network-on-chip design, and the PE of each expert."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from problems._checks import require, setting_error
from problems.noc.chip.files import JSONFile, check_fields, check_whole_list
from problems.noc.design.design import Design

if TYPE_CHECKING:
    from problems._arrays import Ints

__all__ = ["MoEChip"]

FORMAT = "moela-moe-chip-1"


class MoEChip(JSONFile):
    """A network-on-chip design and the PE of each expert of a model.

    Parameters
    ----------
    experts : int array-like [n_layers, n_experts]
        PE of each expert.
    design : Design
        Tiles of the PEs, and links.

    Raises
    ------
    ValueError
        The experts are no such array, or a PE is not on the platform.

    Examples
    --------
    >>> from problems.moe_on_chip import MoEChip
    >>> from problems.noc import Design
    >>> chip = MoEChip([[24, 25, 26, 27]], Design.mesh())
    >>> chip.tiles.shape
    (1, 4)
    """

    def __init__(self, experts: ArrayLike, design: Design) -> None:
        require("MoEChip", "design", design, isinstance(design, Design), "a Design")
        expected = f"PE ids from 0 to {design.platform.n_tiles - 1}, [n_layers, n_experts]"
        try:
            array = np.asarray(experts)
            self.experts: Ints = array.astype(np.int64)
            fits = self.experts.ndim == 2 and array.size > 0 and bool((self.experts == array).all())
        except (TypeError, ValueError, OverflowError):
            fits = False
        if not fits or self.experts.min() < 0 or self.experts.max() >= design.platform.n_tiles:
            raise setting_error(
                "MoEChip", "experts", expected, np.shape(experts) if fits else experts
            )
        self.design = design
        self.experts.flags.writeable = False

    @property
    def tiles(self) -> Ints:
        """Tile of each expert, [n_layers, n_experts]."""
        return np.argsort(self.design.placement)[self.experts]

    def to_dict(self) -> dict[str, object]:
        """Return the chip as plain JSON data."""
        return {
            "format": FORMAT,
            "experts": self.experts.tolist(),
            "design": self.design.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: object) -> MoEChip:
        """Make a chip from the result of ``to_dict``; ValueError names the fault."""
        values = check_fields("chip", data, {"format", "experts", "design"})
        if values["format"] != FORMAT:
            raise setting_error("MoEChip", "format", repr(FORMAT), values["format"])
        check_whole_list("a MoEChip", "experts", values["experts"], 2)
        try:
            design = Design.from_dict(values["design"])
        except ValueError as error:
            raise ValueError(f"The field 'design' of a chip: {error}") from error
        return cls(values["experts"], design)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MoEChip):
            return NotImplemented
        return self.design == other.design and np.array_equal(self.experts, other.experts)

    def __hash__(self) -> int:
        return hash((self.design, self.experts.tobytes()))

    def __repr__(self) -> str:
        n_layers, n_experts = self.experts.shape
        return f"MoEChip({n_layers} layers of {n_experts} experts on {self.design!r})"
