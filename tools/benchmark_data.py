"""What reading data costs: a long manifest's seconds and memory, and pairs per second beside bare decoding, OpenCV by hand and torchvision.

python tools/benchmark.py data --rows 1000000 --pairs 200
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from torchvision.transforms import InterpolationMode, functional

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset
from xkd.geometry import Box, pixel_matrix

FRAME = (512, 640)  # height, width of the files
PHOTOGRAPH = (3000, 4000)  # of the colour files of the second table, beside the same thermal ones
SIZE = (224, 224)
NOISE = np.float32(5.0)  # counts; what is hard to foresee costs a decoder most
QUARTER = cv2.IMREAD_REDUCED_GRAYSCALE_4 | cv2.IMREAD_COLOR_RGB  # what whoever knows that photographs are large would say
AUGMENT = Augment(flip=0.5, rotate=10.0, scale=(0.6, 1.0), shift=0.05, jitter=0.0)
TOML = """name = "bench"
classes = ["a", "b"]
[modalities.rgb]
sensor = "rgb"
[modalities.thermal]
sensor = "thermal"
unit = "K"
scale = 0.01
range = [280.0, 320.0]
[pairs]
same_size = false
size = [640, 512]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the long manifest (%(default)s)")
    parser.add_argument("--pairs", type=int, default=200, help="read per round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="the median of so many is printed (%(default)s)")
    parser.add_argument("--load", type=Path, help=argparse.SUPPRESS)  # the child that loads the manifest, so that memory is its alone
    arguments = parser.parse_args()
    if arguments.load:
        load(arguments.load)
        return
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        manifest(Path(folder) / "long", arguments.rows)
        pairs(Path(folder) / "pairs", FRAME, min(arguments.pairs, 50), arguments.pairs, arguments.rounds)
        few = max(arguments.pairs // 10, 1)
        pairs(Path(folder) / "photographs", PHOTOGRAPH, min(few, 10), few, arguments.rounds)


def manifest(root: Path, count: int) -> None:
    """Two sensors, a label and two boxes in each row; loaded by a process of its own."""
    root.mkdir()
    (root / "manifest.toml").write_text(TOML, "utf-8")
    with (root / "manifest.csv").open("w", encoding="utf-8") as file:
        file.write("id,split,group,rgb,thermal,label,boxes\n")
        for row in range(count):
            split = ("train", "train", "val", "test")[row % 4]
            file.write(f"{row:07d},{split},{split}{row // 400},rgb/{row:07d}.jpg,thermal/{row:07d}.png,a,1 2 30 40 a;5 6 70 80 b\n")
    subprocess.run([sys.executable, __file__, "--load", str(root)], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def load(root: Path) -> None:
    before, start = _peak(), perf_counter()
    rows = len(Manifest.load(root).rows)
    print(f"manifest of {rows:,} rows: {perf_counter() - start:.1f} s, {(_peak() - before) / 1e9:.2f} GB more at the peak")


def _peak() -> float:
    """Bytes of memory at the highest so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def pairs(root: Path, frame: tuple[int, int], files: int, count: int, rounds: int) -> None:
    """Pairs (JPEG and 16-bit PNG) read, placed under one draw and turned into tensors of 224 x 224, in one process."""
    write(root, frame, files)
    views = [View(name, sensor(str(root), name), SIZE) for name in ("rgb", "thermal")]
    dataset = PairedDataset(str(root), "train", views, AUGMENT)
    kept = PairedDataset(str(root), "train", views, AUGMENT, cache=True)
    sides: dict[str, Callable[[int], object]] = {
        "cv2.imdecode alone, at full size": lambda number: decoded(root, number % files),
        "xkd": lambda number: dataset[number % files, number],
        "OpenCV by hand": lambda number: by_hand(root, frame, number % files, number, cv2.IMREAD_COLOR_RGB),
        "OpenCV by hand, a quarter of each side": lambda number: by_hand(root, frame, number % files, number, QUARTER),
        "torchvision on PIL": lambda number: by_torchvision(root, frame, number % files, number),
        "xkd, readings kept in memory": lambda number: kept[number % files, number],
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            start = perf_counter()
            for number in range(count):
                side(number)
            if turn:  # the first one warms up
                seconds[name].append(perf_counter() - start)
    table = Table(title=f"pairs of {frame[1]} x {frame[0]} to {SIZE[1]} x {SIZE[0]}, one core, median of {rounds} rounds of {count}")
    for column in ("side", "ms per pair", "pairs/s", "time against decoding"):
        table.add_column(column, justify="left" if column == "side" else "right")
    for name, taken in seconds.items():
        ratio = median(one / bare for one, bare in zip(taken, seconds[next(iter(sides))], strict=True))
        table.add_row(name, f"{1000 * median(taken) / count:.2f}", f"{count / median(taken):.0f}", f"{ratio:.2f}")
    Console().print(table)


def write(root: Path, frame: tuple[int, int], files: int) -> None:
    """Smooth scenes and a camera's noise."""
    rng = np.random.default_rng(0)
    lines = ["id,split,group,rgb,thermal,label"]
    for name in ("rgb", "thermal"):
        (root / name).mkdir(parents=True)
    (root / "manifest.toml").write_text(TOML, "utf-8")
    for number in range(files):
        scene = cv2.resize(rng.uniform(0, 255, (frame[0] // 16, frame[1] // 16, 3)), frame[::-1], interpolation=cv2.INTER_CUBIC)
        noisy = scene + rng.standard_normal(scene.shape, np.float32) * NOISE
        cv2.imwrite(str(root / f"rgb/{number}.jpg"), np.clip(noisy, 0, 255).astype(np.uint8))
        cv2.imwrite(str(root / f"thermal/{number}.png"), (29000 + 5 * scene[: FRAME[0], : FRAME[1], 0]).astype(np.uint16))
        lines.append(f"{number},train,{number},rgb/{number}.jpg,thermal/{number}.png,{'ab'[number % 2]}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")


def decoded(root: Path, file: int) -> tuple[object, object]:
    colour = np.frombuffer((root / f"rgb/{file}.jpg").read_bytes(), np.uint8)
    warm = np.frombuffer((root / f"thermal/{file}.png").read_bytes(), np.uint8)
    return cv2.imdecode(colour, cv2.IMREAD_COLOR_RGB), cv2.imdecode(warm, cv2.IMREAD_UNCHANGED)


def by_torchvision(root: Path, frame: tuple[int, int], file: int, draw: int) -> list[torch.Tensor]:
    """Pillow and torchvision's functional transforms, with their own averaging where the image shrinks."""
    rng = np.random.default_rng(draw)
    angle, side, flip = float(rng.uniform(-10, 10)), float(rng.uniform(0.6, 1.0)), rng.random() < 0.5
    left, top = rng.random(2)
    tensors = []
    for name, mode in ((f"rgb/{file}.jpg", "RGB"), (f"thermal/{file}.png", "F")):
        with Image.open(root / name) as opened:
            opened.draft(mode, (SIZE[1] * 2, SIZE[0] * 2))  # Pillow's way to decode a JPEG at a fraction
            image = opened.convert(mode)
        high, wide = image.height * side, image.width * side
        box = int(top * (image.height - high)), int(left * (image.width - wide)), int(high), int(wide)
        image = functional.rotate(functional.resized_crop(image, *box, list(SIZE)), angle, InterpolationMode.BILINEAR)
        image = functional.hflip(image) if flip else image
        tensors.append(functional.pil_to_tensor(image) if mode == "RGB" else torch.from_numpy(np.asarray(image) * np.float32(0.01))[None])
    return tensors


def by_hand(root: Path, frame: tuple[int, int], file: int, draw: int, flags: int) -> tuple[torch.Tensor, torch.Tensor]:
    """OpenCV alone: no manifest, no checks, and no averaging where the image shrinks (so it aliases)."""
    colour = _read(root / f"rgb/{file}.jpg", flags)
    warm = _read(root / f"thermal/{file}.png", cv2.IMREAD_UNCHANGED).astype(np.float32) * np.float32(0.01)
    matrix = AUGMENT.geometry(np.random.default_rng(draw), frame[1] / frame[0])
    first = cv2.warpAffine(colour, _place(matrix, colour), SIZE[::-1], borderValue=(124, 116, 104))
    second = cv2.warpAffine(warm, _place(matrix, warm), SIZE[::-1], borderValue=300)
    return torch.from_numpy(first).permute(2, 0, 1), torch.from_numpy(second)[None]


def _place(matrix: NDArray[np.float64], image: NDArray[Any]) -> NDArray[np.float64]:
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    height, width = image.shape[:2]
    return np.asarray((np.linalg.inv(half) @ pixel_matrix(matrix, Box(0, 0, width, height), SIZE) @ half)[:2])


def _read(path: Path, flags: int) -> NDArray[np.uint8]:
    image = cv2.imread(str(path), flags)
    assert image is not None  # written above
    return np.asarray(image)


if __name__ == "__main__":
    main()
