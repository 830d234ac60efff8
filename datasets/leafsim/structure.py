"""What lies under a leaf's colour: how its tissue scatters the near infrared, and its shape in space."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from leaf import SIZE, Leaf, Map, grid, smooth_noise
from lesions import Disease

PIXEL = 1.25e-3  # metres on the ground that one pixel shows


@dataclass(frozen=True)
class Structure:
    """Square maps."""

    scattering: Map  # near infrared that the tissue scatters back, relative to a healthy leaf
    leaf_height: Map  # of the leaf's surface over the ground, metres
    ground_height: Map  # of the ground over its mean, metres


def draw_structure(
    rng: np.random.Generator, leaf: Leaf, disease: Disease, sick: Map, halo: Map, development: tuple[float, float]
) -> Structure:
    """Tissue and relief of a leaf; `development` is how far symptoms are `visible`, and the difficulty's `contrast`.

    Seven tenths of the cells' collapse and of the relief are there before any pigment has changed.
    """
    visible, contrast = development
    degree = contrast * (0.7 + 0.3 * visible)
    collapse = degree * float(rng.uniform(*disease.collapse)) * np.maximum(sick, 0.3 * halo)
    swelling = degree * 1e-3 * float(rng.uniform(*disease.swelling)) * cv2.GaussianBlur(sick, (0, 0), 0.8)
    rows, columns = grid()
    tilt_y, tilt_x = rng.uniform(-0.12, 0.12, 2)
    pose = rng.uniform(0.02, 0.04) + PIXEL * (tilt_y * (rows - SIZE / 2) + tilt_x * (columns - SIZE / 2))
    return Structure(
        scattering=rng.uniform(0.93, 1.07) * (1 + 0.03 * smooth_noise(rng, 6)) * (1 - np.clip(collapse, 0, 0.9)),
        leaf_height=np.maximum(pose + PIXEL * leaf.height + swelling, 2e-3),  # it lies on the ground at most
        ground_height=2e-3 * smooth_noise(rng, 12),
    )
