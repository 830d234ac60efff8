"""Pictures of pairs to look at: a checkerboard, the edges of one sensor on the other, points on the image."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.data.check.frames import Frame, grey, read_frame
from xkd.data.manifest import Manifest
from xkd.data.region import read_codes, region
from xkd.data.rows import Row
from xkd.modality import Scans, filled

_WIDTH: Final = 480  # pixels of a picture,
_WIDE: Final = 960  # of one that is more than twice as wide as high
_SQUARES: Final = 8  # of the checkerboard, along the longer side
_EDGE: Final = (0, 255, 255)  # no leaf, road or inferno has it
_BOX: Final = (255, 255, 255)
_EDGE_SHARE: Final = 92.0  # percentile of the gradient above which a pixel is drawn as an edge


@dataclass(frozen=True)
class Overlay:
    """One sampled row: its name and its pictures, each with a title, (H, W, 3) RGB."""

    row: str
    note: str
    pictures: tuple[tuple[str, NDArray[np.uint8]], ...]


def draw_overlays(manifest: Manifest, rows: Sequence[Row], notes: Sequence[str]) -> list[Overlay]:
    """All sensors of each row as a person sees them, and what lies on what, for each pair that shares a frame."""
    return [_overlay(manifest, read_frame(manifest, row), note) for row, note in zip(rows, notes, strict=True)]


def in_camera(frame: Frame, name: str) -> bool:
    """Whether the sensor's frame is the camera's: a bird's-eye view is not."""
    sensor = frame.contents[name][0]
    return not (isinstance(sensor, Scans) and sensor.above)


def _overlay(manifest: Manifest, frame: Frame, note: str) -> Overlay:
    sizes = {name: _picture_size(frame.size(name)) for name in frame.contents}
    shown = {name: frame.contents[name][0].show(filled(frame.placed(name, size), frame.contents[name][0])) for name, size in sizes.items()}
    pictures = [(name, _scan_picture(frame, name, size) if _is_scan(frame, name) else shown[name]) for name, size in sizes.items()]
    for first, second in itertools.combinations([name for name in frame.contents if in_camera(frame, name)], 2):
        scans = [name for name in (first, second) if _is_scan(frame, name)]
        if len(scans) == 1:
            image = first if scans[0] == second else second
            pictures.append((f"{scans[0]} on {image}", _points_on(frame, scans[0], shown[image], sizes[image])))
            pictures.append((f"edges of {scans[0]} on {image}", edges_on(shown[image], grey(frame, scans[0], frame.size(scans[0])))))
        elif not scans:
            size = sizes[first]
            other = shown[second] if sizes[second] == size else cv2.resize(shown[second], size[::-1], interpolation=cv2.INTER_LINEAR)
            pictures.append((f"checkerboard of {first} and {second}", checkerboard(shown[first], np.asarray(other, np.uint8))))
            pictures.append((f"edges of {second} on {first}", edges_on(shown[first], grey(frame, second, size))))
    if frame.row.mask or frame.row.boxes:
        name = next(iter(frame.contents))
        pictures.append(
            (
                " and ".join(what for what, there in (("mask", frame.row.mask), ("boxes", frame.row.boxes)) if there),
                _annotated(manifest, frame, name, shown[name]),
            )
        )
    return Overlay(frame.row.id, note, tuple(pictures))


def checkerboard(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Squares of two (H, W, 3) pictures in turn: a line that breaks at their borders is a misalignment."""
    height, width = first.shape[:2]
    side = max(max(height, width) // _SQUARES, 1)
    rows, columns = np.indices((height, width)) // side
    return np.where(((rows + columns) % 2 == 0)[..., None], first, second)


def edges_on(picture: NDArray[np.uint8], image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The strongest edges of an image, NaN where it saw nothing, drawn on a darkened grey copy of a picture of the same frame."""
    there = np.isfinite(image)
    smooth = cv2.GaussianBlur(np.where(there, image, np.median(image[there])) if there.any() else np.zeros_like(image), (0, 0), 1.5)
    across, down = cv2.Scharr(smooth, cv2.CV_32F, 1, 0), cv2.Scharr(smooth, cv2.CV_32F, 0, 1)
    largest = max(float(np.abs(across).max()), float(np.abs(down).max()), 1e-12)
    # Canny takes whole numbers
    whole = [np.rint(part * (16000 / largest)).astype(np.int16) for part in (across, down)]
    limit = float(np.percentile(np.abs(whole[0].astype(np.int32)) + np.abs(whole[1].astype(np.int32)), _EDGE_SHARE))
    lines = cv2.Canny(whole[0], whole[1], 0.4 * limit, max(limit, 1.0)) > 0
    inner = cv2.erode(there.astype(np.uint8), np.ones((5, 5), np.uint8), borderType=cv2.BORDER_REPLICATE) > 0
    drawn = np.repeat((picture.mean(2, keepdims=True) * 0.75).astype(np.uint8), 3, axis=2)
    kept = (lines & inner).astype(np.uint8)
    drawn[cv2.resize(kept, drawn.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0] = _EDGE
    return drawn


def _points_on(frame: Frame, name: str, picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    points = _scan_picture(frame, name, size)
    there = points.any(2, keepdims=True)
    return np.where(there, 0.4 * picture + 0.6 * points, 0.7 * picture).astype(np.uint8)


def _scan_picture(frame: Frame, name: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A scan's range as dots of two pixels, so that they are seen in a small picture; black where there is none."""
    sensor, content = frame.contents[name]
    assert isinstance(sensor, Scans)
    dots = sensor.ranges(0)
    placed = Frame(frame.row, {name: (dots, content)}).placed(name, size)
    there = ~np.isnan(placed[..., 0])
    near, far = np.percentile(placed[there], (5, 95)) if there.any() else dots.range
    low, high = dots.range
    if far > near:  # from near to far, whatever the ordinary range
        placed = low + (placed - near) * np.float32((high - low) / (far - near))
    picture = dots.show(filled(placed, dots))
    picture[~there] = 0
    return np.asarray(cv2.dilate(picture, np.ones((2, 2), np.uint8)), np.uint8)


def _annotated(manifest: Manifest, frame: Frame, name: str, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    drawn = (picture * 0.75).astype(np.uint8)
    height, width = drawn.shape[:2]
    if frame.row.mask and manifest.mask is not None:
        share = cv2.resize(
            region(read_codes(manifest.root / frame.row.mask), manifest.mask, manifest.mask.positive),
            (width, height),
            interpolation=cv2.INTER_AREA,
        )
        lines, _ = cv2.findContours((share >= 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, lines, -1, _EDGE, 1)
    own = frame.size(name)
    frame_width, frame_height = manifest.pairs.size if not manifest.pairs.same_size and manifest.pairs.size else own[::-1]
    for box, _ in frame.row.boxes or ():
        corners = np.array(box).reshape(2, 2) * (width / frame_width, height / frame_height)
        (x1, y1), (x2, y2) = np.rint(corners).astype(int).tolist()
        cv2.rectangle(drawn, (x1, y1), (x2, y2), _BOX, 1)
    return drawn


def _is_scan(frame: Frame, name: str) -> bool:
    return isinstance(frame.contents[name][0], Scans) and in_camera(frame, name)


def _picture_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of a picture of a frame: `_WIDTH` wide, small frames enlarged too, so that pictures stand side by side."""
    height, width = size
    across = _WIDE if width > 2 * height else _WIDTH
    return max(round(height * across / width), 1), across
