"""The RoadScene converter: crops where they were cut, classes and groups kept, nothing half-written."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from xkd.batch import View
from xkd.data.annotations import Masks
from xkd.data.augment import Augment
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset
from xkd.geometry import Box
from xkd.modalities.raster import warp
from xkd.modality import Shot

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "datasets/roadscene_rgbt/prepare.py"
SHARED = Path(os.environ.get("XKD_SHARED", ROOT.parent / "shared")) / "data/roadscene_rgbt"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare_roadscene", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two made-up frames in the layout that README.md describes, with five crops, one of them a bicycle."""
    folder, rng = tmp_path / "source", np.random.default_rng(0)
    for name in ("rgb", "thermal"):
        (folder / name).mkdir(parents=True)
        for frame in ("A", "B"):
            cv2.imwrite(
                str(folder / name / f"{frame}.jpg"), rng.integers(0, 255, (90, 120, 3) if name == "rgb" else (90, 120), dtype=np.uint8)
            )
    (folder / "images.csv").write_text("id,width,height,split,group,day_night\nA,120,90,train,0,day\nB,120,90,test,1,\n")
    boxes = "A,car,10.0,20.0,50.0,40.0\nA,person,40.0,10.0,60.0,60.0\nA,bicycle,12.0,20.0,30.0,40.0\nB,car,0.0,0.0,30.0,20.0\n"
    (folder / "boxes.csv").write_text("id,label,x1,y1,x2,y2\n" + boxes)
    np.savez(
        folder / "crops64.npz",
        rgb=rng.integers(0, 255, (5, 64, 64, 3), dtype=np.uint8),
        thermal=rng.integers(0, 255, (5, 64, 64), dtype=np.uint8),
        label=np.array([2, 1, 3, 0, 2]),
        classes=np.array(["background", "person", "car", "bicycle"]),
        split=np.array(["train"] * 4 + ["test"]),
        image_id=np.array(["A"] * 4 + ["B"]),
        box=np.array([[10, 20, 50, 40], [40, 10, 60, 60], [12, 20, 30, 40], [80, 60, 100, 80], [0, 0, 30, 20]], np.float32),
    )
    return folder


def test_made_up_frames(script: ModuleType, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert script.prepare(source, out) == {"bicycle": 1}
    manifest = Manifest.load(out)
    assert manifest.classes == ("background", "person", "car")
    rows = {row.id: row for row in manifest.rows}
    assert list(rows) == ["A-0000", "A-0001", "A-0003", "B-0004"]
    assert rows["A-0000"].crop == Box(7, 7, 53, 53)
    assert rows["A-0000"].boxes == ((Box(10, 20, 50, 40), "car"), (Box(40, 10, 60, 60), "person"))
    assert rows["A-0003"].boxes == ()
    assert rows["B-0004"].crop == Box(-2.25, -7.25, 32.25, 27.25)
    assert rows["A-0000"].meta == {"id": "A-0000", "group": "0", "frame": "A", "day_night": "day"}
    assert len(manifest.modalities["rgb"].mean) == 3
    views = [View(name, sensor(str(out), name), (64, 64)) for name in ("rgb", "thermal")]
    sample = PairedDataset(str(out), "train", views, Augment(), masks=Masks("boxes"))[0, 1]
    assert sample.present == {"rgb": True, "thermal": True}
    assert sample.mask.mean() > 0.2


def test_a_wider_margin_shows_surroundings(script: ModuleType, source: Path, tmp_path: Path) -> None:
    script.prepare(source, tmp_path / "out", margin=2.5)
    rows = {row.id: row for row in Manifest.load(tmp_path / "out").rows}
    assert rows["A-0000"].crop == Box(-20, -20, 80, 80)
    with pytest.raises(ValueError, match=r"margin must be 1 or more, got 0\.9"):
        script.prepare(source, tmp_path / "less", margin=0.9)


def test_whole_frames_with_their_boxes(script: ModuleType, source: Path, tmp_path: Path) -> None:
    lines = (source / "images.csv").read_text().splitlines()
    annotated = [f"{line},{value}" for line, value in zip(lines, ("annotated", "1", "0"), strict=True)]
    (source / "images.csv").write_text("\n".join([*annotated, "C,120,90,val,2,day,1"]) + "\n")
    for name in ("rgb", "thermal"):
        shutil.copy(source / name / "A.jpg", source / name / "C.jpg")
    assert script.prepare(source, tmp_path / "out", frames=True) == {"bicycle": 1}
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.classes == ("person", "car")
    assert [row.boxes for row in manifest.rows] == [((Box(10, 20, 50, 40), "car"), (Box(40, 10, 60, 60), "person")), None, ()]
    assert [row.crop for row in manifest.rows] == [None] * 3


def test_command_line(
    script: ModuleType, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["prepare.py", "--source", str(source), "--out", str(tmp_path / "out")])
    script.main()
    assert "{'bicycle': 1}" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        script.main()
    assert stopped.value.code == 2
    assert "is there already; remove it" in capsys.readouterr().err


def test_nothing_is_half_written(script: ModuleType, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "made" / "out"
    (source / "thermal/B.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"B\.jpg"):
        script.prepare(source, out)
    assert list(out.parent.iterdir()) == []
    shutil.rmtree(source / "thermal")
    with pytest.raises(FileNotFoundError, match=r"lacks \['thermal'\]"):
        script.prepare(source, out)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the RoadScene recordings are not on this machine (XKD_SHARED)")
def test_real_crops_are_where_they_were_cut(script: ModuleType, tmp_path: Path) -> None:
    """The set's own 64-pixel crops were sampled half a step off the pixel centres; with that shift ours are theirs."""
    out = tmp_path / "out"
    assert script.prepare(SHARED, out) == {"bicycle": 42}
    manifest = Manifest.load(out)
    assert len(manifest.rows) == 1815
    with np.load(SHARED / "crops64.npz") as archive:
        cut = archive["thermal"]
    differences = []
    for row in manifest.rows[::30]:
        image = manifest.modalities["thermal"].read(Shot((out / row.files["thermal"][0],)))
        height, width = image.shape[:2]
        assert row.crop is not None
        x1, y1, x2, y2 = row.crop
        if x2 - x1 > 64 or x1 < 1 or y1 < 1 or x2 > width - 1 or y2 > height - 1:
            continue  # theirs repeat the border and reduce differently
        half = (x2 - x1) / 128 - 0.5
        ours = warp(image.astype(np.uint8), np.eye(3), (64, 64), Box(x1 - half, y1 - half, x2 - half, y2 - half))
        theirs = cut[int(row.id.rsplit("-", 1)[1])]
        differences.append(np.abs(ours[..., 0].astype(int) - theirs).mean())
    assert len(differences) > 20
    assert np.mean(differences) < 0.5  # of 255; 3.2 with the crops as they stand in the manifest
