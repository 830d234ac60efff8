"""Temperatures in an array beside a video: STEM.npy (N, H, W) in degrees Celsius, STEM_t.npy their seconds on a clock of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

ZERO: Final = 273.15  # in degrees Celsius, of a count of 0
COUNT: Final = 0.01  # degrees
_FAR: Final = 1.5  # frames: a moment is farther from each of the array's only where some are missing


@dataclass(frozen=True)
class ArrayClock:
    """Seconds of the video = `drift` * seconds of the array + `offset`."""

    drift: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.drift < float("inf") and abs(self.offset) < float("inf")):
            raise ValueError(f"--clock is DRIFT above 0 and OFFSET in seconds, got {self.drift:g} and {self.offset:g}")


@dataclass(frozen=True)
class ArraySequence:
    """Frames (N, H, W), mapped from the disk, and when each was taken, in seconds of the video."""

    path: Path
    frames: NDArray[np.floating]
    times: NDArray[np.float64]

    @classmethod
    def beside(cls, folder: Path, stem: str, clock: ArrayClock) -> ArraySequence | None:
        """None where there is none; `ValueError` names the file and what is wrong with it."""
        path, when = folder / f"{stem}.npy", folder / f"{stem}_t.npy"
        if not path.is_file():
            return None
        if not when.is_file():
            raise FileNotFoundError(f"{when}: no such file; it holds the seconds of the frames of {path.name}, one number each")
        try:
            frames, times = np.load(path, mmap_mode="r", allow_pickle=False), np.load(when, allow_pickle=False).astype(np.float64)
        except ValueError as error:
            raise ValueError(f"{path} or {when.name}: not an array of NumPy: {error}") from error
        if frames.ndim != 3 or frames.dtype.kind != "f":
            raise ValueError(f"{path}: holds floats (N, H, W) in degrees Celsius, this one is {frames.dtype} {frames.shape}")
        if times.shape != frames.shape[:1] or len(times) < 2 or not (np.diff(times) > 0).all():
            raise ValueError(
                f"{when}: holds a rising time for each of the {len(frames)} frames; this one is {times.shape}, or does not rise"
            )
        return cls(path, frames, clock.drift * times + clock.offset)

    @property
    def fps(self) -> float:
        """Its usual rate, per second of the video."""
        return float(1 / np.median(np.diff(self.times)))

    def check_overlap(self, video: Path, last: float) -> None:
        """`ValueError` where none of its frames was taken during the video."""
        if self.times[-1] < 0 or self.times[0] > last:
            raise ValueError(
                f"{self.path}: runs from {self.times[0]:.2f} to {self.times[-1]:.2f} s of the video's clock, and {video.name} from 0 to"
                f" {last:.2f} s: they share no time; give the map between the clocks, --clock DRIFT OFFSET (video = DRIFT * array + OFFSET)"
            )

    def reaches(self, places: range) -> bool:
        """Whether there is a frame near each of these places of the grid `place / fps`."""
        return bool(len(places)) and all(abs(self.times[self.nearest(place)] - place / self.fps) * self.fps <= _FAR for place in places)

    def nearest(self, place: int) -> int:
        return int(np.abs(self.times - place / self.fps).argmin())

    def write(self, place: int, path: Path) -> None:
        """The frame nearest to a place of the grid, as counts of a hundredth of a kelvin."""
        frame = self.frames[self.nearest(place)].astype(np.float64)
        counts = np.rint((frame + ZERO) / COUNT)
        if not np.isfinite(frame).all() or counts.min() < 0 or counts.max() > np.iinfo(np.uint16).max:
            raise ValueError(f"{self.path}: frame {self.nearest(place)} holds {frame.min():g} to {frame.max():g}, no degrees Celsius")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), counts.astype(np.uint16)):
            raise OSError(f"{path}: could not be written")
