"""The converter of nuScenes, on a made-up set in its layout: rows, background, sweeps of another moment, the command."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import nuscenes_street as street
import pytest

from xkd.batch import View
from xkd.data.annotations import Masks
from xkd.data.augment import Augment
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset


def test_made_up_scenes(script: ModuleType, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert script.prepare(source, out, val=["scene-0553"]) == {
        "objects of other kinds": 6,
        "objects that are hidden or hit by too few points": 18,
        "objects too small or cut off by the image's edge": 18,
    }
    manifest = Manifest.load(out)
    assert {row.group: row.split for row in manifest.rows} == {
        "scene-0061": "train",
        "scene-0553": "val",
        "scene-0655": "train",
        "scene-0757": "train",
        "scene-0103": "test",
    }
    assert Counter(row.labels for row in manifest.rows) == {("car",): 6, ("pedestrian",): 6, ("background",): 12}
    first, third = manifest.rows[0], manifest.rows[4]
    assert first.id == f"n015+0800__CAM_FRONT__{street.MADE_AT - street.LAG}-00"
    assert {key: first.meta[key] for key in ("group", "camera", "log")} == {"group": "scene-0061", "camera": "CAM_FRONT", "log": "log-0061"}
    assert first.values == {"rgb": {"time": -0.035491}, "lidar": {"time": 0.0}}
    assert third.values == {"rgb": {"time": 0.464509}, "lidar": {"time": 0.5}}
    assert manifest.pairs.max_time_offset == 0.06
    assert len(list((out / "lidar").rglob("*.bin"))) == 6
    views = [View(name, sensor(str(out), name), (32, 32)) for name in ("rgb", "lidar")]
    sample = PairedDataset(str(out), "train", views, Augment(), masks=Masks("boxes"))[0, 1]
    assert sample.present == {"rgb": True, "lidar": True}


def test_background_is_as_large_touches_nothing_annotated_and_depends_on_the_seed(script: ModuleType, source: Path, tmp_path: Path) -> None:
    annotated = [street.seen(street.corners(number)) for number in (0, 1, 2, 5, 6, 7, 8, 9)]  # the others reach behind the camera
    points = street.seen(np.concatenate([street.planted(), street.EGO(street.WALL)]))
    places = []
    for name, seed in enumerate((0, 0, 1)):
        script.prepare(source, tmp_path / str(name), val=["scene-0553"], seed=seed)
        rows = {row.id: row for row in Manifest.load(tmp_path / str(name)).rows}
        drawn = {name: row.crop for name, row in rows.items() if row.labels == ("background",)}
        for name, place in drawn.items():
            crop = rows[name[:-1]].crop
            assert place is not None
            assert crop is not None
            assert place.x2 - place.x1 == pytest.approx(crop.x2 - crop.x1, abs=0.01)
            assert min(place) >= 0
            assert (np.array(place[2:]) <= street.SIZE).all()
            assert ((points >= place[:2]) & (points < place[2:])).all(1).sum() >= 5
            for outline in annotated:
                x1, y1, x2, y2 = *outline.min(0), *outline.max(0)
                assert place.x2 <= x1 + 0.01 or place.x1 >= x2 - 0.01 or place.y2 <= y1 + 0.01 or place.y1 >= y2 - 0.01
        places.append(drawn)
    assert places[0] == places[1] != places[2]


def test_a_sweep_of_another_moment_is_left_out(script: ModuleType, source: Path, tmp_path: Path) -> None:
    def later(records: list[dict[str, Any]]) -> None:
        next(record for record in records if record["token"] == "d-scene-0061-1-CAM_FRONT")["timestamp"] -= 60_000 - street.LAG

    street.rewrite(source, "sample_data", later)
    left_out = script.prepare(source, tmp_path / "out", cameras=["CAM_FRONT", "CAM_BACK"], val=["scene-0553"])
    assert left_out["frames without an image or a sweep of their moment"] == 1 + 5  # CAM_BACK has one image
    rows = Manifest.load(tmp_path / "out").rows
    assert Counter(row.meta["camera"] for row in rows if row.labels == ("car",)) == {"CAM_FRONT": 5, "CAM_BACK": 1}


def test_command_line(
    script: ModuleType, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--source", str(source), "--out", str(tmp_path / "out"), "--val", "scene-0553", "--link", "symlink"]
    monkeypatch.setattr(sys, "argv", ["prepare.py", *arguments])
    script.main()
    assert "'objects of other kinds': 6" in capsys.readouterr().out
    assert all(path.is_symlink() for path in (tmp_path / "out/rgb").rglob("*.jpg"))
    with pytest.raises(SystemExit) as stopped:
        script.main()
    assert stopped.value.code == 2
    assert "is there already; remove it" in capsys.readouterr().err
