"""KITTI's object layout: camera, scanner, calibration and boxes, a file of each per frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import cv2

from xkd.data.prepare.crops import crops_of
from xkd.data.prepare.labels import check_classes
from xkd.data.prepare.listing import list_files
from xkd.data.prepare.records import Contents, File, Record, Table
from xkd.data.text import read_text
from xkd.geometry import Box
from xkd.modalities import RGB, LiDAR
from xkd.modalities.calibration import Camera, read_calibration
from xkd.modalities.files import read_image

_FOLDERS: Final = {  # what is in them -> KITTI's name, and the plain one
    "images": ("image_2", "image"),
    "scans": ("velodyne", "lidar"),
    "calibrations": ("calib", "calib"),
    "labels": ("label_2", "label"),
}
_CAMERA: Final = "P2"  # the left colour camera, whose images these are
_NO_OBJECT: Final = "DontCare"
_TABLES: Final[Mapping[str, Table]] = {
    "rgb": {"sensor": "rgb"},
    "lidar": {"sensor": "lidar", "outputs": ["range", "intensity", "valid"], "range": [0.0, 80.0]},
}

Boxes = tuple[tuple[Box, str], ...]


@dataclass(frozen=True)
class Kitti:
    """`classes` are the objects that become boxes, all but DontCare where none are named; `crops` makes a row per box."""

    root: Path
    classes: tuple[str, ...] = ()
    crops: bool = False


def find_in_kitti(kitti: Kitti) -> Contents:
    """A row per frame, with columns rgb, lidar, calibration and boxes; or per box, labelled, with the square about it as crop.

    The calibration becomes a `.json` that states its image's size too. A scan without a calibration is left out.
    """
    folders = {part: _folder(kitti.root, names) for part, names in _FOLDERS.items()}
    images, other_images = list_files(folders["images"], RGB.suffixes)
    scans, other_scans = list_files(folders["scans"], LiDAR.suffixes)
    left_out = Counter({"file that is no image or scan": other_images + other_scans})
    annotated = {path.stem: read_boxes(path) for path in sorted(folders["labels"].glob("*.txt"))}
    names = {name for boxes in annotated.values() for _, name in boxes if name != _NO_OBJECT}
    classes = kitti.classes or tuple(sorted(names))
    check_classes(classes)
    if _NO_OBJECT in classes:
        raise ValueError(f"{_NO_OBJECT} is no object but an area that nobody looked at; the labels hold {sorted(names)}")
    records: list[Record] = []
    for frame in sorted(images.keys() | scans.keys()):
        record = _frame(frame, images.get(frame), scans.get(frame), folders["calibrations"] / f"{frame}.txt", left_out)
        if frame in annotated:
            kept = []
            for box, name in annotated[frame]:
                if name == _NO_OBJECT:
                    continue
                if name not in classes:
                    left_out[f"box of '{name}'"] += 1
                elif box.x2 <= box.x1 or box.y2 <= box.y1:
                    left_out["box without an area"] += 1
                else:
                    kept.append((box, name))
            unseen = tuple(box for box, name in annotated[frame] if name == _NO_OBJECT and box.x2 > box.x1 and box.y2 > box.y1)
            left_out["area that nobody looked at (DontCare): left out where a detector learns and is judged"] += len(unseen)
            record = replace(record, boxes=tuple(kept), ignored=unseen)
        if kitti.crops:
            left_out["frame without a box to crop"] += not record.boxes
            records += crops_of(record)
        else:
            records.append(record)
    left_out["label file without an image or a scan"] += len(annotated.keys() - images.keys() - scans.keys())
    if not records:
        raise ValueError(f"{folders['labels']}: no box of {list(classes)}; the labels hold {sorted(names)}")
    return Contents(sensors=_TABLES, records=tuple(records), classes=classes, left_out=+left_out)


def read_boxes(path: Path) -> Boxes:
    """The 2D boxes of a KITTI label file with their types, DontCare too; `ValueError` names file and line."""
    boxes = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            # KITTI counts from the centre of the first pixel, a manifest from its corner
            box = Box(*(float(word) + 0.5 for word in words[4:8]))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{path}, line {number}: '{line}' is no KITTI object: type, truncated, occluded, alpha, x1 y1 x2 y2 ..."
            ) from error
        boxes.append((box, words[0]))
    return tuple(boxes)


def _folder(root: Path, names: tuple[str, str]) -> Path:
    if not (folders := [root / name for name in names if (root / name).is_dir()]):
        raise NotADirectoryError(
            f"{root}: has no folder '{names[0]}' (or '{names[1]}'); KITTI's are {[pair[0] for pair in _FOLDERS.values()]}"
        )
    return folders[0]


def _frame(frame: str, image: File | None, scan: File | None, calibration: Path, left_out: Counter[str]) -> Record:
    files = {"rgb": (image,)} if image else {}
    if not calibration.is_file():
        left_out["scan without a calibration"] += scan is not None
        return Record(frame, files, frame=frame)
    if scan:
        files["lidar"] = (scan,)
    return Record(frame, files, frame=frame, calibration=partial(_camera, calibration, image))


def _camera(calibration: Path, image: File | None) -> Camera:
    camera = read_calibration(calibration, _CAMERA)
    if image is None:
        return camera
    height, width = read_image(image.path, cv2.IMREAD_COLOR).shape[:2]
    return replace(camera, size=(width, height))
