"""The colour camera: 8-bit sRGB counts, whatever its files hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.geometry import Box, Matrix
from xkd.modalities.bands import Raster, nothing_measured
from xkd.modalities.counts import counts_of, read_rasters
from xkd.modalities.files import IMAGES, jpeg_frame, read_image, read_raster
from xkd.modalities.raster import warp, warp_seen
from xkd.modality import Clues, Likeness, Look, Settings, Shot, check_finite, filled

_MEAN = (123.675, 116.28, 103.53)  # ImageNet's, torchvision's values times 255
_STD = (58.395, 57.12, 57.375)
_WHITE = 255.0
_BITS = (10, 12, 14, 16)  # of cameras that write 16-bit files
_LEVELS = np.linspace(0.0, 1.0, 256)
# OpenCV's REDUCED_COLOR flags say blue first
_SHRUNK = {
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2 | cv2.IMREAD_COLOR_RGB,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4 | cv2.IMREAD_COLOR_RGB,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8 | cv2.IMREAD_COLOR_RGB,
}
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)  # ITU-R BT.601


@dataclass(frozen=True)
class RGB:
    """Colour images as (H, W, 3) `uint8`, R first, 0..255; EXIF orientation is honoured.

    A grey file becomes three equal channels, an embedded colour profile is not applied; `bands` are the numbers of red, green and blue
    in a file with more bands or pages. A file with pixels that were not measured (alpha of 0, a mask, no-data in all channels) is read
    as `float32` with NaN there, and is `uint8` again once it is placed.
    `white` is the count of full white (65535, or 4095 of a 12-bit camera), and `encoding` says whether counts are gamma-coded ("srgb")
    or proportional to light ("linear", turned into sRGB here); 16-bit files are refused until `white` says what they mean.

    `brightness`, `contrast`, `saturation` and `gamma` are the largest relative changes of the jitter, `cast` that of
    each channel's gain (white balance); 0 turns one off.
    """

    suffixes: ClassVar[tuple[str, ...]] = IMAGES
    names: ClassVar[tuple[str, ...]] = ("rgb", "colour", "color", "photo", "photos", "visible", "vis")

    name: str = "rgb"
    mean: tuple[float, ...] = _MEAN
    std: tuple[float, ...] = _STD
    white: float = 255.0
    encoding: Literal["srgb", "linear"] = "srgb"
    bands: tuple[int, ...] = ()
    brightness: float = 0.25
    contrast: float = 0.25
    saturation: float = 0.3
    gamma: float = 0.25
    cast: float = 0.06

    def __post_init__(self) -> None:
        check_finite(self, f"rgb '{self.name}'")
        if len(self.mean) != self.channels or len(self.std) != self.channels or min(self.std) <= 0:
            raise ValueError(f"rgb '{self.name}': mean and std need three values each, std above 0; got {self.mean}, {self.std}")
        if len(self.bands) not in (0, 1, 3):
            raise ValueError(f"rgb '{self.name}': bands are the numbers of red, green and blue, or one of grey; got {list(self.bands)}")
        if self.encoding not in ("srgb", "linear") or self.white <= 0:
            raise ValueError(f"rgb '{self.name}': encoding is 'srgb' or 'linear' and white above 0; got '{self.encoding}' and {self.white}")

    @classmethod
    def requires(cls, table: Settings) -> tuple[str, ...]:
        return ()

    @classmethod
    def recognise(cls, look: Look) -> Likeness:
        if look.shape[2] == 3 and look.dtype == "uint8":
            return "yes"
        return "if so called" if look.dtype in ("bool", "uint8", "uint16") else "no"

    @classmethod
    def clues(cls, table: Settings, shots: Sequence[Shot]) -> Clues:
        if "white" in table or (counts := counts_of(read_rasters(shots, tuple(table.get("bands", ()))))).dtype != np.uint16:
            return Clues()
        fit = [bits for bits in _BITS if counts.most < 2**bits]
        meanings = tuple((f"counts of {bits} bits", {"white": float(2**bits - 1)}) for bits in fit)
        return Clues({}, f"{counts}, none above {counts.most:,g}", meanings)

    @classmethod
    def example(cls, folder: Path, size: tuple[int, int], rng: np.random.Generator) -> tuple[dict[str, Any], Shot]:
        cv2.imwrite(str(folder / "colours.png"), rng.integers(0, 256, (*size, 3), dtype=np.uint8))
        return {}, Shot((folder / "colours.png",))

    @property
    def channels(self) -> int:
        return 3

    @property
    def unit(self) -> str:
        return "8-bit counts"

    @property
    def range(self) -> tuple[float, float]:
        return (0.0, 255.0)

    @property
    def outside(self) -> tuple[float, ...]:
        return self.mean

    @property
    def row_keys(self) -> tuple[str, ...]:
        return ()

    @property
    def recipe(self) -> Settings:
        return {"kind": "colour"} if self.white == _WHITE and self.encoding == "srgb" and not self.bands else {}

    def frame(self, shot: Shot) -> tuple[int, int] | None:
        """Of a JPEG, whose decoder can shrink; counts that are no sRGB are turned into it at full size."""
        return jpeg_frame(shot.only) if self.white == _WHITE and self.encoding == "srgb" else None

    def read(self, shot: Shot) -> NDArray[Any]:
        if shot.shrink > 1:
            return read_image(shot.only, _SHRUNK[shot.shrink])
        raster = read_raster(shot.only, self.bands, colours=True)
        image = self._counts_to_colours(shot.only, self._three(raster))
        unseen = raster.unseen()
        if unseen is None or not (lost := unseen.all(2)).any():
            return image
        if lost.all():
            raise nothing_measured(shot.only)
        holed = image.astype(np.float32)
        holed[lost] = np.nan
        return holed

    def _three(self, raster: Raster) -> NDArray[Any]:
        """(H, W, 3) counts; `ValueError` lists the bands of a file with others."""
        number = raster.values.shape[2]
        if number not in (1, len(self.bands)) and not raster.is_picture:
            raise ValueError(
                f"{raster.path}: holds {number} bands, {raster.listed}; say in [modalities.{self.name}] which are red, green and blue:"
                " bands = [1, 2, 3]"
            )
        image = raster.values if number == 3 else np.repeat(raster.values, 3, axis=2)
        if image.dtype.kind not in "ub":
            raise ValueError(f"{raster.path}: an rgb image holds whole counts from 0, this one is {image.dtype}")
        return image.astype(np.uint8) * np.uint8(_WHITE) if image.dtype.kind == "b" else image

    def _counts_to_colours(self, path: Path, image: NDArray[Any]) -> NDArray[np.uint8]:
        """(H, W, 3) counts as sRGB of 8 bits."""
        if image.dtype == np.uint8 and self.white == _WHITE and self.encoding == "srgb":
            return np.asarray(image, np.uint8)
        if image.dtype != np.uint8 and self.white == _WHITE:
            raise ValueError(
                f"{path}: is {image.dtype}; state in manifest.toml what its counts mean: white (65535, or 4095 for 12 bits) "
                "and encoding ('srgb' or 'linear'), or convert it to 8 bits"
            )
        if self.white > np.iinfo(image.dtype).max:
            raise ValueError(f"{path}: is {image.dtype} and cannot hold white = {self.white:g}; is it another camera's file?")
        light = np.clip(np.arange(np.iinfo(image.dtype).max + 1) / self.white, 0.0, 1.0)
        if self.encoding == "linear":
            light = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
        table = np.rint(light * 255).astype(np.uint8)
        return np.asarray(table[image])

    def place(self, content: NDArray[Any], matrix: Matrix, size: tuple[int, int], crop: Box) -> NDArray[Any]:
        if content.dtype == np.uint8:
            return warp(content, matrix, size, crop, self.outside)
        return np.asarray(np.rint(filled(warp_seen(content, matrix, size, crop), self)), np.uint8)

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
