"""Videos: decoded once, a frame at a time, onto an even grid of times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import floor
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

VIDEOS: Final = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")  # suffixes of what is decoded here
_AGAIN: Final = "write it anew, for example by ffmpeg -i OLD -c:v libx264 NEW.mp4, or leave it out with --on-broken skip"
_LOST: Final = 0.05  # of a video's frames that its header may promise too many

Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class Decoded:
    """What a video held: the time of its last frame in seconds, its (width, height), and what a person should know of it."""

    last: float
    size: tuple[int, int]
    told: str = ""


def promised(path: Path) -> int:
    """How many frames the header says there are, 0 where it does not say."""
    capture = cv2.VideoCapture(str(path))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return max(0, count)


def frames_of(path: Path) -> Iterator[tuple[float, Frame]]:
    """(seconds, (H, W, 3) blue first) of each frame, by the file's own times; one frame is in memory at a time.

    `ValueError` names a video that cannot be decoded, whose frames differ in size, or whose times do not rise, and the remedy.
    """
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise ValueError(f"{path}: OpenCV cannot decode this video; {_AGAIN}")
        size, before, number = (0, 0), -1.0, 0
        while (read := capture.read())[0]:
            image, seconds = np.asarray(read[1], np.uint8), capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            shape = (image.shape[1], image.shape[0])
            if number and shape != size:
                raise ValueError(f"{path}: frame {number} is {shape[0]}x{shape[1]}, those before {size[0]}x{size[1]}; {_AGAIN}")
            if seconds <= before:
                raise ValueError(f"{path}: frame {number} is of {seconds:g} s, the one before of {before:g} s: times must rise; {_AGAIN}")
            yield seconds, image
            size, before, number = shape, seconds, number + 1
        if not number:
            raise ValueError(f"{path}: OpenCV decodes no frame of this video; {_AGAIN}")
    finally:
        capture.release()


def extract(
    path: Path, fps: float, wanted: Iterable[int], write: Callable[[int, Frame], Any], tick: Callable[[], Any] = lambda: None
) -> Decoded:
    """Write the frame nearest to each of the `wanted` places of the grid `place / fps` seconds, which rise, as far as there are any.

    `tick` is called after each frame of the video. Raises what `frames_of` does.
    """
    places, before, kept, count = iter(wanted), 0.0, np.zeros((0, 0, 3), np.uint8), 0
    place = next(places, None)
    for seconds, image in frames_of(path):
        while place is not None and count and place / fps <= (before + seconds) / 2:
            write(place, kept)
            place = next(places, None)
        before, kept, count = seconds, image, count + 1
        tick()
    while place is not None and place <= last_place(before, fps):
        write(place, kept)
        place = next(places, None)
    height, width = kept.shape[:2]
    header = promised(path)
    early = header - count > max(1, _LOST * header)
    told = f"{path.name} ends early: {count} of the {header} frames of its header could be decoded, {before:.2f} s" if early else ""
    return Decoded(before, (width, height), told)


def last_place(last: float, fps: float) -> int:
    """The last place of the grid `place / fps` seconds that a video shows whose last frame is of this second."""
    return floor(last * fps + 0.5)


def shrunk(image: Frame, longest: int) -> Frame:
    """The frame with its longer side at most `longest` pixels, 0 for as it is."""
    height, width = image.shape[:2]
    if not longest or max(height, width) <= longest:
        return image
    scale = longest / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
