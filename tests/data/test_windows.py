"""Windows of frames in the place of rows: each inside its frame, one for all sensors of a draw, without labels, a stranger's no pair."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from two_cameras import SIZE as CAMERA, block, make_set, planted

from xkd.batch import View
from xkd.builder import build
from xkd.data.augment import Augment
from xkd.data.identity import identity
from xkd.data.loader import collate
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.data.shuffle import Shuffle
from xkd.data.windows import MIDDLE, TYPICAL, Windows
from xkd.modalities import LiDAR
from xkd.modalities.calibration import Camera, write_calibration

HEIGHT, WIDTH = 60, 100  # of the frame
OBJECTS = (("0 0 20 20", "a"), ("30 10 60 40", "b"), ("10 5 30 25", "a"))  # crops of each frame
FRAMES = 6
STILL = Augment(flip=0.0, jitter=0.0)
TOML = """name = "windows"
classes = ["a", "b"]
[modalities.rgb]
sensor = "rgb"
[modalities.thermal]
sensor = "thermal"
unit = "K"
scale = 0.01
range = [0.0, 650.0]
[modalities.lidar]
sensor = "lidar"
outputs = ["intensity"]
range = [0.5, 100.0]
densify = 3
[mask]
values = { nothing = 0, object = 1 }
positive = ["object"]
"""
SAME_SIZE = "[pairs]\nsame_size = false\nsize = [100, 60]\n"


def _scan(folder: Path, number: int) -> None:
    """A point in the middle of each pixel, whose intensity is the column, as a scanner at the camera's place sees it."""
    column, row = (grid.ravel() for grid in np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)))
    ahead = np.full(len(column), 10.0)
    points = np.stack([ahead, -(column - WIDTH / 2 + 0.5) / 50 * ahead, -(row - HEIGHT / 2 + 0.5) / 50 * ahead, column + 100 * number], 1)
    np.save(folder / f"lidar/{number}.npy", points.astype(np.float32))


def make_frames(folder: Path, thermal: tuple[int, int] = (HEIGHT, WIDTH)) -> Path:
    """Frames whose pixels say where they are: red is the column, green the row, blue the frame, and thermal and scans the column."""
    for name in ("rgb", "thermal", "lidar", "mask"):
        (folder / name).mkdir(parents=True)
    pinhole = np.array([[50.0, 0, WIDTH / 2 - 0.5, 0], [0, 50.0, HEIGHT / 2 - 0.5, 0], [0, 0, 1.0, 0]])
    axes = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    write_calibration(folder / "camera.json", Camera(pinhole, axes, (), (WIDTH, HEIGHT)))
    lines = ["id,split,group,rgb,thermal,lidar,label,mask,crop,boxes,calibration,colour"]
    column, row = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    for number in range(2 * FRAMES):
        name = f"{number}.png"
        cv2.imwrite(str(folder / "rgb" / name), np.dstack([np.full_like(row, 10 * number), row, column]).astype(np.uint8))
        heat = cv2.resize((100 * column + 10000 * number % 50000).astype(np.float32), thermal[::-1], interpolation=cv2.INTER_LINEAR)
        cv2.imwrite(str(folder / "thermal" / name), heat.astype(np.uint16))
        cv2.imwrite(str(folder / "mask" / name), np.ones((HEIGHT, WIDTH), np.uint8))
        _scan(folder, number)
        split = "train" if number < FRAMES else "val"
        for place, (crop, label) in enumerate(OBJECTS):
            files = f"rgb/{name},thermal/{name},lidar/{number}.npy"
            lines.append(f"{number}-{place},{split},{number},{files},{label},mask/{name},{crop},{crop} {label},camera.json,red")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "manifest.toml").write_text(TOML, "utf-8")
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_frames(tmp_path_factory.mktemp("windows") / "set")


def dataset(root: Path, *names: str, split: str = "train", augment: Augment = STILL, **options: Any) -> PairedDataset:
    views = [View(name, sensor(str(root), name), (32, 32)) for name in names or ("rgb", "thermal")]
    return PairedDataset(str(root), split, views, augment, **{"windows": Windows()} | options)


def middle(view: torch.Tensor) -> tuple[float, float, float]:
    """Column, row and frame that the middle of an RGB view shows."""
    column, row, frame = view[:3, 14:18, 14:18].float().mean((1, 2)).tolist()
    return column, row, frame / 10


def test_rows_are_of_frames_and_nothing_is_said_of_them(root: Path) -> None:
    made = dataset(root, windows=Windows(per_frame=3))
    assert len(made) == 3 * FRAMES
    assert [row.id for row in made.rows[2:5]] == ["0-0/2", "1-0/0", "1-0/1"]
    assert len({row.id for row in made.rows}) == len(made)
    sample = made[4, 0]
    assert (sample.labelled, int(sample.target), sample.masked, len(sample.boxes), len(sample.ignored)) == (False, -1, False, 0, 0)
    assert sample.meta == {"id": "1-0/1", "group": "1"}, "what a column says of an object is not said of its frame"
    assert (made.strata == -1).all()
    assert made.num_masked == 0
    assert len(dataset(root, split="val")) == 4 * FRAMES
    assert len(dataset(root, subset=5)) == 5
    assert (dataset(root, target="mask")[0, 0].target == -1).all()


def test_what_is_left_out_is_counted_in_rows_of_the_manifest(root: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(root, tmp_path / "set"))
    text = (folder / "manifest.csv").read_text("utf-8")
    (folder / "manifest.csv").write_text(text.replace("rgb/0.png,thermal/0.png", ","), "utf-8")
    made = dataset(folder)
    assert (len(made), made.left_out) == (4 * (FRAMES - 1), {"no rgb and no thermal": 3})


def test_a_window_lies_inside_its_frame_and_its_side_is_even_in_the_logarithm() -> None:
    rng, windows = np.random.default_rng(0), Windows(smallest=0.25)
    boxes = [windows.box((a, b, c), (HEIGHT, WIDTH)) for a, b, c in rng.random((4000, 3)).tolist()]
    for box in boxes:
        assert box.x2 - box.x1 == box.y2 - box.y1
        assert all(float(edge).is_integer() for edge in box), "whole pixels are resized, not warped"
        assert min(box[:2]) >= 0
        assert box.x2 <= WIDTH
        assert box.y2 <= HEIGHT
    sides = np.array([box.x2 - box.x1 for box in boxes])
    assert (sides.min(), sides.max()) == (15, 60)
    assert abs((sides < 30).mean() - 0.5) < 0.04, "a quarter to a half, as often as a half to the whole"
    ways = np.array([box.x1 / (WIDTH - side) for box, side in zip(boxes, sides, strict=True) if side < 59])
    assert abs(np.histogram(ways, 4, (0, 1))[0] / len(ways) - 0.25).max() < 0.03
    assert windows.box((0.999999, 0.999999, 0.999999), (HEIGHT, WIDTH)) == (40, 0, 100, 60)
    assert windows.box(MIDDLE, (HEIGHT, WIDTH)) == (20, 0, 80, 60)
    assert windows.box(TYPICAL, (HEIGHT, WIDTH)) == (35, 15, 65, 45)
    assert Windows(smallest=0.001, largest=0.001).box(MIDDLE, (9, 9)) == (4, 4, 5, 5)


@pytest.mark.parametrize("kind", ["alike", "registered", "other size"])
def test_all_sensors_show_one_place(kind: str, tmp_path: Path) -> None:
    """A planted marker is on the same spot of every view, wherever it is seen whole."""
    if kind == "registered":
        folder = make_set(tmp_path / "set", matrix := planted(5, -4, degrees=3), train=4)
        (folder / "manifest.toml").write_text((folder / "manifest.toml").read_text("utf-8") + block(matrix), "utf-8")
        names, (width, height) = ("rgb", "thermal"), CAMERA
    else:
        folder = make_frames(tmp_path / "set", (HEIGHT, WIDTH) if kind == "alike" else (30, 50))
        names, width, height = ("rgb", "thermal", "lidar"), WIDTH, HEIGHT
        if kind == "other size":
            (folder / "manifest.toml").write_text(TOML + SAME_SIZE, "utf-8")
    views = [View(name, sensor(str(folder), name), (64, 64)) for name in names]
    augment = Augment(flip=0.5, rotate=10.0, scale=(0.9, 1.1), shift=0.05, jitter=0.0)
    made = PairedDataset(str(folder), "train", views, augment, windows=Windows(smallest=0.4))
    if kind == "registered":
        plain = PairedDataset(str(folder), "train", [replace(view, size=(height, width)) for view in views], STILL)
        grey, heat = (plain[0].views[name].float().mean(0).flatten().numpy() for name in names)
        expected = float(np.corrcoef(grey, heat)[0, 1])
        seen = [np.corrcoef(*(made[0, draw].views[name].float().mean(0).flatten().numpy() for name in names))[0, 1] for draw in range(10)]
        assert expected < -0.8, "what is warm is dark"
        assert np.median(seen) < -0.8
        assert abs(np.corrcoef(made[0, 0].views["rgb"].float().mean(0).flatten(), made[0, 1].views["thermal"][0].flatten())[0, 1]) < 0.6
        return
    for draw in range(20):
        sample = made[0, draw].views
        columns = {"rgb": sample["rgb"][0].float(), "thermal": sample["thermal"][0], "lidar": sample["lidar"][0]}
        inside = slice(24, 40)
        values = {name: float(column[inside, inside].median()) for name, column in columns.items()}
        assert values["thermal"] == pytest.approx(values["rgb"], abs=1.5)
        assert values["lidar"] == pytest.approx(values["rgb"], abs=1.5)


def test_a_draw_is_a_function_of_seed_row_and_draw_whatever_the_workers(root: Path) -> None:
    wild = Augment(rotate=20, scale=(0.8, 1.1), shift=0.05)
    one, other = dataset(root, augment=wild), dataset(root, augment=wild)
    keys = [(0, 0), (5, 3), (0, 1), (1, 0)]
    alone = [one[key].views["rgb"] for key in keys]
    [batch] = DataLoader(other, batch_size=4, sampler=keys, num_workers=2, collate_fn=collate)
    assert all(torch.equal(view, batch.views["rgb"][place]) for place, view in enumerate(alone))
    seen = {middle(dataset(root)[key].views["rgb"]) for key in keys}
    assert len(seen) == len(keys), "other rows and draws, other windows"
    assert middle(dataset(root, seed=1)[0, 0].views["rgb"]) not in seen
    assert torch.equal(dataset(root, "rgb")[0, 3].views["rgb"], dataset(root)[0, 3].views["rgb"]), "another view changes nothing"
    assert torch.equal(dataset(root, cache=True)[0, 3].views["rgb"], dataset(root)[0, 3].views["rgb"])


def test_without_a_draw_it_is_the_middle_square(root: Path) -> None:
    made = dataset(root)
    assert middle(made[0].views["rgb"])[:2] == pytest.approx((49.5, 29.5), abs=0.3)
    assert made.frame(0) == (20, 0, 80, 60)
    left, right = made[0].views["rgb"][0, :, 0].float().mean(), made[0].views["rgb"][0, :, -1].float().mean()
    assert (float(left), float(right)) == pytest.approx((20.5, 78.5), abs=1)
    assert PairedDataset(str(root), "train", made.views, STILL).frame(0) == (0, 0, 20, 20)


def test_a_stranger_is_another_frame_and_shows_the_same_place_of_it(root: Path) -> None:
    paired, shuffled = dataset(root), dataset(root, shuffle=Shuffle("rgb"))
    for index in range(len(paired)):
        own, row = paired[index, 2].views, shuffled[index, 2].views
        assert torch.equal(own["rgb"], row["rgb"])
        heat, theirs = (float(view["thermal"][0, 16, 16]) for view in (own, row))
        assert round(theirs - heat) % 100 == 0, "the same column"
        assert abs(theirs - heat) > 50, "of another frame"
    strangers = [shuffled.source(index, shuffled.views[1]).files for index in range(len(shuffled))]
    assert len({str(files) for files in strangers}) == FRAMES


def test_a_frame_of_another_size_shows_its_own_part(tmp_path: Path) -> None:
    folder = make_frames(tmp_path / "set")
    for number in range(1, FRAMES, 2):
        for name in ("rgb", "thermal"):
            image = cv2.imread(str(folder / name / f"{number}.png"), cv2.IMREAD_UNCHANGED)
            cv2.imwrite(str(folder / name / f"{number}.png"), image[:50, :50])
    shuffled = dataset(folder, shuffle=Shuffle("rgb"))
    for index in range(len(shuffled)):
        heat = shuffled[index, 0].views["thermal"][0]
        assert float(heat.max() - heat.min()) > 5
        assert not (heat == shuffled.views[1].modality.outside[0]).any(), "inside the stranger's frame"


def test_the_teacher_cache_has_another_key(root: Path) -> None:
    made = [
        dataset(root, windows=windows) for windows in (Windows(), Windows(smallest=0.3), Windows(largest=0.9), Windows(per_frame=2), None)
    ]
    assert len({identity(one, one.views[0]) for one in made}) == len(made)
    assert identity(made[0], made[0].views[0]) == identity(dataset(root), made[0].views[0])


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({"per_frame": 0}, "per_frame is how many rows each frame has, a whole number from 1 on; got 0"),
    "half": ({"per_frame": 1.5}, "from 1 on; got 1.5"),
    "yes": ({"per_frame": True}, "from 1 on; got True"),
    "nothing": ({"smallest": 0.0}, "0 < smallest <= largest <= 1; got 0.0 and 1.0"),
    "beyond": ({"largest": 1.5}, "got 0.2 and 1.5"),
    "turned round": ({"smallest": 0.8, "largest": 0.5}, "got 0.8 and 0.5"),
    "nan": ({"smallest": float("nan")}, "smallest must be finite"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=list(BAD))
def test_what_makes_no_windows(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"windows: .*{message}"):
        Windows(**options)


def test_frames_that_have_no_windows(root: Path, tmp_path: Path) -> None:
    above = [View("rgb", sensor(str(root), "rgb"), (8, 8)), View("bev", LiDAR(outputs=("valid",), project="above"), (8, 8))]
    with pytest.raises(ValueError, match=r"parts of the camera's frame, and 'lidar' is seen from above, .*project = 'camera'"):
        PairedDataset(str(root), "train", above, STILL, windows=Windows())
    with pytest.raises(ValueError, match=r"within='class' needs rows that have a class, and windows have none: use within='all'"):
        dataset(root, shuffle=Shuffle("rgb", within="class"))
    folder = make_set(tmp_path / "set", planted(0, 0), train=1)
    (folder / "manifest.toml").write_text(
        (folder / "manifest.toml").read_text("utf-8").replace("same_size = true", "same_size = false"), "utf-8"
    )
    with pytest.raises(ValueError, match=r"images that differ in size need \[pairs\] size = \[width, height\] in manifest\.toml"):
        dataset(folder)
    with pytest.raises(ValueError, match="at least two frames, got 1"):
        dataset(root, subset=1, shuffle=Shuffle("rgb"))


def test_a_config_names_them(root: Path) -> None:
    view = {"type": View, "name": "rgb", "modality": {"type": sensor, "root": str(root), "column": "rgb"}, "size": (8, 8)}
    section = {"type": PairedDataset, "root": str(root), "split": "train", "views": [view], "augment": {"type": Augment}}
    assert build({**section, "windows": {"type": Windows, "per_frame": 2}}, "dataset").windows == Windows(per_frame=2)
