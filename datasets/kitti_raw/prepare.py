"""Make drives of KITTI's raw recordings into a data set: one unlabelled row per camera frame, with the sweep of its moment.

    python datasets/kitti_raw/prepare.py --source DIR --out data/kitti_raw --val DRIVE --test DRIVE

README.md beside this file says what DIR has to hold.
"""

from __future__ import annotations

import argparse
import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from xkd.data.write import new_dataset, write_rows
from xkd.modalities.calibration import Camera, from_kitti_raw, read_kitti_numbers, write_calibration

CAMERA = 2  # the left colour camera
DRIVES = "*/*_drive_*_sync"  # DATE/DATE_drive_NUMBER_sync
CALIBRATIONS = ("calib_cam_to_cam.txt", "calib_velo_to_cam.txt")  # of a date
FOLDERS = {"rgb": f"image_{CAMERA:02d}", "lidar": "velodyne_points"}
SUFFIXES = {"rgb": ".png", "lidar": ".bin"}
FARTHEST = 0.05  # seconds between image and sweep, half of the scanner's turn

TOML = """name = "kitti_raw"
licence = "KITTI: CC BY-NC-SA 3.0"
source = "KITTI raw, synced and rectified (Geiger et al., IJRR 2013)"
labels = "single"
# nobody has looked yet: no row is labelled
classes = ["car", "pedestrian", "cyclist"]

[pairs]
max_time_offset = {farthest}

[modalities.rgb]
sensor = "rgb"

[modalities.lidar]
sensor = "lidar"
outputs = ["range", "height", "intensity", "valid"]
range = [0.0, 80.0]
occlusion = 2
"""


def prepare(source: Path, out: Path, val: Sequence[str] = (), test: Sequence[str] = ()) -> dict[str, int]:
    """Write the data set; returns how many images have no sweep, and how many sweeps were too far in time from their image."""
    drives = sorted(path for path in source.glob(DRIVES) if path.is_dir())
    names = [drive.name for drive in drives]
    if not drives:
        raise FileNotFoundError(f"{source}: holds no drive {DRIVES}; README.md beside this script describes the layout")
    if unknown := [name for name in (*val, *test) if name not in names]:
        raise ValueError(f"no drive '{unknown[0]}' in {source}; there are {names}")
    if twice := set(val) & set(test):
        raise ValueError(f"drives {sorted(twice)} are asked for in val and in test; a drive belongs to one split")
    splits = dict.fromkeys(names, "train") | dict.fromkeys(val, "val") | dict.fromkeys(test, "test")
    lacking: Counter[str] = Counter()
    with new_dataset(out) as draft:
        (draft / "calibration").mkdir()
        rows = [row for drive in drives for row in _rows(draft, drive, splits[drive.name], lacking)]
        write_rows(draft, rows)
        (draft / "manifest.toml").write_text(TOML.format(farthest=FARTHEST), "utf-8")
    return dict(lacking)


def read_camera(date: Path) -> Camera:
    """The rectified left colour camera of a day's recordings; `FileNotFoundError` or `ValueError` names the file."""
    first, second = (read_kitti_numbers((date / name).read_text("utf-8")) for name in CALIBRATIONS)
    try:
        return from_kitti_raw(first, second, CAMERA)
    except ValueError as error:
        raise ValueError(f"{date}: {error}") from error


def read_times(path: Path) -> list[np.datetime64 | None]:
    """Line n is frame n, to the nanosecond; None for an empty line, a frame that was not recorded."""
    times: list[np.datetime64 | None] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            whole, _, parts = line.strip().partition(".")
            datetime.strptime(whole, "%Y-%m-%d %H:%M:%S")  # numpy also reads half a date
            times.append(np.datetime64(f"{whole.replace(' ', 'T')}.{parts or '0'}", "ns"))
        except ValueError as error:
            if line.strip():
                raise ValueError(f"{path}, line {number}: '{line}' is no time; write YYYY-MM-DD HH:MM:SS.nnnnnnnnn") from error
            times.append(None)
    return times


def _rows(root: Path, drive: Path, split: str, lacking: Counter[str]) -> list[dict[str, str]]:
    times = {sensor: read_times(drive / folder / "timestamps.txt") for sensor, folder in FOLDERS.items()}
    frames = sorted(path.stem for path in (drive / FOLDERS["rgb"] / "data").glob(f"*{SUFFIXES['rgb']}"))
    if not frames:
        raise FileNotFoundError(f"{drive / FOLDERS['rgb'] / 'data'}: holds no image")
    write_calibration(root / f"calibration/{drive.parent.name}.json", read_camera(drive.parent))
    for sensor in FOLDERS:
        (root / sensor / drive.name).mkdir(parents=True)
    rows = []
    for frame in frames:
        taken, swept = (_time(drive / folder / "timestamps.txt", times[sensor], frame) for sensor, folder in FOLDERS.items())
        if taken is None:
            raise ValueError(f"{drive / FOLDERS['rgb'] / 'timestamps.txt'}: states no time for image {frame}")
        row = {"id": f"{drive.name}-{frame}", "split": split, "group": drive.name}
        row |= {"rgb": f"rgb/{drive.name}/{frame}{SUFFIXES['rgb']}", "lidar": "", "calibration": ""}
        start = next(time for time in times["rgb"] if time is not None)
        row |= {"rgb.time": _seconds(taken - start), "lidar.time": "", "label": "", "frame": frame}
        shutil.copyfile(drive / FOLDERS["rgb"] / "data" / Path(row["rgb"]).name, root / row["rgb"])
        sweep = drive / FOLDERS["lidar"] / f"data/{frame}{SUFFIXES['lidar']}"
        if swept is None or not sweep.is_file():
            lacking["images without a sweep"] += 1
        elif abs(swept - taken) > np.timedelta64(round(FARTHEST * 1e9), "ns"):
            lacking["sweeps too far in time"] += 1
        else:
            row["lidar"] = f"lidar/{drive.name}/{sweep.name}"
            row |= {"calibration": f"calibration/{drive.parent.name}.json", "lidar.time": _seconds(swept - start)}
            shutil.copyfile(sweep, root / row["lidar"])
        rows.append(row)
    return rows


def _time(path: Path, times: list[np.datetime64 | None], frame: str) -> np.datetime64 | None:
    if int(frame) >= len(times):
        raise ValueError(f"{path}: has {len(times)} lines, so none for frame {frame}")
    return times[int(frame)]


def _seconds(span: np.timedelta64) -> str:
    return f"{span / np.timedelta64(1, 's'):.6f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder with DATE/calib_*.txt and DATE/DATE_drive_NUMBER_sync/")
    parser.add_argument("--out", type=Path, default=Path("data/kitti_raw"), help="folder to make (%(default)s)")
    parser.add_argument("--val", nargs="*", default=[], metavar="DRIVE", help="folder names of the drives of val; the rest is train")
    parser.add_argument("--test", nargs="*", default=[], metavar="DRIVE", help="folder names of the drives of test")
    arguments = parser.parse_args()
    try:
        lacking = prepare(arguments.source, arguments.out, arguments.val, arguments.test)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{arguments.out}: written; rows that lack a sensor: {lacking}")


if __name__ == "__main__":
    main()
