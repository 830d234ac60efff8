"""Noise: what a generator makes images of; no file holds it, and no manifest has a column for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xkd.geometry import Box, Matrix
from xkd.modality import Shot


@dataclass(frozen=True)
class Noise:
    """Numbers from the standard normal distribution, (H, W, C) `float32`: a pure function of (seed, row, draw) and the view's name.

    `channels` is the generator's latent dimension; views of it usually have size (1, 1). Every row has it, real rows and those of `Blank`;
    no geometric draw moves it, and nothing else varies it.
    """

    channels: int = 100
    name: str = "noise"
    unit = ""
    range = (-3.0, 3.0)
    suffixes: tuple[str, ...] = ()
    row_keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.channels < 1:
            raise ValueError(f"noise '{self.name}': channels is the latent dimension, 1 or more; got {self.channels}")

    @property
    def mean(self) -> tuple[float, ...]:
        return (0.0,) * self.channels

    @property
    def std(self) -> tuple[float, ...]:
        return (1.0,) * self.channels

    @property
    def outside(self) -> tuple[float, ...]:
        return self.mean

    def make(self, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
        return rng.standard_normal((*size, self.channels), dtype=np.float32)

    def read(self, shot: Shot) -> Any:
        raise ValueError(f"noise '{self.name}' is in no file, and it was to be read from {[str(path) for path in shot.paths]}")

    def place(self, content: Any, matrix: Matrix, size: tuple[int, int], crop: Box) -> NDArray[Any]:
        raise ValueError(f"noise '{self.name}' has no place in a picture")

    def jitter(self, image: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        return image

    def show(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """Its first channel in grey."""
        low, high = self.range
        grey = np.clip((image[..., :1] - low) * (255.0 / (high - low)), 0, 255).astype(np.uint8)
        return np.repeat(grey, 3, axis=2)
