"""One leaf in the sun: every latent map that a sensor could look at, as a pure function of (seed, index, difficulty)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ground import Ground, draw_ground
from leaf import Leaf, Map, draw_leaf, smooth_noise
from lesions import CLASSES, DISEASES, infection
from lookalikes import LookAlikes, draw_lookalikes
from structure import Structure, draw_structure

# One random stream per purpose: what one of them draws moves nothing else, and a sensor that is added later takes the next
# number and changes no existing array.
STREAMS = {"leaf": 0, "lesions": 1, "lookalikes": 2, "tissue": 3, "light": 4, "weather": 5, "ground": 6, "rgb": 7, "thermal": 8}
STREAMS |= {"structure": 9, "ndvi": 10, "lidar": 11}


@dataclass(frozen=True)
class Difficulty:
    """How hard the RGB image is; in the thermal image only `contrast` and, faintly, shadows among the look-alikes differ.

    NDVI sees pigments and most look-alikes too; the scanner sees `contrast`, a third of `visible`, and deposits.
    """

    visible: tuple[float, float]  # how far the pigments have followed the infection, 1 = fully developed symptoms
    lookalikes: float  # probability of each look-alike on a leaf
    contrast: float  # factor on the change of stomatal conductance, of tissue and of relief


DIFFICULTIES = {
    "easy": Difficulty(visible=(0.6, 1.0), lookalikes=0.5, contrast=1.15),
    "standard": Difficulty(visible=(0.42, 0.8), lookalikes=0.75, contrast=1.0),
    "hard": Difficulty(visible=(0.3, 0.65), lookalikes=0.85, contrast=0.8),
}


@dataclass(frozen=True)
class Scene:
    """The latent description that all sensors share. Maps are square float arrays."""

    label: str
    visible: float  # see Difficulty; 0 for a healthy leaf
    leaf: Leaf
    infection: Map  # 0 healthy tissue .. 1 centre of a lesion
    chlorophyll: Map  # relative to a healthy leaf, 0..1.3
    carotenoid: Map  # relative
    brown: Map  # brown pigments of dying tissue, 0..1
    conductance: Map  # stomatal conductance to water vapour, mol m-2 s-1
    light: Map  # share of the direct light that arrives and is not tilted away, 0.3..1.4
    lookalikes: LookAlikes
    ground: Ground
    structure: Structure
    air: float  # air temperature, K
    radiation: float  # net isothermal radiation, W m-2
    deficit: float  # vapour pressure deficit of the air, Pa

    @property
    def mask(self) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """Codes: 0 background, 1 leaf, 2 lesion."""
        leaf = self.leaf.alpha > 0.5
        return (leaf.astype(np.uint8) + (leaf & (self.infection > 0.4))).astype(np.uint8)


def stream(seed: int, index: int, purpose: str) -> np.random.Generator:
    """The random numbers of one purpose of one scene."""
    return np.random.default_rng([seed, index, STREAMS[purpose]])


def draw_scene(seed: int, index: int, difficulty: Difficulty) -> Scene:
    """The scene with this number. Classes take turns, so that every run of four scenes is balanced."""
    label = CLASSES[index % len(CLASSES)]
    leaf = draw_leaf(stream(seed, index, "leaf"))
    sick, halo = infection(stream(seed, index, "lesions"), leaf, label)
    lookalikes = draw_lookalikes(stream(seed, index, "lookalikes"), leaf, difficulty.lookalikes)
    rng, weather = stream(seed, index, "tissue"), stream(seed, index, "weather")
    disease = DISEASES[label]
    visible = float(rng.uniform(*difficulty.visible))
    chlorophyll = rng.uniform(0.8, 1.1) * (1 + 0.08 * smooth_noise(rng, 7)) * (1 - 0.5 * leaf.vein)
    chlorophyll *= 1 - lookalikes.deficiency
    chlorophyll *= 1 - visible * np.clip(disease.chlorophyll * sick + disease.halo * halo, 0, 1)
    brown = visible * disease.brown * sick * (1 + 0.25 * smooth_noise(rng, 24))
    opening = difficulty.contrast * (float(rng.uniform(*disease.conductance)) - 1)
    conductance = rng.uniform(0.22, 0.34) * (1 + 0.05 * smooth_noise(rng, 4)) * (1 - 0.1 * leaf.vein)
    conductance *= 1 + opening * np.maximum(sick, 0.5 * halo)
    return Scene(
        label=label,
        visible=visible if sick.any() else 0.0,
        leaf=leaf,
        infection=sick,
        chlorophyll=chlorophyll,
        carotenoid=1 + visible * disease.carotenoid * sick,
        brown=np.clip(brown, 0, 1),
        conductance=conductance,
        light=_light(stream(seed, index, "light"), leaf),
        lookalikes=lookalikes,
        ground=draw_ground(stream(seed, index, "ground")),
        structure=draw_structure(stream(seed, index, "structure"), leaf, disease, sick, halo, (visible, difficulty.contrast)),
        air=float(weather.uniform(294, 298)),
        radiation=float(weather.uniform(260, 380)),
        deficit=float(weather.uniform(1200, 1900)),
    )


def _light(rng: np.random.Generator, leaf: Leaf) -> Map:
    """Cosine of the angle between the light and the surface, relative to a flat one."""
    slope_y, slope_x = np.gradient(leaf.height)
    direction = rng.uniform(0, 2 * np.pi)
    tangent = rng.uniform(0.3, 0.9)
    lit = 1 - tangent * (np.cos(direction) * slope_x + np.sin(direction) * slope_y)
    cosine: Map = np.clip(lit / np.sqrt(1 + slope_x**2 + slope_y**2), 0.3, 1.4)
    return cosine
