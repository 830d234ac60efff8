"""Images from anywhere, as a student's view: no manifest, no other sensor."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Final

import numpy as np
import torch

from xkd.batch import View
from xkd.data.clips import check_strip
from xkd.data.sample import Sample
from xkd.geometry import IDENTITY, Box
from xkd.modalities.clip import Clip
from xkd.modality import Shot, filled
from xkd.packed import is_there, packed_below

CROP: Final = ("left", "top", "right", "bottom")


def find_images(places: list[str], view: View) -> dict[Path, Path]:
    """Files as given, folders searched, each with its name below the folder that it was found in.

    `FileNotFoundError` for a place that is not there or holds nothing that the view's sensor could have made.
    """
    suffixes = sorted({suffix for sensor in view.sensors for suffix in sensor.suffixes})
    images: dict[Path, Path] = {}
    for place in map(Path, places):
        packed = packed_below(place)
        if not (place.exists() or packed or is_there(place)):
            raise FileNotFoundError(f"no file or folder {place}")
        searched = place.is_dir() or bool(packed)
        files = sorted(path for path in (*place.rglob("*"), *packed) if path.suffix.lower() in suffixes) if searched else [place]
        if not files:
            raise FileNotFoundError(f"no image in {place}; looked for {', '.join(suffixes)}")
        images.update({path: path.relative_to(place) if searched else Path(path.name) for path in files})
    return images


def read_crops(table: Path) -> list[tuple[Path, Box]]:
    """The lines of a CSV with columns file, left, top, right, bottom (pixels of the image); files are found from the table's folder.

    `ValueError` names the table, the line and what is legal.
    """
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in ("file", *CROP) if name not in (reader.fieldnames or [])]:
            raise ValueError(f"{table} has no columns {missing}; it needs file, {', '.join(CROP)}, and has {reader.fieldnames}")
        crops = [_crop(table, number, line) for number, line in enumerate(reader, start=2)]
    if not crops:
        raise ValueError(f"{table} has no line below its header")
    return crops


def _crop(table: Path, number: int, line: Mapping[str, str]) -> tuple[Path, Box]:
    path = table.parent / (line["file"] or "").replace("\\", "/")
    try:
        left, top, right, bottom = (float(line[name]) for name in CROP)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{table}, line {number}: {', '.join(CROP)} must be numbers, in pixels of the image") from error
    if not (isfinite(left + top + right + bottom) and left < right and top < bottom):
        raise ValueError(f"{table}, line {number}: left {left:g} < right {right:g} and top {top:g} < bottom {bottom:g} must hold")
    if max(right - left, bottom - top) < 1:
        raise ValueError(f"{table}, line {number}: the crop is smaller than a pixel; write pixels of the image, not shares of it")
    if not is_there(path):
        raise FileNotFoundError(f"{table}, line {number}: no file {path}")
    return path, Box(left, top, right, bottom)


def read_sample(path: Path, view: View, crop: Box | None = None) -> Sample:
    """One image or its `crop`, resized to the view as in evaluation; unlabelled. Errors name the file."""
    return read_framed(path, view, crop)[0]


def read_framed(path: Path, view: View, crop: Box | None = None) -> tuple[Sample, Box, tuple[int, int]]:
    """The same with the part of the image that is seen, in its pixels, and its (width, height)."""
    if len(view.sensors) > 1:
        raise ValueError(
            f"{path}: this network sees {view.modality.name} together, one file cannot hold them: use a data set and `xkd test`"
        )
    [sensor] = view.sensors
    content = sensor.read(Shot((path,)))
    height, width = content.shape[:2]
    if isinstance(sensor, Clip) and not crop:
        check_strip(path, sensor, (height, width), view.size)
    crop = crop or Box(0, 0, width, height)
    if crop.x2 <= 0 or crop.y2 <= 0 or crop.x1 >= width or crop.y1 >= height:
        raise ValueError(f"{path}: crop {tuple(crop)} lies outside its image of {width}x{height}")
    pixels = sensor.place(content, IDENTITY, view.size, crop)
    sample = Sample(
        views={view.name: torch.from_numpy(np.ascontiguousarray(filled(pixels, sensor))).permute(2, 0, 1)},
        present={view.name: True},
        target=torch.tensor(-1),
        labelled=False,
        mask=torch.zeros(1, *view.size),
        masked=False,
        index=0,
        draw=-1,
        boxes=torch.zeros(0, 4),
        meta={"id": path.name},
    )
    return sample, crop, (width, height)
