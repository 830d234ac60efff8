"""Leaf temperature from the leaf's energy balance, and what a radiometer makes of it."""

from __future__ import annotations

import numpy as np
from leaf import Map

KELVIN_PER_COUNT = 0.01
HEAT_CAPACITY = 1200.0  # of air, J m-3 K-1
PSYCHROMETRIC = 66.0  # Pa K-1
HEAT_RESISTANCE = 40.0  # boundary layer, sensible and radiative heat in parallel, s m-1
VAPOUR_RESISTANCE = 40.0  # boundary layer, water vapour, s m-1
MOLAR_TO_RESISTANCE = 40.0  # s m-1 for a conductance of 1 mol m-2 s-1, about 25 degrees Celsius


def vapour_slope(kelvin: float) -> float:
    """Slope of the saturation vapour pressure curve, Pa K-1 (Tetens' formula)."""
    celsius = kelvin - 273.15
    pressure = 610.8 * np.exp(17.27 * celsius / (celsius + 237.3))
    return float(4098.0 * pressure / (celsius + 237.3) ** 2)


def leaf_temperature(air: float, radiation: Map, deficit: float, conductance: Map) -> Map:
    """Temperature of a leaf in balance with its surroundings, K.

    `air` in K, `radiation` (net isothermal) in W m-2, `deficit` of vapour pressure in Pa, `conductance` of the stomata in
    mol m-2 s-1. Linearised balance as used in leaf thermography (Jones 1999; Leinonen et al. 2006).
    """
    vapour = VAPOUR_RESISTANCE + MOLAR_TO_RESISTANCE / conductance
    gain = HEAT_RESISTANCE * (vapour * PSYCHROMETRIC * radiation - HEAT_CAPACITY * deficit)
    return air + gain / (HEAT_CAPACITY * (PSYCHROMETRIC * vapour + vapour_slope(air) * HEAT_RESISTANCE))


def apparent_temperature(kelvin: Map, emissivity: float, surroundings: float) -> Map:
    """What a camera set to emissivity 1 reads: emitted plus mirrored radiation (Stefan-Boltzmann), K."""
    return (emissivity * kelvin**4 + (1 - emissivity) * surroundings**4) ** 0.25
