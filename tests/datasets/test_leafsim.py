"""leafsim: the simulated set is well formed, repeatable, physically signed, and never half made."""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from xkd.data.manifest import Manifest
from xkd.data.rows import Row
from xkd.geometry import IDENTITY, Box
from xkd.modalities import LiDAR
from xkd.modalities.calibration import read_calibration, write_calibration
from xkd.modality import Shot, filled

SCRIPT = Path(__file__).parents[2] / "datasets" / "leafsim" / "prepare.py"
NUM_SCENES = 44  # one full turn of splits and classes
WARMER = {"rust": -1, "blight": 1, "mildew": -1}  # sign of lesion minus healthy tissue, as README.md says


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
    formats = {"rgb": ("uint8", (96, 96, 3)), "mask": ("uint8", (96, 96))} | dict.fromkeys(("thermal", "red", "nir"), ("uint16", (96, 96)))
    for row in table:
        files = row | dict(zip(("red", "nir"), row["ndvi"].split(";"), strict=True))
        for column, (dtype, shape) in formats.items():
            array = image(root, files, column)
            assert (str(array.dtype), array.shape) == (dtype, shape)
        points = np.load(root / row["lidar"])
        assert (str(points.dtype), points.shape[1]) == ("float32", 4)
        assert row["calibration"] == "calibration.json"
    assert sum(1 for _ in root.rglob("*.png")) == 5 * NUM_SCENES
    assert sum(1 for _ in root.rglob("*.npy")) == NUM_SCENES
    assert len(Manifest.load(root).rows) == NUM_SCENES


def test_statistics_are_those_of_the_train_split(root: Path) -> None:
    modalities = tomllib.loads((root / "manifest.toml").read_text(encoding="utf-8"))["modalities"]
    train = [row for row in rows(root) if row["split"] == "train"]
    rgb = np.stack([image(root, row, "rgb")[..., ::-1] for row in train]).reshape(-1, 3)  # OpenCV reads BGR
    thermal = np.stack([kelvin(root, row) for row in train])
    np.testing.assert_allclose(modalities["rgb"]["mean"], rgb.mean(0), atol=1e-3)
    np.testing.assert_allclose(modalities["rgb"]["std"], rgb.std(0), atol=1e-3)
    np.testing.assert_allclose(modalities["thermal"]["mean"], [thermal.mean()], atol=1e-3)
    np.testing.assert_allclose(modalities["thermal"]["std"], [thermal.std()], atol=1e-3)
    index = np.stack([ndvi(root, row) for row in train])
    np.testing.assert_allclose(modalities["ndvi"]["mean"], [index.mean()], atol=1e-3)
    np.testing.assert_allclose(modalities["ndvi"]["std"], [index.std()], atol=1e-3)
    points = np.concatenate([np.load(root / row["lidar"]) for row in train])
    channels = np.stack([np.linalg.norm(points[:, :3], axis=1), points[:, 3]])
    np.testing.assert_allclose(modalities["lidar"]["mean"], [*channels.mean(1), 0.5], atol=1e-3)
    np.testing.assert_allclose(modalities["lidar"]["std"], [*channels.std(1), 0.5], atol=1e-3)
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


def test_ndvi_falls_in_lesions_and_is_that_of_leaf_and_soil(root: Path) -> None:
    for row in rows(root):
        index, mask, (red, near) = ndvi(root, row), image(root, row, "mask"), bands(root, row)
        leaf = np.median(index[mask == 1])
        assert 0.55 < leaf < 0.85, row["id"]
        assert 0.08 < np.median(index[mask == 0]) < leaf - 0.05, row["id"]
        assert 0.02 < np.percentile(red[mask == 1], 20) < 0.08, "shaded or sunlit"
        assert 0.1 < np.median(near[mask == 1]) < 0.6, "shaded or sunlit"
        if row["label"] != "healthy":
            assert 0.1 < leaf - index[mask == 2].mean() < 0.7, (row["id"], row["label"])


def placed(root: Path, row: Row, calibration: Path) -> NDArray[np.float32]:
    """(96, 96, 3) range, intensity and valid, as training sees them but without filled gaps."""
    table = tomllib.loads((root / "manifest.toml").read_text(encoding="utf-8"))["modalities"]["lidar"]
    sensor = LiDAR(outputs=("range", "intensity", "valid"), range=tuple(table["range"]))
    reading = sensor.read(Shot((root / row.files["lidar"][0],), calibration))
    assert 2000 < len(reading.depth) < 4000
    return np.asarray(filled(sensor.place(reading, IDENTITY, (96, 96), Box(0, 0, 96, 96)), sensor))


def before_ground(seen: NDArray[np.float32], mask: NDArray[Any]) -> NDArray[np.bool_]:
    """Returns from the leaf, and not from the ground that the scanner sees past its edge."""
    return np.asarray(seen[..., 2] * (np.median(seen[mask == 0, 0]) - seen[..., 0]) > 0.008)


def agreement(root: Path, calibration: Path) -> tuple[float, float]:
    """Correlations over all scenes: of range with being ground, of intensity with being lesion on the leaf."""
    ground, lesion = [], []
    for row in Manifest.load(root).rows:
        seen, mask = placed(root, row, calibration), image(root, {"mask": row.mask}, "mask")
        there = seen[..., 2] > 0
        ground.append(np.stack([seen[there, 0] - np.median(seen[there, 0]), mask[there] == 0]))
        on_leaf = before_ground(seen, mask) & (mask > 0)
        if row.labels == ("blight",):
            lesion.append(np.stack([seen[on_leaf, 1], mask[on_leaf] == 2]))
    return float(np.corrcoef(np.concatenate(ground, 1))[0, 1]), float(np.corrcoef(np.concatenate(lesion, 1))[0, 1])


def test_projected_points_land_on_leaf_and_lesion(root: Path, tmp_path: Path) -> None:
    silhouette, brightness = agreement(root, root / "calibration.json")
    assert silhouette > 0.85
    assert brightness < -0.75
    for axis, pixels in ((0, 2), (0, -2), (1, 2), (1, -2)):
        camera = read_calibration(root / "calibration.json", "")
        camera.projection[axis, 2] += pixels  # a rig that was knocked
        write_calibration(tmp_path / "moved.json", camera)
        moved = agreement(root, tmp_path / "moved.json")
        assert moved[0] < silhouette - 0.015, (axis, pixels)
        assert moved[1] > brightness + 0.015, (axis, pixels)


def test_lesions_swell_or_sink_by_millimetres(root: Path) -> None:
    """Against a smooth surface through the rest of the leaf, in all scenes of a class together."""
    above: dict[str, list[NDArray[np.float64]]] = {}
    for row in Manifest.load(root).rows:
        seen, mask = placed(root, row, root / "calibration.json"), image(root, {"mask": row.mask}, "mask")
        nearer = before_ground(seen, mask)
        y, x = np.mgrid[-1:1:96j, -1:1:96j]
        terms = np.stack([x**i * y**j for i in range(5) for j in range(5 - i)], -1)
        rest, lesion = nearer & (mask == 1), nearer & (mask == 2)
        surface = terms @ np.linalg.lstsq(terms[rest], seen[rest, 0], rcond=None)[0]
        assert row.labels is not None
        above.setdefault(row.labels[0], []).append(1e3 * (surface - seen[..., 0])[lesion])
    for label, (low, high) in {"rust": (0.1, 1.5), "blight": (-4.0, -0.5), "mildew": (0.3, 2.5)}.items():
        assert low < np.concatenate(above[label]).mean() < high, label


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
        np.testing.assert_array_equal(bands(root, row), bands(again, twin))
        np.testing.assert_array_equal(np.load(root / row["lidar"]), np.load(again / twin["lidar"]))
    other = made(tmp_path / "other", num_scenes=11, seed=1)
    assert (image(root, rows(root)[0], "thermal") != image(other, rows(other)[0], "thermal")).any()


def test_difficulty_moves_no_lesion(root: Path, tmp_path: Path) -> None:
    easy = made(tmp_path / "easy", num_scenes=11, difficulty="easy")
    for row, twin in zip(rows(root)[:11], rows(easy), strict=True):
        np.testing.assert_array_equal(image(root, row, "mask"), image(easy, twin, "mask"))
        assert (image(root, row, "rgb") != image(easy, twin, "rgb")).any()


def test_a_sensor_does_not_depend_on_the_others(root: Path, tmp_path: Path) -> None:
    alone = made(tmp_path / "alone", num_scenes=11, sensors="lidar")
    assert sorted(path.name for path in alone.iterdir()) == ["calibration.json", "lidar", "manifest.csv", "manifest.toml", "mask"]
    for row, twin in zip(rows(root), rows(alone), strict=False):
        np.testing.assert_array_equal(np.load(root / row["lidar"]), np.load(alone / twin["lidar"]))


def digest(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


@pytest.mark.skipif((np.__version__, cv2.__version__) != ("2.4.6", "5.0.0"), reason="other versions may change single counts")
def test_colour_thermal_masks_and_manifest_are_those_of_version_2(tmp_path: Path) -> None:
    """Results measured before the further sensors came hold: the digests were taken then."""
    root = made(tmp_path / "first", num_scenes=11, sensors="thermal rgb")
    assert digest(*(image(root, row, "rgb").tobytes() for row in rows(root))) == "3d87a0d35281a19e"
    assert digest(*(image(root, row, "thermal").tobytes() for row in rows(root))) == "e52f9f5276a51381"
    assert digest(*(image(root, row, "mask").tobytes() for row in rows(root))) == "3232347632a244b2"
    assert digest((root / "manifest.csv").read_bytes()) == "dde5a61e5ac95685"
    assert digest((root / "manifest.toml").read_bytes()) == "e4cf1574537abd1c"


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


def test_a_set_with_fewer_sensors_says_what_to_do(root: Path, tmp_path: Path) -> None:
    fewer = made(tmp_path / "fewer", num_scenes=11, sensors="rgb thermal")
    done = run("--out", fewer, "--num-scenes", 11)
    assert done.returncode == 1
    assert "as seen by rgb thermal, without ndvi lidar: remove it" in done.stderr
    assert "--sensors rgb thermal" in done.stderr
    more = run("--out", root, "--num-scenes", NUM_SCENES, "--sensors", "rgb", "ndvi")
    assert more.returncode == 0
    assert "already holds" in more.stdout


def test_the_table_of_contrasts_can_be_printed() -> None:
    command = [sys.executable, "-W", "error", str(SCRIPT.parent / "contrast.py"), "--num-scenes", "8"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stdout.splitlines() if line.startswith("| hard")]) == 3


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
        (("--sensors", "radar"), "invalid choice: 'radar'"),
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
