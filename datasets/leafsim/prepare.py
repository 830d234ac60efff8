"""Make the simulated data set leafsim: paired images and scans of leaves by several sensors, with lesion masks, boxes and classes."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from lesions import CLASSES
from numpy.typing import NDArray
from records import SENSORS, Sums, write_png
from rich.progress import track
from scanner import calibration
from scene import DIFFICULTIES, draw_scene, stream

from xkd.data.write import write_rows
from xkd.modalities.calibration import write_calibration

VERSION = 2  # of the generator: raise it with every change of a decoded array; a further sensor is none
FIRST = ("rgb", "thermal")  # the sensors of a set whose manifest.toml does not name them
CALIBRATION = "calibration.json"
SPLITS = ("train",) * 8 + ("val",) + ("test",) * 2  # scenes take turns


@dataclass(frozen=True)
class Recipe:
    """All that the arrays depend on, and which of them are written: `sensors` in the order of `SENSORS`."""

    seed: int
    num_scenes: int
    difficulty: str
    sensors: tuple[str, ...]

    def generator(self) -> dict[str, object]:
        """The table of that name in manifest.toml."""
        table = {"version": VERSION, "seed": self.seed, "num_scenes": self.num_scenes, "difficulty": self.difficulty}
        return table if self.sensors == FIRST else table | {"sensors": list(self.sensors)}


def lesion_boxes(mask: NDArray[np.uint8], label: str) -> str:
    """`x1 y1 x2 y2 class; ...`, one box per connected lesion, x2 and y2 exclusive; `-` where there is none."""
    count, _, stats, _ = cv2.connectedComponentsWithStats((mask == 2).astype(np.uint8))
    left, top, width, height = stats[1:count, :4].T
    edges = zip(left, top, left + width, top + height, strict=True)
    return "; ".join(f"{x1} {y1} {x2} {y2} {label}" for x1, y1, x2, y2 in edges) or "-"


def make_scene(recipe: Recipe, root: Path, index: int) -> tuple[dict[str, str], dict[str, Sums]]:
    """Write the files of one scene; returns its manifest row and the sums of what each sensor recorded."""
    scene = draw_scene(recipe.seed, index, DIFFICULTIES[recipe.difficulty])
    name = f"{index:05d}"
    row, recorded = {"id": name, "split": SPLITS[index % len(SPLITS)], "group": name}, {}
    for sensor in recipe.sensors:
        files = [SENSORS[sensor].path(folder, name) for folder in SENSORS[sensor].folders]
        recorded[sensor] = SENSORS[sensor].record(scene, stream(recipe.seed, index, sensor), [root / file for file in files])
        row[sensor] = ";".join(files)
    if "lidar" in recipe.sensors:
        row["calibration"] = CALIBRATION
    row["mask"] = f"mask/{name}.png"
    write_png(root / row["mask"], scene.mask)
    row |= {"label": scene.label, "boxes": lesion_boxes(scene.mask, scene.label), "visible": f"{scene.visible:.3f}"}
    return row, recorded


def describe(recipe: Recipe, train: Mapping[str, Sequence[Sums]]) -> str:
    """The text of manifest.toml, from the sums of each sensor's recordings of the train split."""
    classes = ", ".join(f'"{name}"' for name in CLASSES)
    generator = "".join(f"{key} = {json.dumps(value)}\n" for key, value in recipe.generator().items())
    tables = "\n".join(SENSORS[sensor].describe(train[sensor]) for sensor in recipe.sensors)
    return f"""name = "leafsim"
licence = "Apache-2.0"
source = "simulated by datasets/leafsim/prepare.py; no evidence about real leaves"
labels = "single"
classes = [{classes}]

[generator]
{generator}
{tables}
[mask]
values = {{ background = 0, leaf = 1, lesion = 2 }}
positive = ["lesion"]
"""


def write_set(recipe: Recipe, root: Path, workers: int) -> None:
    """Fill the folder `root`, which exists and is empty."""
    for folder in ("mask", *(folder for sensor in recipe.sensors for folder in SENSORS[sensor].folders)):
        (root / folder).mkdir()
    if "lidar" in recipe.sensors:
        write_calibration(root / CALIBRATION, calibration())
    with ExitStack() as stack:
        every: Callable[..., Iterable[tuple[dict[str, str], dict[str, Sums]]]] = map  # one worker is this process
        if workers > 1:
            # forking a process whose libraries have threads can hang
            pool = ProcessPoolExecutor(workers, get_context("spawn"), cv2.setNumThreads, (1,))
            every = partial(stack.enter_context(pool).map, chunksize=16)
        scenes = every(partial(make_scene, recipe, root), range(recipe.num_scenes))
        made = list(track(scenes, description="leafsim", total=recipe.num_scenes))
    write_rows(root, [row for row, _ in made])
    train = {sensor: [recorded[sensor] for row, recorded in made if row["split"] == "train"] for sensor in recipe.sensors}
    (root / "manifest.toml").write_text(describe(recipe, train), encoding="utf-8")


def is_made(recipe: Recipe, out: Path) -> bool:
    """Whether `out` holds this very set, perhaps with more sensors; ValueError if it holds anything else."""
    if not out.exists():
        return False
    manifest = out / "manifest.toml"
    held = tomllib.loads(manifest.read_text(encoding="utf-8")).get("generator") if manifest.is_file() else None
    wanted = recipe.generator()
    if not isinstance(held, dict) or {**held, "sensors": ()} != {**wanted, "sensors": ()}:
        raise ValueError(f"{out} holds {held or 'something else'}, wanted {wanted}: remove it or choose another --out")
    there = held.get("sensors", FIRST)
    if missing := [sensor for sensor in recipe.sensors if sensor not in there]:
        raise ValueError(
            f"{out} holds these scenes as seen by {' '.join(there)}, without {' '.join(missing)}: "
            f"remove it to make it anew, choose another --out, or ask for --sensors {' '.join(there)}"
        )
    return True


def prepare(recipe: Recipe, out: Path, workers: int) -> None:
    """Make the set in a folder beside `out` and rename it; a set that is there already is kept."""
    if is_made(recipe, out):
        print(f"{out} already holds this set: nothing to do")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    partial_root = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    try:
        write_set(recipe, partial_root, workers)
        partial_root.chmod(0o755)  # mkdtemp makes it private
        os.replace(partial_root, out)
    finally:
        shutil.rmtree(partial_root, ignore_errors=True)
    print(f"{out}: {recipe.num_scenes} scenes")


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to make, for example data/leafsim")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-scenes", type=int, default=3300, help="8 of 11 train, 1 validate, 2 test")
    parser.add_argument("--difficulty", choices=DIFFICULTIES, default="standard")
    parser.add_argument("--sensors", nargs="+", choices=SENSORS, default=list(SENSORS), help="all where it is left out")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes; does not change the result")
    options = parser.parse_args()
    if options.seed < 0:
        parser.error(f"--seed must be 0 or more, got {options.seed}")
    if options.num_scenes < len(SPLITS):
        parser.error(f"--num-scenes must be {len(SPLITS)} or more (one turn of the splits), got {options.num_scenes}")
    if options.workers < 1:
        parser.error(f"--workers must be 1 or more, got {options.workers}")
    try:
        sensors = tuple(sensor for sensor in SENSORS if sensor in options.sensors)
        prepare(Recipe(options.seed, options.num_scenes, options.difficulty, sensors), options.out, options.workers)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
