"""What moves: a camera or a video, frame by frame or as clips, and strips of frames; this file stands beside run.py and the ONNX files."""

from __future__ import annotations

import argparse
import importlib
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_UNLIKE: Final = 2.0  # times as wide or as high as the network's frames: not stretched, but cut in wrong places
_NEAR: Final = 0.499  # of the time between two frames; in its middle the later one is taken
_KEPT: Final = 10_000  # of the latest answers the time that each took

Image = NDArray[Any]


def cut(strip: Image, plan: Mapping[str, Any]) -> list[Image]:
    """The network's frames of a strip (height, frames x width, channels): all of them, or where plan.json knows how many a strip

    holds, every one that evaluation took. `ValueError` where it is no such strip.
    """
    clip, (high, wide) = plan["image"]["clip"], plan["input"]["size"]
    number = int(clip["strip"] or clip["frames"])
    height, width = strip.shape[0], strip.shape[1] / number
    if strip.shape[1] % number or not 1 / _UNLIKE <= (width / height) / (wide / high) <= _UNLIKE:
        raise ValueError(
            f"is {strip.shape[1]}x{height}, and the network takes strips of {number} frames side by side, each of about the shape of"
            f" {wide}x{high}: here {width:g}x{height}; 'strip' in plan.json says how many frames a file holds"
        )
    every = clip["every"] if clip["strip"] else 1
    first = (max(0, number - 1 - every * (clip["frames"] - 1)) + 1) // 2  # the middle, as in evaluation
    pictures = np.split(strip, number, axis=1)
    return [pictures[min(first + every * place, number - 1)] for place in range(clip["frames"])]


def prepared(model: Any, clip: Any) -> Image:
    """(1, frames x channels, height, width) of a list of frames, or of all frames of a strip; a frame that stays is prepared once."""
    number = model.plan["image"]["clip"]["frames"]
    frames = clip if isinstance(clip, list) else np.split(clip, number, axis=1)
    if len(frames) != number:
        raise ValueError(f"the network takes {number} frames, got {len(frames)}")
    before = getattr(model, "window", {})
    model.window = {id(frame): before.get(id(frame)) or (frame, model.prepare(frame, alone=True)) for frame in frames}
    return np.concatenate([model.window[id(frame)][1] for frame in frames], axis=1)


class Stream:
    """A camera's number or a video's file until its end or Ctrl-C: name, image and a file for the mask of each frame.

    A network of clips gets a list of frames in the image's place, for each new frame that it takes, and the name ends in their times in
    seconds. They are as far apart as in training, by the video's own times or, of a camera, by the clock; a video that is too short
    repeats its last frame. `OSError` for what shows nothing, `ValueError` where nobody says how far apart frames are.
    """

    def __init__(self, plan: Mapping[str, Any], a: argparse.Namespace) -> None:
        self.source, self.masks, self.suffix = a.video or a.camera, a.masks, plan["answer"]["suffix"]
        self.clip, asked = plan["image"].get("clip"), a.fps
        if asked is not None and (self.clip is None or not 0 < asked < float("inf")):
            raise ValueError(f"--fps is a number above 0, for a network of clips alone; got {asked}")
        fps = asked or (self.clip or {}).get("fps")
        if self.clip and not fps:
            raise ValueError(
                "how many frames a second do the network's clips have? plan.json does not know, as their rates differ or it was exported"
                " without its data: name it, --fps 8"
            )
        self.step = self.clip["every"] / fps if self.clip else 0.0  # seconds
        self.number = self.answers = self.repeated = 0
        self.last = 0.0  # seconds of the stream that are over
        self.began = time.perf_counter()
        self.waited: deque[float] = deque(maxlen=_KEPT)

    def __iter__(self) -> Iterator[tuple[str, Any, Path | None]]:
        cv2 = importlib.import_module("cv2")
        capture = cv2.VideoCapture(self.source)
        images = self._windows(cv2, capture) if self.clip else ((str(self.number), image) for image in self._images(capture))
        for name, image in images:
            read, number = time.perf_counter(), self.number
            yield f"{self.source}#{name}", image, Path(self.masks) / f"{number}{self.suffix}" if self.masks else None
            self.waited.append(time.perf_counter() - read)
            self.answers += 1
        if not self.number:
            raise OSError(f"{'camera' if isinstance(self.source, int) else 'video'} {self.source} cannot be opened, or shows nothing")

    def _images(self, capture: Any) -> Iterator[Image]:
        """With red first; `number` counts those before it."""
        while capture.isOpened() and (read := capture.read())[0]:
            yield read[1][..., ::-1]
            self.number += 1

    def _windows(self, cv2: Any, capture: Any) -> Iterator[tuple[str, list[Image]]]:
        number = self.clip["frames"]
        window: deque[tuple[float, Image]] = deque(maxlen=number)
        due = before = 0.0
        for image in self._images(capture):
            now = time.perf_counter() - self.began if isinstance(self.source, int) else self._time(cv2, capture)
            if not self.number:
                due = before = now
            near = _NEAR * (now - before)  # where the next frame is as far, this one is the nearest
            taken = int((now + near - due) // self.step) + 1
            before = self.last = now
            if taken > 0:
                self.repeated += taken - 1
                due += taken * self.step
                window.extend([(now, image)] * min(taken, number))
                if len(window) == number:
                    yield self._named(window)
        if window and len(window) < number:
            self.repeated += number - len(window)
            window.extend([window[-1]] * (number - len(window)))
            yield self._named(window)

    def _time(self, cv2: Any, capture: Any) -> float:
        """Of the frame that was just read; where the file has no times, by its rate."""
        seconds, rate = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, capture.get(cv2.CAP_PROP_FPS)
        if seconds > self.last or not self.number:
            return float(seconds)
        if not rate > 0:
            raise ValueError(f"video {self.source}: frame {self.number} has no time, and the file states no rate: convert it first")
        return float(self.last + 1 / rate)

    def _named(self, window: deque[tuple[float, Image]]) -> tuple[str, list[Image]]:
        return f"{window[0][0]:.2f}-{window[-1][0]:.2f}", [image for _, image in window]

    def told(self) -> str:
        """How fast it went: frames and answers each second, and how long after its frame was read an answer stood in the table."""
        spent = max(time.perf_counter() - self.began, 1e-9)
        text = f"{self.number} frames, {self.answers} answers in {spent:.2f} s: {self.number / spent:.1f} frames and"
        text += f" {self.answers / spent:.1f} answers a second"
        if self.waited:
            median, most = 1000 * np.percentile(self.waited, (50, 95))
            text += f"; an answer {median:.2f} ms after its last frame was read (95 % within {most:.2f})"
        if self.clip and not isinstance(self.source, int):
            text += f"; {self.last / spent:.1f} times as fast as it was filmed"
        return text + (f"; frames came too slowly, {self.repeated} were shown again" if self.repeated else "")
