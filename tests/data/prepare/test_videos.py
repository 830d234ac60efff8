"""Videos: frames on an even grid by the file's own times, stretches by table or window, arrays on a clock of their own, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from prepare_calls import Prepare

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset
from xkd.data.prepare import video
from xkd.modalities import Clip

RATE = 20


def write_video(path: Path, count: int = 60, size: tuple[int, int] = (32, 48)) -> None:
    """Frame n is grey 4 n, `RATE` a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, size[::-1])
    for number in range(count):
        writer.write(np.full((*size, 3), 4 * number, np.uint8))
    writer.release()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three recordings of three seconds; the first has an array, whose temperature is 20 degrees and its own time in seconds."""
    folder = tmp_path / "videos"
    for name in ("a", "b", "c"):
        write_video(folder / f"{name}.avi")
    times = np.arange(40) * 0.1
    (tmp_path / "arrays").mkdir()
    for name in ("a", "b"):
        np.save(tmp_path / f"arrays/{name}.npy", np.broadcast_to((20 + times)[:, None, None], (40, 6, 8)).astype(np.float32))
        np.save(tmp_path / f"arrays/{name}_t.npy", times)
    return folder


def table(root: Path, *lines: str) -> Path:
    (root / "clips.csv").write_text("file,start,end,label\n" + "\n".join(lines) + "\n")
    return root / "clips.csv"


def test_a_table_of_clips_with_arrays_beside(root: Path, tmp_path: Path, prepare: Prepare) -> None:
    clips = table(root, "a.avi,0.5,2.0,walk", "a,1.0,2.5,sit", "b.avi,0,2.9,walk", "c.avi,1,2,sit", "c.avi,0,0.2,walk")
    words = ("--out", tmp_path / "out", "--split", "train=1", "--fps", "10", "--longest", "24")
    done = prepare("video", root, *words, "--clips", clips, "--arrays", tmp_path / "arrays", "--clock", "0.5", "0.2")
    assert done.code == 0, done.error
    assert "1 clips have fewer than 8 frames: Clip(frames=8) repeats their last one" in done.out
    manifest = Manifest.load(tmp_path / "out")
    first, second, *others = manifest.rows
    assert (first.group, first.labels, first.values["rgb"]) == ("a", ("walk",), {"time": 0.5, "fps": 10.0})
    assert first.files["rgb"][0] == "rgb/a/000005.jpg"
    assert len(first.files["rgb"]) == 16
    assert set(first.files["rgb"]) & set(second.files["rgb"]), "stretches share frames"
    assert ["thermal" in row.files for row in (second, *others)] == [False, False, False, False], "2.15 s is where its array ends"
    views = [View(name, Clip(sensor(str(tmp_path / "out"), name), 4, every), (6, 8)) for name, every in (("rgb", 2), ("thermal", 4))]
    sample = PairedDataset(str(tmp_path / "out"), "train", views, Augment())[0]
    when = sample.views["rgb"][::3, 3, 3] / (4 * RATE)
    array = (sample.views["thermal"][:, 3, 3] - 20) * 0.5 + 0.2
    assert np.diff(when) == pytest.approx(np.full(3, 0.2), abs=0.06)
    assert when.tolist() == pytest.approx(array.tolist(), abs=0.08), "both show the same moments"
    assert cv2.imread(str(tmp_path / "out" / first.files["rgb"][0])).shape == (16, 24, 3)


def test_windows_by_recording(root: Path, tmp_path: Path, prepare: Prepare) -> None:
    done = prepare(
        "video", root, "--out", tmp_path / "out", "--window", "1.2", "--step", "0.6", "--split", "train=0.34", "val=0.33", "test=0.33"
    )
    assert done.code == 0, done.error
    rows = Manifest.load(tmp_path / "out").rows
    assert [row.values["rgb"]["time"] for row in rows if row.group == "a"] == pytest.approx([0, 0.625, 1.25], abs=0.001)
    assert {len({row.split for row in rows if row.group == name}) for name in "abc"} == {1}
    assert all(row.labels is None for row in rows)


def test_times_that_are_not_even_are_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    times = [0.0, 0.1, 0.2, 0.9, 1.0]

    def read(_: Path) -> Iterator[tuple[float, np.ndarray]]:
        yield from ((seconds, np.full((2, 2, 3), number, np.uint8)) for number, seconds in enumerate(times))

    monkeypatch.setattr(video, "frames_of", read)
    monkeypatch.setattr(video, "promised", lambda _: 9)
    shown: dict[int, int] = {}
    decoded = video.extract(Path("x.mp4"), 10, range(30), lambda place, image: shown.update({place: int(image[0, 0, 0])}))
    assert shown == {0: 0, 1: 1, 2: 2, 3: 2, 4: 2, 5: 2, 6: 3, 7: 3, 8: 3, 9: 3, 10: 4}
    assert decoded.told == "x.mp4 ends early: 5 of the 9 frames of its header could be decoded, 1.00 s"


def played(widths: list[int], times: list[float]) -> SimpleNamespace:
    """In the place of OpenCV's capture: frames of these widths at these seconds."""
    frames, now = iter(zip(widths, times, strict=True)), [0.0]

    def read() -> tuple[bool, np.ndarray | None]:
        width, now[0] = next(frames, (0, 0.0))
        return (True, np.zeros((4, width, 3), np.uint8)) if width else (False, None)

    return SimpleNamespace(isOpened=lambda: True, read=read, get=lambda _: now[0] * 1000, release=lambda: None)


@pytest.mark.parametrize(
    ("widths", "times", "words"),
    [
        ([8, 6], [0.0, 0.1], "x.mp4: frame 1 is 6x4, those before 8x4; write it anew, for example by ffmpeg"),
        ([8, 8], [0.2, 0.1], "frame 1 is of 0.1 s, the one before of 0.2 s: times must rise"),
        ([], [], "OpenCV decodes no frame of this video"),
    ],
)
def test_frames_that_make_no_video(widths: list[int], times: list[float], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video.cv2, "VideoCapture", lambda _: played(widths, times))
    with pytest.raises(ValueError, match=words):
        list(video.frames_of(Path("x.mp4")))


@pytest.mark.parametrize(
    ("lines", "flags", "words"),
    [
        (("a.avi,2,9,walk",), (), "clips.csv, line 2: 2 to 9 s of a.avi lies outside of it, whose frames end at 2.95 s: correct it"),
        (("a.avi,2,x,walk",), (), "line 2: start and end are seconds of the video, got '2' and 'x'"),
        (("a.avi,2,1,walk",), (), "line 2: 0 <= start < end must hold"),
        (("d.avi,0,1,walk",), (), "line 2: 'd.avi' is no video of the folder; there are ['a.avi', 'b.avi', 'broken.avi', 'c.avi']"),
        (("broken.avi,0,1,walk",), (), "broken.avi: OpenCV cannot decode this video; write it anew, for example by ffmpeg"),
        (("a.avi,0,1,walk",), ("--clock", "1", "60"), "they share no time; give the map between the clocks, --clock DRIFT OFFSET"),
        (("a.avi,0,1,walk",), ("--window", "1"), "give either --clips CSV or --window SECONDS"),
    ],
)
def test_what_is_refused(lines: tuple[str, ...], flags: tuple[str, ...], words: str, root: Path, tmp_path: Path, prepare: Prepare) -> None:
    (root / "broken.avi").write_bytes(b"RIFF" + bytes(100))
    done = prepare("video", root, "--out", tmp_path / "out", "--clips", table(root, *lines), "--arrays", tmp_path / "arrays", *flags)
    assert done.code != 0
    assert words in done.error
    assert not list(tmp_path.glob("*out*")), "nothing half-written"


def test_what_cannot_be_read_is_left_out_where_that_is_asked_for(root: Path, tmp_path: Path, prepare: Prepare) -> None:
    (root / "broken.avi").write_bytes(b"RIFF" + bytes(100))
    clips = table(root, "a.avi,0,1,walk", "a.avi,2,9,walk", "broken.avi,0,1,walk")
    done = prepare("video", root, "--out", tmp_path / "out", "--clips", clips, "--on-broken", "skip", "--split", "train=1")
    assert done.code == 0, done.error
    for words in ("1 x stretch outside of its video", "1 x video that cannot be read", "2 x video without a line in the table"):
        assert words in done.out
    assert len(Manifest.load(tmp_path / "out").rows) == 1


def test_every_place_that_a_video_reaches_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the last place lies on the edge, 7 / 3 and 2.1666 + 0.5 / 3 are not rounded alike."""
    frames = [(number / 6, np.zeros((2, 2, 3), np.uint8)) for number in range(14)]
    monkeypatch.setattr(video, "frames_of", lambda path: iter(frames))
    monkeypatch.setattr(video, "promised", lambda path: 14)
    written: list[int] = []
    video.extract(Path("x.avi"), 3.0, count(), lambda place, _: written.append(place))
    assert written == list(range(video.last_place(13 / 6, 3.0) + 1)) == list(range(8))
