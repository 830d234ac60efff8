"""The CWFID converter: crops and frames, the red band as the camera, and the ways to make that camera worse."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset
from xkd.geometry import Box
from xkd.modality import Shot

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("XKD_SHARED", ROOT.parent / "shared")) / "data/cwfid_red_nir"
WHOLE = Box(0.0, 0.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("cwfid_red_nir")


def _write(stem: Path, size: tuple[int, int], rng: np.random.Generator) -> None:
    """Soil of 60 in red and 70 in NIR, and a plant of 40 and 120 in the middle; a hundredth of the pixels noisy."""
    mask = np.zeros(size, np.uint8)
    mask[size[0] // 3 : 2 * size[0] // 3, size[1] // 3 : 2 * size[1] // 3] = 1
    mask[0, 0] = 3
    for band, soil, plant in (("red", 60, 40), ("nir", 70, 120)):
        counts = np.where(mask == 1, plant, soil) + (rng.random(size) < 0.01) * 9
        cv2.imwrite(f"{stem}_{band}.png", counts.astype(np.uint8))
    cv2.imwrite(f"{stem}_mask.png", mask)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder, rng = tmp_path / "source", np.random.default_rng(0)
    crops = [
        ("001_00", "weed", "train", "001", 100, 50),
        ("001_01", "soil", "train", "001", 600, 700),
        ("002_00", "weed", "test", "002", 0, 0),
    ]
    (folder / "frames").mkdir(parents=True)
    for label in ("weed", "soil", "crop"):
        (folder / "crops" / label).mkdir(parents=True)
    for name, label, *_ in crops:
        _write(folder / f"crops/{label}/{name}", (32, 32), rng)
    for frame in ("001", "002"):
        _write(folder / f"frames/{frame}", (48, 64), rng)
    lines = [f"{name},{label},{split},{frame},{x},{y},192,0.9" for name, label, split, frame, x, y in crops]
    (folder / "crops.csv").write_text("\n".join(["id,label,split,frame,x0,y0,win,own_class_frac_of_plants", *lines]) + "\n")
    (folder / "frames.csv").write_text("frame,split\n001,train\n002,test\n")
    return folder


def test_made_up_crops(script: ModuleType, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert script.prepare(source, out) == 3
    manifest = Manifest.load(out)
    assert manifest.classes == ("soil", "crop", "weed")
    assert [(row.id, row.split, row.group, row.labels) for row in manifest.rows] == [
        ("001_00", "train", "001", ("weed",)),
        ("001_01", "train", "001", ("soil",)),
        ("002_00", "test", "002", ("weed",)),
    ]
    assert manifest.rows[0].files == {"rgb": ("red/001_00.png",), "ndvi": ("red/001_00.png", "nir/001_00.png")}
    assert manifest.rows[0].meta["purity"] == "0.9"
    views = [View(name, sensor(str(out), name), (32, 32)) for name in ("rgb", "ndvi")]
    sample = PairedDataset(str(out), "train", views, Augment())[0]
    assert sample.views["rgb"].shape[0] == 3
    assert np.median(sample.views["ndvi"][0, 12:20, 12:20]) == pytest.approx(80 / 160)
    assert np.median(sample.views["ndvi"]) == pytest.approx(10 / 130)
    assert sample.masked
    assert sample.mask.sum() == 121  # the plant, without the unknown pixel
    assert manifest.modalities["ndvi"].mean[0] == pytest.approx(float(sample.views["ndvi"].mean()), abs=0.01)


def test_made_up_frames(script: ModuleType, source: Path, tmp_path: Path) -> None:
    assert script.prepare(source, tmp_path / "out", task="frames") == 2
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.mask is not None
    assert manifest.mask.values == {"soil": 0, "crop": 1, "weed": 2, "unknown": 3}
    assert [(row.id, row.labels, row.mask) for row in manifest.rows] == [("001", None, "mask/001.png"), ("002", None, "mask/002.png")]


@pytest.mark.parametrize(("kind", "strength"), [("blur", 3.0), ("dust", 0.9), ("exposure", -2.0)])
def test_only_the_camera_gets_worse(script: ModuleType, source: Path, tmp_path: Path, kind: str, strength: float) -> None:
    for name in ("out", "again"):
        script.prepare(source, tmp_path / name, "frames", kind, strength, seed=2)
    manifest, clean = Manifest.load(tmp_path / "out"), script.prepare(source, tmp_path / "clean", "frames")
    assert clean == 2
    assert manifest.name.endswith(f"camera degraded by {kind} {strength:g}")
    row = manifest.rows[0]
    assert row.files == {"rgb": ("camera/001.png",), "ndvi": ("red/001.png", "nir/001.png")}
    worse, again = (cv2.imread(str(tmp_path / name / "camera/001.png"), cv2.IMREAD_UNCHANGED) for name in ("out", "again"))
    red = cv2.imread(str(tmp_path / "clean/red/001.png"), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(worse, again)
    assert not np.array_equal(worse, red)
    assert np.array_equal(cv2.imread(str(tmp_path / "out/red/001.png"), cv2.IMREAD_UNCHANGED), red)
    mean = manifest.modalities["rgb"].read(Shot((tmp_path / "out/camera/001.png",))).mean()
    assert manifest.modalities["rgb"].mean[0] == pytest.approx(mean, abs=0.01)


def test_defocus_spreads_a_point_over_a_disc(script: ModuleType) -> None:
    point = np.zeros((31, 31), np.uint8)
    point[15, 15] = 255
    spread = script.degraded(point, "blur", 4.0, WHOLE, (0, "a")).astype(float)
    y, x = np.nonzero(spread)
    assert np.hypot(x - 15, y - 15).max() <= 4.8
    assert spread[15, 15] == spread[15, 18] == round(255 / (np.pi * 16))
    sharp = script.degraded(point, "blur", 0.0, WHOLE, (0, "a"))
    assert np.array_equal(sharp, point)


def test_dust_stays_where_it_is_on_the_lens(script: ModuleType) -> None:
    white = np.full((96, 128), 200, np.uint8)
    whole = script.degraded(white, "dust", 0.8, WHOLE, (0, "a"))
    assert np.array_equal(whole, script.degraded(white, "dust", 0.8, WHOLE, (0, "b")))
    assert not np.array_equal(whole, script.degraded(white, "dust", 0.8, WHOLE, (1, "a")))
    part = script.degraded(white[24:72, 32:96], "dust", 0.8, Box(0.25, 0.25, 0.75, 0.75), (0, "a"))
    assert np.array_equal(part, whole[24:72, 32:96])
    assert whole.min() >= 200 * (1 - 0.8) - 30  # specks may overlap, a little
    assert 0.02 < (whole < 180).mean() < 0.5


def test_exposure_clips_the_light_and_drowns_the_dark_in_noise(script: ModuleType) -> None:
    grey = np.full((64, 64), 100, np.uint8)
    over, under = (script.degraded(grey, "exposure", stops, WHOLE, (0, "a")).astype(float) for stops in (2.0, -3.0))
    assert over.min() == 255
    assert under.mean() == pytest.approx(100 / 8, abs=0.1)
    electrons = 100 / 255 * 5000 / 8
    assert under.std() == pytest.approx(np.hypot(np.sqrt(electrons + 12**2) * 255 / 5000, np.sqrt(1 / 12)), rel=0.05)
    assert not np.array_equal(under, script.degraded(grey, "exposure", -3.0, WHOLE, (0, "b")))


@pytest.mark.parametrize(
    ("kind", "strength", "message"),
    [
        ("fog", 1.0, r"unknown degradation 'fog'; there are \['none', 'blur', 'dust', 'exposure'\]"),
        ("none", 1.0, r"a strength \(1\) needs a degradation"),
        ("blur", None, "blur needs a strength, 0 to 20"),
        ("dust", 1.5, "dust needs a strength, 0 to 1"),
        ("exposure", float("nan"), "exposure needs a strength, -8 to 8"),
    ],
)
def test_a_degradation_that_makes_no_sense_is_named(
    script: ModuleType, source: Path, tmp_path: Path, kind: str, strength: float | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        script.prepare(source, tmp_path / "out", "crops", kind, strength)
    assert not (tmp_path / "out").exists()


def test_nothing_is_half_written(script: ModuleType, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "made" / "out"
    (source / "crops/soil/001_01_nir.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"001_01_nir\.png"):
        script.prepare(source, out)
    cv2.imwrite(str(source / "frames/002_red.png"), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(ValueError, match=r"002\.png: the red band is an 8-bit grey image"):
        script.prepare(source, out, "frames", "blur", 2.0)
    assert list(out.parent.iterdir()) == []
    with pytest.raises(ValueError, match=r"unknown task 'plots'; tasks are \['crops', 'frames'\]"):
        script.prepare(source, out, "plots")
    (source / "crops.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks \['crops.csv'\]"):
        script.prepare(source, out)


def test_command_line(
    script: ModuleType, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["prepare.py", "--source", str(source), "--task", "frames", "--degrade", "blur", "--strength", "2"])
    script.main()
    assert "data/cwfid_red_nir_frames_blur2: written; 2 rows" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        script.main()
    assert stopped.value.code == 2
    assert "is there already; remove it" in capsys.readouterr().err


@pytest.mark.skipif(not SHARED.is_dir(), reason="the CWFID recordings are not on this machine (XKD_SHARED)")
def test_real_bands_give_the_ndvi_that_was_stored(script: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert script.prepare(SHARED, out) == 792
    manifest = Manifest.load(out)
    assert Counter((row.split, *(row.labels or ())) for row in manifest.rows) == {
        ("train", "crop"): 89,
        ("train", "weed"): 172,
        ("train", "soil"): 160,
        ("val", "crop"): 20,
        ("val", "weed"): 53,
        ("val", "soil"): 40,
        ("test", "crop"): 53,
        ("test", "weed"): 105,
        ("test", "soil"): 100,
    }
    for row in manifest.rows[::40]:
        ours = manifest.modalities["ndvi"].read(Shot(tuple(out / path for path in row.files["ndvi"])))[..., 0]
        stored = cv2.imread(str(SHARED / f"crops/{row.labels[0] if row.labels else ''}/{row.id}_ndvi.png"), cv2.IMREAD_UNCHANGED)
        seen = np.isfinite(ours)
        assert np.abs(ours - (stored / 127.5 - 1))[seen].max() < 1 / 255 + 1e-6
