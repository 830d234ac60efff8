"""Label Studio's JSON export: rectangles, ellipses, polygons and brushes of tasks with one image each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

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

_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")


def read_label_studio(places: Sequence[Path]) -> Annotations:
    """Each file, or each `.json` below a folder: the full export, not JSON-MIN.

    A task that was submitted without regions says that there is nothing, one without an annotation that nobody looked. Of several
    annotators the first one's is taken. `ValueError` names the file and the task.
    """
    left_out, pictures = Counter[str](), []
    for path, _ in files_of(places, ".json"):
        tasks = read_json(path)
        if not isinstance(tasks, list) or not all(isinstance(task, dict) and "data" in task and "annotations" in task for task in tasks):
            raise ValueError(f"{path}: is no list of tasks with 'data' and 'annotations'; export as JSON, not JSON-MIN")
        for number, task in enumerate(tasks):
            try:
                pictures.append(_picture(path, task, left_out))
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise ValueError(f"{path}: task {task.get('id', number)} is not read: {error}") from error
    return of_pictures(pictures, left_out=left_out)


def _picture(path: Path, task: Mapping[str, Any], left_out: Counter[str]) -> AnnotatedImage:
    done = [entry for entry in task["annotations"] if not entry.get("was_cancelled")]
    left_out["annotation of a further annotator"] += max(len(done) - 1, 0)
    things: list[Thing] = []
    size: Size | None = None
    for region in done[0]["result"] if done else ():
        kind, value = region.get("type", ""), region.get("value", {})
        labels = value.get(kind) or []
        if kind not in ("rectanglelabels", "ellipselabels", "polygonlabels", "brushlabels") or not labels:
            left_out[f"result of type '{kind}', which is not read"] += 1
            continue
        if region.get("image_rotation"):
            raise ValueError(f"its image was turned by {region['image_rotation']} degrees in the tool; turn the file instead")
        size = (int(region["original_width"]), int(region["original_height"]))
        left_out["further label of a region"] += len(labels) - 1
        thing = _thing(kind, str(labels[0]), value, size)
        left_out["brush without a pixel"] += thing is None
        things += [thing] if thing else []
    return AnnotatedImage(_name(task["data"]), size, tuple(things), str(path), looked=bool(done))


def _name(data: Mapping[str, Any]) -> str:
    """The path in what the task shows: a URL, an uploaded file, or one of the local storage (`?d=`)."""
    texts = [value for value in data.values() if isinstance(value, str)]
    for text in texts:
        parts = urlsplit(text.replace("\\", "/"))
        name = plain_path(unquote(parse_qs(parts.query).get("d", [parts.path])[0]))
        if name.lower().endswith(_SUFFIXES):
            return name
    raise ValueError(f"none of its data is an image: {texts}")


def _thing(kind: str, label: str, value: Mapping[str, Any], size: Size) -> Thing | None:
    if kind == "brushlabels":
        if value.get("format") != "rle":
            raise ValueError(f"a brush of format '{value.get('format')}'; 'rle' is read")
        mask = decode_brush(value["rle"], size)
        if not mask.any():
            return None
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = box_about([(int(columns[0]), int(rows[0])), (int(columns[-1]) + 1, int(rows[-1]) + 1)])
        return Thing(label, box, run_lengths(mask))
    across, down = size[0] / 100, size[1] / 100  # positions are in per cent
    if kind == "polygonlabels":
        points = [(x * across, y * down) for x, y in value["points"]]
    else:
        cos, sin = (turn(math.radians(value.get("rotation", 0))) for turn in (math.cos, math.sin))
        x, y = value["x"] * across, value["y"] * down  # a rectangle turns about its first corner, an ellipse about its centre
        if kind == "rectanglelabels":
            width, height = value["width"] * across, value["height"] * down
            offsets = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
        else:
            offsets = ellipse((0.0, 0.0), value["radiusX"] * across, value["radiusY"] * down)
        points = [(x + dx * cos - dy * sin, y + dx * sin + dy * cos) for dx, dy in offsets]
    return Thing(label, box_about(points), [flat(points)])


def decode_brush(rle: Sequence[int], size: Size) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(H, W) of Label Studio's run lengths: thi.ng/rle-pack over the bytes of an RGBA picture, whose alpha is the mask.

    A header of the number of bytes (32 bits), their bits less one (5) and four run sizes less one (4 each); then, for each run, one bit
    whether it repeats one word, two bits for which run size, and its length less one. `ValueError` where it breaks off.
    """
    bits = "".join(f"{byte:08b}" for byte in rle)
    at = 0

    def take(count: int) -> int:
        nonlocal at
        if at + count > len(bits):
            raise ValueError("the run lengths of a brush break off")
        at += count
        return int(bits[at - count : at], 2)

    total, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    if total != size[0] * size[1] * 4:
        raise ValueError(f"a brush of {total} bytes for an image of {size[0]}x{size[1]}")
    values = np.zeros(total, np.uint8)
    place = 0
    while place < total:
        repeats = take(1)
        end = place + 1 + take(sizes[take(2)])
        if end > total:
            raise ValueError("the run lengths of a brush are longer than its image")
        values[place:end] = take(word) if repeats else [take(word) for _ in range(end - place)]
        place = end
    return np.asarray(values.reshape(size[1], size[0], 4)[..., 3] > 0)
