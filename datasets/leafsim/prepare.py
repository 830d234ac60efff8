"""Make the simulated data set leafsim: paired colour and thermal images of leaves, with lesion masks, boxes and classes."""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import sys
import tempfile
import tomllib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from energy import KELVIN_PER_COUNT
from lesions import CLASSES
from numpy.typing import NDArray
from rich.progress import track
from scene import DIFFICULTIES, draw_scene, stream
from sensors import rgb_image, thermal_image

VERSION = 2  # of the generator: raise it with every change of a decoded array
SPLITS = ("train",) * 8 + ("val",) + ("test",) * 2  # scenes take turns
COLUMNS = ("id", "split", "group", "rgb", "thermal", "mask", "label", "boxes", "visible")
THERMAL_RANGE = (290.0, 310.0)  # kelvin


@dataclass(frozen=True)
class Recipe:
    """All that the arrays depend on."""

    seed: int
    num_scenes: int
    difficulty: str


@dataclass(frozen=True)
class Sums:
    """Exact sums over one image, per channel: pixels, values, squares."""

    count: int
    total: NDArray[np.int64]
    squares: NDArray[np.int64]


def write_png(path: Path, image: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write a PNG; OSError names the file if that fails."""
    if not cv2.imwrite(str(path), image):
        raise OSError(f"could not write {path}")


def lesion_boxes(mask: NDArray[np.uint8], label: str) -> str:
    """`x1 y1 x2 y2 class; ...`, one box per connected lesion, x2 and y2 exclusive; `-` where there is none."""
    count, _, stats, _ = cv2.connectedComponentsWithStats((mask == 2).astype(np.uint8))
    left, top, width, height = stats[1:count, :4].T
    edges = zip(left, top, left + width, top + height, strict=True)
    return "; ".join(f"{x1} {y1} {x2} {y2} {label}" for x1, y1, x2, y2 in edges) or "-"


def sums(image: NDArray[np.uint8] | NDArray[np.uint16]) -> Sums:
    """Integer sums, so that their order does not matter."""
    pixels = image.reshape(image.shape[0] * image.shape[1], -1).astype(np.int64)
    return Sums(len(pixels), pixels.sum(0), (pixels**2).sum(0))


def make_scene(recipe: Recipe, root: Path, index: int) -> tuple[dict[str, str], Sums, Sums]:
    """Write the files of one scene; returns its manifest row and the sums of its two images."""
    cv2.setNumThreads(1)
    scene = draw_scene(recipe.seed, index, DIFFICULTIES[recipe.difficulty])
    rgb = rgb_image(scene, stream(recipe.seed, index, "rgb"))
    thermal = thermal_image(scene, stream(recipe.seed, index, "thermal"))
    name = f"{index:05d}"
    files = {sensor: f"{sensor}/{name}.png" for sensor in ("rgb", "thermal", "mask")}
    write_png(root / files["rgb"], np.ascontiguousarray(rgb[..., ::-1]))
    write_png(root / files["thermal"], thermal)
    write_png(root / files["mask"], scene.mask)
    row = {"id": name, "split": SPLITS[index % len(SPLITS)], "group": name, **files, "label": scene.label}
    row |= {"boxes": lesion_boxes(scene.mask, scene.label), "visible": f"{scene.visible:.3f}"}
    return row, sums(rgb), sums(thermal)


def moments(parts: list[Sums], scale: float) -> tuple[str, str]:
    """Mean and standard deviation per channel in the sensor's unit, as TOML arrays."""
    count = sum(part.count for part in parts)
    mean = np.sum([part.total for part in parts], axis=0) / count
    deviation = np.sqrt(np.sum([part.squares for part in parts], axis=0) / count - mean**2)
    as_toml = [", ".join(f"{value:.4f}" for value in scale * values) for values in (mean, deviation)]
    return f"[{as_toml[0]}]", f"[{as_toml[1]}]"


def describe(recipe: Recipe, rgb: list[Sums], thermal: list[Sums]) -> str:
    """The text of manifest.toml."""
    rgb_mean, rgb_std = moments(rgb, 1.0)
    thermal_mean, thermal_std = moments(thermal, KELVIN_PER_COUNT)
    classes = ", ".join(f'"{name}"' for name in CLASSES)
    return f'''name = "leafsim"
licence = "Apache-2.0"
source = "simulated by datasets/leafsim/prepare.py; no evidence about real leaves"
labels = "single"
classes = [{classes}]

[generator]
version = {VERSION}
seed = {recipe.seed}
num_scenes = {recipe.num_scenes}
difficulty = "{recipe.difficulty}"

[modalities.rgb]
sensor = "rgb"
mean = {rgb_mean}
std = {rgb_std}

[modalities.thermal]
sensor = "thermal"
unit = "K"
scale = {KELVIN_PER_COUNT}
offset = 0.0
range = [{THERMAL_RANGE[0]}, {THERMAL_RANGE[1]}]
mean = {thermal_mean}
std = {thermal_std}

[mask]
values = {{ background = 0, leaf = 1, lesion = 2 }}
positive = ["lesion"]
'''


def write_set(recipe: Recipe, root: Path, workers: int) -> None:
    """Fill the folder `root`, which exists and is empty."""
    for sensor in ("rgb", "thermal", "mask"):
        (root / sensor).mkdir()
    # forking a process whose libraries have threads can hang
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        scenes = pool.map(partial(make_scene, recipe, root), range(recipe.num_scenes), chunksize=16)
        made = list(track(scenes, description="leafsim", total=recipe.num_scenes))
    with (root / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(row for row, _, _ in made)
    train = [(rgb, thermal) for row, rgb, thermal in made if row["split"] == "train"]
    text = describe(recipe, [rgb for rgb, _ in train], [thermal for _, thermal in train])
    (root / "manifest.toml").write_text(text, encoding="utf-8")


def is_made(recipe: Recipe, out: Path) -> bool:
    """Whether `out` holds this very set; ValueError if it holds anything else."""
    if not out.exists():
        return False
    wanted = {"version": VERSION} | recipe.__dict__
    manifest = out / "manifest.toml"
    held = tomllib.loads(manifest.read_text(encoding="utf-8")).get("generator") if manifest.is_file() else None
    if held != wanted:
        raise ValueError(f"{out} holds {held or 'something else'}, wanted {wanted}: remove it or choose another --out")
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
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes; does not change the result")
    options = parser.parse_args()
    if options.seed < 0:
        parser.error(f"--seed must be 0 or more, got {options.seed}")
    if options.num_scenes < len(SPLITS):
        parser.error(f"--num-scenes must be {len(SPLITS)} or more (one turn of the splits), got {options.num_scenes}")
    if options.workers < 1:
        parser.error(f"--workers must be 1 or more, got {options.workers}")
    try:
        prepare(Recipe(options.seed, options.num_scenes, options.difficulty), options.out, options.workers)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
