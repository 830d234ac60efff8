"""What lies behind the leaf: soil, litter and stones, out of focus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from leaf import Map, smooth_noise


@dataclass(frozen=True)
class Ground:
    """Square maps."""

    litter: Map  # share of green litter, 0..1; the rest is bare soil
    brightness: Map  # factor on the reflectance, about 1
    stones: Map  # share of pale stones, 0..1
    excess: Map  # temperature above the air's, K


def draw_ground(rng: np.random.Generator) -> Ground:
    """Bare soil is drier and therefore warmer than what grows on it."""
    litter = 1 / (1 + np.exp(-4 * (smooth_noise(rng, 5) + rng.uniform(-1.5, 1.5))))
    grain = 0.5 * smooth_noise(rng, 8) + 0.4 * smooth_noise(rng, 40)
    excess = rng.uniform(1, 6) - 1.5 * (litter - 0.5) + 0.6 * smooth_noise(rng, 5) + 0.25 * smooth_noise(rng, 16)
    return Ground(
        litter=litter,
        brightness=np.clip(1 + 0.35 * grain, 0.2, 2) * rng.uniform(0.6, 1.3),
        stones=np.clip(3 * (smooth_noise(rng, 16) - 1.5), 0, 1),
        excess=excess,
    )
