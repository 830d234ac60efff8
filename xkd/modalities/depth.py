"""The depth camera (stereo, structured light, time of flight): distance along the axis, with holes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.geometry import Box, Matrix
from xkd.modalities.bands import finite_or_none, only_band, several_bands
from xkd.modalities.counts import counts_of, read_rasters, widened
from xkd.modalities.files import IMAGES, read_raster
from xkd.modalities.raster import warp_seen
from xkd.modality import Clues, Likeness, Look, Settings, Shot, check_finite

# what counts of cameras may be, in metres: OpenNI's and RealSense's, KITTI's, TUM's
_SCALES: Final = {"millimetres": 0.001, "1/256 of a metre": 1 / 256, "1/5000 of a metre": 1 / 5000, "centimetres": 0.01, "metres": 1.0}
_ORDINARY: Final = (0.05, 300.0)  # metres that depth cameras measure


@dataclass(frozen=True)
class Depth:
    """One channel of `float32` metres: value = count * scale; the default is 16-bit millimetres (OpenNI, RealSense, Kinect).

    A count of 0, any depth outside `limits` (metres), and what the file (no-data value, mask, alpha, NaN) or the count `nodata` says is
    "not seen"; edges before such pixels keep their depth. `band` is the number of the band that is meant, in a file with several.
    `inverse=True` gives 1/m instead, in which near things have the finer steps. A row may state its own `scale`.

    `noise` is the jitter's standard deviation at one metre; it grows with the square of depth, as a stereo camera's does.
    `dropout` is the largest share of pixels that are lost.
    """

    suffixes: ClassVar[tuple[str, ...]] = IMAGES
    names: ClassVar[tuple[str, ...]] = ("depth", "tof")

    name: str = "depth"
    scale: float = 0.001
    limits: tuple[float, float] = (0.3, 10.0)
    inverse: bool = False
    nodata: float | None = None
    band: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    noise: float = 0.002
    dropout: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodata", finite_or_none(self.nodata))
        check_finite(self, f"depth '{self.name}'")
        if not 0 < self.limits[0] < self.limits[1] or self.scale <= 0 or self.noise < 0 or not 0 <= self.dropout <= 1:
            raise ValueError(f"depth '{self.name}': limits rise from above 0, scale is above 0, dropout a share; got {self}")
        low, high = self.range
        object.__setattr__(self, "mean", self.mean or ((low + high) / 2,))
        object.__setattr__(self, "std", self.std or ((high - low) / 4,))
        if len(self.mean) != self.channels or len(self.std) != self.channels or min(self.std) <= 0:
            raise ValueError(f"depth '{self.name}': mean and std need one value each, std above 0; got {self.mean}, {self.std}")

    @classmethod
    def requires(cls, table: Settings) -> tuple[str, ...]:
        return ("scale", "limits")

    @classmethod
    def recognise(cls, look: Look) -> Likeness:
        return "if so called" if look.shape[2] == 1 and look.dtype.startswith(("uint16", "int", "uint32", "float")) else "no"

    @classmethod
    def clues(cls, table: Settings, shots: Sequence[Shot]) -> Clues:
        missing = [key for key in cls.requires(table) if key not in table]
        if not missing:
            return Clues()
        counts = counts_of(read_rasters(shots, only_band(table.get("band"))), table.get("nodata"), holes=True)
        meanings: dict[str, Settings] = {}
        given = {f"{table['scale']:g} metres each": float(table["scale"])} if "scale" in table else _SCALES
        for words, scale in given.items():
            low, high = counts.low * scale, counts.high * scale
            if "scale" in table or (_ORDINARY[0] <= low and high <= _ORDINARY[1]):
                near, far = widened(low, high)
                full = {"scale": scale, "limits": [near or float(f"{low:.3g}"), far]}
                meanings[words] = {key: full[key] for key in missing}
        return Clues({}, str(counts), tuple(meanings.items()))

    @classmethod
    def example(cls, folder: Path, size: tuple[int, int], rng: np.random.Generator) -> tuple[dict[str, Any], Shot]:
        cv2.imwrite(str(folder / "millimetres.png"), rng.integers(500, 8000, size, dtype=np.uint16))
        return {"scale": 0.001, "limits": [0.5, 8.0]}, Shot((folder / "millimetres.png",))

    @property
    def channels(self) -> int:
        return 1

    @property
    def outside(self) -> tuple[float, ...]:
        return self.mean

    @property
    def unit(self) -> str:
        return "1/m" if self.inverse else "m"

    @property
    def range(self) -> tuple[float, float]:
        near, far = self.limits
        return (1 / far, 1 / near) if self.inverse else (near, far)

    @property
    def row_keys(self) -> tuple[str, ...]:
        return ("scale",)

    def read(self, shot: Shot) -> NDArray[Any]:
        path = shot.only
        raster = read_raster(path, only_band(self.band))
        dtype, bands = raster.values.dtype, raster.values.shape[2]
        if bands != 1:
            raise several_bands(raster, f"modalities.{self.name}", "a depth image")
        if dtype in (np.uint8, np.bool_):
            raise ValueError(f"{path}: a depth image has one channel of 16 bits or floats, this one is {dtype} {raster.values.shape}")
        metres = raster.measured(self.nodata)[..., 0] * np.float32(shot.values.get("scale", self.scale))
        near, far = self.limits
        metres[~((metres >= near) & (metres <= far))] = np.nan
        if not raster.values.any():
            raise ValueError(f"{path}: all of its counts are 0: the camera saw nothing")
        if np.isnan(metres).all():
            raise ValueError(f"{path}: no pixel lies within {near} to {far} metres; is scale = {self.scale} metres per count right?")
        values = 1 / metres if self.inverse else metres
        return np.asarray(values[..., None])

    def place(self, content: NDArray[Any], matrix: Matrix, size: tuple[int, int], crop: Box) -> NDArray[Any]:
        return warp_seen(content, matrix, size, crop)

    def jitter(self, image: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        lost = rng.random(image.shape, np.float32) < self.dropout * rng.random()
        # sigma(z) = noise z^2, and of 1/z it is therefore the same at every distance
        sigma = np.float32(self.noise) if self.inverse else np.float32(self.noise) * image**2
        changed = image + sigma * rng.standard_normal(image.shape, np.float32)
        return np.where(lost, np.float32(np.nan), changed)

    def show(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """From near (yellow) to far (purple), OpenCV's plasma; black where nothing was seen."""
        low, high = self.range
        grey = np.clip((image[..., 0] - low) * (255.0 / (high - low)), 0, 255).astype(np.uint8)
        picture = cv2.applyColorMap(grey if self.inverse else 255 - grey, cv2.COLORMAP_PLASMA)[..., ::-1].copy()
        picture[image[..., 0] == np.float32(self.outside[0])] = 0
        return np.ascontiguousarray(picture, np.uint8)
