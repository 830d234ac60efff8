"""Sets made by leafsim's command, and their files as OpenCV reads them."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

SCRIPT = Path(__file__).parents[3] / "datasets" / "leafsim" / "prepare.py"
NUM_SCENES = 44  # one full turn of splits and classes
sys.path.append(str(SCRIPT.parent))  # the script and what it imports stand beside each other


def run(*arguments: str | Path | int) -> subprocess.CompletedProcess[str]:
    """The command in this process: to import what it needs takes longer than what it does."""
    import prepare

    out, err, command = io.StringIO(), io.StringIO(), [str(SCRIPT), *map(str, arguments)]
    with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", command)
        try:
            code = prepare.main()
        except SystemExit as end:  # argparse's
            code = int(str(end.code))
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


def run_alone(*arguments: str | Path | int) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as a person starts it."""
    command = [sys.executable, "-W", "error", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)


def made(out: Path, run: Callable[..., subprocess.CompletedProcess[str]] = run, **options: str | int) -> Path:
    options = {"workers": 1, **options}
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
