"""Make the camera and LiDAR frames of KITTI's drive 52 into a data set: one row per vehicle, and as much background; or one per frame.

    python datasets/kitti_drive52/prepare.py --source DIR
    python datasets/kitti_drive52/prepare.py --source DIR --task frames

README.md beside this file says what DIR has to hold.
"""

from __future__ import annotations

import argparse
import shutil
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xkd.data.write import new_dataset, write_rows
from xkd.geometry import IDENTITY, Box, overlap, square
from xkd.modalities import RGB, LiDAR
from xkd.modalities.calibration import Camera, read_calibration, read_kitti_numbers, write_calibration
from xkd.modalities.points import Points
from xkd.modalities.scans import read_scan
from xkd.modality import Shot

CLASSES = ("background", "car", "van", "truck")
TASKS = {"vehicles": CLASSES, "frames": CLASSES[1:]}  # their classes
NEEDED = ("image", "lidar", "calib", "label", "train.txt", "val.txt", "test.txt")
MARGIN = 1.15  # side of a crop over the longest side of its box
FEWEST_POINTS = 20  # LiDAR points in the vehicle's 3D box, or in a square of background
LEAST_SIDE = 16.0  # pixels, of the shorter side of a box
LEAST_SHARE = 0.9  # of the points in the 3D box, to a pixel, that its 2D box must hold
TRIES = 200  # places that are tried for a square of background
VIEW = (64, 64)  # at which the statistics are taken
OUTPUTS = ("range", "height", "intensity", "valid")
WORDS = 17  # of a line in label/: KITTI's 15, the number of points in the box and where the box is from

TOML = """name = "{name}"
licence = "KITTI: CC BY-NC-SA 3.0"
source = "KITTI raw, 2011_09_26 drive 0052 (Geiger et al., IJRR 2013), by way of udacity/SFND_3D_Object_Tracking"
labels = "single"
classes = {classes}

[modalities.rgb]
sensor = "rgb"
mean = {rgb_mean}
std = {rgb_std}

[modalities.lidar]
sensor = "lidar"
outputs = {outputs}
range = [0.0, 80.0]
occlusion = 1
densify = 2
mean = {lidar_mean}
std = {lidar_std}
"""


@dataclass(frozen=True)
class Vehicle:
    """One line of a label file, in pixels of the stored image: its box, and what the scanner's points in its 3D box say of it."""

    label: str
    box: Box
    source: str  # gt, interp or auto
    num_points: int
    hit: Box  # about the points; the box itself where there are none
    share: float  # of the points that lie in the box


@dataclass(frozen=True)
class Frame:
    """One moment: where its split is from and what is in it."""

    name: str
    split: str
    block: str
    camera: Camera
    vehicles: tuple[Vehicle, ...]


def prepare(source: Path, out: Path, seed: int = 0, task: str = "vehicles") -> dict[str, int]:
    """Write the data set; returns what was left out: frames of no split, vehicles too small or with too few points, places not found."""
    if missing := [name for name in NEEDED if not (source / name).exists()]:
        raise FileNotFoundError(f"{source}: lacks {missing}; README.md beside this script describes the layout {list(NEEDED)}")
    left_out: Counter[str] = Counter()
    frames = _frames(source, left_out)
    with new_dataset(out) as draft:
        for folder in ("image", "lidar", "calibration"):
            (draft / folder).mkdir()
        for frame in frames:
            for path in (f"image/{frame.name}.jpg", f"lidar/{frame.name}.bin"):
                shutil.copyfile(source / path, draft / path)
            write_calibration(draft / f"calibration/{frame.name}.json", frame.camera)
        if task == "frames":
            rows = [_row(frame, "", "", Box(0, 0, *map(float, frame.camera.size)), "") | {"crop": ""} for frame in frames]
        else:
            rows = [row for frame in frames for row in _rows(draft, frame, np.random.default_rng([seed, int(frame.name[-4:])]), left_out)]
        write_rows(draft, rows)
        (draft / "manifest.toml").write_text(_toml(draft, [row for row in rows if row["split"] == "train"], task), "utf-8")
    return dict(left_out)


def read_camera(path: Path) -> Camera:
    """The camera of the stored, reduced image, from that of the original: a reduction moves pixel centres, which a scaled `P2` ignores."""
    original = read_calibration(path, "P2_original")
    numbers = read_kitti_numbers(path.read_text("utf-8"))
    image = RGB().read(Shot((path.parents[1] / f"image/{path.stem}.jpg",)))
    if "orig_size" not in numbers or numbers["orig_size"].size != 2:
        raise ValueError(f"{path}: needs 'orig_size: WIDTH HEIGHT' of the image that P2_original is for")
    width, height = numbers["orig_size"]
    size = (image.shape[1], image.shape[0])
    return original.drawn(np.diag([size[0] / width, size[1] / height, 1.0]), size)


def read_vehicles(path: Path, camera: Camera, half: NDArray[np.float64]) -> tuple[Vehicle, ...]:
    """The lines of a label file; `half` a pixel of the original takes its pixel centres to positions where pixel (0, 0) covers 0..1."""
    points = read_scan(path.parents[1] / f"lidar/{path.stem}.bin", 4).points[:, :3]
    pixels, depth = camera.project(points)
    rectified = points @ camera.lidar_to_camera[:3, :3].T + camera.lidar_to_camera[:3, 3]
    vehicles = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        words = line.split()
        if len(words) != WORDS or words[0].lower() not in CLASSES[1:]:
            raise ValueError(f"{path}, line {number}: '{line}' is not one of {list(CLASSES[1:])} with {WORDS} words in all")
        try:
            numbers = np.array([float(word) for word in words[4:15]])
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        box = Box(*(float(edge) for edge in numbers[:4] + np.tile(half, 2)))
        own = pixels[in_solid(rectified, numbers[4:]) & (depth > 0)]
        hit = Box(*(float(edge) for edge in (*own.min(0), *own.max(0)))) if len(own) else box
        inside = ((own >= np.array(box[:2]) - 1) & (own <= np.array(box[2:]) + 1)).all(1)
        vehicles.append(Vehicle(words[0].lower(), box, words[16], len(own), hit, float(inside.mean()) if len(own) else 0.0))
    return tuple(vehicles)


def in_solid(points: NDArray[np.floating[Any]], solid: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which (N, 3) points of the rectified camera lie in KITTI's 3D box: height, width, length, centre of its floor, turn about y."""
    height, width, length, *floor, turn = solid.tolist()
    x, y, z = (points - floor).T
    along, across = x * np.cos(turn) - z * np.sin(turn), x * np.sin(turn) + z * np.cos(turn)
    return np.asarray((abs(along) < length / 2) & (abs(across) < width / 2) & (y <= 0) & (y > -height), np.bool_)


def _frames(source: Path, left_out: Counter[str]) -> list[Frame]:
    """The frames of the three lists, each list a run of the drive; the frames between them belong to none."""
    frames = []
    for split in ("train", "val", "test"):
        names = (source / f"{split}.txt").read_text("utf-8").split()
        for name in names:
            path = source / f"calib/{name}.txt"
            camera = read_camera(path)
            original = read_kitti_numbers(path.read_text("utf-8"))["orig_size"]
            vehicles = read_vehicles(source / f"label/{name}.txt", camera, np.array(camera.size) / original / 2)
            frames.append(Frame(name, split, f"frames-{names[0][-4:]}-{names[-1][-4:]}", camera, vehicles))
    if left := len({path.stem for path in (source / "image").glob("*.jpg")} - {frame.name for frame in frames}):
        left_out["frames of no split"] = left
    return frames


def _rows(root: Path, frame: Frame, rng: np.random.Generator, left_out: Counter[str]) -> list[dict[str, str]]:
    """A row per vehicle that is large enough and that the scanner hit, each followed by one of background of the same size."""
    points = _lidar().read(Shot((root / f"lidar/{frame.name}.bin",), root / f"calibration/{frame.name}.json"))
    rows = []
    for number, vehicle in enumerate(frame.vehicles):
        box = vehicle.box
        if min(box.x2 - box.x1, box.y2 - box.y1) < LEAST_SIDE or vehicle.num_points < FEWEST_POINTS:
            left_out["vehicles too small or hit by too few points"] += 1
            continue
        if vehicle.share < LEAST_SHARE:
            left_out["vehicles whose box misses their points"] += 1
            continue
        crop = Box(*(round(edge, 2) for edge in square(box, MARGIN)))
        rows.append(_row(frame, f"{number:02d}", vehicle.label, crop, vehicle.source))
        elsewhere = background(crop, frame, points, rng)
        if elsewhere is None:
            left_out["squares of background that found no place"] += 1
        else:
            rows.append(_row(frame, f"{number:02d}b", "background", elsewhere, "drawn"))
    return rows


def background(crop: Box, frame: Frame, points: Points, rng: np.random.Generator) -> Box | None:
    """A square of the crop's size inside the frame that touches no vehicle and holds points of the scanner (so it is not the sky)."""
    side, (width, height) = crop.x2 - crop.x1, frame.camera.size
    for _ in range(TRIES if side < min(width, height) else 0):
        x, y = (round(float(edge), 2) for edge in rng.uniform(0, (width - side, height - side)))
        place = Box(x, y, round(x + side, 2), round(y + side, 2))
        if any(overlap(place, vehicle.box) or overlap(place, vehicle.hit) for vehicle in frame.vehicles):
            continue
        if ((points.pixels >= place[:2]) & (points.pixels < place[2:])).all(1).sum() >= FEWEST_POINTS:
            return place
    return None


def _row(frame: Frame, suffix: str, label: str, crop: Box, source: str) -> dict[str, str]:
    inside = [vehicle for vehicle in frame.vehicles if overlap(vehicle.box, crop)]
    return {
        "id": f"{frame.name}-{suffix}" if suffix else frame.name,
        "split": frame.split,
        "group": frame.block,
        "rgb": f"image/{frame.name}.jpg",
        "lidar": f"lidar/{frame.name}.bin",
        "calibration": f"calibration/{frame.name}.json",
        "label": label,
        "crop": _text(crop),
        "boxes": ";".join(f"{_text(vehicle.box)} {vehicle.label}" for vehicle in inside) or "-",
        "frame": frame.name,
        "source": source,
    }


def _text(box: Box) -> str:
    return " ".join(f"{edge:.2f}" for edge in box)


def _lidar() -> LiDAR:
    return LiDAR(outputs=OUTPUTS, occlusion=1, densify=2)


def _toml(root: Path, rows: list[dict[str, str]], task: str) -> str:
    """With the mean and standard deviation over the train rows; of the LiDAR's values over the pixels that have one."""
    rgb, lidar = RGB(), _lidar()
    colours, returns = [], []
    for _, of_frame in groupby(rows, key=lambda row: row["frame"]):
        crops = list(of_frame)
        image = rgb.read(Shot((root / crops[0]["rgb"],)))
        scan = lidar.read(Shot((root / crops[0]["lidar"],), root / crops[0]["calibration"]))
        for row in crops:
            crop = Box(*map(float, row["crop"].split())) if row["crop"] else Box(0, 0, image.shape[1], image.shape[0])
            colours.append(_moments(rgb.place(image, IDENTITY, VIEW, crop)))
            placed = lidar.place(scan, IDENTITY, VIEW, crop)
            returns.append(_moments(np.where(placed[..., -1:] == 1, placed[..., :-1], np.nan)))
    rgb_mean, rgb_std = _mean_std(colours)
    lidar_mean, lidar_std = _mean_std(returns)
    quoted = {"classes": list(TASKS[task]), "outputs": list(OUTPUTS)}
    return TOML.format(
        **{key: "[" + ", ".join(f'"{name}"' for name in names) + "]" for key, names in quoted.items()},
        name="kitti_drive52" if task == "vehicles" else f"kitti_drive52, {task}",
        rgb_mean=rgb_mean,
        rgb_std=rgb_std,
        lidar_mean=[*lidar_mean, 0.5],
        lidar_std=[*lidar_std, 0.5],
    )


def _moments(image: NDArray[Any]) -> NDArray[np.float64]:
    """Per channel: share of pixels with a value, and the mean over all pixels of the values and of their squares."""
    values = image.reshape(-1, image.shape[-1]).astype(np.float64)
    return np.stack([np.isfinite(values).mean(0), np.nansum(values, 0) / len(values), np.nansum(values**2, 0) / len(values)])


def _mean_std(moments: list[NDArray[np.float64]]) -> tuple[list[float], list[float]]:
    share, first, second = np.mean(moments, 0)
    mean = first / share
    return [round(float(value), 3) for value in mean], [round(float(value), 3) for value in np.sqrt(second / share - mean**2)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder with image/ lidar/ calib/ label/ and three lists of frames")
    parser.add_argument("--task", choices=list(TASKS), default="vehicles", help="what a row is (%(default)s)")
    parser.add_argument("--out", type=Path, help="folder to make (data/kitti_drive52, of frames data/kitti_drive52_frames)")
    parser.add_argument("--seed", type=int, default=0, help="of the squares of background (%(default)s)")
    arguments = parser.parse_args()
    out = arguments.out or Path(f"data/kitti_drive52{'_frames' if arguments.task == 'frames' else ''}")
    try:
        left_out = prepare(arguments.source, out, arguments.seed, arguments.task)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{out}: written; left out: {left_out}")


if __name__ == "__main__":
    main()
