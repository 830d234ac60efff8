"""The thermal camera (long-wave infrared): temperature, or the 8-bit grey picture that its software rendered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.modalities.files import read_image

_BYTE_STD = (256**2 / 12) ** 0.5
_GREY_TOLERANCE = 4  # counts by which the channels of a grey picture stored as colour may differ after JPEG


@dataclass(frozen=True)
class Thermal:
    """One channel of `float32` in `unit`: value = count * scale + offset, from 8-bit, 16-bit or float files.

    Radiometric 16-bit files are in kelvin (the defaults: a hundredth of a kelvin per count); for rendered 8-bit
    pictures say `unit="8-bit counts", scale=1.0, range=(0.0, 255.0)`. A picture in false colours is refused: its
    palette hides the counts. Without `mean` and `std` they are the middle and a quarter of `range`.

    `gain` is the jitter's largest relative change of contrast, `drift` its largest shift and `noise` the standard
    deviation of its white noise, both as shares of `range`: what an uncooled camera does between two shutter
    calibrations.
    """

    name: str = "thermal"
    unit: str = "K"
    scale: float = 0.01
    offset: float = 0.0
    range: tuple[float, float] = (273.15, 313.15)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    gain: float = 0.1
    drift: float = 0.05
    noise: float = 0.005

    def __post_init__(self) -> None:
        low, high = self.range
        if high <= low or self.scale == 0:
            raise ValueError(f"thermal '{self.name}': range must rise and scale must not be 0; got {self.range}, {self.scale}")
        object.__setattr__(self, "mean", self.mean or ((low + high) / 2,))
        object.__setattr__(self, "std", self.std or ((high - low) / 4,))
        if len(self.mean) != self.channels or len(self.std) != self.channels or min(self.std) <= 0:
            raise ValueError(f"thermal '{self.name}': mean and std need one value each, std above 0; got {self.mean}, {self.std}")

    @property
    def channels(self) -> int:
        return 1

    def read(self, path: Path) -> NDArray[Any]:
        image = read_image(path, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
        if image.ndim == 3:
            if np.ptp(image.astype(np.int32), axis=2).max() > _GREY_TOLERANCE:
                raise ValueError(f"{path}: a false-colour (palette) thermal picture has no readable counts; export grey 8 or 16 bits")
            image = image[..., 0]
        values = image.astype(np.float32)
        if self.scale != 1.0 or self.offset != 0.0:
            values *= np.float32(self.scale)
            values += np.float32(self.offset)
        if image.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"{path}: holds values that are not finite")
        return values[..., None]

    def jitter(self, image: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        low, high = self.range
        span, middle = high - low, (low + high) / 2
        gain, drift = 1.0 + self.gain * rng.uniform(-1.0, 1.0), span * self.drift * rng.uniform(-1.0, 1.0)
        changed = image * np.float32(gain) + np.float32(middle * (1.0 - gain) + drift)
        if self.noise > 0:
            # even noise from raw bytes, a tenth of the cost of normal deviates
            counts = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape)
            changed += (counts.astype(np.float32) - np.float32(127.5)) * np.float32(span * self.noise / _BYTE_STD)
        return changed

    def show(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """`range` from black to yellow (OpenCV's inferno), the same for every image so that colours can be compared."""
        low, high = self.range
        grey = np.clip((image[..., 0] - low) * (255.0 / (high - low)), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO)[..., ::-1], np.uint8)
