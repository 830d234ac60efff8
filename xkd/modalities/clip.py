"""Several frames of one sensor as one view: a clip, whose channels are frames x channels of the sensor, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import floor
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from xkd.geometry import Box, Matrix
from xkd.modality import Modality, Scans, Shot, Shrinks, check_finite

FPS: Final = "fps"  # a row states it of a cell that is a clip
STRIP: Final = "frames"  # a row states it of a file that holds so many frames side by side
_HALF: Final = 0.5 + 1e-6  # times are decimal numbers, which a computer rounds
_COLUMNS: Final = 4  # of frames as a person sees them
_ORDERS: Final = ("time", "shuffled")


@dataclass(frozen=True)
class Footage:
    """What was read of a clip: each of its pictures once, and which of them stands at each place of the view."""

    pictures: tuple[Any, ...]
    places: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of each picture, (height, width, ...)."""
        shape: tuple[int, ...] = self.pictures[0].shape
        return shape


@dataclass(frozen=True)
class Clip:
    """`frames` frames of a sensor as one view (H, W, frames x channels): channels of the first frame, then of the second, and so on.

    A row's cell lists the frames, names a range of them, or a strip (frames side by side in one file), and the row states
    `NAME.fps`, their number per second, and of a strip `NAME.frames`. Of them `every`-th one is taken. In training each draw begins at
    another place, evenly in the time where the clip has all of its frames, and each frame but the first is lost with probability `drop`:
    the one before it stands in its place. Evaluation takes the middle and loses none. A clip that is too short repeats its last frame.

    Clips of several sensors in one row meet by time: `NAME.time` is that of the first frame in seconds, and all begin at one place of
    the time that they share, so that of two clips the shorter lies within the longer.
    All frames share the geometric draw and one draw of the photometric jitter. `order="shuffled"` is a control: the same
    frames in an order that is drawn for each row, in evaluation too. What is learned without motion is still learned.

    A lone file, such as `xkd predict` is given, is a strip of `frames` frames. `ValueError` for what is no picture (a scanner), for
    frames of different sizes, and for a strip whose width is not a multiple of its frames.
    """

    sensor: Modality
    frames: int = 8
    every: int = 2
    drop: float = 0.0
    order: Literal["time", "shuffled"] = "time"

    def __post_init__(self) -> None:
        check_finite(self, f"clip of '{self.sensor.name}'")
        if isinstance(self.sensor, (Clip, Scans)):
            raise ValueError(f"a clip is made of a sensor's pictures, '{self.sensor.name}' is {type(self.sensor).__name__}")
        for name in ("frames", "every"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise ValueError(f"clip of '{self.sensor.name}': {name} is a whole number from 1 on, got {getattr(self, name)!r}")
        if not 0 <= self.drop < 1:
            raise ValueError(
                f"clip of '{self.sensor.name}': drop is the probability that a frame is lost, 0 or more and below 1; got {self.drop}"
            )
        if self.order not in _ORDERS:
            raise ValueError(f"clip of '{self.sensor.name}': order is one of {list(_ORDERS)}, got {self.order!r}")

    @property
    def name(self) -> str:
        return self.sensor.name

    @property
    def suffixes(self) -> tuple[str, ...]:
        return self.sensor.suffixes

    @property
    def channels(self) -> int:
        return self.frames * self.sensor.channels

    @property
    def unit(self) -> str:
        return self.sensor.unit

    @property
    def range(self) -> tuple[float, float]:
        return self.sensor.range

    @property
    def mean(self) -> tuple[float, ...]:
        return self.sensor.mean * self.frames

    @property
    def std(self) -> tuple[float, ...]:
        return self.sensor.std * self.frames

    @property
    def outside(self) -> tuple[float, ...]:
        return self.sensor.outside * self.frames

    @property
    def row_keys(self) -> tuple[str, ...]:
        return (*self.sensor.row_keys, FPS, STRIP)

    def places(self, count: int, fps: float, first: float) -> tuple[int, ...]:
        """Which of `count` frames are taken from `first` seconds after its start on, the last one again where none is left."""
        taken = floor(first * fps + _HALF) + self.every * np.arange(self.frames)  # rounded once, so that the steps are even
        return tuple(np.clip(taken, 0, count - 1).tolist())

    def middle(self, count: int) -> tuple[int, ...]:
        """The same in the middle of the frames, or from the first one where they are too few."""
        return self.places(count, 1.0, max(0, count - 1 - self.every * (self.frames - 1)) // 2)

    def parts(self, shot: Shot) -> dict[Shot, None]:
        """The shots of single files that a shot of a clip is made of, in their order, each once."""
        values = {key: value for key, value in shot.values.items() if key in self.sensor.row_keys}
        places = () if len(shot.paths) == 1 else dict.fromkeys(self._taken(shot))
        paths = [shot.paths[place] for place in places] or shot.paths
        return dict.fromkeys(Shot((path,), shot.calibration, values, shot.shrink) for path in paths)

    def joined(self, shot: Shot, contents: Mapping[Shot, Any]) -> Footage:
        """What was read of the `parts` as one clip."""
        taken = self._taken(shot)
        if len(shot.paths) == 1:
            pictures = self._cut(shot, next(iter(contents.values())))
            distinct = list(dict.fromkeys(taken))
            return Footage(tuple(pictures[place] for place in distinct), tuple(map(distinct.index, taken)))
        pictures, paths = list(contents.values()), [part.only for part in contents]
        for path, picture in zip(paths, pictures, strict=True):
            if picture.shape != pictures[0].shape:
                sizes = " and ".join(f"{of.shape[1]}x{of.shape[0]}" for of in (pictures[0], picture))
                raise ValueError(
                    f"{path}: frames of a clip have one size, {paths[0].name} and this one are {sizes}: write them at one size"
                )
        return Footage(tuple(pictures), tuple(paths.index(shot.paths[place]) for place in taken))

    def frame(self, shot: Shot) -> tuple[int, int] | None:
        """(height, width) where the sensor can read its files at a fraction; a strip is decoded whole."""
        if len(shot.paths) == 1 or not isinstance(self.sensor, Shrinks):
            return None
        return self.sensor.frame(next(iter(self.parts(shot))))

    def read(self, shot: Shot) -> Footage:
        """`shot.frames` of a clip, the middle where it says none."""
        return self.joined(shot, {part: self.sensor.read(part) for part in self.parts(shot)})

    def place(self, content: Footage, matrix: Matrix, size: tuple[int, int], crop: Box) -> NDArray[Any]:
        placed = [self.sensor.place(picture, matrix, size, crop) for picture in content.pictures]
        return np.concatenate([placed[place] for place in content.places], axis=2)

    def jitter(self, image: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
        """One draw for all frames, which the sensor varies as one tall picture: its columns stay columns, its noise is each frame's own."""
        height, width, _ = image.shape
        tall = np.concatenate(self._frames(image), axis=0)
        return np.concatenate(np.split(self.sensor.jitter(tall, rng).reshape(self.frames * height, width, -1), self.frames), axis=2)

    def show(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """Its frames in their order, up to four in a row: (rows x H, columns x W, 3)."""
        return np.asarray(self._laid_out([self.sensor.show(np.ascontiguousarray(frame)) for frame in self._frames(image)]), np.uint8)

    def over(self, place: NDArray[Any]) -> NDArray[Any]:
        """One map (h, w) of what `show` shows: over each frame."""
        return self._laid_out([place] * self.frames)

    def _laid_out(self, pictures: list[NDArray[Any]]) -> NDArray[Any]:
        """In rows; what is left of the last one is 0."""
        rest = [np.zeros_like(pictures[0])] * (-len(pictures) % min(_COLUMNS, len(pictures)))
        whole = [*pictures, *rest]
        columns = min(_COLUMNS, len(pictures))
        return np.concatenate([np.concatenate(whole[at : at + columns], axis=1) for at in range(0, len(whole), columns)], axis=0)

    def _frames(self, image: NDArray[Any]) -> list[NDArray[Any]]:
        return np.split(image, self.frames, axis=2)

    def _taken(self, shot: Shot) -> tuple[int, ...]:
        if len(shot.paths) == 1 and FPS not in shot.values:
            return tuple(range(self.frames))
        return shot.frames or self.middle(self._count(shot))

    def _count(self, shot: Shot) -> int:
        """Of the frames that the files hold; a lone file of which nobody says more holds those of the clip."""
        if len(shot.paths) > 1:
            return len(shot.paths)
        return int(shot.values.get(STRIP, 1)) if FPS in shot.values else self.frames

    def _cut(self, shot: Shot, strip: Any) -> list[Any]:
        """The frames of a strip; one frame is a strip too."""
        number, (height, width) = self._count(shot), strip.shape[:2]
        if width % number:
            raise ValueError(
                f"{shot.only}: is {width}x{height}, and {number} frames side by side have a width that is a multiple of {number}; is"
                f" {self.name}.{STRIP}, how many it holds, right?"
            )
        return np.split(strip, number, axis=1)
