"""Make the crop/weed images of CWFID into a data set: the red band as the camera, NDVI of red and near infrared beside it.

    python datasets/cwfid_red_nir/prepare.py --source DIR
    python datasets/cwfid_red_nir/prepare.py --source DIR --task frames
    python datasets/cwfid_red_nir/prepare.py --source DIR --degrade blur --strength 3

README.md beside this file says what DIR has to hold.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from zlib import crc32

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.data.write import new_dataset, read_table, write_rows
from xkd.geometry import Box
from xkd.modalities import RGB, Multispectral
from xkd.modalities.files import read_image
from xkd.modality import Modality, Shot

TASKS = {"crops": ("soil", "crop", "weed"), "frames": ("crop", "weed")}  # their classes
NATIVE = (1296, 966)  # width and height of the original frames, in whose pixels crops.csv gives its windows
NEEDED = ("frames", "crops", "frames.csv", "crops.csv")

NONE: Final = "none"
KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        NONE: "the camera as it is",
        "blur": "radius of the disc of defocus in pixels of the written image, 0 to 20",
        "dust": "share of the light that a speck takes away at its centre, 0 to 1",
        "exposure": "stops, -8 to 8; below 0 too dark, above 0 too light",
    }
)
# the camera's counts are taken as proportional to light
_LIMITS: Final = {"blur": (0.0, 20.0), "dust": (0.0, 1.0), "exposure": (-8.0, 8.0)}
_SUBPIXELS: Final = 8  # per side, of the disc's kernel
_SPECKS: Final = 60  # on the lens
_RADII: Final = (0.015, 0.06)  # of a speck, least and largest, as shares of the frame's width
_ASPECT: Final = 1296 / 966  # width of the frame over its height
_FULL_WELL: Final = 5000.0  # electrons at 255 counts: a small industrial sensor
_READ_NOISE: Final = 12.0  # electrons

TOML = """name = "{name}"
licence = "CWFID: non-commercial research only, to be cited; redistribution not granted"
source = "Haug and Ostermann, ECCV 2014 workshops, doi 10.1007/978-3-319-16220-1_8"
labels = "single"
classes = {classes}

[modalities.rgb]
sensor = "rgb"
mean = {rgb_mean}
std = {rgb_std}

[modalities.ndvi]
sensor = "multispectral"
bands = ["red", "nir"]
outputs = ["ndvi"]
mean = {ndvi_mean}
std = {ndvi_std}

[mask]
values = {{ soil = 0, crop = 1, weed = 2, unknown = 3 }}
positive = ["crop", "weed"]
ignore = ["unknown"]
"""


@dataclass(frozen=True)
class Picture:
    """One row, where its files are in the source and which part of the lens it was seen through."""

    row: dict[str, str]
    files: dict[str, str]  # path in the data set -> path in the source
    window: Box  # 0..1 of the frame


def prepare(source: Path, out: Path, task: str = "crops", kind: str = NONE, strength: float | None = None, seed: int = 0) -> int:
    """Write the data set, the camera's images degraded if `kind` says so; returns the number of rows."""
    check(kind, strength)
    if task not in TASKS:
        raise ValueError(f"unknown task '{task}'; tasks are {list(TASKS)}")
    if missing := [name for name in NEEDED if not (source / name).exists()]:
        raise FileNotFoundError(f"{source}: lacks {missing}; README.md beside this script describes the layout {list(NEEDED)}")
    pictures = _crops(source) if task == "crops" else _frames(source)
    with new_dataset(out) as draft:
        for folder in ("red", "nir", "mask"):
            (draft / folder).mkdir()
        for picture in pictures:
            for there, here in picture.files.items():
                shutil.copyfile(source / here, draft / there)
        if strength is not None:
            (draft / "camera").mkdir()
            for picture in pictures:
                _degrade(draft, picture, kind, strength, seed)
        rows = [picture.row for picture in pictures]
        write_rows(draft, rows)
        suffix = "" if strength is None else f", camera degraded by {kind} {strength:g}"
        (draft / "manifest.toml").write_text(_toml(draft, [row for row in rows if row["split"] == "train"], task, suffix), "utf-8")
    return len(rows)


def _crops(source: Path) -> list[Picture]:
    pictures = []
    for entry in read_table(source / "crops.csv"):
        left, top, side = (float(entry[key]) for key in ("x0", "y0", "win"))
        window = Box(left / NATIVE[0], top / NATIVE[1], (left + side) / NATIVE[0], (top + side) / NATIVE[1])
        extra = {"label": entry["label"], "frame": entry["frame"], "purity": entry["own_class_frac_of_plants"]}
        pictures.append(_picture(entry["id"], f"crops/{entry['label']}/{entry['id']}", entry, extra, window))
    return pictures


def _frames(source: Path) -> list[Picture]:
    whole = Box(0.0, 0.0, 1.0, 1.0)
    return [_picture(entry["frame"], f"frames/{entry['frame']}", entry, {}, whole) for entry in read_table(source / "frames.csv")]


def _picture(name: str, stem: str, entry: dict[str, str], extra: dict[str, str], window: Box) -> Picture:
    files = {f"{kind}/{name}.png": f"{stem}_{kind}.png" for kind in ("red", "nir", "mask")}
    red, nir, mask = files
    row = {"id": name, "split": entry["split"], "group": entry["frame"], "rgb": red, "ndvi": f"{red};{nir}", "mask": mask}
    return Picture(row | extra, files, window)


def _degrade(root: Path, picture: Picture, kind: str, strength: float, seed: int) -> None:
    """Write the camera's worse image and let the row name it; the second sensor keeps the clean band."""
    red = read_image(root / picture.row["rgb"], cv2.IMREAD_UNCHANGED)
    if red.ndim != 2 or red.dtype != np.uint8:
        raise ValueError(
            f"{root / picture.row['rgb']}: the red band is an 8-bit grey image, this one has shape {red.shape} and {red.dtype}"
        )
    picture.row["rgb"] = f"camera/{picture.row['id']}.png"
    image = degraded(red, kind, strength, picture.window, (seed, picture.row["id"]))
    if not cv2.imwrite(str(root / picture.row["rgb"]), image):
        raise OSError(f"{root / picture.row['rgb']}: could not be written")


def check(kind: str, strength: float | None) -> None:
    """`ValueError` for an unknown kind, and for a strength that is missing, not wanted or out of its range."""
    if kind not in KINDS:
        raise ValueError(f"unknown degradation '{kind}'; there are {list(KINDS)}")
    if kind == NONE:
        if strength is not None:
            raise ValueError(f"a strength ({strength:g}) needs a degradation; there are {list(_LIMITS)}")
        return
    low, high = _LIMITS[kind]
    if strength is None or not low <= strength <= high:
        raise ValueError(f"{kind} needs a strength, {low:g} to {high:g} ({KINDS[kind]}); got {strength}")


def degraded(image: NDArray[np.uint8], kind: str, strength: float, window: Box, key: tuple[int, str]) -> NDArray[np.uint8]:
    """(H, W) counts of a camera's image, made worse; `window` is its place in the frame (0..1), `key` the seed and the image's name.

    Dust lies on the lens: it depends on the seed and the window, not on the name.
    """
    light: NDArray[np.float32] = image.astype(np.float32)
    if kind == "blur":
        light = np.asarray(cv2.filter2D(light, -1, _disc(strength), borderType=cv2.BORDER_REFLECT_101), np.float32)
    elif kind == "dust":
        light *= 1 - np.float32(strength) * _dust((image.shape[0], image.shape[1]), window, key[0])
    elif kind == "exposure":
        light = _exposed(light, strength, np.random.default_rng([key[0], crc32(key[1].encode())]))
    else:
        raise ValueError(f"unknown degradation '{kind}'; there are {list(_LIMITS)}")
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def _disc(radius: float) -> NDArray[np.float32]:
    """The image of a point out of focus: a disc, by the share of each pixel that it covers; sums to 1."""
    reach = int(np.ceil(radius))
    fine = (np.arange((2 * reach + 1) * _SUBPIXELS) + 0.5) / _SUBPIXELS - reach - 0.5
    inside = np.hypot(fine[:, None], fine) <= max(radius, 0.5)  # less than a pixel is a pixel
    kernel = inside.reshape(2 * reach + 1, _SUBPIXELS, 2 * reach + 1, _SUBPIXELS).mean((1, 3))
    return np.asarray(kernel / kernel.sum(), np.float32)


@lru_cache(maxsize=1)  # whole frames share it
def _dust(size: tuple[int, int], window: Box, seed: int) -> NDArray[np.float32]:
    """(H, W) share of the light that is taken away, 0..1: soft specks at fixed places of the frame, far out of focus."""
    rng = np.random.default_rng([seed, _SPECKS])
    x, y = (window.x1 + (np.arange(size[1]) + 0.5) / size[1] * (window.x2 - window.x1)), np.arange(size[0]) + 0.5
    y = (window.y1 + y / size[0] * (window.y2 - window.y1)) / _ASPECT
    clear = np.ones(size, np.float32)
    for _ in range(_SPECKS):
        across, down, share, density = rng.random(4)
        radius = _RADII[0] + (_RADII[1] - _RADII[0]) * share
        if not (x[0] - radius < across < x[-1] + radius and y[0] - radius < down / _ASPECT < y[-1] + radius):
            continue
        distance = np.hypot(x - across, y[:, None] - down / _ASPECT) / radius
        clear *= (1 - (0.5 + 0.5 * density) * np.clip(1 - distance**2, 0, 1) ** 2).astype(np.float32)
    return 1 - clear


def _exposed(light: NDArray[np.float32], stops: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Another exposure time: photon noise of what arrives, read noise, and clipping (by the caller)."""
    electrons = light * np.float32(2.0**stops * _FULL_WELL / 255)
    noise = np.sqrt(electrons + np.float32(_READ_NOISE**2)) * rng.standard_normal(light.shape, np.float32)
    return np.asarray((electrons + noise) * np.float32(255 / _FULL_WELL), np.float32)


def _toml(root: Path, rows: list[dict[str, str]], task: str, suffix: str) -> str:
    """With the mean and standard deviation of both sensors over the train images."""
    quoted = "[" + ", ".join(f'"{name}"' for name in TASKS[task]) + "]"
    rgb_mean, rgb_std = _mean_std(root, rows, RGB())
    ndvi_mean, ndvi_std = _mean_std(root, rows, Multispectral())
    return TOML.format(
        name=f"cwfid_red_nir, {task}{suffix}",
        classes=quoted,
        rgb_mean=rgb_mean,
        rgb_std=rgb_std,
        ndvi_mean=ndvi_mean,
        ndvi_std=ndvi_std,
    )


def _mean_std(root: Path, rows: list[dict[str, str]], sensor: Modality) -> tuple[list[float], list[float]]:
    moments = []
    for row in rows:
        pixels: NDArray[Any] = sensor.read(Shot(tuple(root / path for path in row[sensor.name].split(";")))).astype(np.float64)
        moments.append([np.nanmean(pixels, (0, 1)), np.nanmean(np.square(pixels), (0, 1))])
    mean, square = np.mean(moments, 0)
    return [round(float(value), 4) for value in mean], [round(float(value), 4) for value in np.sqrt(square - mean**2)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder with frames/ crops/ frames.csv crops.csv")
    parser.add_argument("--out", type=Path, help="folder to make (data/cwfid_red_nir, with the task and the degradation in its name)")
    parser.add_argument("--task", choices=list(TASKS), default="crops", help="crops with a label, or frames with a mask (%(default)s)")
    parser.add_argument("--degrade", choices=list(KINDS), default=NONE, help="make the camera worse (%(default)s)")
    parser.add_argument("--strength", type=float, help="; ".join(f"{kind}: {words}" for kind, words in KINDS.items() if kind != NONE))
    parser.add_argument("--seed", type=int, default=0, help="of dust and noise (%(default)s)")
    arguments = parser.parse_args()
    parts = ["cwfid_red_nir", *["frames"] * (arguments.task == "frames")]
    if arguments.degrade != NONE and arguments.strength is not None:
        parts.append(f"{arguments.degrade}{arguments.strength:g}")
    out = arguments.out or Path("data") / "_".join(parts)
    try:
        number = prepare(arguments.source, out, arguments.task, arguments.degrade, arguments.strength, arguments.seed)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{out}: written; {number} rows")


if __name__ == "__main__":
    main()
