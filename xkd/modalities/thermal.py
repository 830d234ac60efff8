"""The thermal camera (long-wave infrared): temperature, or the 8-bit grey picture that its software rendered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.geometry import Box, Matrix
from xkd.modalities.bands import Raster, finite_or_none, nothing_measured, only_band, several_bands
from xkd.modalities.counts import Counts, counts_of, read_few, read_rasters, usual_span, widened
from xkd.modalities.files import IMAGES, is_grey, read_raster
from xkd.modalities.palette import invert_palette, likely_palettes
from xkd.modalities.radiometric import TEMPERATURES, Maker, Temperatures, described, maker_of, read_temperatures
from xkd.modalities.raster import warp, warp_seen
from xkd.modality import Clues, Likeness, Look, Settings, Shot, check_finite

_BYTE_STD = (256**2 / 12) ** 0.5
AUTOMATIC_GAIN = "share of the image's own span (automatic gain)"
_FLAT = 1e-6  # an image without contrast stays dark
_FEW_PALETTES: Final = 3  # are offered
_RENDERED: Final[Settings] = {"unit": "8-bit counts", "scale": 1.0, "range": [0.0, 255.0]}
# what counts of cameras may be: unit, scale, and what is added to get degrees Celsius
_MEANINGS: Final = {
    "hundredths of a kelvin": ("K", 0.01, -273.15),
    "1/64 of a kelvin": ("K", 1 / 64, -273.15),
    "tenths of a kelvin": ("K", 0.1, -273.15),
    "kelvin": ("K", 1.0, -273.15),
    "hundredths of a degree Celsius": ("degC", 0.01, 0.0),
    "tenths of a degree Celsius": ("degC", 0.1, 0.0),
    "degrees Celsius": ("degC", 1.0, 0.0),
}
_ORDINARY: Final = (-60.0, 150.0)  # degrees Celsius of what thermal cameras look at
_USUAL: Final = 20.0  # degrees Celsius: of several meanings the one that comes nearest is the first


@dataclass(frozen=True)
class Thermal:
    """One channel of `float32` in `unit`: value = count * scale + offset, from 8-bit, 16-bit or float files.

    Radiometric 16-bit files are in kelvin (the defaults: a hundredth of a kelvin per count); for rendered 8-bit
    pictures set `unit="8-bit counts", scale=1.0, range=(0.0, 255.0)`. A row may state its own `scale` and `offset`
    (columns `NAME.scale`, `NAME.offset`). A picture in false colours is refused, since its palette hides the counts, unless `palette`
    names the OpenCV colour map that it was made with. Without `mean` and `std` they are the middle and a quarter of `range`.

    Pixels that were not measured (count `nodata`, a GeoTIFF's own no-data value, its mask, an alpha of 0, what is not finite) are NaN. Of
    a file with several bands or pages `band` is the number of the one that is meant. A radiometric JPEG of FLIR holds temperatures, not
    counts: they are given in `unit`, K or degC, whatever `scale` and `offset` are.

    `encoding="percentile"` is an automatic gain: each image runs from 0 at the first to 1 at the second of its own `percentiles`, so that
    contrast survives a change of weather and temperature does not. The unit then says so, and `range` is 0..1.

    `gain` is the jitter's largest relative change of contrast, `drift` its largest shift, `noise` the standard deviation
    of its white noise and `nonuniformity` the largest one of a pattern that differs from column to column, all but the
    first as shares of `range`: what an uncooled camera does between two shutter calibrations.
    """

    suffixes: ClassVar[tuple[str, ...]] = IMAGES
    names: ClassVar[tuple[str, ...]] = ("thermal", "therm", "ir", "infrared", "flir", "lwir", "fir", "tir")

    name: str = "thermal"
    unit: str = "K"
    scale: float = 0.01
    offset: float = 0.0
    range: tuple[float, float] = (273.15, 313.15)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    encoding: Literal["fixed", "percentile"] = "fixed"
    percentiles: tuple[float, float] = (1.0, 99.0)
    palette: str = ""
    nodata: float | None = None
    band: int | None = None
    gain: float = 0.1
    drift: float = 0.05
    noise: float = 0.005
    nonuniformity: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodata", finite_or_none(self.nodata))
        check_finite(self, f"thermal '{self.name}'")
        if self.encoding == "percentile":
            first, second = self.percentiles
            if not 0 <= first < second <= 100:
                raise ValueError(f"thermal '{self.name}': percentiles rise within 0..100; got {self.percentiles}")
            object.__setattr__(self, "range", (0.0, 1.0))
            object.__setattr__(self, "unit", AUTOMATIC_GAIN)
        elif self.encoding != "fixed":
            raise ValueError(f"thermal '{self.name}': encoding is 'fixed' or 'percentile', got '{self.encoding}'")
        low, high = self.range
        if high <= low or self.scale == 0:
            raise ValueError(f"thermal '{self.name}': range must rise and scale must not be 0; got {self.range}, {self.scale}")
        object.__setattr__(self, "mean", self.mean or ((low + high) / 2,))
        object.__setattr__(self, "std", self.std or ((high - low) / 4,))
        if len(self.mean) != self.channels or len(self.std) != self.channels or min(self.std) <= 0:
            raise ValueError(f"thermal '{self.name}': mean and std need one value each, std above 0; got {self.mean}, {self.std}")

    @classmethod
    def requires(cls, table: Settings) -> tuple[str, ...]:
        return () if table.get("encoding") == "percentile" else ("unit", "scale", "range")  # each image has a scale of its own then

    @classmethod
    def recognise(cls, look: Look) -> Likeness:
        if look.shape[2] == 1 and look.dtype == TEMPERATURES:
            return "yes"
        return "if so called" if look.shape[2] == 1 or look.dtype == "uint8" else "no"  # colours may be a palette's

    @classmethod
    def clues(cls, table: Settings, shots: Sequence[Shot]) -> Clues:
        missing = [key for key in cls.requires(table) if key not in table]
        rendered = "palette" in table or table.get("unit") == _RENDERED["unit"]  # the picture is meant
        if shots and not rendered and (maker := maker_of(shots[0].only)):
            return _measured(table, missing, read_few(shots, lambda shot: read_temperatures(shot.only, maker)))
        if not missing:
            return Clues()
        rasters = read_rasters(shots, only_band(table.get("band")))
        pictures = (raster.values for raster in rasters if raster.is_picture and raster.values.dtype == np.uint8)
        colours = next((picture for picture in pictures if not is_grey(picture)), None)
        if colours is not None and "palette" not in table and (palettes := likely_palettes(colours[..., ::-1])):
            ways = tuple((f"the palette {palette}", {"palette": palette}) for palette in palettes[:_FEW_PALETTES])
            return Clues({}, "8-bit pictures in false colours", ways)
        counts = counts_of(rasters, table.get("nodata"))
        if counts.dtype == np.uint8 and (rendered or not {"unit", "scale"} & table.keys()):
            return Clues({key: _RENDERED[key] for key in missing})  # no camera's temperatures have 8 bits
        meanings = _plausible(counts, table)
        return Clues({}, str(counts), tuple((words, {key: full[key] for key in missing}) for words, full in meanings.items()))

    @classmethod
    def example(cls, folder: Path, size: tuple[int, int], rng: np.random.Generator) -> tuple[dict[str, Any], Shot]:
        cv2.imwrite(str(folder / "counts.png"), rng.integers(28500, 31000, size, dtype=np.uint16))
        return {"unit": "K", "scale": 0.01, "range": [285.0, 310.0]}, Shot((folder / "counts.png",))

    @property
    def channels(self) -> int:
        return 1

    @property
    def outside(self) -> tuple[float, ...]:
        return self.mean

    @property
    def row_keys(self) -> tuple[str, ...]:
        return ("scale", "offset")

    @property
    def recipe(self) -> Settings:
        if self.palette or self.band is not None:
            return {}
        counts = {"scale": self.scale, "offset": self.offset, "nodata": self.nodata, "range": list(self.range)}
        return {"kind": "counts", **counts, "percentiles": list(self.percentiles) if self.encoding == "percentile" else None}

    def read(self, shot: Shot) -> NDArray[Any]:
        maker = "" if self._is_rendered else maker_of(shot.only)
        values, files = self._degrees(shot.only, maker) if maker else self._scaled(shot)
        middle = float(values.mean())
        if not isfinite(middle):
            if np.isnan(values).all():
                raise nothing_measured(shot.only)
            middle = float(np.nanmean(values))
        low, high = self.range
        if self.encoding == "percentile":
            low, high = np.nanpercentile(values, self.percentiles)
            values = np.clip((values - np.float32(low)) / np.float32(max(high - low, _FLAT)), 0, 1)
        elif not low - (high - low) <= middle <= high + (high - low):
            raise ValueError(f"{shot.only}: its mean is {middle:.4g} {self.unit}, far outside range {self.range}: {files}")
        return values[..., None]

    @property
    def _is_rendered(self) -> bool:
        """Whether somebody says that the picture is meant, and not the temperatures that may lie beside it."""
        return bool(self.palette) or self.unit == _RENDERED["unit"]

    def _degrees(self, path: Path, maker: Maker) -> tuple[NDArray[np.float32], str]:
        """(H, W) of a radiometric JPEG in the unit, and what to ask where they are no ordinary ones."""
        temperatures = read_temperatures(path, maker)
        if self.encoding == "percentile":
            return temperatures.celsius, ""
        try:
            return temperatures.within(self.unit), "it holds temperatures; is the range right?"
        except ValueError as error:
            raise ValueError(f"{path}: holds temperatures; [modalities.{self.name}] {error}") from error

    def _scaled(self, shot: Shot) -> tuple[NDArray[np.float32], str]:
        """(H, W) counts in the unit, NaN where nothing was measured, and what to ask where they are no ordinary ones."""
        raster = read_raster(shot.only, only_band(self.band))
        if raster.is_picture:
            raster = self._grey(raster)
        if raster.values.shape[2] != 1:
            raise several_bands(raster, f"modalities.{self.name}", "a thermal image")
        if raster.values.dtype == np.bool_:
            raise ValueError(f"{shot.only}: is black and white, 1 bit per pixel, which holds no temperatures")
        scale, offset = shot.values.get("scale", self.scale), shot.values.get("offset", self.offset)
        values = raster.measured(self.nodata)[..., 0]
        values *= np.float32(scale)
        if offset != 0.0:
            values += np.float32(offset)
        return values, f"are scale = {scale:g} and offset = {offset:g} right for {raster.values.dtype} counts?"

    def _grey(self, raster: Raster) -> Raster:
        """The one channel that a picture stands for."""
        if self.palette:
            counts = invert_palette(raster.path, raster.values[..., ::-1], self.palette)[..., None]
        elif is_grey(raster.values):
            counts = raster.values[..., :1]
        else:
            raise ValueError(
                f"{raster.path}: a false-colour (palette) thermal picture has no readable counts; export grey 8 or 16 bits, "
                "or name the OpenCV colour map that it was made with: palette = 'inferno'"
            )
        return replace(raster, values=counts, names=("grey",))

    def place(self, content: NDArray[Any], matrix: Matrix, size: tuple[int, int], crop: Box) -> NDArray[Any]:
        if np.isnan(content).any():
            return warp_seen(content, matrix, size, crop)
        return warp(content, matrix, size, crop, self.outside)

    def jitter(self, image: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        low, high = self.range
        span, middle = high - low, (low + high) / 2
        gain, drift = 1.0 + self.gain * rng.uniform(-1.0, 1.0), span * self.drift * rng.uniform(-1.0, 1.0)
        changed = image * np.float32(gain) + np.float32(middle * (1.0 - gain) + drift)
        if self.noise > 0:
            # even noise from raw bytes, a tenth of the cost of normal deviates
            counts = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape)
            changed += (counts.astype(np.float32) - np.float32(127.5)) * np.float32(span * self.noise / _BYTE_STD)
        if self.nonuniformity > 0:
            # each column of the detector has an amplifier of its own
            strength = span * self.nonuniformity * rng.random()
            changed += rng.standard_normal((1, image.shape[1], 1), np.float32) * np.float32(strength)
        return changed

    def show(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """`range` from black to yellow (OpenCV's inferno), the same for every image so that colours can be compared."""
        low, high = self.range
        grey = np.clip((image[..., 0] - low) * (255.0 / (high - low)), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO)[..., ::-1], np.uint8)


def _measured(table: Settings, missing: Sequence[str], temperatures: Sequence[Temperatures]) -> Clues:
    """What radiometric files say: they need no scale."""
    unit = table.get("unit", "degC")
    full = {"unit": unit, "scale": 1.0}
    if "range" in missing:
        full["range"] = widened(*usual_span([one.within(unit) for one in temperatures]))
    counted = table.get("scale", 1.0) != 1.0 or table.get("offset", 0.0) != 0.0
    told = described(temperatures) + ", to which scale and offset, meant for counts, do not apply" * counted
    return Clues({key: full[key] for key in missing}, told=told)


def _plausible(counts: Counts, table: Settings) -> dict[str, Settings]:
    """In words, the settings under which the counts are temperatures as they occur, the likeliest first; last, as plain counts."""
    offset = float(table.get("offset", 0.0))
    ranked: list[tuple[float, str, Settings]] = []
    for words, (unit, scale, to_celsius) in _MEANINGS.items():
        low, high = (end * scale + offset + to_celsius for end in (counts.low, counts.high))
        given = table.get("unit", unit) == unit and table.get("scale", scale) == scale
        if counts.dtype.kind == "f" and scale != 1.0 and "scale" not in table:
            continue  # who writes fractions has no need of a scale
        if given and _ORDINARY[0] <= low <= high <= _ORDINARY[1]:
            away = abs((low + high) / 2 - _USUAL)
            ranked.append((away, words, {"unit": unit, "scale": scale, "range": widened(low - to_celsius, high - to_celsius)}))
    ways = {words: settings for _, words, settings in sorted(ranked, key=lambda way: way[0])}
    if not ways or not {"unit", "scale"} & table.keys():
        unit, scale = table.get("unit", "counts"), float(table.get("scale", 1.0))
        span = widened(*sorted((counts.low * scale + offset, counts.high * scale + offset)))
        ways[f"{scale:g} {unit} each" if "unit" in table else "counts of no known unit"] = {"unit": unit, "scale": scale, "range": span}
    return ways
