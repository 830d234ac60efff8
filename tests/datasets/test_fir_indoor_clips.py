"""The converter of indoor clips: strips with their rate, the array's frames of the same time, clocks that do not reach."""

from __future__ import annotations

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
from xkd.modalities import Clip

HEADER = "clip,seq,scene,start_s,end_s,label,coarse,has_thermal,split\n"


@pytest.fixture(scope="module")
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("fir_indoor_clips")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A frame's grey is its number times 20 in a strip; the array's temperature is 20 degrees and its time in seconds."""
    folder = tmp_path / "source"
    for name in ("clips", "thermal"):
        (folder / name).mkdir(parents=True)
    strip = np.concatenate([np.full((120, 160, 3), 20 * number, np.uint8) for number in range(8)], axis=1)
    for name in ("A_0", "A_1", "B_0"):
        cv2.imwrite(str(folder / f"clips/{name}.jpg"), strip)
    times = np.arange(40) / 7.8
    np.save(folder / "thermal/A.npy", np.broadcast_to((20 + times)[:, None, None], (40, 24, 32)).astype(np.float16))
    np.save(folder / "thermal/A_t.npy", times)
    lines = ("A_0,A,01,1.0,3.1,walk,upright,1,train", "A_1,A,01,4.5,6.5,sitdown,transition,1,train", "B_0,B,02,0.5,2.0,walk,upright,0,val")
    (folder / "clips.csv").write_text(HEADER + "\n".join(lines) + "\n")
    return folder


def test_made_up_clips(script: ModuleType, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    left_out = {"the recording has no thermal sequence": 1, "its times do not reach the clip": 1}
    assert script.prepare(source, out) == left_out
    first, late, other = Manifest.load(out).rows
    assert (first.labels, first.meta["activity"], first.group) == (("upright",), "walk", "A")
    assert set(late.files) == set(other.files) == {"rgb"}
    assert first.values["rgb"] == {"time": 1.0, "fps": pytest.approx(7 / 2.1, abs=1e-3), "frames": 8.0}
    views = [View("rgb", Clip(sensor(str(out), "rgb"), 8, 1), (12, 16)), View("thermal", Clip(sensor(str(out), "thermal"), 8, 2), (24, 32))]
    sample = PairedDataset(str(out), "train", views, Augment())[0]
    assert sample.views["rgb"][::3, 6, 8].tolist() == pytest.approx([20 * number for number in range(8)], abs=2)
    seen = sample.views["thermal"][:, 0, 0].numpy() - 20
    moments = 0.95 * seen + 0.2
    assert moments[0] >= 1.0 - 0.08
    assert moments[-1] <= 3.1 + 0.08
    assert np.diff(moments) == pytest.approx(np.full(7, 2 * 0.95 / 7.8), abs=0.15)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("thermal/A_t.npy", np.zeros(40), r"A_t.npy: holds a rising time for each of 40 frames; this one is \(40,\), or does not rise"),
        ("thermal/A.npy", np.zeros((40, 8, 8)), r"A.npy: frames are finite numbers \(N, 24, 32\); these are \(40, 8, 8\)"),
        ("clips/A_0.jpg", np.zeros((120, 160, 3)), "A_0.jpg: a strip is 8 frames of 160x120 side by side, this one is 160x120"),
        ("clips.csv", f"{HEADER}A_0,A,01,3.0,1.0,walk,upright,1,train\n", "'A_0': ends at 1 s, before it starts at 3 s"),
        ("clips.csv", f"{HEADER}A_0,A,01,1.0,3.0,walk,fly,1,train\n", "unknown activity 'fly'"),
    ],
)
def test_what_is_refused(file: str, content: np.ndarray | str, words: str, script: ModuleType, source: Path, tmp_path: Path) -> None:
    if isinstance(content, str):
        (source / file).write_text(content)
    elif file.endswith("npy"):
        np.save(source / file, content)
    else:
        cv2.imwrite(str(source / file), content)
    with pytest.raises(ValueError, match=words):
        script.prepare(source, tmp_path / "out")
    assert not (tmp_path / "out").exists(), "nothing half-written"
