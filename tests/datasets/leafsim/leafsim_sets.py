"""Sets made by leafsim's command, and their files as OpenCV reads them."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SCRIPT = Path(__file__).parents[3] / "datasets" / "leafsim" / "prepare.py"
NUM_SCENES = 44  # one full turn of splits and classes


def run(*arguments: str | Path | int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def made(out: Path, **options: str | int) -> Path:
    flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", *str(value).split())]
    done = run("--out", out, *flags)
    assert done.returncode == 0, done.stderr
    return out


def rows(root: Path) -> list[dict[str, str]]:
    with (root / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def image(root: Path, row: dict[str, str], column: str) -> NDArray[Any]:
    array = cv2.imread(str(root / row[column]), cv2.IMREAD_UNCHANGED)
    assert array is not None, row[column]
    return np.asarray(array)


def bands(root: Path, row: dict[str, str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Reflectance in red and near infrared."""
    red, near = row["ndvi"].split(";")
    return image(root, {"red": red}, "red") / 40000, image(root, {"nir": near}, "nir") / 40000


def ndvi(root: Path, row: dict[str, str]) -> NDArray[np.float64]:
    red, near = bands(root, row)
    return np.asarray((near - red) / (near + red))


def kelvin(root: Path, row: dict[str, str]) -> NDArray[np.float64]:
    return image(root, row, "thermal").astype(np.float64) * 0.01
