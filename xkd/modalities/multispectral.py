"""The multispectral camera: bands as they are, or vegetation indices of them (NDVI and its relatives)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.geometry import Box, Matrix
from xkd.modalities.bands import Raster, finite_or_none
from xkd.modalities.counts import read_few, usual_span, widened
from xkd.modalities.files import IMAGES, is_grey, read_raster
from xkd.modalities.palette import likely_palettes
from xkd.modalities.raster import warp_seen
from xkd.modality import Clues, Likeness, Look, Settings, Shot, check_finite

# normalised differences (a - b) / (a + b)
# NDVI: Rouse et al. 1974; GNDVI: Gitelson, Kaufman & Merzlyak 1996; NDRE: Gitelson & Merzlyak 1994
INDICES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {"ndvi": ("nir", "red"), "gndvi": ("nir", "green"), "ndre": ("nir", "rededge")}
)
_COLOURS: Final = 4  # channels of a picture at most, alpha among them
UNUSED: Final = "-"  # the name of a band that nobody wants
_ROUNDING: Final = 1e-3  # by which an index may pass its ends


@dataclass(frozen=True)
class Multispectral:
    """Bands of one camera as (H, W, C) `float32`, or indices of them.

    `bands` names what the row's files hold, in their order: one file with all bands, or one file per band, joined by `;` in
    the manifest's cell; "-" is a band that is not used, such as the further channels of a near-infrared picture that was stored in
    colour: a photo and such a picture are `("red", "green", "blue", "nir", "-", "-")`. An index may be a band, of files that hold it
    ready, -1 to 1. `outputs` are the channels: indices (`ndvi`, `gndvi`, `ndre`, of the bands `nir`, `red`, `green`,
    `rededge`) or names of bands. A band is (count - `offsets`) * `gains`: reflectance, if the gains come from a panel or from
    the camera's maker; one value per band, none for plain counts. An index of counts is as good as the bands' gains are
    alike: set `gains` if they are not. `shifts` (x, y per band, in pixels) is where a band's image lies against the first
    one's: the bands are registered by it.

    Not seen: values that are not finite, counts of `saturated` and more (0: none are), the `nodata` value (also a GeoTIFF's own; NaN
    is none), what a mask or an alpha of 0 leaves out, and for an index pixels where both bands are 0 or darker. `range` is for raw
    bands, an index has -1..1. The jitter changes each band's gain by up to `gain` (the illumination's colour, which an index feels) and
    the light as a whole by up to `light` (which it does not).
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
        object.__setattr__(self, "nodata", finite_or_none(self.nodata))
        check_finite(self, here)
        used = [band for band in self.bands if band != UNUSED]
        if not used or len(set(used)) < len(used):
            raise ValueError(f"{here}: bands need different names, at least one, and '-' for each that is not used; got {list(self.bands)}")
        legal = [name for name, needed in INDICES.items() if set(needed) <= set(used) and name not in used] + used
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
            rasters = read_few(shots, lambda shot: [read_raster(path) for path in shot.paths])[0]
            number = sum(raster.values.shape[2] for raster in rasters)
            folders = tuple(path.parent.name for path in shots[0].paths)
            if not number == len(set(folders)) > 1:
                return Clues({}, _held(rasters), _namings(rasters))
            known["bands"] = folders
        full = {**table, **known}
        if "outputs" not in table:
            bands = tuple(band for band in full["bands"] if band != UNUSED)
            indices = tuple(name for name, needed in INDICES.items() if set(needed) <= set(bands) or name in bands)
            known["outputs"] = full["outputs"] = indices or bands
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
    def quantities(self) -> tuple[tuple[str, str, tuple[float, float]], ...]:
        raw = "reflectance" if self.gains else "counts"
        return tuple((name, "", (-1.0, 1.0)) if name in INDICES else (name, raw, self.range) for name in self.outputs)

    @property
    def row_keys(self) -> tuple[str, ...]:
        return ()

    def read(self, shot: Shot) -> NDArray[Any]:
        bands = {name: band for name, band in zip(self.bands, self._bands(shot), strict=True) if name != UNUSED}
        channels = [bands[name] if name in bands else self._index(bands, name) for name in self.outputs]
        image = np.stack(channels, axis=2)
        if np.isnan(image).all():
            raise ValueError(f"{shot.paths[0]}: no pixel is usable; look at saturated, nodata and offsets in [modalities.{self.name}]")
        self._check_ready(shot, image)
        return image

    def place(self, content: NDArray[Any], matrix: Matrix, size: tuple[int, int], crop: Box) -> NDArray[Any]:
        return warp_seen(content, matrix, size, crop)

    def jitter(self, image: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """A band times g changes a normalised difference v of it to ((1 + v) g - (1 - v)) / ((1 + v) g + (1 - v)), whatever the light."""
        ready = [band for name in self.outputs if name in INDICES and name in self.bands for band in INDICES[name]]
        names = tuple(dict.fromkeys((*self.bands, *ready)))
        gains = dict(zip(names, 1 + self.gain * rng.uniform(-1.0, 1.0, len(names)), strict=True))
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
        rasters = [read_raster(path) for path in shot.paths]
        if sum(raster.values.shape[2] for raster in rasters) != len(self.bands):
            rasters = [_with_alpha(raster) for raster in rasters]  # GDAL calls the fourth of four bands so, whatever it holds
        counts = [(raster.values, channel) for raster in rasters for channel in range(raster.values.shape[2])]
        if len(counts) != len(self.bands):
            listed = ", ".join(f"{raster.path.name} has {raster.values.shape[2]}: {raster.listed}" for raster in rasters)
            hint = "; a picture in false colours does not tell its index: export that as numbers" * (set(self.bands) <= set(INDICES))
            raise ValueError(
                f"{shot.paths[0]}: {len(counts)} bands where [modalities.{self.name}] names {list(self.bands)}: {listed}; a band"
                f" that is not used is called '{UNUSED}'{hint}"
            )
        shapes = {image.shape[:2] for image, _ in counts}
        if len(shapes) > 1:
            raise ValueError(f"{shot.paths[0]}: the bands' sizes differ: {sorted(shapes)}; register them to one frame first")
        planes = (plane for raster in rasters for plane in np.moveaxis(raster.measured(self.nodata), 2, 0))
        return [self._band(number, plane) for number, plane in enumerate(planes)]

    def _band(self, number: int, counts: NDArray[np.float32]) -> NDArray[np.float32]:
        values = np.ascontiguousarray(counts)
        if self.saturated > 0:
            values[values >= self.saturated] = np.nan
        if self.offsets:
            values -= np.float32(self.offsets[number])
        if self.gains:
            values *= np.float32(self.gains[number])
        if self.shifts and any(self.shifts[number]):
            x, y = self.shifts[number]
            height, width = values.shape
            box = Box(x, y, width + x, height + y)
            values = warp_seen(values[..., None], np.eye(3), (height, width), box)[..., 0]
        return values

    def _check_ready(self, shot: Shot, image: NDArray[np.float32]) -> None:
        """`ValueError` for an index that was read and is none."""
        for channel, name in enumerate(self.outputs):
            low, high = float(np.nanmin(image[..., channel], initial=0)), float(np.nanmax(image[..., channel], initial=0))
            if name in INDICES and not -1 - _ROUNDING <= low <= high <= 1 + _ROUNDING:
                raise ValueError(
                    f"{shot.paths[0]}: {name} lies within -1 to 1, this one from {low:.4g} to {high:.4g}: state offsets and gains that"
                    " make counts an index (0 to 255: offsets = [127.5], gains = [0.00784]; ten-thousandths: gains = [0.0001]), and"
                    " nodata where a value means none"
                )

    @staticmethod
    def _index(bands: Mapping[str, NDArray[np.float32]], name: str) -> NDArray[np.float32]:
        first, second = (np.maximum(bands[band], 0) for band in INDICES[name])  # NaN stays NaN
        total = first + second
        return np.asarray(np.divide(first - second, total, out=np.full_like(total, np.nan), where=total > 0))


def _with_alpha(raster: Raster) -> Raster:
    """What the file calls alpha as its last band, which may be a fourth one that was measured."""
    if raster.alpha is None:
        return raster
    return replace(raster, values=np.concatenate([raster.values, raster.alpha[..., None]], 2), names=(*raster.names, "alpha"), alpha=None)


def _held(rasters: Sequence[Raster]) -> str:
    """The bands of these files, to a person who has to name them."""
    number = sum(raster.values.shape[2] for raster in rasters)
    listed = "; ".join(f"{raster.path.parent.name}/{raster.path.name} has {raster.listed}" for raster in rasters)
    [first, *others] = rasters
    painted = not others and first.is_picture and first.values.dtype == np.uint8 and not is_grey(first.values)
    hint = (
        ", in false colours, as it seems: an index has to be exported as numbers"
        if painted and likely_palettes(first.values[..., ::-1])
        else ""
    )
    return f"{number} band{'s' * (number > 1)} without names ({listed}){hint}"


def _namings(rasters: Sequence[Raster]) -> tuple[tuple[str, Settings], ...]:
    """Names for the bands of these files, to copy."""
    number = sum(raster.values.shape[2] for raster in rasters)
    kind = rasters[0].values.dtype.kind
    if number == 1:
        ready: dict[str, Any] = {"bands": ["ndvi"], "outputs": ["ndvi"]}
        scaled = {"f": {}, "u": {"offsets": [127.5], "gains": [0.00784]}}.get(kind, {"gains": [0.0001]})
        alone = {"bands": ["nir"], "outputs": ["nir"]}
        return ("an index, ready" + (" but for its scale" if scaled else ""), ready | scaled), ("one band, to be learned as it is", alone)
    if number == 2:
        return (("red and near infrared, in this order", {"bands": ["red", "nir"], "outputs": ["ndvi"]}),)
    photos = [at for at, raster in enumerate(rasters) if raster.is_picture and not is_grey(raster.values)]
    if len(rasters) == 2 and photos:
        colours = ["red", "green", "blue"]
        infrared = ["nir", *[UNUSED] * (rasters[1 - photos[0]].values.shape[2] - 1)]
        bands = [*colours, *infrared] if photos[0] == 0 else [*infrared, *colours]
        return (("a photo and a near-infrared picture", {"bands": bands, "outputs": ["ndvi"]}),)
    names = [f"band{place}" for place in range(1, number + 1)]
    return (("to be learned as they are, under names of yours", {"bands": names, "outputs": names}),)
