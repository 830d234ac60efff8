"""The multispectral camera: bands as they are, or vegetation indices of them (NDVI and its relatives)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.geometry import Box, Matrix
from xkd.modalities.counts import read_few, usual_span, widened
from xkd.modalities.files import IMAGES, read_bands
from xkd.modalities.raster import warp_seen
from xkd.modality import Clues, Likeness, Look, Settings, Shot, check_finite

# normalised differences (a - b) / (a + b)
# NDVI: Rouse et al. 1974; GNDVI: Gitelson, Kaufman & Merzlyak 1996; NDRE: Gitelson & Merzlyak 1994
INDICES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {"ndvi": ("nir", "red"), "gndvi": ("nir", "green"), "ndre": ("nir", "rededge")}
)
_COLOURS: Final = 4  # channels of a picture at most, alpha among them


@dataclass(frozen=True)
class Multispectral:
    """Bands of one camera as (H, W, C) `float32`, or indices of them.

    `bands` names what the row's files hold, in their order: one file with all bands, or one file per band, joined by `;` in
    the manifest's cell. `outputs` are the channels: indices (`ndvi`, `gndvi`, `ndre`, of the bands `nir`, `red`, `green`,
    `rededge`) or names of bands. A band is (count - `offsets`) * `gains`: reflectance, if the gains come from a panel or from
    the camera's maker; one value per band, none for plain counts. An index of counts is as good as the bands' gains are
    alike: set `gains` if they are not. `shifts` (x, y per band, in pixels) is where a band's image lies against the first
    one's: the bands are registered by it.

    Not seen: values that are not finite, counts of `saturated` and more (0: none are), the `nodata` value (also a GeoTIFF's own; NaN
    is none), and for an index pixels where both bands are 0 or darker. `range` is for raw bands, an index has -1..1. The jitter
    changes each band's gain by up to `gain` (the illumination's colour, which an index feels) and the light as a whole by
    up to `light` (which it does not).
    """

    suffixes: ClassVar[tuple[str, ...]] = IMAGES
    names: ClassVar[tuple[str, ...]] = ("multispectral", "ndvi", "gndvi", "ndre", "nir", "bands")

    name: str = "ndvi"
    bands: tuple[str, ...] = ("red", "nir")
    outputs: tuple[str, ...] = ("ndvi",)
    gains: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    shifts: tuple[tuple[float, float], ...] = ()
    saturated: float = 0.0
    nodata: float | None = None
    range: tuple[float, float] = (-1.0, 1.0)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    gain: float = 0.1
    light: float = 0.2

    def __post_init__(self) -> None:
        here = f"multispectral '{self.name}'"
        if self.nodata is not None and not isfinite(self.nodata):
            object.__setattr__(self, "nodata", None)
        check_finite(self, here)
        if not self.bands or len(set(self.bands)) < len(self.bands) or set(self.bands) & set(INDICES):
            raise ValueError(f"{here}: bands need different names, at least one and none of an index; got {list(self.bands)}")
        legal = [name for name, needed in INDICES.items() if set(needed) <= set(self.bands)] + list(self.bands)
        if not self.outputs or not set(self.outputs) <= set(legal) or len(set(self.outputs)) < len(self.outputs):
            raise ValueError(f"{here}: outputs are some of {legal}, each once; got {list(self.outputs)}")
        for key, values in (("gains", self.gains), ("offsets", self.offsets), ("shifts", self.shifts)):
            if values and len(values) != len(self.bands):
                raise ValueError(f"{here}: {key} need one entry per band, {len(self.bands)}; got {len(values)}")
        if any(len(shift) != 2 for shift in self.shifts) or any(value <= 0 for value in self.gains):
            raise ValueError(f"{here}: shifts are [x, y] per band, gains are above 0; got {self.shifts} and {self.gains}")
        low, high = self.range
        if high <= low or not 0 <= self.gain < 1 or not 0 <= self.light < 1:
            raise ValueError(f"{here}: range must rise, gain and light are 0 or more and below 1")
        usual = [(0.0, 0.5) if name in INDICES else ((low + high) / 2, (high - low) / 4) for name in self.outputs]
        object.__setattr__(self, "mean", self.mean or tuple(mean for mean, _ in usual))
        object.__setattr__(self, "std", self.std or tuple(std for _, std in usual))
        if len(self.mean) != self.channels or len(self.std) != self.channels or min(self.std) <= 0:
            raise ValueError(f"{here}: mean and std need {self.channels} values each, std above 0; got {self.mean}, {self.std}")

    @classmethod
    def requires(cls, table: Settings) -> tuple[str, ...]:
        return ("bands", "outputs") if set(table.get("outputs", ())) <= set(INDICES) else ("bands", "outputs", "range")

    @classmethod
    def recognise(cls, look: Look) -> Likeness:
        return "yes" if look.shape[2] > _COLOURS else "if so called"

    @classmethod
    def clues(cls, table: Settings, shots: Sequence[Shot]) -> Clues:
        """Folders of one band each are called like their bands; indices that the bands allow are its outputs, else the bands."""
        known: dict[str, Any] = {}
        if "bands" not in table:
            number = read_few(shots, lambda shot: sum(read_bands(path)[0].shape[2] for path in shot.paths))[0]
            folders = tuple(path.parent.name for path in shots[0].paths)
            if not number == len(set(folders)) > 1:
                return Clues({}, f"{number} bands, without names", (_naming(number),))
            known["bands"] = folders
        full = {**table, **known}
        if "outputs" not in table:
            indices = tuple(name for name, needed in INDICES.items() if set(needed) <= set(full["bands"]))
            known["outputs"] = full["outputs"] = indices or full["bands"]
        if "range" in cls.requires(full) and "range" not in table:
            sensor = cls(**full)
            raw = [channel for channel, name in enumerate(sensor.outputs) if name not in INDICES]
            known["range"] = widened(*usual_span(read_few(shots, lambda shot: sensor.read(shot)[..., raw])))
        return Clues(known)

    @classmethod
    def example(cls, folder: Path, size: tuple[int, int], rng: np.random.Generator) -> tuple[dict[str, Any], Shot]:
        paths = (folder / "red.png", folder / "nir.png")
        for path in paths:
            cv2.imwrite(str(path), rng.integers(1, 256, size, dtype=np.uint8))
        return {"bands": ["red", "nir"], "outputs": ["ndvi"]}, Shot(paths)

    @property
    def channels(self) -> int:
        return len(self.outputs)

    @property
    def outside(self) -> tuple[float, ...]:
        return self.mean

    @property
    def unit(self) -> str:
        raw = "reflectance" if self.gains else "counts"
        return ", ".join(name if name in INDICES else f"{name} {raw}" for name in self.outputs)

    @property
    def row_keys(self) -> tuple[str, ...]:
        return ()

    def read(self, shot: Shot) -> NDArray[Any]:
        bands = dict(zip(self.bands, self._bands(shot), strict=True))
        channels = [self._index(bands, name) if name in INDICES else bands[name] for name in self.outputs]
        image = np.stack(channels, axis=2)
        if np.isnan(image).all():
            raise ValueError(f"{shot.paths[0]}: no pixel is usable; look at saturated, nodata and offsets in [modalities.{self.name}]")
        return image

    def place(self, content: NDArray[Any], matrix: Matrix, size: tuple[int, int], crop: Box) -> NDArray[Any]:
        return warp_seen(content, matrix, size, crop)

    def jitter(self, image: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """A band times g changes a normalised difference v of it to ((1 + v) g - (1 - v)) / ((1 + v) g + (1 - v)), whatever the light."""
        gains = dict(zip(self.bands, 1 + self.gain * rng.uniform(-1.0, 1.0, len(self.bands)), strict=True))
        light = 1 + self.light * rng.uniform(-1.0, 1.0)
        changed = np.empty_like(image)
        for channel, name in enumerate(self.outputs):
            before = image[..., channel]
            if name in INDICES:
                first, second = INDICES[name]
                up, down = (1 + before) * np.float32(gains[first] / gains[second]), 1 - before
                changed[..., channel] = (up - down) / np.maximum(up + down, np.float32(1e-6))
            else:
                changed[..., channel] = before * np.float32(gains[name] * light)
        return changed

    def show(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """Three raw bands as a false-colour picture, else the first output: from low (blue) to high (yellow), OpenCV's viridis."""
        low, high = self.range
        if self.channels >= 3 and not set(self.outputs[:3]) & set(INDICES):
            return np.clip((image[..., :3] - low) * (255.0 / (high - low)), 0, 255).astype(np.uint8)
        if self.outputs[0] in INDICES:
            low, high = -1.0, 1.0
        grey = np.clip((image[..., 0] - low) * (255.0 / (high - low)), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(cv2.applyColorMap(grey, cv2.COLORMAP_VIRIDIS)[..., ::-1], np.uint8)

    def _bands(self, shot: Shot) -> list[NDArray[np.float32]]:
        """Each band as (H, W) with NaN where it saw nothing, registered to the first."""
        parts = [(path, *read_bands(path)) for path in shot.paths]
        counts = [(path, image[..., channel], nodata) for path, image, nodata in parts for channel in range(image.shape[2])]
        if len(counts) != len(self.bands):
            listed = ", ".join(f"{path.name} has {image.shape[2]}" for path, image, _ in parts)
            raise ValueError(f"{shot.paths[0]}: {len(counts)} bands where [modalities.{self.name}] names {list(self.bands)}: {listed}")
        shapes = {image.shape for _, image, _ in counts}
        if len(shapes) > 1:
            raise ValueError(f"{shot.paths[0]}: the bands' sizes differ: {sorted(shapes)}; register them to one frame first")
        return [self._band(number, image, nodata) for number, (_, image, nodata) in enumerate(counts)]

    def _band(self, number: int, counts: NDArray[Any], nodata: float) -> NDArray[np.float32]:
        values = counts.astype(np.float32)
        missing = ~np.isfinite(values) | (values == np.float32(nodata))
        if self.nodata is not None:
            missing |= values == np.float32(self.nodata)
        if self.saturated > 0:
            missing |= values >= self.saturated
        if self.offsets:
            values -= np.float32(self.offsets[number])
        if self.gains:
            values *= np.float32(self.gains[number])
        values[missing] = np.nan
        if self.shifts and any(self.shifts[number]):
            x, y = self.shifts[number]
            height, width = values.shape
            box = Box(x, y, width + x, height + y)
            values = warp_seen(values[..., None], np.eye(3), (height, width), box)[..., 0]
        return values

    @staticmethod
    def _index(bands: Mapping[str, NDArray[np.float32]], name: str) -> NDArray[np.float32]:
        first, second = (np.maximum(bands[band], 0) for band in INDICES[name])  # NaN stays NaN
        total = first + second
        return np.asarray(np.divide(first - second, total, out=np.full_like(total, np.nan), where=total > 0))


def _naming(number: int) -> tuple[str, Settings]:
    """Names for so many bands, to copy."""
    if number == 2:
        return "red and near infrared, in this order", {"bands": ["red", "nir"], "outputs": ["ndvi"]}
    names = [f"band{place}" for place in range(1, number + 1)]
    return "to be learned as they are, under names of yours", {"bands": names, "outputs": names}
