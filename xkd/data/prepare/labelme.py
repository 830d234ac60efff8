"""LabelMe: a JSON file per image with polygons, rectangles, circles and masks."""

from __future__ import annotations

import base64
import io
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from xkd.data.prepare.annotated import (
    AnnotatedImage,
    Annotations,
    Size,
    Thing,
    box_about,
    ellipse,
    files_of,
    flat,
    of_pictures,
    plain_path,
    read_json,
    run_lengths,
)
from xkd.data.prepare.split_names import split_of


def read_labelme(places: Sequence[Path]) -> Annotations:
    """Each file, or each `.json` below a folder. A file without shapes says that there is nothing; points and lines are left out.

    `ValueError` names the file and the shape.
    """
    left_out = Counter[str]()
    files = files_of(places, ".json")
    splits = {path: split_of(path.relative_to(folder).as_posix()) for path, folder in files}
    given = len(set(splits.values())) > 1
    return of_pictures([_picture(path, folder, splits[path] if given else "", left_out) for path, folder in files], left_out=left_out)


def _picture(path: Path, folder: Path, split: str, left_out: Counter[str]) -> AnnotatedImage:
    table = read_json(path)
    if not isinstance(table, dict) or not isinstance(table.get("shapes"), list):
        raise ValueError(f"{path}: has no list 'shapes'; is it a file of LabelMe?")
    size = (int(table["imageWidth"]), int(table["imageHeight"])) if table.get("imageWidth") and table.get("imageHeight") else None
    things = []
    for number, shape in enumerate(table["shapes"]):
        try:
            thing = _thing(shape, size)
        except (KeyError, TypeError, ValueError, IndexError, UnidentifiedImageError) as error:
            raise ValueError(f"{path}: shapes[{number}] is not read: {error}") from error
        left_out[f"shape of type '{shape.get('shape_type')}', which has no area"] += thing is None
        things += [thing] if thing else []
    file = PurePosixPath(plain_path(str(table.get("imagePath") or path.stem))).name
    name = path.relative_to(folder).with_name(file).as_posix()
    return AnnotatedImage(name, size, tuple(things), str(path), looked=True, split=split)


def _thing(shape: dict[str, Any], size: Size | None) -> Thing | None:
    kind, label, points = shape.get("shape_type", "polygon"), str(shape["label"]), shape["points"]
    if kind == "mask" and size:
        box = box_about(points)
        return Thing(label, box, _mask(str(shape["mask"]), int(box.x1), int(box.y1), size))
    if kind == "rectangle":
        box = box_about(points)
        return Thing(label, box, [[box.x1, box.y1, box.x2, box.y1, box.x2, box.y2, box.x1, box.y2]])
    if kind == "circle":
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        points = ellipse((x, y), radius, radius)
    elif kind not in ("polygon", None) or len(points) < 3:
        return None
    return Thing(label, box_about(points), [flat(points)])


def _mask(text: str, left: int, top: int, size: Size) -> dict[str, Any]:
    """A picture of the box's part of the image."""
    with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
        part = np.asarray(picture.convert("L")) > 0
    whole = np.zeros(size[::-1], np.bool_)
    room = whole[top : top + part.shape[0], left : left + part.shape[1]]
    room[:] = part[: room.shape[0], : room.shape[1]]
    return run_lengths(whole)
