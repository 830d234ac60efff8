"""Make the simulated data set clipsim: clips of a small warm animal that crosses a meadow, by a camera and a thermal camera.

    python datasets/clipsim/prepare.py --out data/clipsim

README.md beside this file says what is simulated.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from xkd.data.write import new_dataset, write_rows

VERSION: Final = 1  # of the generator: raise it with every change of a pixel
CLASSES: Final = ("left_steady", "left_hop", "right_steady", "right_hop")
SPLITS: Final = ("train",) * 6 + ("val",) + ("test",) * 2  # rounds of all classes take turns
FRAMES, FPS = 12, 8
HEIGHT, WIDTH = 64, 96
HEAT: Final = 2  # pixels of the camera for one of the thermal camera
KELVIN: Final = 0.01  # a count
MIDDLE: Final = (FRAMES - 1) / 2
PERIOD: Final = 4.0  # frames of a hop
JUMP: Final = 0.4  # of its period, in which all of its way is made
CORE: Final = 1.3  # standard deviation of the animal's bright middle, in pixels
REACH: Final = 13  # pixels around a thing within which it is drawn

Image = NDArray[np.float32]
Path2D = NDArray[np.float64]  # (FRAMES, 2): x and y of each frame

TOML = """name = "clipsim"
licence = "Apache-2.0"
source = "simulated by datasets/clipsim/prepare.py; no evidence about real animals or cameras"
labels = "single"
classes = {classes}

[generator]
version = {version}
seed = {seed}
num_clips = {num_clips}

[pairs]
same_size = false
size = [{width}, {height}]

[modalities.rgb]
sensor = "rgb"
mean = {rgb_mean}
std = {rgb_std}

[modalities.thermal]
sensor = "thermal"
unit = "K"
scale = {kelvin}
range = [289.0, 299.0]
mean = {thermal_mean}
std = {thermal_std}

[flips]
left_steady = "right_steady"
left_hop = "right_hop"
"""


@dataclass(frozen=True)
class Recipe:
    """All that the pixels depend on."""

    seed: int
    num_clips: int


@dataclass(frozen=True)
class Thing:
    """What may move: where it is, how it turns, its shape (standard deviations along and across in pixels), its colour and its warmth."""

    path: Path2D
    angles: NDArray[np.float64]
    along: float
    across: float
    colour: NDArray[np.float64]  # what is added to red, green and blue at its middle
    warmth: float  # kelvin that are added at its middle
    core: float = 0.0  # how much of the colour a small bright middle takes away again


def path_of(rng: np.random.Generator, direction: int, hops: bool) -> Path2D:
    """Across the picture: in a random frame the place has one distribution, whatever the direction and the gait."""
    speed = rng.uniform(2.2, 3.4)
    time = np.arange(FRAMES) - MIDDLE
    x, y = rng.uniform(26, WIDTH - 26), rng.uniform(12, HEIGHT - 12)
    slope = rng.uniform(-0.25, 0.25)
    phase = rng.uniform(0, PERIOD)
    wholes, rest = np.divmod(time + phase, PERIOD)
    jump = np.clip(rest / (PERIOD * JUMP), 0, 1)
    way = (wholes + jump) * PERIOD - phase - (0.5 - JUMP / 2) * PERIOD if hops else time
    height = 4 * rng.uniform(2.0, 4.0) * jump * (1 - jump) if hops else np.zeros(FRAMES)
    return np.stack([x + direction * speed * way, y + slope * speed * way - (height - height.mean())], axis=1)


def things_of(rng: np.random.Generator, label: str) -> list[Thing]:
    """The animal, a blown leaf with a way and a gait of its own, warm stones, and plants that sway."""
    direction, gait = label.split("_")
    tone, still = np.array([1.0, 0.95, 0.85]), np.zeros(FRAMES)
    way = path_of(rng, -1 if direction == "left" else 1, gait == "hop")
    things = [Thing(way, still, 3.4, 2.5, -rng.uniform(32, 48) * tone, rng.uniform(2.0, 4.0), core=1.7)]
    turns = np.linspace(0.0, rng.uniform(-4.4, 4.4), FRAMES) + rng.uniform(0, np.pi)
    leaf = path_of(rng, rng.choice([-1, 1]), bool(rng.integers(2)))
    things.append(Thing(leaf, turns, 3.6, 1.8, -rng.uniform(30, 44) * tone, -0.3))
    for _ in range(2):
        place = np.tile(rng.uniform((6, 6), (WIDTH - 6, HEIGHT - 6)), (FRAMES, 1))
        things.append(Thing(place, still, 2.8, 2.4, rng.uniform(-15, 25) * np.ones(3), rng.uniform(1.0, 3.0)))
    for _ in range(8):
        sway = rng.uniform(0.8, 2.5) * np.sin(2 * np.pi * (rng.uniform(0.5, 1.5) * np.arange(FRAMES) / FPS + rng.random()))
        place = rng.uniform((0, 0), (WIDTH, HEIGHT)) + np.stack([sway, 0.3 * sway], axis=1)
        green = rng.uniform(-35, 35) * np.array([0.7, 1.0, 0.5])
        things.append(
            Thing(place, np.full(FRAMES, rng.uniform(0, np.pi)), rng.uniform(3, 5), rng.uniform(1.2, 2), green, rng.uniform(-0.5, 0.3))
        )
    return things


def add(image: Image, thing: Thing, frame: int, amount: NDArray[np.float64], scale: float = 1.0, core: float = 0.0) -> None:
    """Draw a frame of the thing into (H, W, C), of which a pixel is `scale` pixels of the camera; a core takes `core` of it away."""
    x, y = (thing.path[frame] + 0.5) / scale - 0.5
    left, top = max(0, round(x) - REACH), max(0, round(y) - REACH)
    part = image[top : max(0, round(y) + REACH), left : max(0, round(x) + REACH)]
    if not part.size:
        return
    across, down = np.meshgrid(np.arange(part.shape[1]) + left - x, np.arange(part.shape[0]) + top - y)
    cos, sin = np.cos(thing.angles[frame]) * scale, np.sin(thing.angles[frame]) * scale
    u, v = across * cos + down * sin, down * cos - across * sin
    shape = np.exp(-0.5 * ((u / thing.along) ** 2 + (v / thing.across) ** 2))
    if core:
        shape -= core * np.exp(-0.5 * (u**2 + v**2) / CORE**2)
    part += shape[..., None] * amount


def ground(rng: np.random.Generator, height: int, width: int, channels: int, coarse: float) -> Image:
    """Even noise that is smooth over `coarse` pixels, of a standard deviation of 1."""
    noise = cv2.GaussianBlur(rng.standard_normal((height, width, channels)).astype(np.float32), (0, 0), coarse).reshape(
        height, width, channels
    )
    return np.asarray((noise - noise.mean()) / noise.std(), np.float32)


def draw_clip(seed: int, index: int) -> tuple[str, NDArray[np.uint8], NDArray[np.uint16]]:
    """The class, and the strips of both cameras: (H, FRAMES x W, 3) sRGB and (H / HEAT, FRAMES x W / HEAT) counts."""
    rng = np.random.default_rng([seed, index])
    label = CLASSES[index % len(CLASSES)]
    things = things_of(rng, label)
    earth = np.array([118, 112, 84]) + 12 * ground(rng, HEIGHT, WIDTH, 1, 6.0) + 5 * ground(rng, HEIGHT, WIDTH, 3, 1.0)
    warmth = 294 + rng.uniform(-1, 1) + 0.6 * ground(rng, HEIGHT // HEAT, WIDTH // HEAT, 1, 4.0)
    colours, heats = [], []
    for frame in range(FRAMES):
        colour = (earth + 6 * rng.standard_normal(earth.shape, np.float32)).astype(np.float32)
        heat = (warmth + 0.2 * rng.standard_normal(warmth.shape, np.float32)).astype(np.float32)
        for thing in reversed(things):  # the animal is in front
            add(colour, thing, frame, thing.colour, core=thing.core)
            add(heat, thing, frame, np.array([thing.warmth]), scale=HEAT)
        colours.append(np.clip(np.rint(colour * rng.uniform(0.97, 1.03)), 0, 255).astype(np.uint8))
        heats.append(np.rint(heat[..., 0] / KELVIN).astype(np.uint16))
    return label, np.concatenate(colours, axis=1), np.concatenate(heats, axis=1)


def write_set(root: Path, recipe: Recipe) -> None:
    """Fill the folder `root`, which exists and is empty."""
    rows: list[dict[str, str]] = []
    moments: dict[str, list[NDArray[np.float64]]] = {"rgb": [], "thermal": []}
    for folder in moments:
        (root / folder).mkdir()
    for index in track(range(recipe.num_clips), description="clipsim"):
        label, colours, heats = draw_clip(recipe.seed, index)
        name, split = f"{index:05d}", SPLITS[index // len(CLASSES) % len(SPLITS)]
        row = {"id": name, "split": split, "group": name, "label": label}
        for sensor, strip in (("rgb", colours), ("thermal", heats)):
            path = f"{sensor}/{name}.png"
            if not cv2.imwrite(str(root / path), strip[..., ::-1] if strip.ndim == 3 else strip, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
                raise OSError(f"{root / path}: could not be written")
            row |= {sensor: path, f"{sensor}.time": "0", f"{sensor}.fps": str(FPS), f"{sensor}.frames": str(FRAMES)}
            if split == "train":
                pixels = strip.reshape(-1, 3 if strip.ndim == 3 else 1) * (1.0 if strip.ndim == 3 else KELVIN)
                moments[sensor].append(np.stack([pixels.mean(0), np.square(pixels).mean(0)]))
        rows.append(row)
    write_rows(root, rows)
    (root / "manifest.toml").write_text(describe(recipe, moments), encoding="utf-8")


def describe(recipe: Recipe, moments: Mapping[str, Sequence[NDArray[np.float64]]]) -> str:
    """The text of manifest.toml, from the means and mean squares of the train clips."""
    known: dict[str, object] = {"classes": json.dumps(CLASSES), "version": VERSION, "seed": recipe.seed, "num_clips": recipe.num_clips}
    for sensor, of in moments.items():
        mean, square = np.mean(of, axis=0)
        known |= {f"{sensor}_mean": mean.round(3).tolist(), f"{sensor}_std": np.sqrt(square - mean**2).round(3).tolist()}
    return TOML.format(width=WIDTH, height=HEIGHT, kelvin=KELVIN, **known)


def prepare(recipe: Recipe, out: Path) -> bool:
    """Write the data set; False where it is there already. `FileExistsError` where `out` holds anything else."""
    path = out / "manifest.toml"
    if path.is_file():
        wanted = {"version": VERSION, "seed": recipe.seed, "num_clips": recipe.num_clips}
        if (held := tomllib.loads(path.read_text(encoding="utf-8")).get("generator")) == wanted:
            return False
        raise FileExistsError(f"{out} holds {held or 'something else'}, wanted {wanted}: remove it or choose another --out")
    with new_dataset(out) as draft:
        write_set(draft, recipe)
    return True


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to make, for example data/clipsim")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-clips", type=int, default=1800, help="6 of 9 train, 1 validate, 2 test (%(default)s)")
    arguments = parser.parse_args()
    if arguments.seed < 0:
        parser.error(f"--seed must be 0 or more, got {arguments.seed}")
    if arguments.num_clips < (least := len(CLASSES) * len(SPLITS)):
        parser.error(f"--num-clips must be {least} or more (one turn of classes and splits), got {arguments.num_clips}")
    cv2.setNumThreads(1)
    try:
        made = prepare(Recipe(arguments.seed, arguments.num_clips), arguments.out)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.out}: {arguments.num_clips} clips" if made else f"{arguments.out} already holds this set: nothing to do")
    return 0


if __name__ == "__main__":
    sys.exit(main())
