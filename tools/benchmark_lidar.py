"""What a LiDAR sweep costs: points to a map by z-buffer, on one core, beside OpenCV's projection of the same points.

python tools/benchmark.py lidar --points 120000 --size 375 1242
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from xkd.geometry import IDENTITY, Box
from xkd.modalities.calibration import Camera
from xkd.modalities.points import Points, densify, splat

FOCAL = 720.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=120_000, help="points of a sweep (%(default)s)")
    parser.add_argument("--size", type=int, nargs=2, default=(375, 1242), metavar=("HEIGHT", "WIDTH"), help="of the map (%(default)s)")
    parser.add_argument("--rounds", type=int, default=20, help="the median of so many is printed (%(default)s)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    height, width = arguments.size
    rng = np.random.default_rng(0)
    intrinsic = np.array([[FOCAL, 0, width / 2], [0, FOCAL, height / 2], [0, 0, 1.0]])
    axes = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    camera = Camera(np.hstack([intrinsic, np.zeros((3, 1))]), axes, (), (width, height))
    depth = rng.uniform(3, 80, arguments.points)
    spread = rng.uniform(-0.5, 0.5, (arguments.points, 2)) * (width, height) / FOCAL
    xyz = np.column_stack([depth, -spread[:, 0] * depth, -spread[:, 1] * depth])  # all of them in view: the hardest case
    points = _seen(camera, xyz, rng.random((len(xyz), 3), np.float32))
    whole, turn = Box(0, 0, width, height), cv2.Rodrigues(axes[:3, :3])[0]
    jobs: dict[str, Callable[[], object]] = {
        "project (xkd)": lambda: camera.project(xyz),
        "project (cv2.projectPoints)": lambda: cv2.projectPoints(xyz, turn, np.zeros(3), intrinsic, None),
        "z-buffer": lambda: splat(points, IDENTITY, (height, width), whole),
        "project and z-buffer": lambda: splat(_seen(camera, xyz, points.values), IDENTITY, (height, width), whole),
        "z-buffer, then densify by 5 pixels": lambda: densify(splat(points, IDENTITY, (height, width), whole), 5),
    }
    table = Table(title=f"{arguments.points} points to {width} x {height}, one core, median of {arguments.rounds}")
    table.add_column("step")
    table.add_column("ms", justify="right")
    for name, job in jobs.items():
        table.add_row(name, f"{_milliseconds(job, arguments.rounds):.1f}")
    Console().print(table)


def _seen(camera: Camera, xyz: NDArray[np.float64], values: NDArray[np.float32]) -> Points:
    pixels, depth = camera.project(xyz)
    return Points(pixels.astype(np.float32), depth.astype(np.float32), values, camera.size[::-1])


def _milliseconds(job: Callable[[], object], rounds: int) -> float:
    job()
    times = []
    for _ in range(rounds):
        start = perf_counter()
        job()
        times.append(perf_counter() - start)
    return 1000 * median(times)


if __name__ == "__main__":
    main()
