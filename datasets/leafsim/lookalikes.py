"""What looks like disease to a camera for visible light and is none: dirt, mud, deficiency, glare, shadow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from leaf import SIZE, Leaf, Map, grid, smooth_noise, soft_step
from lesions import blob, spots


@dataclass(frozen=True)
class LookAlikes:
    """Square maps 0..1; all zero where the leaf is clean and evenly lit."""

    dirt: Map  # specks, like rust
    dirt_shade: float  # 0 grey .. 1 ochre
    mud: Map  # a splash from the margin, like blight
    mud_shade: float
    deficiency: Map  # share of chlorophyll that is missing between the veins, like mildew
    glare: Map  # mirrored sky
    shadow: Map  # share of the light that something else holds back


def draw_lookalikes(rng: np.random.Generator, leaf: Leaf, probability: float) -> LookAlikes:
    """Each kind appears with `probability`, whatever the class of the leaf."""
    dirt, mud, deficiency, glare, shadow = rng.uniform(size=5) < probability
    none = np.zeros((SIZE, SIZE))
    return LookAlikes(
        dirt_shade=float(rng.uniform()),
        mud_shade=float(rng.uniform()),
        dirt=_dirt(rng, leaf) if dirt else none,
        mud=_mud(rng, leaf) if mud else none,
        deficiency=_deficiency(rng, leaf) if deficiency else none,
        glare=_glare(rng, leaf) if glare else none,
        shadow=_shadow(rng) if shadow else none,
    )


def _dirt(rng: np.random.Generator, leaf: Leaf) -> Map:
    return rng.uniform(0.35, 0.7) * spots(rng, leaf.blade, int(rng.integers(8, 30)), (1.2, 2.8), 0.8)


def _mud(rng: np.random.Generator, leaf: Leaf) -> Map:
    margin = np.argwhere(leaf.blade & (np.abs(leaf.across) > 0.8))
    row, column = margin[rng.integers(len(margin))]
    splash = blob(rng, row, column, rng.uniform(8, 17), 2.2, 1.2)
    return rng.uniform(0.35, 0.65) * splash * np.clip(1 + 0.3 * smooth_noise(rng, 30), 0, 1.4) * (leaf.alpha > 0)


def _deficiency(rng: np.random.Generator, leaf: Leaf) -> Map:
    """Pale between the veins, from the base or the tip on, on both sides alike."""
    centre, reach = rng.uniform(0, 1), rng.uniform(0.2, 0.4)
    zone = np.exp(-(((leaf.along - centre) / reach) ** 2))
    pale: Map = np.clip(rng.uniform(0.25, 0.5) * zone * (1 - leaf.vein), 0, 1)
    return pale


def _glare(rng: np.random.Generator, leaf: Leaf) -> Map:
    rows, columns = grid()
    shine = np.zeros((SIZE, SIZE))
    places = np.argwhere(leaf.blade)
    for row, column in places[rng.integers(len(places), size=int(rng.integers(1, 5)))]:
        angle, long, short = rng.uniform(0, np.pi), rng.uniform(4, 12), rng.uniform(2, 5)
        x, y = columns - column, rows - row
        u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        shine += rng.uniform(0.1, 0.4) * np.exp(-((u / long) ** 2) - (v / short) ** 2)
    return np.clip(shine, 0, 0.7)


def _shadow(rng: np.random.Generator) -> Map:
    rows, columns = grid()
    angle, offset, width = rng.uniform(0, np.pi), rng.uniform(-30, 30), rng.uniform(8, 30)
    distance = np.cos(angle) * (columns - SIZE / 2) + np.sin(angle) * (rows - SIZE / 2) - offset
    return rng.uniform(0.3, 0.6) * soft_step((width - np.abs(distance + 2 * smooth_noise(rng, 6))) / 3)
