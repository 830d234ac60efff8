"""Health and three diseases: where they sit on a leaf, and what they do to pigments, stomata, tissue and relief."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from leaf import SIZE, Leaf, Map, grid, smooth_noise, soft_step


@dataclass(frozen=True)
class Disease:
    """Changes at the centre of a fully developed lesion, relative to healthy tissue; sources in README.md."""

    chlorophyll: float  # share that is lost inside the lesion
    halo: float  # share that is lost in the ring around it
    carotenoid: float  # relative gain
    brown: float  # brown pigment, 0..1
    conductance: tuple[float, float]  # factor on stomatal conductance: above 1 cools, below 1 warms
    collapse: tuple[float, float]  # share of the near infrared that the tissue no longer scatters back
    swelling: tuple[float, float]  # millimetres towards the camera


DISEASES = {
    "healthy": Disease(
        chlorophyll=0.0, halo=0.0, carotenoid=0.0, brown=0.0, conductance=(1.0, 1.0), collapse=(0.0, 0.0), swelling=(0.0, 0.0)
    ),
    # pustules break the epidermis, water escapes: cooler spots that stand out
    "rust": Disease(
        chlorophyll=0.55, halo=0.3, carotenoid=0.8, brown=0.4, conductance=(1.8, 2.4), collapse=(0.55, 0.75), swelling=(0.8, 1.8)
    ),
    # dead tissue no longer transpires: a warm area that grows from the margin, dries and sinks
    "blight": Disease(
        chlorophyll=0.65, halo=0.35, carotenoid=0.2, brown=0.5, conductance=(0.25, 0.5), collapse=(0.5, 0.7), swelling=(-4.0, -2.0)
    ),
    # stomata are forced open under the patches long before they turn yellow: diffuse cool areas, slightly blistered
    "mildew": Disease(
        chlorophyll=0.65, halo=0.0, carotenoid=0.5, brown=0.0, conductance=(1.7, 2.2), collapse=(0.4, 0.55), swelling=(1.0, 2.5)
    ),
}
CLASSES = tuple(DISEASES)


def infection(rng: np.random.Generator, leaf: Leaf, label: str) -> tuple[Map, Map]:
    """(infection, halo), both 0..1 and zero off the leaf; the halo is the ring that surrounds the lesions.

    Raises KeyError for a label that is not one of CLASSES.
    """
    draw = {"healthy": _nothing, "rust": _rust, "blight": _blight, "mildew": _mildew}[label]
    on_leaf = leaf.alpha > 0
    sick = draw(rng, leaf) * on_leaf
    wide = cv2.GaussianBlur(sick, (0, 0), 2.5)
    halo = np.clip(1.6 * wide - sick, 0, 1) * on_leaf
    return sick, halo


def spots(
    rng: np.random.Generator, where: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], count: int, radius: tuple[float, float], edge: float
) -> Map:
    """`count` round spots with centres on `where` and an edge `edge` pixels wide, strongest value kept."""
    rows, columns = grid()
    coverage = np.zeros((SIZE, SIZE))
    centres = np.argwhere(where)
    for row, column in centres[rng.integers(len(centres), size=count)]:
        size = rng.uniform(*radius)
        coverage = np.maximum(coverage, soft_step((size - np.hypot(rows - row, columns - column)) / edge))
    return coverage


def blob(rng: np.random.Generator, row: float, column: float, radius: float, ragged: float, edge: float) -> Map:
    """One irregular area; `ragged` is the deviation of its outline in pixels."""
    rows, columns = grid()
    distance = np.hypot(rows - row, columns - column) + ragged * smooth_noise(rng, 9)
    return soft_step((radius - distance) / edge)


def _nothing(rng: np.random.Generator, leaf: Leaf) -> Map:
    return np.zeros((SIZE, SIZE))


def _rust(rng: np.random.Generator, leaf: Leaf) -> Map:
    return spots(rng, leaf.blade, int(rng.integers(14, 32)), (1.4, 2.8), 1.0)


def _blight(rng: np.random.Generator, leaf: Leaf) -> Map:
    sick = np.zeros((SIZE, SIZE))
    margin = np.argwhere(leaf.blade & (np.abs(leaf.across) > 0.85))
    for row, column in margin[rng.integers(len(margin), size=int(rng.integers(1, 3)))]:
        sick = np.maximum(sick, blob(rng, row, column, rng.uniform(11, 18), 1.6, 1.5))
    return sick


def _mildew(rng: np.random.Generator, leaf: Leaf) -> Map:
    sick = np.zeros((SIZE, SIZE))
    inner = np.argwhere(leaf.blade & (np.abs(leaf.across) < 0.7))
    for row, column in inner[rng.integers(len(inner), size=int(rng.integers(2, 5)))]:
        sick = np.maximum(sick, blob(rng, row, column, rng.uniform(7, 11), 2.0, 3.0))
    return sick * (1 - 0.6 * leaf.vein)
