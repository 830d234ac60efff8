"""leafsim: the simulated set is well formed, repeatable, physically signed, and never half made."""

from __future__ import annotations

import csv
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

SCRIPT = Path(__file__).parents[2] / "datasets" / "leafsim" / "prepare.py"
NUM_SCENES = 44  # one full turn of splits and classes
WARMER = {"rust": -1, "blight": 1, "mildew": -1}  # sign of lesion minus healthy tissue, as README.md says


def run(*arguments: str | Path | int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def made(out: Path, **options: str | int) -> Path:
    flags = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
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


def kelvin(root: Path, row: dict[str, str]) -> NDArray[np.float64]:
    return image(root, row, "thermal").astype(np.float64) * 0.01


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("sets") / "leafsim", num_scenes=NUM_SCENES, workers=1)


def test_manifest_describes_every_file(root: Path) -> None:
    meta, table = tomllib.loads((root / "manifest.toml").read_text(encoding="utf-8")), rows(root)
    assert meta["classes"] == ["healthy", "rust", "blight", "mildew"]
    assert meta["labels"] == "single"
    assert meta["mask"] == {"values": {"background": 0, "leaf": 1, "lesion": 2}, "positive": ["lesion"]}
    assert len({row["id"] for row in table}) == len({row["group"] for row in table}) == NUM_SCENES
    assert [sum(row["split"] == split for row in table) for split in ("train", "val", "test")] == [32, 4, 8]
    for split in ("train", "val", "test"):
        labels = [row["label"] for row in table if row["split"] == split]
        assert len({labels.count(name) for name in meta["classes"]}) == 1, f"{split} is not balanced"
    formats = {"rgb": ("uint8", (96, 96, 3)), "thermal": ("uint16", (96, 96)), "mask": ("uint8", (96, 96))}
    for row in table:
        for column, (dtype, shape) in formats.items():
            array = image(root, row, column)
            assert (str(array.dtype), array.shape) == (dtype, shape)
    assert sum(1 for _ in root.rglob("*.png")) == 3 * NUM_SCENES


def test_statistics_are_those_of_the_train_split(root: Path) -> None:
    modalities = tomllib.loads((root / "manifest.toml").read_text(encoding="utf-8"))["modalities"]
    train = [row for row in rows(root) if row["split"] == "train"]
    rgb = np.stack([image(root, row, "rgb")[..., ::-1] for row in train]).reshape(-1, 3)  # OpenCV reads BGR
    thermal = np.stack([kelvin(root, row) for row in train])
    np.testing.assert_allclose(modalities["rgb"]["mean"], rgb.mean(0), atol=1e-3)
    np.testing.assert_allclose(modalities["rgb"]["std"], rgb.std(0), atol=1e-3)
    np.testing.assert_allclose(modalities["thermal"]["mean"], [thermal.mean()], atol=1e-3)
    np.testing.assert_allclose(modalities["thermal"]["std"], [thermal.std()], atol=1e-3)
    assert modalities["rgb"]["mean"][1] > modalities["rgb"]["mean"][2], "leaves are green: red, green, blue in this order"


def test_masks_boxes_and_labels_agree(root: Path) -> None:
    for row in rows(root):
        mask = image(root, row, "mask")
        assert set(np.unique(mask)) <= {0, 1, 2}
        assert (mask == 1).sum() > 800
        boxes = [box.split() for box in row["boxes"].split(";") if box != "-"]
        assert bool(boxes) == bool((mask == 2).any()) == (row["label"] != "healthy")
        covered = np.zeros_like(mask, dtype=bool)
        for x1, y1, x2, y2, name in boxes:
            assert name == row["label"]
            inside = mask[int(y1) : int(y2), int(x1) : int(x2)] == 2
            assert inside.any(0).all() or inside.any(1).all(), "a box is larger than its lesion"
            covered[int(y1) : int(y2), int(x1) : int(x2)] = True
        assert covered[mask == 2].all()


def test_lesions_are_warmer_or_cooler_as_documented(root: Path) -> None:
    for row in rows(root):
        temperature, mask = kelvin(root, row), image(root, row, "mask")
        if row["label"] == "healthy":
            assert temperature[mask == 1].std() < 0.8
            continue
        contrast = temperature[mask == 2].mean() - np.median(temperature[mask == 1])
        assert 0.5 < WARMER[row["label"]] * contrast < 5, (row["id"], row["label"], contrast)


def test_temperatures_stay_within_the_stated_range(root: Path) -> None:
    low, high = tomllib.loads((root / "manifest.toml").read_text(encoding="utf-8"))["modalities"]["thermal"]["range"]
    for row in rows(root):
        temperature = kelvin(root, row)
        assert low <= temperature.min() <= temperature.max() <= high, row["id"]


def test_same_seed_same_arrays_whatever_the_workers_and_the_number(root: Path, tmp_path: Path) -> None:
    again = made(tmp_path / "again", num_scenes=NUM_SCENES + 11, workers=2)
    for row, twin in zip(rows(root), rows(again), strict=False):
        assert row == twin
        for column in ("rgb", "thermal", "mask"):
            np.testing.assert_array_equal(image(root, row, column), image(again, twin, column))
    other = made(tmp_path / "other", num_scenes=11, seed=1)
    assert (image(root, rows(root)[0], "thermal") != image(other, rows(other)[0], "thermal")).any()


def test_difficulty_moves_no_lesion(root: Path, tmp_path: Path) -> None:
    easy = made(tmp_path / "easy", num_scenes=11, difficulty="easy")
    for row, twin in zip(rows(root)[:11], rows(easy), strict=True):
        np.testing.assert_array_equal(image(root, row, "mask"), image(easy, twin, "mask"))
        assert (image(root, row, "rgb") != image(easy, twin, "rgb")).any()


def test_second_run_keeps_the_set(root: Path) -> None:
    before = (root / "manifest.csv").stat().st_mtime_ns
    done = run("--out", root, "--num-scenes", NUM_SCENES)
    assert done.returncode == 0
    assert "already holds" in done.stdout
    assert (root / "manifest.csv").stat().st_mtime_ns == before


def test_another_set_is_not_overwritten(root: Path, tmp_path: Path) -> None:
    done = run("--out", root, "--num-scenes", NUM_SCENES, "--seed", 7)
    assert done.returncode == 1
    assert "'seed': 0" in done.stderr
    assert "'seed': 7" in done.stderr
    (tmp_path / "thesis.txt").write_text("mine")
    done = run("--out", tmp_path, "--num-scenes", 11)
    assert done.returncode == 1
    assert "something else" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    # stopped when all images are there and the manifest is not
    broken = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import prepare\n"
        "def describe(*_): raise KeyboardInterrupt\n"
        "prepare.describe = describe\n"
        "sys.exit(prepare.main())"
    )
    command = [sys.executable, "-c", broken, "--out", str(tmp_path / "leafsim"), "--num-scenes", "11", "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "KeyboardInterrupt" in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert rows(made(tmp_path / "leafsim", num_scenes=11, workers=1))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--seed", -1), "--seed must be 0 or more, got -1"),
        (("--num-scenes", 3), "--num-scenes must be 11 or more"),
        (("--workers", 0), "--workers must be 1 or more"),
        (("--difficulty", "brutal"), "invalid choice: 'brutal'"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, flags: tuple[str, str | int], said: str) -> None:
    done = run("--out", tmp_path / "leafsim", *flags)
    assert done.returncode == 2
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("--out", tmp_path / "file" / "leafsim", "--num-scenes", 11)
    assert done.returncode == 1
    assert done.stderr.startswith("error:")
