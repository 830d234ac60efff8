"""Clips: which frames a draw takes, that two sensors meet by time, that one draw serves all frames, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from clip_rows import LISTED, SIZE, STILL, clips, numbers, taken, write_clips

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.clips import rates
from xkd.data.images import read_sample
from xkd.data.manifest import Manifest, sensor
from xkd.data.paired import PairedDataset
from xkd.modalities import RGB, Clip, LiDAR, Thermal
from xkd.modality import Shot

DRAWS = range(100)
STRIP = {"id": "strip", "rgb": "rgb/strip.png", "rgb.fps": "10", "rgb.frames": "12"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    both = LISTED | {"id": "both", "thermal": "thermal/{0000..0009}.png", "thermal.fps": "5", "rgb.time": "3", "thermal.time": "3.4"}
    short = {"id": "short", "rgb": "rgb/0003.png;rgb/0004.png;rgb/0005.png", "rgb.fps": "10"}
    return write_clips(tmp_path / "clips", [LISTED, STRIP, both, short])


@pytest.mark.parametrize(("index", "count"), [(0, 20), (1, 12)], ids=["files", "a strip"])
def test_evaluation_takes_the_middle_and_training_every_place(index: int, count: int, root: Path) -> None:
    dataset = clips(root, names=("rgb",))
    slack = count - 1 - 6
    first = (slack + 1) // 2
    assert numbers(dataset, -1, index=index) == [first, first + 2, first + 4, first + 6]
    seen = [taken(dataset, draw, index=index) for draw in DRAWS]
    assert all(np.diff(of).tolist() == [2, 2, 2] for of in seen)
    assert {of[0] for of in seen} == set(range(slack + 1))
    for draw in (0, 1):
        assert seen[draw] == numbers(dataset, draw, index=index) == numbers(clips(root, names=("rgb",), cache=True), draw, index=index)
    assert seen != [taken(clips(root, names=("rgb",), seed=1), draw, index=index) for draw in DRAWS]


def test_a_short_clip_repeats_its_last_frame(root: Path) -> None:
    dataset = clips(root, names=("rgb",), every=1)
    assert {tuple(numbers(dataset, draw, index=3)) for draw in (-1, 0, 1)} == {(3, 4, 5, 5)}
    assert numbers(clips(root, names=("rgb",), frames=1), -1, index=3) == [4]


def test_two_sensors_meet_by_time_and_no_view_changes_another(root: Path) -> None:
    views = {"rgb": Clip(sensor(str(root), "rgb"), 4, 2), "thermal": Clip(sensor(str(root), "thermal"), 3, 1)}
    dataset = PairedDataset(str(root), "train", [View(name, clip, SIZE) for name, clip in views.items()], STILL)
    alone = clips(root, names=("rgb",))
    assert numbers(dataset, 0, "thermal", index=2) == taken(dataset, 0, "thermal", index=2)
    for draw in (-1, *DRAWS):
        camera = 3 + np.array(taken(dataset, draw, index=2)) / 10
        thermal = 3.4 + np.array(taken(dataset, draw, "thermal", index=2)) / 5
        assert camera[0] - 0.16 <= thermal[0] <= thermal[-1] <= camera[-1] + 0.16, "the shorter lies within the longer, but for rounding"
        assert camera[0] >= 3.35
        assert taken(alone, draw, index=2) == taken(dataset, draw, index=2)


def test_what_a_stream_is_told_of_the_data(root: Path) -> None:
    rows = {row.id: row for row in Manifest.load(root).rows}
    view = View("rgb", Clip(RGB()), SIZE)
    assert rates([rows["strip"]], view) == {"fps": 10.0, "strip": 12}
    assert rates(list(rows.values()), view) == {"fps": 10.0, "strip": None}, "some are no strips"
    assert rates([rows["both"]], View("thermal", Clip(Thermal()), SIZE)) == {"fps": 5.0, "strip": None}
    assert rates([], view) == {"fps": None, "strip": None}
    assert rates([rows["strip"]], View("rgb", RGB(), SIZE)) == {}


def test_one_draw_serves_all_frames(root: Path) -> None:
    board = np.zeros((*SIZE, 3), np.uint8)
    board[1:4, 1:3] = (200, 100, 50)
    cv2.imwrite(str(root / "rgb/strip.png"), np.concatenate([board] * 12, axis=1))
    dataset = clips(root, Augment(rotate=20, scale=(0.8, 1.0), shift=0.1), names=("rgb",))
    for draw in range(3):
        frames = dataset[1, draw].views["rgb"].reshape(4, 3, *SIZE)
        assert (frames == frames[0]).all(), "where nothing moves, nothing moves"
    assert (dataset[1, 0].views["rgb"] != dataset[1, 1].views["rgb"]).any()
    noisy = Clip(Thermal(gain=0.1, drift=0.2, noise=0.01, nonuniformity=0.02), 2)
    image = np.full((50, 60, 2), 295, np.float32)
    first, second = np.moveaxis(noisy.jitter(image, np.random.default_rng(0)), 2, 0)
    assert abs(first.mean() - second.mean()) < 0.05 < abs(first.mean() - 295), "gain and drift are one"
    assert (first != second).mean() > 0.9, "noise is each frame's own"
    assert np.corrcoef(first.mean(0), second.mean(0))[0, 1] > 0.9, "an amplifier stays a column's"


def test_lost_frames_and_the_shuffled_control(root: Path) -> None:
    dropping = clips(root, names=("rgb",), frames=8, every=1, drop=0.4)
    steps = np.diff([taken(dropping, draw) for draw in DRAWS])
    assert ((steps >= 0) & (steps <= 8)).all()
    assert 0.3 < (steps == 0).mean() < 0.5
    assert np.diff(taken(dropping, -1)).tolist() == [1] * 7, "evaluation loses none"
    whole, shuffled = (clips(root, names=("rgb",), order=order) for order in ("time", "shuffled"))
    both = [(taken(whole, draw), taken(shuffled, draw)) for draw in (-1, *DRAWS)]
    assert all(sorted(other) == one for one, other in both)
    assert len({tuple(np.argsort(other)) for _, other in both}) == 24, "every order occurs"
    assert len({tuple(np.argsort(taken(shuffled, -1, index=index))) for index in range(3)}) > 1, "in evaluation each row's own"


def test_the_view_is_frame_by_frame(root: Path) -> None:
    clip = Clip(RGB(), 3, 1)
    assert (clip.channels, clip.mean[3:6], clip.outside[:3], len(clip.std)) == (9, RGB().mean, RGB().outside, 9)
    content = clip.read(Shot((root / "rgb/0001.png", root / "rgb/0002.png", root / "rgb/0003.png")))
    image = clip.place(content, np.eye(3), SIZE, (0, 0, SIZE[1], SIZE[0]))
    assert image[0, 0].tolist() == [10] * 3 + [20] * 3 + [30] * 3
    assert clip.show(image).shape == (SIZE[0], 3 * SIZE[1], 3)
    assert clip.show(image)[0, ::8, 0].tolist() == [10, 20, 30]
    six = Clip(RGB(), 6, 1)
    picture, look = six.show(np.repeat(image, 2, axis=2)), six.over(np.array([[1.0, 2.0]]))
    assert picture.shape == (2 * SIZE[0], 4 * SIZE[1], 3), "up to four in a row"
    assert look.tolist() == [[1, 2] * 4, [1, 2, 1, 2, 0, 0, 0, 0]], "attention lies over each frame"
    strip = read_sample(root / "rgb/strip.png", View("rgb", Clip(RGB(), 12), SIZE))
    assert strip.views["rgb"][::3, 0, 0].tolist() == [10 * number for number in range(12)], "a lone file is a strip of all frames"
    with pytest.raises(ValueError, match=r"strip.png: the network takes strips of 8 frames .* this one's are 12x6: it holds another"):
        read_sample(root / "rgb/strip.png", View("rgb", Clip(RGB(), 8), SIZE))


FLIPS = '\n[flips]\nleft = "right"\n'


@pytest.mark.parametrize("more", [FLIPS, ""], ids=["flips", "none"])
def test_a_flipped_row_changes_its_class_where_the_manifest_says_so(more: str, tmp_path: Path) -> None:
    rows = [LISTED | {"id": name, "label": name} for name in ("left", "right", "still", "")]
    rows[-1]["id"] = "unlabelled"
    half = clips(write_clips(tmp_path / "clips", rows, more=more), replace(STILL, flip=1.0, vertical_flip=0.5), names=("rgb",))
    assert [int(half[index].target) for index in range(4)] == [0, 1, 2, -1], "nothing is drawn"
    for draw in range(2):
        assert [int(half[index, draw].target) for index in range(4)] == ([1, 0, 2, -1] if more else [0, 1, 2, -1])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('[flips]\nleft = "up"', r"\[flips\] names class 'up'; classes are \['left', 'right', 'still'\]"),
        ('[flips]\nleft = "right"\nright = "still"', "makes two classes of 'right': 'still' and 'left'"),
    ],
)
def test_flips_that_make_no_sense(more: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        Manifest.load(write_clips(tmp_path / "clips", [LISTED], more=f"\n{more}\n"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rgb.fps": ""}, "view 'rgb' takes clips, and the row does not state rgb.fps"),
        ({"rgb.fps": "0"}, "rgb.fps is 0, write how many frames there are each second, above 0"),
        ({"rgb.frames": "2.5"}, "rgb.frames is 2.5, write how many frames the file holds side by side"),
        ({"rgb": "rgb/{0000..0040}.png"}, r"0020.png: no such file; row 'listed' of manifest.csv names it \(21 of 41"),
        ({"rgb": "rgb/{0019..0000}.png"}, "must rise from its first number to its last"),
        ({"rgb": "rgb/{a..b}.png"}, "is no range of files; write one as in"),
        (
            {"thermal": "thermal/0001.png", "thermal.fps": "5", "thermal.time": "9"},
            "its clips share no time: rgb 0 to 1.9 s, thermal 9 to 9 s; correct the columns NAME.time, or leave one cell empty",
        ),
        ({"rgb": "rgb/strip.png", "rgb.frames": "11"}, "strip.png: is 96x6, and 11 frames side by side .* is rgb.frames, .* right"),
        ({"rgb": "rgb/{0000..0003}.png;rgb/small.png"}, "small.png: frames of a clip have one size, 0000.png and this one are 8x6 and 4x3"),
    ],
)
def test_rows_that_make_no_clip(changes: dict[str, str], words: str, tmp_path: Path) -> None:
    root = write_clips(tmp_path / "clips", [LISTED | changes])
    cv2.imwrite(str(root / "rgb/small.png"), np.zeros((3, 4, 3), np.uint8))
    with pytest.raises((ValueError, FileNotFoundError), match=words) as raised:
        clips(root, names=("rgb",), frames=5, every=1)[0]
    assert "listed" in str(raised.value)


def test_settings_and_views_that_make_no_clip(root: Path) -> None:
    with pytest.raises(
        ValueError, match=r"row 'listed': holds a clip \(rgb.fps is stated\), and view 'rgb' takes pictures: Clip\(sensor, fra"
    ):
        PairedDataset(str(root), "train", [View("rgb", RGB(), SIZE)], STILL)
    for wrong, words in (({"frames": 0}, "frames is a whole number from 1 on"), ({"drop": 1.0}, "below 1"), ({"order": "x"}, "'shuffled'")):
        with pytest.raises(ValueError, match=words):
            Clip(RGB(), **wrong)
    for sensor_ in (LiDAR(), Clip(RGB())):
        with pytest.raises(ValueError, match="made of a sensor's pictures"):
            Clip(sensor_)


def test_large_frames_are_decoded_small(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "clips", [LISTED | {"rgb": "rgb/{0..4}.jpg"}])
    rng = np.random.default_rng(0)
    for number in range(5):
        picture = cv2.resize(rng.integers(0, 255, (3, 4, 3), dtype=np.uint8), (256, 192), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(root / f"rgb/{number}.jpg"), picture)
    views = [View("rgb", Clip(sensor(str(root), "rgb"), 4, 1), SIZE)]
    small, whole = (PairedDataset(str(root), "train", views, STILL, cache=cache)[0, 1].views["rgb"] for cache in (False, True))
    assert (small.float() - whole.float()).abs().mean() < 2
    assert not torch.equal(small, whole)
