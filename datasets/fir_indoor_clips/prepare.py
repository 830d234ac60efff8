"""Make the indoor recordings of a camera and a far-infrared array into a data set of clips: one row per activity of up to three seconds.

    python datasets/fir_indoor_clips/prepare.py --source DIR --out data/fir_indoor_clips

README.md beside this file says what DIR has to hold.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from xkd.data.write import new_dataset, read_table, write_rows

CLASSES: Final = ("upright", "sit", "lie", "transition")
NEEDED: Final = ("clips", "thermal", "clips.csv")
FRAMES: Final = 8  # side by side in a strip, evenly from start_s to end_s, both included
SIZE: Final = (160, 120)  # width and height of each
ARRAY: Final = (24, 32)  # rows and columns of the thermal array
RATE: Final = 7.8  # of its frames per second
DRIFT, START = 0.95, 0.2  # video seconds = DRIFT * array seconds + START, good to half a second
FARTHEST: Final = 0.25  # seconds between a moment and the array's frame that is taken for it
ZERO: Final = 273.15  # a count is a hundredth of a kelvin

TOML = """name = "fir_indoor_clips"
licence = "not stated by the authors, who ask for a citation; keep private"
source = "Zhang, FIR-Image-Action-Dataset, 2020"
labels = "single"
classes = {classes}

[pairs]
same_size = false
size = {size}

[modalities.rgb]
sensor = "rgb"
mean = {rgb_mean}
std = {rgb_std}

[modalities.thermal]
sensor = "thermal"
unit = "degC"
scale = 0.01
offset = -273.15
range = [24.0, 34.0]
mean = {thermal_mean}
std = {thermal_std}
"""


@dataclass(frozen=True)
class ArraySeries:
    """What the array saw of a recording: (N, 24, 32) degrees Celsius, and when, in seconds of its own clock."""

    frames: NDArray[np.float64]
    times: NDArray[np.float64]

    @classmethod
    def read(cls, source: Path, name: str) -> ArraySeries:
        """`ValueError` names the file and what is wrong with it."""
        path, clock = source / f"thermal/{name}.npy", source / f"thermal/{name}_t.npy"
        frames, times = (np.load(one, allow_pickle=False).astype(np.float64) for one in (path, clock))
        if frames.ndim != 3 or frames.shape[1:] != ARRAY or not np.isfinite(frames).all():
            raise ValueError(f"{path}: frames are finite numbers (N, {ARRAY[0]}, {ARRAY[1]}); these are {frames.shape}, or not finite")
        if times.shape != frames.shape[:1] or not (np.diff(times) > 0).all():
            raise ValueError(f"{clock}: holds a rising time for each of {len(frames)} frames; this one is {times.shape}, or does not rise")
        return cls(frames, times)

    def at(self, moments: NDArray[np.float64]) -> NDArray[np.uint16] | None:
        """The frame nearest to each of these moments of the video, as a strip of counts; None where one is farther than `FARTHEST`."""
        seconds = (moments - START) / DRIFT
        places = np.abs(self.times - seconds[:, None]).argmin(1)
        if np.abs(self.times[places] - seconds).max() > FARTHEST:
            return None
        counts = np.rint((np.concatenate(self.frames[places], axis=1) + ZERO) * 100)
        return np.asarray(counts.clip(0, np.iinfo(np.uint16).max), np.uint16)


def prepare(source: Path, out: Path) -> dict[str, int]:
    """Write the data set; returns how many clips have no thermal strip, by reason."""
    if missing := [name for name in NEEDED if not (source / name).exists()]:
        raise FileNotFoundError(f"{source}: lacks {missing}; README.md beside this script describes the layout {list(NEEDED)}")
    entries = read_table(source / "clips.csv")
    left_out = {"the recording has no thermal sequence": 0, "its times do not reach the clip": 0}
    with new_dataset(out) as draft:
        for folder in ("rgb", "thermal"):
            (draft / folder).mkdir()
        rows = [_row(entry) for entry in entries]
        sequences: dict[str, ArraySeries] = {}
        for entry, row in track(list(zip(entries, rows, strict=True)), description="clips"):
            shutil.copyfile(source / "clips" / f"{entry['clip']}.jpg", draft / row["rgb"])
            if entry["has_thermal"] != "1":
                left_out["the recording has no thermal sequence"] += 1
                continue
            if entry["seq"] not in sequences:
                sequences[entry["seq"]] = ArraySeries.read(source, entry["seq"])
            if not _write_thermal(draft, row, entry, sequences[entry["seq"]]):
                left_out["its times do not reach the clip"] += 1
        write_rows(draft, rows)
        (draft / "manifest.toml").write_text(_toml(draft, [row for row in rows if row["split"] == "train"]), "utf-8")
    return left_out


def _row(entry: dict[str, str]) -> dict[str, str]:
    if entry["coarse"] not in CLASSES:
        raise ValueError(f"clips.csv, '{entry['clip']}': unknown activity '{entry['coarse']}'; there are {list(CLASSES)}")
    start, end = float(entry["start_s"]), float(entry["end_s"])
    if end <= start:
        raise ValueError(f"clips.csv, '{entry['clip']}': ends at {end:g} s, before it starts at {start:g} s")
    return {
        "id": entry["clip"],
        "split": entry["split"],
        "group": entry["seq"],
        "rgb": f"rgb/{entry['clip']}.jpg",
        "rgb.time": f"{start:.3f}",
        "rgb.fps": f"{(FRAMES - 1) / (end - start):.4f}",
        "rgb.frames": str(FRAMES),
        "thermal": "",
        "thermal.time": "",
        "thermal.fps": "",
        "thermal.frames": "",
        "label": entry["coarse"],
        "activity": entry["label"],
        "scene": entry["scene"],
    }


def _write_thermal(root: Path, row: dict[str, str], entry: dict[str, str], sequence: ArraySeries) -> bool:
    """The strip of what the array saw meanwhile, and the row's cells of it; False where its times do not reach the clip."""
    start, end = float(entry["start_s"]), float(entry["end_s"])
    count = max(2, round((end - start) * RATE / DRIFT) + 1)
    strip = sequence.at(np.linspace(start, end, count))
    if strip is None:
        return False
    row["thermal"] = f"thermal/{entry['clip']}.png"
    if not cv2.imwrite(str(root / row["thermal"]), strip):
        raise OSError(f"{root / row['thermal']}: could not be written")
    row |= {"thermal.time": f"{start:.3f}", "thermal.fps": f"{(count - 1) / (end - start):.4f}", "thermal.frames": str(count)}
    return True


def _toml(root: Path, rows: Sequence[dict[str, str]]) -> str:
    """With the mean and standard deviation of both sensors over the train rows."""
    known: dict[str, Any] = {"classes": json.dumps(CLASSES), "size": list(SIZE)}
    for name in ("rgb", "thermal"):
        moments = np.mean([(pixels.mean(0), np.square(pixels).mean(0)) for pixels in _pixels(root, rows, name)], axis=0)
        known |= {f"{name}_mean": moments[0].round(3).tolist(), f"{name}_std": np.sqrt(moments[1] - moments[0] ** 2).round(3).tolist()}
    return TOML.format(**known)


def _pixels(root: Path, rows: Sequence[dict[str, str]], name: str) -> Iterator[NDArray[np.float64]]:
    """(N, C) of each strip, in the sensor's unit; `ValueError` names one of another size."""
    for row in rows:
        if not row[name]:
            continue
        image = cv2.imread(str(root / row[name]), cv2.IMREAD_UNCHANGED)
        if name == "rgb" and (image is None or image.shape != (SIZE[1], FRAMES * SIZE[0], 3)):
            found = "no image" if image is None else f"{image.shape[1]}x{image.shape[0]}"
            raise ValueError(f"{row['rgb']}: a strip is {FRAMES} frames of {SIZE[0]}x{SIZE[1]} side by side, this one is {found}")
        assert image is not None  # written above
        yield image[..., ::-1].reshape(-1, 3).astype(np.float64) if name == "rgb" else image.reshape(-1, 1).astype(np.float64) * 0.01 - ZERO


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder with clips/ thermal/ clips.csv")
    parser.add_argument("--out", type=Path, default=Path("data/fir_indoor_clips"), help="folder to make (%(default)s)")
    arguments = parser.parse_args()
    try:
        left_out = prepare(arguments.source, arguments.out)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{arguments.out}: written; clips without thermal frames: {left_out}")


if __name__ == "__main__":
    main()
