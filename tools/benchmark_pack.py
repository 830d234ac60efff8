"""What reading small files costs, loose and packed (`xkd pack`): images per second in an order drawn at random, the sides in turns.

python tools/benchmark.py pack --images 20000 --folder /mnt/slow --cold

With `--cold` the pages of each side's files are dropped from the system's cache before it is read (Linux; `posix_fadvise`), which asks for
no rights; names of files may stay cached, so that on a network's disk the loose side is faster than after a restart. Bytes are read, and
decoded where `--decode` says so.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from xkd.data.manifest import Manifest
from xkd.data.pack import pack
from xkd.modalities.files import read_image
from xkd.packed import content

SIZE = (128, 128)  # height, width of the files, about 20 kB each
TOML = 'name = "bench"\nclasses = ["a"]\n[modalities.rgb]\nsensor = "rgb"\n'
FOLDER_OF = 1000  # files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000, help="how many files there are (%(default)s)")
    parser.add_argument("--reads", type=int, default=2000, help="of images per round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="the median of so many is printed (%(default)s)")
    parser.add_argument("--folder", type=Path, help="on the disk that is meant; it is made, and emptied again (the system's own)")
    parser.add_argument("--cold", action="store_true", help="drop the files from the cache before each round")
    parser.add_argument("--decode", action="store_true", help="decode what is read")
    a = parser.parse_args()
    if a.cold and not hasattr(os, "posix_fadvise"):
        raise SystemExit(f"--cold needs posix_fadvise, which {sys.platform} has not")
    if a.folder:
        a.folder.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(dir=a.folder) as folder:
        loose, packed = Path(folder) / "loose", Path(folder) / "packed"
        names = write(loose, a.images)
        pack(Manifest.load(loose), packed)
        show(measure({"loose": loose, "packed": packed}, names, a), a)


def write(root: Path, count: int) -> list[str]:
    rng = np.random.default_rng(0)
    names = [f"rgb/{number // FOLDER_OF:04d}/{number:07d}.jpg" for number in range(count)]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / name), rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
    (root / "manifest.toml").write_text(TOML, "utf-8")
    rows = "".join(f"{number},train,{number},{name},a\n" for number, name in enumerate(names))
    (root / "manifest.csv").write_text("id,split,group,rgb,label\n" + rows, "utf-8")
    return names


def measure(sides: dict[str, Path], names: list[str], a: argparse.Namespace) -> dict[str, list[float]]:
    """Images per second of each side by round; both read the same images in the same order."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(a.rounds + 1):
        order = np.random.default_rng(turn).integers(0, len(names), a.reads).tolist()
        # whoever comes second may find the disk in another state
        for side, root in list(sides.items())[:: 1 if turn % 2 else -1]:
            if a.cold:
                drop(root)
            start = perf_counter()
            for number in order:
                path = root / names[number]
                _ = read_image(path, cv2.IMREAD_COLOR_RGB) if a.decode else content(path)
            if turn:  # the first one warms up
                rates[side].append(a.reads / (perf_counter() - start))
    return rates


def drop(root: Path) -> None:
    """The files' pages leave the system's cache."""
    for path in root.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            try:
                os.fsync(file)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(file)


def show(rates: dict[str, list[float]], a: argparse.Namespace) -> None:
    cache, done = "cold" if a.cold else "warm", "read and decoded" if a.decode else "read"
    table = Table(title=f"{a.reads} of {a.images:,} images {done} at random, {cache} cache, median of {a.rounds} rounds")
    for column in ("files", "images/s", "slowest to fastest round"):
        table.add_column(column, justify="left" if column == "files" else "right")
    for side, those in rates.items():
        table.add_row(side, f"{median(those):,.0f}", f"{min(those):,.0f} to {max(those):,.0f}")
    Console().print(table)
    ratios = [packed / loose for loose, packed in zip(rates["loose"], rates["packed"], strict=True)]
    Console().print(f"packed against loose, by round: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
