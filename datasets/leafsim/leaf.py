"""The shape of one leaf: outline, veins, pose and relief, in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 96  # pixels, height and width of every image
Map = NDArray[Any]


@dataclass(frozen=True)
class Leaf:
    """Where the leaf is and what it looks like before anything happens to it. Maps are (SIZE, SIZE)."""

    alpha: Map  # 0 background .. 1 leaf, petiole included
    blade: NDArray[np.bool_]  # pixels of the blade well inside the outline
    along: Map  # 0 base .. 1 tip, along the midrib
    across: Map  # -1 .. 1 between the two margins
    vein: Map  # 0 .. 1 on the veins
    height: Map  # relief towards the camera, pixels


def grid() -> tuple[Map, Map]:
    """Row and column of every pixel."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float64)
    return rows, columns


def smooth_noise(rng: np.random.Generator, cells: int) -> Map:
    """Smooth random field of about unit deviation with `cells` bumps along each side."""
    coarse = rng.standard_normal((cells + 3, cells + 3))
    return np.asarray(cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), dtype=np.float64)


def soft_step(x: Map) -> Map:
    """0 below -1, 1 above 1, smooth between."""
    t = np.clip((x + 1) / 2, 0, 1)
    return t * t * (3 - 2 * t)


def draw_leaf(rng: np.random.Generator) -> Leaf:
    """An ovate, serrated, slightly bent leaf at any angle, near the middle of the image."""
    rows, columns = grid()
    length, slim = rng.uniform(72, 90), rng.uniform(0.26, 0.37)
    angle = rng.uniform(0, 2 * np.pi)
    y, x = rows - SIZE / 2 - rng.uniform(-5, 5), columns - SIZE / 2 - rng.uniform(-5, 5)
    along = (np.cos(angle) * x + np.sin(angle) * y) / length + 0.5
    side = -np.sin(angle) * x + np.cos(angle) * y
    side = side + rng.uniform(-9, 9) * (4 * (along - 0.5) ** 2 - 0.5)
    inside = np.clip(along, 0, 1)
    outline = np.sin(np.pi * inside ** rng.uniform(0.68, 0.95)) ** rng.uniform(0.65, 0.95)
    teeth = 1 + rng.uniform(0.0, 0.05) * np.sin(2 * np.pi * rng.integers(9, 16) * inside + np.pi * (side > 0))
    half = slim * length * outline * teeth + 1e-3
    blade = soft_step((half - np.abs(side)) / 1.2) * ((along > 0) & (along < 1))
    petiole = soft_step((1.6 - np.abs(side)) / 1.2) * ((along > -0.3) & (along <= 0.05))
    across = np.clip(side / half, -1, 1)
    vein, wave = _veins(rng, along, side, half), smooth_noise(rng, 3)
    dome = rng.uniform(-5, 5) * (1 - across**2) + rng.uniform(-6, 6) * (along - 0.5) ** 2
    return Leaf(
        alpha=np.maximum(blade, petiole),
        blade=(blade > 0.9) & (half - np.abs(side) > 1.5),
        along=along,
        across=across,
        vein=vein * blade,
        height=dome + 1.2 * wave - 0.8 * vein,
    )


def _veins(rng: np.random.Generator, along: Map, side: Map, half: Map) -> Map:
    """Midrib and paired side veins that run forward to the margin."""
    midrib = np.exp(-((side / rng.uniform(0.9, 1.4)) ** 2))
    pairs, lean = rng.integers(5, 8), rng.uniform(0.006, 0.010)
    phase = pairs * (along - lean * np.abs(side)) + rng.uniform(0, 1) + 0.5 * (side > 0)
    distance = np.abs(phase - np.round(phase))
    fade = np.clip(1 - np.abs(side) / half, 0, 1) ** 0.5
    return np.maximum(midrib, 0.7 * np.exp(-((distance / 0.055) ** 2)) * fade)
