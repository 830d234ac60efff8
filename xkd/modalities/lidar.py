"""The laser scanner: its points as a camera sees them, or from above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.geometry import Box, Matrix
from xkd.modalities.calibration import Camera, read_calibration, write_calibration
from xkd.modalities.counts import FEW, read_few, widened
from xkd.modalities.points import Points, densify, splat, unoccluded
from xkd.modalities.scans import INTENSITIES, SCANS, Scan, read_scan
from xkd.modalities.strides import find_columns
from xkd.modality import Clues, Likeness, Look, Settings, Shot, check_finite

OUTPUTS: Final = ("range", "height", "intensity", "density", "valid")
_AHEAD: Final = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])  # a scanner in the camera's place, x upon z
_FEWEST: Final = 10  # points in view below which the calibration is more likely wrong than the scene empty


@dataclass(frozen=True)
class LiDAR:
    """A scan as (H, W, C) `float32`, one channel per name in `outputs`.

    `range` is metres from the scanner, `height` metres above it (its z axis up), `intensity` as the file has it, times
    `intensity_scale`, `density` log(1 + n) of the points per pixel, `valid` 1 where there is a value. In a pixel without a
    return `valid` and `density` are 0, the others are not seen.

    `project="camera"`: what the row's calibration puts into the image; a geometric draw moves the points and not a raster,
    so that depth edges stay sharp at every size. `camera` names the projection in a KITTI file. `size` is (width, height)
    of the image where the calibration does not state it. With `occlusion` > 0 points behind others within that many pixels
    are dropped, if deeper by more than a tenth: the scanner sees past edges that hide them from the camera; at 0 they shine
    through.
    `project="above"`: bird's-eye view, `area` (x from, x to, y from, y to) in metres of the scanner with x upwards in the
    image, at `cell` metres per pixel; the highest point of a cell is seen. Such a row needs no calibration, and must not
    have a crop: it is not the camera's frame.

    `densify` > 0 fills pixels within that many pixels (of the view) of a return with the nearest one. `columns` is the
    number of floats per point in a `.bin` file (KITTI 4, nuScenes 5); one that does not fit the numbers is an error.
    `intensity_field` names the intensity in files that name their fields; empty takes the usual names. The jitter drops returns
    (`dropout`, the largest share) and shifts ranges (`noise`, metres, one sigma).
    """

    suffixes: ClassVar[tuple[str, ...]] = SCANS
    names: ClassVar[tuple[str, ...]] = ("lidar", "velodyne", "scan", "scans", "points")

    name: str = "lidar"
    outputs: tuple[str, ...] = ("range", "intensity", "valid")
    project: Literal["camera", "above"] = "camera"
    camera: str = "P2"
    size: tuple[int, int] = (0, 0)
    area: tuple[float, float, float, float] = (0.0, 40.0, -20.0, 20.0)
    cell: float = 0.2
    range: tuple[float, float] = (0.0, 80.0)
    intensity_scale: float = 1.0
    occlusion: int = 0
    densify: int = 0
    columns: int = 4
    intensity_field: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    dropout: float = 0.2
    noise: float = 0.02

    def __post_init__(self) -> None:
        here = f"lidar '{self.name}'"
        check_finite(self, here)
        low, high = self.range
        if not self.outputs or not set(self.outputs) <= set(OUTPUTS) or len(set(self.outputs)) < len(self.outputs):
            raise ValueError(f"{here}: outputs are some of {list(OUTPUTS)}, each once; got {list(self.outputs)}")
        if self.project not in ("camera", "above"):
            raise ValueError(f"{here}: project is 'camera' or 'above', got '{self.project}'")
        if not 0 <= low < high or self.cell <= 0 or self.area[0] >= self.area[1] or self.area[2] >= self.area[3]:
            raise ValueError(f"{here}: range and area must rise, cell be above 0; got {self.range}, {self.area}, {self.cell}")
        if min(self.occlusion, self.densify, self.noise) < 0 or not 0 <= self.dropout <= 1 or self.columns < 3:
            raise ValueError(f"{here}: occlusion, densify and noise are 0 or more, dropout a share, columns 3 or more")
        usual = {
            "range": ((low + high) / 2, (high - low) / 4),
            "height": (-1.0, 1.0),
            "intensity": (0.25, 0.25),
            "density": (0.3, 0.5),
            "valid": (0.5, 0.5),
        }
        object.__setattr__(self, "mean", self.mean or tuple(usual[name][0] for name in self.outputs))
        object.__setattr__(self, "std", self.std or tuple(usual[name][1] for name in self.outputs))
        if len(self.mean) != self.channels or len(self.std) != self.channels or min(self.std) <= 0:
            raise ValueError(f"{here}: mean and std need {self.channels} values each, std above 0; got {self.mean}, {self.std}")

    @classmethod
    def requires(cls, table: Settings) -> tuple[str, ...]:
        return ("outputs", "range")

    @classmethod
    def recognise(cls, look: Look) -> Likeness:
        if look.suffix != ".npy":
            return "yes"
        return "if so called" if len(look.shape) == 2 and look.shape[1] >= 3 else "no"

    @classmethod
    def clues(cls, table: Settings, shots: Sequence[Shot]) -> Clues:
        known: dict[str, Any] = {}
        if "project" not in table and not any(shot.calibration for shot in shots):
            known["project"] = "above"  # what would put them into a camera's picture is not there
        raw = [shot.only for shot in shots[:: -(-len(shots) // FEW)] if shot.only.suffix.lower() == ".bin"]
        if "columns" not in table and (columns := find_columns(raw)) not in (0, cls.columns):
            known["columns"] = columns
        columns = table.get("columns", known.get("columns", cls.columns))
        read = read_few(shots, lambda shot: (shot.only, read_scan(shot.only, columns, table.get("intensity_field", ""))))
        scans = [scan for _, scan in read]
        if "intensity_field" not in table and (field := _one_field(read)) not in ("", INTENSITIES[0]):
            known["intensity_field"] = field
        told = ""
        if "outputs" not in table:
            intensities = np.concatenate([scan.points[:, 3] for scan in scans])
            known["outputs"] = ("range", "intensity", "valid") if np.ptp(intensities) > 0 else ("range", "valid")
            if "intensity" not in known["outputs"]:
                fields = next((list(scan.fields) for scan in scans if scan.fields and not scan.intensity), [])
                told = f"no intensity under a known name among {fields}: set intensity_field" if fields else "the files hold no intensity"
        if "range" not in table:
            known["range"] = widened(0.0, max(float(np.linalg.norm(scan.points[:, :3], axis=1).max()) for scan in scans))
        return Clues(known, told=told)

    @classmethod
    def example(cls, folder: Path, size: tuple[int, int], rng: np.random.Generator) -> tuple[dict[str, Any], Shot]:
        height, width = size
        pinhole = np.array([[width / 2, 0, width / 2, 0], [0, width / 2, height / 2, 0], [0, 0, 1, 0]])
        write_calibration(folder / "calibration.json", Camera(pinhole, _AHEAD, (), (width, height)))
        rng.uniform((2, -30, -30, 0), (60, 30, 30, 1), (2000, 4)).astype(np.float32).tofile(folder / "points.bin")
        table = {"outputs": ["range", "height", "intensity", "valid"], "range": [0.0, 80.0]}
        return table, Shot((folder / "points.bin",), folder / "calibration.json")

    @property
    def channels(self) -> int:
        return len(self.outputs)

    @property
    def outside(self) -> tuple[float, ...]:
        return tuple(0.0 if counted else mean for counted, mean in zip(self.counted, self.mean, strict=True))

    @property
    def above(self) -> bool:
        return self.project == "above"

    @property
    def counted(self) -> tuple[bool, ...]:
        return tuple(name in ("density", "valid") for name in self.outputs)

    @property
    def unit(self) -> str:
        return ", ".join({"range": "range m", "height": "height m"}.get(name, name) for name in self.outputs)

    @property
    def quantities(self) -> tuple[tuple[str, str, tuple[float, float]], ...]:
        usual = [(mean - 2 * std, mean + 2 * std) for mean, std in zip(self.mean, self.std, strict=True)]
        spans = {"range": self.range, "valid": (0.0, 1.0)}
        units = {"range": "m", "height": "m"}
        return tuple((name, units.get(name, ""), spans.get(name, span)) for name, span in zip(self.outputs, usual, strict=True))

    @property
    def row_keys(self) -> tuple[str, ...]:
        return ()

    def read(self, shot: Shot) -> Points:
        path = shot.only
        scan = read_scan(path, self.columns, self.intensity_field)
        if "intensity" in self.outputs and not scan.intensity:
            raise ValueError(
                f"{path}: has no intensity under a known name, and outputs of lidar '{self.name}' ask for it; its fields are"
                f" {list(scan.fields) or ['x', 'y', 'z']}: set intensity_field to one of them, or outputs without 'intensity'"
            )
        xyz, intensity = scan.points[:, :3], scan.points[:, 3]
        distance = np.linalg.norm(xyz, axis=1)
        pixels, depth, (width, height) = self._from_above(xyz) if self.above else self._seen(xyz, shot)
        pixels = pixels.astype(np.float32)  # first: rounding takes a position just inside the right edge onto it
        kept = (depth > 0) & (distance >= self.range[0]) & (distance <= self.range[1])
        kept &= ((pixels >= 0) & (pixels < (width, height))).all(1)
        if kept.sum() < _FEWEST:
            raise ValueError(
                f"{path}: {int(kept.sum())} of {len(xyz)} points fall into the {width}x{height} frame within {self.range} metres; "
                f"do the calibration ({shot.calibration}), its camera ('{self.camera}') and the scan's axes belong together?"
            )
        values = np.stack([distance, xyz[:, 2], intensity * self.intensity_scale], 1).astype(np.float32)
        points = Points(pixels[kept], depth[kept].astype(np.float32), values[kept], (height, width))
        return unoccluded(points, self.occlusion, 0.1) if self.occlusion and not self.above else points

    def place(self, content: Points, matrix: Matrix, size: tuple[int, int], crop: Box) -> NDArray[Any]:
        if self.above and crop != (0, 0, content.shape[1], content.shape[0]):
            raise ValueError(f"lidar '{self.name}': a bird's-eye view has no crop, crops are in the camera's frame; got {crop}")
        drawn = splat(content, matrix, size, crop)
        valid = densify(drawn, self.densify)
        columns = {"range": 0, "height": 1, "intensity": 2}
        placed = np.empty((*size, self.channels), np.float32)
        for channel, name in enumerate(self.outputs):
            if name in columns:
                placed[..., channel] = np.where(valid, drawn.values[..., columns[name]], np.float32(np.nan))
            else:
                placed[..., channel] = np.log1p(drawn.count) if name == "density" else valid
        return placed

    def jitter(self, image: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """Lost returns and range noise."""
        empty = np.where(self.counted, np.float32(0), np.float32(np.nan))
        lost = rng.random(image.shape[:2], np.float32) < self.dropout * rng.random()
        changed = image.copy()
        if "range" in self.outputs:
            distance = changed[..., self.outputs.index("range")]
            there = ~np.isnan(distance)
            distance[there] += rng.standard_normal(int(there.sum()), np.float32) * np.float32(self.noise)
        changed[lost] = empty
        return changed

    def show(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """The first output from near (yellow) to far (purple), OpenCV's plasma turned round; black where nothing was seen."""
        channel = image[..., 0]
        low, high = self.range if self.outputs[0] == "range" else (self.mean[0] - 2 * self.std[0], self.mean[0] + 2 * self.std[0])
        grey = 255 - np.clip((channel - low) * (255.0 / (high - low)), 0, 255).astype(np.uint8)
        picture = cv2.applyColorMap(grey, cv2.COLORMAP_PLASMA)[..., ::-1].copy()
        unseen = image[..., self.outputs.index("valid")] == 0 if "valid" in self.outputs else channel == np.float32(self.outside[0])
        picture[unseen] = 0
        return np.ascontiguousarray(picture, np.uint8)

    def ranges(self, spread: int) -> LiDAR:
        return replace(self, outputs=("range",), mean=(), std=(), densify=spread)

    def _seen(self, xyz: NDArray[np.float64], shot: Shot) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, int]]:
        if shot.calibration is None:
            raise ValueError(f"{shot.only}: project='camera' needs the row's calibration; fill its cell, or set project = 'above'")
        camera = read_calibration(shot.calibration, self.camera)
        size = camera.size if min(camera.size) > 0 else self.size
        if min(size) < 1:
            raise ValueError(f"{shot.calibration}: does not state the image's size; set size = [width, height] in [modalities.{self.name}]")
        return *camera.project(xyz), size

    def _from_above(self, xyz: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, int]]:
        x_from, x_to, y_from, y_to = self.area
        pixels = np.stack([(y_to - xyz[:, 1]) / self.cell, (x_to - xyz[:, 0]) / self.cell], 1).astype(np.float64)
        height, width = (max(round((stop - start) / self.cell), 1) for start, stop in ((x_from, x_to), (y_from, y_to)))
        return pixels, xyz[:, 2].max() + 1.0 - xyz[:, 2].astype(np.float64), (width, height)


def _one_field(scans: Sequence[tuple[Path, Scan]]) -> str:
    """The field that holds the intensity in all scans that name their fields, empty where none has one; `ValueError` if they differ."""
    named = {scan.intensity: (path, scan) for path, scan in scans if scan.fields}
    if len(named) > 1:
        files = (f"{path} has {repr(field) if field else 'none'} among {list(scan.fields)}" for field, (path, scan) in named.items())
        raise ValueError(
            f"the intensity has more than one name, so scales may differ: {' and '.join(files)}. Keep the files of one driver, or set"
            " intensity_field = '' to take each under its own name"
        )
    return next(iter(named), "")
