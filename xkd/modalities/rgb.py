"""The colour camera: 8-bit sRGB counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.modalities.files import read_image

_MEAN = (123.675, 116.28, 103.53)  # ImageNet's, torchvision's values times 255
_STD = (58.395, 57.12, 57.375)
_LEVELS = np.linspace(0.0, 1.0, 256)
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class RGB:
    """Colour images as (H, W, 3) `uint8`, R first, 0..255; EXIF orientation is honoured.

    A grey file becomes three equal channels, an alpha channel is dropped, and anything deeper than 8 bits is refused:
    how its counts become 8 bits is a choice that belongs to whoever made the file.

    `brightness`, `contrast`, `saturation` and `gamma` are the largest relative changes of the jitter, `cast` that of
    each channel's gain (white balance); 0 turns one off.
    """

    name: str = "rgb"
    mean: tuple[float, ...] = _MEAN
    std: tuple[float, ...] = _STD
    brightness: float = 0.25
    contrast: float = 0.25
    saturation: float = 0.3
    gamma: float = 0.25
    cast: float = 0.06

    def __post_init__(self) -> None:
        if len(self.mean) != self.channels or len(self.std) != self.channels or min(self.std) <= 0:
            raise ValueError(f"rgb '{self.name}': mean and std need three values each, std above 0; got {self.mean}, {self.std}")

    @property
    def channels(self) -> int:
        return 3

    @property
    def unit(self) -> str:
        return "8-bit counts"

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, 255.0)

    def read(self, path: Path) -> NDArray[Any]:
        image = read_image(path, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH)
        if image.dtype != np.uint8:
            raise ValueError(f"{path}: an rgb image has 8 bits per channel, this one is {image.dtype}; convert it to 8 bits first")
        return image

    def jitter(self, image: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """One look-up table per channel (gamma, then contrast about mid-grey, gain and cast), then a mix with the luma."""
        draw = rng.uniform(-1.0, 1.0, 7)
        exponent = float((1.0 + self.gamma) ** draw[0])
        contrast, gain = 1.0 + self.contrast * draw[1], 1.0 + self.brightness * draw[2]
        curve = (_LEVELS**exponent - 0.5) * contrast + 0.5
        table = curve[:, None] * (255.0 * gain * (1.0 + self.cast * draw[3:6]))
        changed = cv2.LUT(image, np.clip(table + 0.5, 0, 255).astype(np.uint8)[None])
        share = 1.0 + self.saturation * draw[6]
        mix = share * np.eye(3, dtype=np.float32) + (1.0 - share) * _LUMA
        return cv2.transform(changed, mix.astype(np.float32))

    def show(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        return np.asarray(np.clip(image, 0, 255), np.uint8)
