"""The thermal stack of a chip: dies, bonds, package, and the constants of the stack model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from problems._checks import check_real, setting_error
from problems.noc.chip.files import check_fields

__all__ = ["ThermalStack"]


@dataclass(frozen=True, kw_only=True)
class ThermalStack:
    """Dies of silicon, each with a bond towards the heat sink, under spreader, sink and air.

    Materials and package are by default those of the examples of HotSpot 6.0 [1]_, except the
    convection: 0.03 K/W (liquid) instead of 0.1 (air), since the powers of the released MOELA code
    add up to 274 W. The tile pitch is our choice. The spreading factor is fitted to finite volumes
    (``problems.noc.design.heat``) on designs of the 4 x 4 x 4 chip, not to HotSpot;
    ``problems.noc.calibrate`` fits both factors to temperatures of HotSpot or another model.

    Parameters
    ----------
    tile_pitch : float
        Side of a tile in m.
    silicon_thickness, silicon_resistivity, silicon_heat : float
        Of each die: m, m K/W, J/(m3 K).
    bond_thickness, bond_resistivity, bond_heat : float
        Of the bond between two dies, and between the last die and the spreader.
    spreader_side, spreader_thickness, sink_side, sink_thickness : float
        Of the package, in m; a larger chip widens the sides.
    metal_conductivity : float
        Of spreader and sink, W/(m K).
    convection_resistance : float
        From the whole sink to the air, K/W.
    ambient : float
        Temperature of the air, degrees Celsius.
    layer_factor : float
        R_j of the model of Cong et al. is this factor times the resistance of silicon and bond
        under a tile. A factor below 1 stands for heat that spreads sideways.
    spreading_factor : float
        The resistance of spreader and sink under a chip of side s is this factor divided by
        (``metal_conductivity`` s); a square source on a half-space has about 0.5.
    response_factor : float
        "peak_temperature" is that of finite volumes, times this factor, less ``package_offset``
        K per watt of the chip. Both are fitted to the peaks of HotSpot 6.0 on 88 designs of the
        4 x 4 x 4 chip with 274 W, where its rise is 0.954 times that of the volumes less 2.6 K.
    package_offset : float
        K/W.

    References
    ----------
    .. [1] R. Zhang, M. R. Stan, K. Skadron, "HotSpot 6.0: Validation, Acceleration and Extension",
       University of Virginia, Tech. Report CS-2015-04, 2015.

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
    # From here on, fields were added later.
    response_factor: float = 0.954
    package_offset: float = 0.0095

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            # Squares and quotients of the settings are finite.
            low = {"ambient": -273.15, "package_offset": 0.0}.get(name, 1e-30)
            vars(self)[name] = check_real("ThermalStack", name, value, low, 1e30)

    @classmethod
    def of(cls, value: object) -> ThermalStack:
        """Return a stack from a ThermalStack or from plain data; ValueError if it is neither."""
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise setting_error("Platform", "stack", "a ThermalStack or a JSON object", value)
        return cls(**check_fields("platform's stack", value, set(), {f.name for f in fields(cls)}))

    def layer_resistance(self) -> float:
        """Return R_j in K/W, from one layer of a stack of tiles to the next towards the sink."""
        silicon = self.silicon_thickness * self.silicon_resistivity
        bond = self.bond_thickness * self.bond_resistivity
        return self.layer_factor * (silicon + bond) / self.tile_pitch**2

    def base_resistance(self, n_stacks: int) -> float:
        """Return R_b in K/W for each of ``n_stacks`` stacks of tiles."""
        side = self.tile_pitch * math.sqrt(n_stacks)
        spreading = self.spreading_factor / (self.metal_conductivity * side)
        return (self.convection_resistance + spreading) * n_stacks
