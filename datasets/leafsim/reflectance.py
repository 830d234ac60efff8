"""Reflectance of leaf and ground in a red (670 nm) and a near-infrared (850 to 905 nm) band; sources in README.md."""

from __future__ import annotations

import numpy as np
from ground import Ground
from leaf import Map
from scene import Scene

# a leaf in red: what its surface mirrors, what its tissue without pigments scatters back, what pigments absorb of that
SURFACE, TISSUE = 0.04, 0.42
CHLOROPHYLL, BROWN = 3.3, 1.0
NIR_TISSUE = 0.48  # no leaf pigment absorbs there: it is the tissue alone that matters
NIR_BROWN = 0.15
GREY, OCHRE = 0.16, 0.30  # dusts in red, as the colour camera has them
SOIL, LITTER, STONE = (0.18, 0.25), (0.10, 0.30), (0.30, 0.33)  # red and near infrared
NIR_OF_DUST = 1.4  # over red, as for soils
FORWARD = 0.5  # share of the near infrared that a grain passes on in its direction


def leaf_reflectance(scene: Scene) -> tuple[Map, Map]:
    """(red, near infrared) of the leaf with what lies on it, whatever the light."""
    red = SURFACE + TISSUE * np.exp(-CHLOROPHYLL * scene.chlorophyll - BROWN * scene.brown)
    near = NIR_TISSUE * scene.structure.scattering * (1 - NIR_BROWN * scene.brown)
    lookalikes = scene.lookalikes
    for amount, shade in ((lookalikes.dirt, lookalikes.dirt_shade), (lookalikes.mud, lookalikes.mud_shade)):
        dust = GREY + shade * (OCHRE - GREY)
        red = red + amount * (dust - red)
        # in the near infrared light goes back and forth between two bright layers (Stokes 1862), so that dust hides little
        back, through = amount * NIR_OF_DUST * dust, 1 - amount * (1 - FORWARD)
        near = back + through**2 * near / (1 - back * near)
    return red, near


def ground_reflectance(ground: Ground) -> tuple[Map, Map]:
    """(red, near infrared) of soil, litter and stones, whatever the light."""
    bare = [ground.brightness * (ground.litter * LITTER[band] + (1 - ground.litter) * SOIL[band]) for band in (0, 1)]
    red, near = (colour + 0.5 * ground.stones * (STONE[band] - colour) for band, colour in enumerate(bare))
    return red, near
