"""The FIR indoor converter: temperatures kept, two clocks made one, near duplicates thinned, labels near a change left out."""

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
from xkd.data.annotations import Masks
from xkd.data.augment import Augment
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset
from xkd.modality import Shot

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("XKD_SHARED", ROOT.parent / "shared")) / "data/fir_indoor_action"
HEADER = "id,seq,row,t,video_frame,label,coarse,rows_to_boundary,split\n"


@pytest.fixture(scope="module")
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("fir_indoor_action")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Sequence A (train): 6 pairs, three of walking and three of lying; sequence B (test): 2 pairs of lying."""
    folder, rng = tmp_path / "source", np.random.default_rng(0)
    for name in ("rgb", "thermal"):
        (folder / name).mkdir(parents=True)
    lines = []
    for sequence, split, count in (("A", "train", 6), ("B", "test", 2)):
        np.save(folder / f"thermal/{sequence}.npy", rng.uniform(24, 33, (2 * count, 24, 32)).astype(np.float16))
        for number in range(count):
            row, time = 2 * number, 0.25 * number
            label, coarse = ("walk", "upright") if number < 3 else ("lying", "lie")
            label, coarse = (label, coarse) if sequence == "A" else ("lying", "lie")
            frame = round((0.95 * time + 0.2) * 25)
            boundary = abs(row - 5) if sequence == "A" else 9
            lines.append(f"{sequence}_{row:04d},{sequence},{row},{time},{frame},{label},{coarse},{boundary},{split}")
            cv2.imwrite(str(folder / f"rgb/{sequence}_{row:04d}.jpg"), rng.integers(0, 255, (120, 160, 3), dtype=np.uint8))
    (folder / "pairs.csv").write_text(HEADER + "\n".join(lines) + "\n")
    return folder


def test_made_up_sequences(script: ModuleType, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert script.prepare(source, out, every=1, clear=0) == {"pairs between those kept": 0, "labels near a change": 0}
    manifest = Manifest.load(out)
    assert manifest.pairs.size == (160, 120)
    assert not manifest.pairs.same_size
    assert [row.labels for row in manifest.rows] == [("upright",)] * 3 + [("lie",)] * 3 + [("lie",)] * 2
    assert [row.meta["bout"] for row in manifest.rows] == ["A-000"] * 3 + ["A-001"] * 3 + ["B-000"] * 2
    assert [row.group for row in manifest.rows] == ["A"] * 6 + ["B"] * 2
    assert all(abs(row.values["rgb"]["time"] - row.values["thermal"]["time"]) < 0.025 for row in manifest.rows)
    thermal = manifest.modalities["thermal"]
    frames = np.load(source / "thermal/A.npy")
    for row in manifest.rows[:6]:
        read = thermal.read(Shot((out / row.files["thermal"][0],)))[..., 0]
        assert np.abs(read - frames[int(row.id[2:])].astype(np.float32)).max() < 0.0051
    assert thermal.unit == "degC"
    assert thermal.mean[0] == pytest.approx(frames[::2].astype(float).mean(), abs=0.01)
    assert thermal.std[0] == pytest.approx(frames[::2].astype(float).std(), abs=0.01)
    views = [View("rgb", sensor(str(out), "rgb"), (48, 64)), View("thermal", sensor(str(out), "thermal"), (24, 32))]
    sample = PairedDataset(str(out), "train", views, Augment(), masks=Masks("none"))[2]
    assert np.allclose(sample.views["thermal"][0], frames[4].astype(np.float32), atol=0.0051)


def test_neighbours_and_labels_near_a_change_are_left_out(script: ModuleType, source: Path, tmp_path: Path) -> None:
    assert script.prepare(source, tmp_path / "out") == {"pairs between those kept": 4, "labels near a change": 2}
    rows = Manifest.load(tmp_path / "out").rows
    assert [(row.id, row.labels) for row in rows] == [("A_0000", ("upright",)), ("A_0004", None), ("A_0008", None), ("B_0000", ("lie",))]
    assert rows[1].meta["activity"] == "walk"


def test_a_camera_frame_of_another_moment_is_refused(script: ModuleType, source: Path, tmp_path: Path) -> None:
    text = (source / "pairs.csv").read_text()
    (source / "pairs.csv").write_text(text.replace("A_0008,A,8,1.0,29,", "A_0008,A,8,1.0,33,"))
    with pytest.raises(ValueError, match=r"row 'A_0008': sensors are .* seconds apart"):
        script.prepare(source, tmp_path / "out")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("A_0004,A,4,", "A_0004,A,40,", r"A\.npy: pairs\.csv, 'A_0004', wants frame 40 of 12"),
        ("walk,upright", "jump,flying", r"pairs\.csv, 'A_0000': unknown activity 'flying'; there are \['upright'"),
        ("9,test", "9,train", None),
        ("B_0000,B,0", "B_0000,C,0", r"C\.npy"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_half_written(
    script: ModuleType, source: Path, tmp_path: Path, before: str, after: str, message: str | None
) -> None:
    out = tmp_path / "made" / "out"
    text = (source / "pairs.csv").read_text()
    assert before in text
    (source / "pairs.csv").write_text(text.replace(before, after))
    if message is None:
        script.prepare(source, out)  # another split of a whole sequence is fine
        return
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        script.prepare(source, out)
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


def test_arrays_and_images_that_are_none_of_these_sensors(script: ModuleType, source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="every is 1 or more"):
        script.prepare(source, tmp_path / "out", every=0)
    cv2.imwrite(str(source / "rgb/A_0000.jpg"), np.zeros((240, 320, 3), np.uint8))
    with pytest.raises(ValueError, match=r"A_0000\.jpg: an image is 160x120, this one 320x240"):
        script.prepare(source, tmp_path / "out")
    frames = np.load(source / "thermal/A.npy")
    for wrong in (frames[:, :, :30], np.where(frames > 32.9, np.nan, frames)):
        np.save(source / "thermal/A.npy", wrong)
        with pytest.raises(ValueError, match=r"A\.npy: frames are finite numbers \(N, 24, 32\)"):
            script.prepare(source, tmp_path / "out")
    np.save(source / "thermal/A.npy", frames.astype(np.float32) + 500)
    with pytest.raises(ValueError, match=r"A\.npy: frame 0 holds 5\d\d\.\d+ to 53\d\.\d+ degrees Celsius"):
        script.prepare(source, tmp_path / "out")
    (source / "pairs.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks \['pairs.csv'\]"):
        script.prepare(source, tmp_path / "out")


def test_command_line(
    script: ModuleType, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["prepare.py", "--source", str(source), "--out", str(tmp_path / "out"), "--every", "3"])
    script.main()
    assert "'pairs between those kept': 5" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        script.main()
    assert stopped.value.code == 2
    assert "is there already; remove it" in capsys.readouterr().err


@pytest.mark.skipif(not SHARED.is_dir(), reason="the FIR recordings are not on this machine (XKD_SHARED)")
def test_real_sequences(script: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert script.prepare(SHARED, out) == {"pairs between those kept": 964, "labels near a change": 126}
    manifest = Manifest.load(out)
    assert Counter((row.split, *(row.labels or ("",))) for row in manifest.rows) == {
        ("train", "upright"): 334,
        ("train", "transition"): 88,
        ("train", "lie"): 60,
        ("train", "sit"): 9,
        ("train", ""): 166,
        ("val", "upright"): 31,
        ("val", "transition"): 55,
        ("val", "lie"): 7,
        ("val", ""): 37,
        ("test", "upright"): 80,
        ("test", "transition"): 53,
        ("test", "lie"): 21,
        ("test", ""): 26,
    }
    for row in manifest.rows[::100]:
        frame = np.load(SHARED / f"thermal/{row.group}.npy")[int(row.id.rsplit("_", 1)[1])].astype(np.float32)
        read = manifest.modalities["thermal"].read(Shot((out / row.files["thermal"][0],)))[..., 0]
        assert np.abs(read - frame).max() < 0.0051
