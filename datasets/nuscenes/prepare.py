"""Make nuScenes' key frames into a data set of camera and LiDAR: one row per annotated object, and as much background.

    python datasets/nuscenes/prepare.py --source DIR --out data/nuscenes --version v1.0-mini

README.md beside this file says what DIR has to hold.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from xkd.data.prepare.make import Link, Order, make
from xkd.data.prepare.nuscenes import KeyFrame, Record, Tables, find_frames, follow, outline, read_tables
from xkd.data.prepare.records import Contents, Record as Row, Table
from xkd.data.prepare.split import split_by_group
from xkd.geometry import Box, overlap, square
from xkd.modalities.scans import read_scan

Pixels = NDArray[np.float64]

CLASSES: Final = ("background", "car", "truck", "bus", "cycle", "pedestrian")
KINDS: Final[Mapping[str, str]] = {  # nuScenes' category -> class; the others get no crop
    "vehicle.car": "car",
    "vehicle.truck": "truck",
    "vehicle.bus.bendy": "bus",
    "vehicle.bus.rigid": "bus",
    "vehicle.bicycle": "cycle",
    "vehicle.motorcycle": "cycle",
    **{f"human.pedestrian.{kind}": "pedestrian" for kind in ("adult", "child", "construction_worker", "police_officer")},
}
AUTHORS_VAL: Final[Mapping[str, str]] = {  # numbers of their val scenes: nuscenes-devkit, python-sdk/nuscenes/utils/splits.py
    "v1.0-mini": "103 916",
    "v1.0-trainval": "3 12-18 35-36 38-39 92-110 221 268-278 329-332 344-346 519-524 552-565 625-627 629-630 632-638 770-771 775 777-778 "
    "780-784 794-800 802 904-917 919-931 962-963 966-969 971-972 1059-1073",
}
VAL_SHARE: Final = 0.15  # of the scenes that are not test, in whole logs
COLUMNS: Final = 5  # x, y, z, intensity 0..255, ring
FARTHEST: Final = 0.06  # seconds between image and sweep: a turn of the scanner (20 a second) and a fifth
FEWEST_POINTS: Final = 5  # of the sweep, in the object's 3D box, or in a square of background
LEAST_VISIBLE: Final = 40  # percent, the lower end of nuScenes' bin
LEAST_SHARE: Final = 0.5  # of the rectangle about an object, that lies in the image
LEAST_SIDE: Final = 16.0  # pixels, of the shorter side of what lies in the image
MARGIN: Final = 1.15  # side of a crop over the longest side of its box
TRIES: Final = 200  # places that are tried for a square of background
SENSORS: Final[Mapping[str, Table]] = {
    "rgb": {"sensor": "rgb"},
    "lidar": {
        "sensor": "lidar",
        "outputs": ["range", "height", "intensity", "valid"],
        "range": [1.0, 80.0],
        "columns": COLUMNS,
        "intensity_scale": 1 / 255,
    },
}
LICENCE: Final = "nuScenes: CC BY-NC-SA 4.0 and the nuScenes terms of use, non-commercial"
SOURCE: Final = "nuScenes (Caesar et al., CVPR 2020), nuscenes.org"


@dataclass(frozen=True)
class Object:
    """What is annotated, as a camera sees it: `box` is what lies in the image, `share` of all that is before the camera."""

    label: str  # "" for kinds that are no class
    box: Box
    share: float
    seen: bool  # the scanner hit it, and little hides it


def prepare(
    source: Path,
    out: Path,
    version: str = "v1.0-mini",
    cameras: Sequence[str] = ("CAM_FRONT",),
    val: Sequence[str] = (),
    test: Sequence[str] = (),
    seed: int = 0,
    link: Link = "copy",
) -> dict[str, int]:
    """Write the data set; returns how many frames, objects and squares of background were left out.

    `val` and `test` name scenes. Where `test` names none it is the authors' val, where `val` names none it is drawn by `seed`.
    """
    tables = read_tables(source / version)
    splits = split_of_scenes(tables, version, val, test, seed)
    left_out: Counter[str] = Counter()
    rows: list[Row] = []
    for number, frame in enumerate(find_frames(tables, source, cameras, FARTHEST, left_out)):
        rows += _rows(tables, frame, splits[frame.scene], np.random.default_rng([seed, number]), left_out)
    contents = Contents(SENSORS, tuple(rows), CLASSES, max_time_offset=FARTHEST, left_out=left_out)
    return dict(make(contents, Order(out, out.name, LICENCE, SOURCE, link)).left_out)


def split_of_scenes(tables: Tables, version: str, val: Sequence[str], test: Sequence[str], seed: int) -> dict[str, str]:
    """Scene -> split, by their names; see `prepare`. Val is drawn in whole logs, since the scenes of one show the same streets."""
    logs = {scene["name"]: follow(tables, "scene", scene, "log")["logfile"] for scene in tables["scene"].values()}
    if unknown := [name for name in (*val, *test) if name not in logs]:
        raise ValueError(f"no scene '{unknown[0]}'; there are {sorted(logs)}")
    if twice := set(val) & set(test):
        raise ValueError(f"scenes {sorted(twice)} are asked for in val and in test; a scene belongs to one split")
    tested = set(test) or set(logs) & authors_val(version)
    rest = [name for name in logs if name not in tested]
    drawn = split_by_group(((logs[name], frozenset()) for name in rest), {"train": 1 - VAL_SHARE, "val": VAL_SHARE}, seed)
    chosen = {name: "val" if name in val else "train" for name in rest} if val else {name: drawn[logs[name]] for name in rest}
    if lacking := {"train", "val", "test"} - {*chosen.values(), *("test" for _ in tested)}:
        raise ValueError(f"no scene for {sorted(lacking)}; name scenes with --val and --test, there are {sorted(logs)}")
    return chosen | dict.fromkeys(tested, "test")


def authors_val(version: str) -> set[str]:
    """Names of the scenes that the authors of nuScenes call val; none for a version that they do not split."""
    spans = [span.partition("-") for span in AUTHORS_VAL.get(version, "").split()]
    return {f"scene-{number:04d}" for low, _, high in spans for number in range(int(low), int(high or low) + 1)}


def background(crop: Box, frame: KeyFrame, objects: Sequence[Object], points: Pixels, rng: np.random.Generator) -> Box | None:
    """A square of the crop's size inside the frame that touches nothing annotated and holds points of the sweep (so it is not the sky)."""
    side, (width, height) = crop.x2 - crop.x1, frame.camera.size
    for _ in range(TRIES if side < min(width, height) else 0):
        x, y = (float(edge) for edge in rng.uniform(0, (width - side, height - side)))
        place = Box(x, y, x + side, y + side)
        if any(overlap(place, thing.box) for thing in objects):
            continue
        if ((points >= place[:2]) & (points < place[2:])).all(1).sum() >= FEWEST_POINTS:
            return place
    return None


def _objects(tables: Tables, frame: KeyFrame) -> list[Object]:
    """What is annotated and lies in the image, if only in part."""
    width, height = frame.camera.size
    objects = []
    for annotation in frame.annotations:
        kind = follow(tables, "instance", follow(tables, "sample_annotation", annotation, "instance"), "category")["name"]
        whole = outline(annotation, frame.ego, frame.sensor, frame.camera.size)
        if whole is None or not overlap(whole, Box(0, 0, width, height)):
            continue
        box = Box(max(whole.x1, 0.0), max(whole.y1, 0.0), min(whole.x2, width), min(whole.y2, height))
        seen = annotation["num_lidar_pts"] >= FEWEST_POINTS and _visible(tables, annotation) >= LEAST_VISIBLE
        objects.append(Object(KINDS.get(kind, ""), box, _area(box) / _area(whole), seen))
    return objects


def _visible(tables: Tables, annotation: Record) -> int:
    """The lower end of the bin, in percent; -1 where nobody said."""
    if not annotation["visibility_token"]:
        return -1
    level = str(follow(tables, "sample_annotation", annotation, "visibility")["level"])
    low, _, high = level.removeprefix("v").partition("-")
    if not (low.isdigit() and high.isdigit()):
        raise ValueError(f"visibility.json: level '{level}' is not like v40-60, percent")
    return int(low)


def _rows(tables: Tables, frame: KeyFrame, split: str, rng: np.random.Generator, left_out: Counter[str]) -> list[Row]:
    """A row per object that is large and visible enough, each followed by one of background of the same size."""
    objects = _objects(tables, frame)
    pixels, depth = frame.camera.project(read_scan(frame.files["lidar"][0].path, COLUMNS).points[:, :3])
    rows = []
    for number, thing in enumerate(objects):
        if not thing.label:
            left_out["objects of other kinds"] += 1
        elif not thing.seen:
            left_out["objects that are hidden or hit by too few points"] += 1
        elif thing.share < LEAST_SHARE or min(thing.box.x2 - thing.box.x1, thing.box.y2 - thing.box.y1) < LEAST_SIDE:
            left_out["objects too small or cut off by the image's edge"] += 1
        else:
            crop = square(thing.box, MARGIN)
            rows.append(_row(frame, split, f"{number:02d}", thing.label, crop, objects))
            place = background(crop, frame, objects, pixels[depth > 0], rng)
            if place is None:
                left_out["squares of background that found no place"] += 1
            else:
                rows.append(_row(frame, split, f"{number:02d}b", "background", place, objects))
    return rows


def _row(frame: KeyFrame, split: str, suffix: str, label: str, crop: Box, objects: Sequence[Object]) -> Row:
    inside = tuple((thing.box, thing.label) for thing in objects if thing.label and thing.seen and overlap(thing.box, crop))
    return Row(
        id=f"{frame.name}-{suffix}",
        files=frame.files,
        frame=frame.name,
        group=frame.scene,
        split=split,
        labels=(label,),
        boxes=inside,
        crop=crop,
        calibration=lambda: frame.camera,
        times=frame.times,
        extra={"frame": frame.name, "camera": frame.channel, "log": frame.log},
    )


def _area(box: Box) -> float:
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder with samples/ and the version's folder of tables")
    parser.add_argument("--out", type=Path, default=Path("data/nuscenes"), help="folder to make (%(default)s)")
    parser.add_argument("--version", default="v1.0-mini", help="folder of the tables (%(default)s)")
    parser.add_argument("--cameras", nargs="+", default=["CAM_FRONT"], metavar="CHANNEL", help="(%(default)s)")
    parser.add_argument("--val", nargs="*", default=[], metavar="SCENE", help="a share of what is not test is drawn where none is named")
    parser.add_argument("--test", nargs="*", default=[], metavar="SCENE", help="the authors' val where none is named")
    parser.add_argument("--seed", type=int, default=0, help="of the squares of background and the scenes of val (%(default)s)")
    parser.add_argument("--link", choices=get_args(Link), default="copy", help="how files get there (%(default)s)")
    a = parser.parse_args()
    try:
        left_out = prepare(a.source, a.out, a.version, a.cameras, a.val, a.test, a.seed, a.link)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{a.out}: written; left out: {left_out}")


if __name__ == "__main__":
    main()
