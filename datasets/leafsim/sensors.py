"""What a colour, a thermal and a multispectral camera record of one scene."""

from __future__ import annotations

import cv2
import numpy as np
from energy import KELVIN_PER_COUNT, apparent_temperature, leaf_temperature
from ground import Ground
from leaf import SIZE, Map, smooth_noise
from numpy.typing import NDArray
from reflectance import ground_reflectance, leaf_reflectance
from scene import Scene

COUNTS_PER_REFLECTANCE = 40000.0  # of the multispectral camera
POLARISER = 0.2  # share of the glare that its filter lets through, in both bands alike

# Absorption of a healthy leaf's pigments in the red, green and blue band (Beer-Lambert, fitted by eye to leaf colours).
CHLOROPHYLL = np.array([1.55, 0.75, 1.75])
CAROTENOID = np.array([0.02, 0.10, 0.75])
BROWN = np.array([0.55, 1.25, 1.45])
STRUCTURE = 0.62  # reflectance of the tissue without pigments
GREY, OCHRE = np.array([0.16, 0.14, 0.12]), np.array([0.30, 0.18, 0.05])  # the ends of a range of dusts
SOIL, LITTER, STONE = np.array([0.16, 0.12, 0.08]), np.array([0.10, 0.19, 0.06]), 0.3


def rgb_image(scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(SIZE, SIZE, 3) RGB, sRGB-like: pigments, deposits, light, exposure, white balance, noise."""
    pigments = scene.chlorophyll[..., None] * CHLOROPHYLL + scene.carotenoid[..., None] * CAROTENOID + scene.brown[..., None] * BROWN
    colour = STRUCTURE * np.exp(-pigments)
    lookalikes = scene.lookalikes
    for amount, shade in ((lookalikes.dirt, lookalikes.dirt_shade), (lookalikes.mud, lookalikes.mud_shade)):
        deposit = GREY + shade * (OCHRE - GREY)
        colour = colour + amount[..., None] * (deposit - colour)
    colour = colour * scene.light[..., None] + lookalikes.glare[..., None]
    alpha = scene.leaf.alpha[..., None]
    colour = alpha * colour + (1 - alpha) * _ground_colour(scene.ground)
    colour = colour * (1 - lookalikes.shadow[..., None])
    balance = np.array([rng.uniform(0.85, 1.18), 1.0, rng.uniform(0.8, 1.25)])
    seen = colour * balance * rng.uniform(1.3, 2.6)
    seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.4, 0.8))
    seen = seen + rng.standard_normal(seen.shape) * np.sqrt(0.008**2 + 0.0006 * np.clip(seen, 0, 1))
    counts: NDArray[np.uint8] = np.round(255 * np.clip(seen, 0, 1) ** (1 / 2.2)).astype(np.uint8)
    return counts


def _ground_colour(ground: Ground) -> Map:
    """Reflectance in three bands."""
    litter, stones = ground.litter[..., None], ground.stones[..., None]
    colour = (litter * LITTER + (1 - litter) * SOIL) * ground.brightness[..., None]
    scattered: Map = colour + 0.5 * stones * (STONE - colour)
    return scattered


def thermal_image(scene: Scene, rng: np.random.Generator) -> NDArray[np.uint16]:
    """(SIZE, SIZE) counts of 0.01 K: leaf energy balance, lateral conduction, emissivity, drift, optics and noise."""
    # leaves take seconds to follow a passing shadow, so that only a part of it shows
    radiation = scene.radiation * (0.8 + 0.2 * scene.light) * (1 - 0.1 * scene.lookalikes.shadow)
    leaf = leaf_temperature(scene.air, radiation, scene.deficit, scene.conductance)
    leaf = cv2.GaussianBlur(leaf, (0, 0), 0.7)
    kelvin = scene.leaf.alpha * leaf + (1 - scene.leaf.alpha) * (scene.air + scene.ground.excess)
    kelvin = apparent_temperature(kelvin, rng.uniform(0.94, 0.98), scene.air - rng.uniform(0, 15))
    kelvin = cv2.GaussianBlur(kelvin, (0, 0), 0.7) + rng.normal(0, 0.5) + 0.1 * smooth_noise(rng, 2)
    kelvin = kelvin + rng.uniform(0.05, 0.08) * rng.standard_normal((SIZE, SIZE)) + 0.02 * rng.standard_normal(SIZE)
    return np.round(kelvin / KELVIN_PER_COUNT).astype(np.uint16)


def multispectral_bands(scene: Scene, rng: np.random.Generator) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """(red, near infrared) counts, each (SIZE, SIZE): apparent reflectance, calibration error, optics and noise.

    A light sensor corrects for the brightness of the day, not for tilt, shadow and glare within the image.
    """
    leaf, ground = leaf_reflectance(scene), ground_reflectance(scene.ground)
    red, near = (_band(scene, leaf[band], ground[band], rng) for band in (0, 1))
    return red, near


def _band(scene: Scene, leaf: Map, ground: Map, rng: np.random.Generator) -> NDArray[np.uint16]:
    seen = scene.leaf.alpha * (leaf * scene.light + POLARISER * scene.lookalikes.glare) + (1 - scene.leaf.alpha) * ground
    seen = seen * (1 - scene.lookalikes.shadow) * rng.normal(1, 0.03)
    seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.5, 0.8))
    seen = seen + rng.standard_normal(seen.shape) * np.sqrt(0.005**2 + 0.0003 * np.clip(seen, 0, 1))
    counts: NDArray[np.uint16] = np.round(np.clip(COUNTS_PER_REFLECTANCE * seen, 0, 65535)).astype(np.uint16)
    return counts
