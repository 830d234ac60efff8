"""Make the indoor recordings of a far-infrared array and a camera into a data set: one row per pair of frames.

    python datasets/fir_indoor_action/prepare.py --source DIR --out data/fir_indoor_action

README.md beside this file says what DIR has to hold.
"""

from __future__ import annotations

import argparse
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.data.write import new_dataset, read_table, write_rows
from xkd.modalities import RGB
from xkd.modality import Shot

CLASSES = ("upright", "sit", "lie", "transition")
NEEDED = ("rgb", "thermal", "pairs.csv")
SIZE = (160, 120)  # width and height of the camera's images
ARRAY = (24, 32)  # rows and columns of the thermal array
VIDEO_RATE = 25.0  # frames per second
# The two clocks drift: video seconds = DRIFT * array seconds + START, from motion energy and by eye, good to half a second.
DRIFT, START = 0.95, 0.2
ZERO = 273.15  # a count is a hundredth of a kelvin
EVERY = 2  # keep each second pair, about half a second apart
CLEAR = 4  # array frames to the next change of label, about half a second: what the clocks are good for

TOML = """name = "fir_indoor_action"
licence = "not stated by the authors, who ask for a citation; keep private"
source = "Zhang, FIR-Image-Action-Dataset, 2020"
labels = "single"
classes = {classes}

[pairs]
same_size = false
size = {size}
# between the two times as mapped onto one clock; the map itself is good to half a second
max_time_offset = 0.1

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


def prepare(source: Path, out: Path, every: int = EVERY, clear: int = CLEAR) -> dict[str, int]:
    """Write the data set; returns how many pairs were left out, and how many labels.

    Each `every`-th pair of a sequence is kept; a label with less than `clear` array frames to the next change is not.
    """
    if every < 1 or clear < 0:
        raise ValueError(f"every is 1 or more and clear 0 or more; got {every} and {clear}")
    if missing := [name for name in NEEDED if not (source / name).exists()]:
        raise FileNotFoundError(f"{source}: lacks {missing}; README.md beside this script describes the layout {list(NEEDED)}")
    entries = read_table(source / "pairs.csv")
    kept = _thinned(entries, every)
    rows = [_row(entry, bout, clear) for entry, bout in zip(kept, _bouts(kept), strict=True)]
    with new_dataset(out) as draft:
        for folder in ("rgb", "thermal"):
            (draft / folder).mkdir()
        for row in rows:
            shutil.copyfile(source / row["rgb"], draft / row["rgb"])
        _write_thermal(source, draft, kept)
        write_rows(draft, rows)
        (draft / "manifest.toml").write_text(_toml(draft, [row for row in rows if row["split"] == "train"]), "utf-8")
    unclear = sum(bool(entry["coarse"]) and not row["label"] for entry, row in zip(kept, rows, strict=True))
    return {"pairs between those kept": len(entries) - len(kept), "labels near a change": unclear}


def _thinned(entries: list[dict[str, str]], every: int) -> list[dict[str, str]]:
    """Neighbours in time are near duplicates: every so-many-th of each sequence."""
    seen: Counter[str] = Counter()
    kept = []
    for entry in entries:
        if seen[entry["seq"]] % every == 0:
            kept.append(entry)
        seen[entry["seq"]] += 1
    return kept


def _bouts(entries: list[dict[str, str]]) -> list[str]:
    """Each pair's run of one activity (or of none) in its sequence, by name: what is independent in a sequence, if anything is."""
    names: list[str] = []
    number, before = 0, ("", "")
    for entry in entries:
        now = (entry["seq"], entry["label"])
        number = 0 if now[0] != before[0] else number + (now != before)
        names.append(f"{now[0]}-{number:03d}")
        before = now
    return names


def _row(entry: dict[str, str], bout: str, clear: int) -> dict[str, str]:
    if entry["coarse"] and entry["coarse"] not in CLASSES:
        raise ValueError(f"pairs.csv, '{entry['id']}': unknown activity '{entry['coarse']}'; there are {list(CLASSES)}")
    is_clear = bool(entry["coarse"]) and int(entry["rows_to_boundary"]) >= clear
    return {
        "id": entry["id"],
        "split": entry["split"],
        "group": entry["seq"],
        "rgb": f"rgb/{entry['id']}.jpg",
        "thermal": f"thermal/{entry['id']}.png",
        "rgb.time": f"{(int(entry['video_frame']) / VIDEO_RATE - START) / DRIFT:.3f}",
        "thermal.time": f"{float(entry['t']):.3f}",
        "label": entry["coarse"] if is_clear else "",
        "bout": bout,
        "activity": entry["label"],
    }


def _write_thermal(source: Path, root: Path, entries: list[dict[str, str]]) -> None:
    """Each pair's frame as 16-bit counts of a hundredth of a kelvin; `ValueError` names the sequence and what is wrong with it."""
    sequences: dict[str, NDArray[np.floating]] = {}
    for entry in entries:
        path = source / f"thermal/{entry['seq']}.npy"
        if entry["seq"] not in sequences:
            sequences[entry["seq"]] = frames = np.load(path, allow_pickle=False)
            if frames.ndim != 3 or frames.shape[1:] != ARRAY or not np.isfinite(frames).all():
                raise ValueError(f"{path}: frames are finite numbers (N, {ARRAY[0]}, {ARRAY[1]}); these are {frames.shape}, or not finite")
        frames, number = sequences[entry["seq"]], int(entry["row"])
        if not 0 <= number < len(frames):
            raise ValueError(f"{path}: pairs.csv, '{entry['id']}', wants frame {number} of {len(frames)}")
        counts = np.rint((frames[number].astype(np.float64) + ZERO) * 100)
        if counts.min() < 0 or counts.max() > np.iinfo(np.uint16).max:
            raise ValueError(f"{path}: frame {number} holds {frames[number].min()} to {frames[number].max()} degrees Celsius")
        there = root / f"thermal/{entry['id']}.png"
        if not cv2.imwrite(str(there), counts.astype(np.uint16)):
            raise OSError(f"{there}: could not be written")


def _toml(root: Path, rows: list[dict[str, str]]) -> str:
    """With the mean and standard deviation of both sensors over the train rows."""
    rgb, thermal = [], []
    for row in rows:
        image = RGB().read(Shot((root / row["rgb"],)))
        if image.shape != (SIZE[1], SIZE[0], 3):
            raise ValueError(f"{root / row['rgb']}: an image is {SIZE[0]}x{SIZE[1]}, this one {image.shape[1]}x{image.shape[0]}")
        rgb.append(image.reshape(-1, 3))
        counts = cv2.imread(str(root / row["thermal"]), cv2.IMREAD_UNCHANGED)
        assert counts is not None  # written above
        thermal.append(counts.reshape(-1, 1) * 0.01 - ZERO)
    statistics: dict[str, list[float]] = {}
    for name, parts in (("rgb", rgb), ("thermal", thermal)):
        pixels = np.stack(parts)
        mean = pixels.mean((0, 1))
        spread = np.sqrt(np.mean([np.square(part - mean).mean(0) for part in pixels], 0))
        statistics[f"{name}_mean"] = [round(float(value), 3) for value in mean]
        statistics[f"{name}_std"] = [round(float(value), 3) for value in spread]
    quoted = "[" + ", ".join(f'"{name}"' for name in CLASSES) + "]"
    return TOML.format(classes=quoted, size=list(SIZE), **statistics)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder with rgb/ thermal/ pairs.csv")
    parser.add_argument("--out", type=Path, default=Path("data/fir_indoor_action"), help="folder to make (%(default)s)")
    parser.add_argument("--every", type=int, default=EVERY, help="keep each so-many-th pair of a sequence; 1 keeps all (%(default)s)")
    words = "array frames that a label must lie from the next change of label, else it is left out; 0 keeps all (%(default)s)"
    parser.add_argument("--clear", type=int, default=CLEAR, help=words)
    arguments = parser.parse_args()
    try:
        left_out = prepare(arguments.source, arguments.out, arguments.every, arguments.clear)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{arguments.out}: written; left out: {left_out}")


if __name__ == "__main__":
    main()
