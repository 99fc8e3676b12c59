"""The thermal stack of a chip: dies, bonds, package, and the constants of Cong's model.

References
----------
.. [1] J. Cong, J. Wei, Y. Zhang, "A thermal-driven floorplanning algorithm for 3D ICs",
   ICCAD 2004.
.. [2] R. Zhang, M. R. Stan, K. Skadron, "HotSpot 6.0: Validation, Acceleration and Extension",
   University of Virginia, Tech. Report CS-2015-04, 2015.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from problems.noc.chip.checks import number, require

__all__ = ["ThermalStack"]


@dataclass(frozen=True, kw_only=True)
class ThermalStack:
    """Dies of silicon, each with a bond towards the heat sink, under spreader, sink and air.

    The defaults of materials and package are those of the examples of HotSpot 6.0, except the
    convection: 0.03 K/W instead of 0.1, liquid instead of air, since the powers of the released
    MOELA code add up to 274 W. The tile pitch is ours. The spreading factor is fitted to finite
    volumes (``problems.noc.design.heat``) on designs of the 4 x 4 x 4 chip, not to HotSpot;
    ``problems.noc.calibrate`` fits both factors to what HotSpot or another model gives.

    Parameters
    ----------
    tile_pitch : float
        Side of a tile in m.
    silicon_thickness, silicon_resistivity, silicon_heat : float
        Of each die: m, m K/W, J/(m3 K).
    bond_thickness, bond_resistivity, bond_heat : float
        Of the bond between two dies, and between the last die and the spreader.
    spreader_side, spreader_thickness, sink_side, sink_thickness : float
        Of the package, in m; the sides are widened where the chip is larger.
    metal_conductivity : float
        Of spreader and sink, W/(m K).
    convection_resistance : float
        From the whole sink to the air, K/W.
    ambient : float
        Temperature of the air, degrees Celsius.
    layer_factor : float
        What the resistance of silicon and bond under a tile is multiplied by to give R_j of the
        model of Cong et al.: below 1 it stands for heat that spreads sideways.
    spreading_factor : float
        Spreader and sink resist a chip of side s with this number over (``metal_conductivity`` s);
        a square source on a half-space has about 0.5.

    Examples
    --------
    >>> from problems.noc import Platform, ThermalStack
    >>> stack = ThermalStack(tile_pitch=0.002)
    >>> stack.layer_resistance() > ThermalStack().layer_resistance()
    True
    """

    tile_pitch: float = 4.0e-3
    silicon_thickness: float = 1.5e-4
    silicon_resistivity: float = 0.01
    silicon_heat: float = 1.75e6
    bond_thickness: float = 2.0e-5
    bond_resistivity: float = 0.25
    bond_heat: float = 4.0e6
    spreader_side: float = 0.03
    spreader_thickness: float = 1.0e-3
    sink_side: float = 0.06
    sink_thickness: float = 6.9e-3
    metal_conductivity: float = 400.0
    convection_resistance: float = 0.03
    ambient: float = 45.0
    layer_factor: float = 1.0
    spreading_factor: float = 0.32

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = -273.15 if field.name == "ambient" else 0.0
            clean = number(value, field.name, "ThermalStack", least)
            require(
                clean > least, field.name, "ThermalStack", f"a finite number > {least:g}", value
            )
            object.__setattr__(self, field.name, clean)

    @classmethod
    def of(cls, value: Any) -> ThermalStack:
        """Return a stack given as one, or as plain data; ValueError names an unknown field."""
        if isinstance(value, cls):
            return value
        known = {f.name for f in fields(cls)}
        require(
            isinstance(value, dict) and set(value) <= known,
            "stack",
            "Platform",
            f"a ThermalStack or an object with fields from {sorted(known)}",
            value,
        )
        return cls(**value)

    def layer_resistance(self) -> float:
        """Return R_j in K/W: from one layer of a stack of tiles to the next towards the sink."""
        metres = (
            self.silicon_thickness * self.silicon_resistivity
            + self.bond_thickness * self.bond_resistivity
        )
        return self.layer_factor * metres / self.tile_pitch**2

    def base_resistance(self, n_stacks: int) -> float:
        """Return R_b in K/W as one of ``n_stacks`` stacks of tiles sees it."""
        side = self.tile_pitch * math.sqrt(n_stacks)
        spreading = self.spreading_factor / (self.metal_conductivity * side)
        return (self.convection_resistance + spreading) * n_stacks
