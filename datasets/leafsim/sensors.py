"""What a colour camera and a thermal camera record of one scene."""

from __future__ import annotations

import cv2
import numpy as np
from energy import KELVIN_PER_COUNT, apparent_temperature, leaf_temperature
from leaf import SIZE, Map, smooth_noise
from numpy.typing import NDArray
from scene import Scene

# Absorption of a healthy leaf's pigments in the red, green and blue band (Beer-Lambert, fitted by eye to leaf colours).
CHLOROPHYLL = np.array([1.55, 0.75, 1.75])
CAROTENOID = np.array([0.02, 0.10, 0.75])
BROWN = np.array([0.55, 1.25, 1.45])
STRUCTURE = 0.62  # reflectance of the tissue without pigments
DUSTS = np.array([[0.15, 0.13, 0.11], [0.28, 0.17, 0.05]])  # grey soil and ochre, the ends of a range of deposits


def rgb_image(scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(SIZE, SIZE, 3) RGB, sRGB-like: pigments, deposits, light, exposure, white balance, noise."""
    pigments = scene.chlorophyll[..., None] * CHLOROPHYLL + scene.carotenoid[..., None] * CAROTENOID + scene.brown[..., None] * BROWN
    colour = STRUCTURE * np.exp(-pigments)
    for amount in (scene.lookalikes.dirt, scene.lookalikes.mud):
        deposit = rng.uniform(0.8, 1.3) * (DUSTS[0] + rng.uniform() * (DUSTS[1] - DUSTS[0]))
        colour = colour + amount[..., None] * (deposit - colour)
    colour = colour * scene.light[..., None] + scene.lookalikes.glare[..., None]
    alpha = scene.leaf.alpha[..., None]
    colour = alpha * colour + (1 - alpha) * _ground(rng)
    colour = colour * (1 - scene.lookalikes.shadow[..., None])
    balance = np.array([rng.uniform(0.85, 1.18), 1.0, rng.uniform(0.8, 1.25)])
    seen = colour * balance * rng.uniform(1.3, 2.6)
    seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.4, 0.8))
    seen = seen + rng.standard_normal(seen.shape) * np.sqrt(0.008**2 + 0.0006 * np.clip(seen, 0, 1))
    counts: NDArray[np.uint8] = np.round(255 * np.clip(seen, 0, 1) ** (1 / 2.2)).astype(np.uint8)
    return counts


def _ground(rng: np.random.Generator) -> Map:
    """Soil and litter, or other leaves out of focus."""
    grain = 0.5 * smooth_noise(rng, 8) + 0.4 * smooth_noise(rng, 40)
    soil, litter = np.array([0.16, 0.12, 0.08]), np.array([0.10, 0.19, 0.06])
    cover = 1 / (1 + np.exp(-4 * (smooth_noise(rng, 5) + rng.uniform(-1.5, 1.5))))[..., None]
    brightness = np.clip(1 + 0.35 * grain, 0.2, 2)[..., None]
    ground = (cover * litter + (1 - cover) * soil) * brightness * rng.uniform(0.6, 1.3)
    stones = 0.5 * np.clip(3 * (smooth_noise(rng, 16) - 1.5), 0, 1)[..., None]
    scattered: Map = ground + stones * (rng.uniform(0.2, 0.4) - ground)
    return scattered


def thermal_image(scene: Scene, rng: np.random.Generator) -> NDArray[np.uint16]:
    """(SIZE, SIZE) counts of 0.01 K: leaf energy balance, lateral conduction, emissivity, drift, optics and noise."""
    # leaves take seconds to follow a passing shadow, so that only a part of it shows
    radiation = scene.radiation * (0.8 + 0.2 * scene.light) * (1 - 0.1 * scene.lookalikes.shadow)
    leaf = leaf_temperature(scene.air, radiation, scene.deficit, scene.conductance)
    leaf = cv2.GaussianBlur(leaf, (0, 0), 0.7)
    ground = scene.air + rng.uniform(1, 6) + 0.8 * smooth_noise(rng, 5) + 0.25 * smooth_noise(rng, 16)
    kelvin = scene.leaf.alpha * leaf + (1 - scene.leaf.alpha) * ground
    kelvin = apparent_temperature(kelvin, rng.uniform(0.94, 0.98), scene.air - rng.uniform(0, 15))
    kelvin = cv2.GaussianBlur(kelvin, (0, 0), 0.7) + rng.normal(0, 0.5) + 0.1 * smooth_noise(rng, 2)
    kelvin = kelvin + rng.uniform(0.05, 0.08) * rng.standard_normal((SIZE, SIZE)) + 0.02 * rng.standard_normal(SIZE)
    return np.round(kelvin / KELVIN_PER_COUNT).astype(np.uint16)
