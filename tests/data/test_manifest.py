"""A manifest is right, or the error names the file, the row and what is legal."""

from __future__ import annotations

import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from xkd.data.manifest import Manifest, data_root, find_dataset, sensor
from xkd.geometry import Box

Edit = Callable[[str, str, str], Path]


@pytest.fixture
def edited(tiny_dataset: Path, tmp_path: Path) -> Edit:
    """A copy of the tiny data set's manifest with one text replaced."""

    def edit(file: str, old: str, new: str) -> Path:
        for name in ("manifest.csv", "manifest.toml"):
            shutil.copy(tiny_dataset / name, tmp_path / name)
        text = (tmp_path / file).read_text("utf-8")
        assert old in text
        (tmp_path / file).write_text(text.replace(old, new, 1), "utf-8")
        return tmp_path

    return edit


def test_tiny_dataset_is_read_whole(tiny_dataset: Path) -> None:
    manifest = Manifest.load(tiny_dataset)
    assert (manifest.name, manifest.classes, manifest.multilabel) == ("tiny", ("blank", "disc", "bar"), False)
    assert len(manifest.rows) == 48
    rows = {row.id: row for row in manifest.rows}
    assert rows["train-0"].boxes == ()
    assert rows["train-1"].boxes is not None
    assert rows["train-1"].boxes[0][1] == "disc"
    assert rows["train-1"].meta == {"id": "train-1", "group": "train-0", "frame": "frame-0"}
    assert set(rows["train-3"].files) == {"rgb"}
    assert rows["train-7"].crop == Box(-6, 4, 42, 44)
    assert rows["train-9"].labels is None
    assert rows["train-6"].mask == ""


def test_a_data_set_is_found_from_where_one_is_or_below_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XKD_DATA_ROOT", str(tmp_path / "data"))
    (tmp_path / "data/plants").mkdir(parents=True)
    assert find_dataset("data/plants") == str(tmp_path / "data/plants")
    assert find_dataset("plants") == "plants"
    with pytest.raises(FileNotFoundError, match=r"no data set 'nope': no folder .*/nope, and none below XKD_DATA_ROOT, .*/data/nope"):
        find_dataset("nope")


def test_root_is_absolute_or_below_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert data_root(str(tmp_path)) == tmp_path
    monkeypatch.setenv("XKD_DATA_ROOT", str(tmp_path / "sets"))
    assert data_root("tiny") == tmp_path / "sets" / "tiny"
    monkeypatch.delenv("XKD_DATA_ROOT")
    monkeypatch.chdir(tmp_path)
    assert data_root("tiny") == tmp_path / "data" / "tiny"
    with pytest.raises(FileNotFoundError, match=r"tiny/manifest\.toml: no such file.*XKD_DATA_ROOT"):
        Manifest.load("tiny")


def test_sensor_reads_the_table_alone(edited: Edit) -> None:
    root = edited("manifest.toml", "range = [285.0, 310.0]", "range = [280.0, 320.0]")
    (root / "manifest.csv").unlink()
    assert sensor(str(root), "thermal").range == (280.0, 320.0)
    with pytest.raises(KeyError, match=r"no modality 'lidar'; it has \['rgb', 'thermal'\]"):
        sensor(str(root), "lidar")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id,split,group,rgb", "id,split,unit,rgb", "missing column 'group'"),
        (",frame\n", ",rgb\n", "a column is there twice"),
        ("train-1,train", "train-0,train", r"line 3, row 'train-0': an id must be unique"),
        ("train-1,train,train-0", "train-1,trian,train-0", r"row 'train-1': unknown split 'trian'; legal are \['train', 'val', 'test'\]"),
        ("train-1,train,train-0", "train-1,train,", r"row 'train-1': group is empty"),
        ("val-0,val,val-0", "val-0,val,train-0", r"row 'val-0': group 'train-0' straddles splits 'train' and 'val'"),
        (
            "thermal/01.png,disc",
            "thermal/01.png,dics",
            r"row 'train-1': unknown class 'dics'; manifest.toml has \['blank', 'disc', 'bar'\]",
        ),
        ("rgb/01.png", "/rgb/01.png", r"row 'train-1': path '/rgb/01.png' must be relative"),
        ("rgb/01.png", "rgb/../../01.png", "without '..'"),
        ("rgb/01.png", "C:/rgb/01.png", "must be relative"),
        ("rgb/01.png", "C:\\rgb\\01.png", "must be relative"),
        ("rgb/01.png", "\\\\host\\rgb\\01.png", "must be relative"),
        ("rgb/01.png", "rgb\\..\\..\\01.png", "without '..'"),
        ("-6 4 42 44", "-6 4 42", r"row 'train-7': '-6 4 42' is not a box; write x1 y1 x2 y2"),
        ("-6 4 42 44", "42 4 -6 44", "x1 < x2"),
        ("-6 4 42 44", "nan 4 42 44", "not finite"),
        (" disc,frame-0", " dics,frame-0", "unknown class 'dics'"),
        (" disc,frame-0", ",frame-0", "is malformed; write x1 y1 x2 y2 class"),
        ("rgb/01.png,", "", "9 cells where the header has 10"),
    ],
)
def test_wrong_rows(edited: Edit, old: str, new: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        Manifest.load(edited("manifest.csv", old, new))
    assert "manifest.csv" in str(error.value)


def test_boxes_that_a_detector_drew_have_scores(copy: Path) -> None:
    header, *lines = (copy / "manifest.csv").read_text("utf-8").strip().split("\n")
    boxed = next(number for number, line in enumerate(lines) if " disc," in line)

    def with_scores(cell: str) -> Manifest:
        rows = [f"{line},{cell if number == boxed else ''}" for number, line in enumerate(lines)]
        (copy / "manifest.csv").write_text("\n".join([f"{header},box_scores", *rows]), "utf-8")
        return Manifest.load(copy)

    rows = with_scores("0.75").rows
    assert [row.scores for row in (rows[boxed], rows[0])] == [(0.75,), ()]
    for cell in ("0.5;0.5", "1.5", "-0.1"):
        with pytest.raises(ValueError, match=rf"box_scores '{cell}' must be one number in 0\.\.1 for each of the 1 boxes"):
            with_scores(cell)
    with pytest.raises(ValueError, match="box_scores is 'high', write a number"):
        with_scores("high")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("licence", "license", r"unknown key 'license' in \[top level\]; legal are \['name', 'licence'"),
        ("positive", "positives", r"unknown key 'positives' in \[mask\]"),
        ('positive = ["object"]', 'positive = ["lesion"]', r"ignore name 'lesion'; values has \['background', 'object'\]"),
        ("object = 1", "object = 300", "code 0..255"),
        ("object = 1", "object = 0", "one code to two names"),
        ("object = 1", "object = true", "code 0..255"),
        ('"disc", "bar"]', '"disc", "disc"]', "classes must be different"),
        ('name = "tiny"\n', "", "missing key 'name'"),
        ('name = "tiny"\n', 'name = "tiny"\nlabels = "many"\n', "labels must be one of .'single', 'multi', 'number'., got 'many'"),
        ('sensor = "rgb"', 'sensor = "rbg"', "unknown sensor 'rbg'"),
        ("[modalities.thermal]", "[modalities.label]", "cannot be called 'label'"),
        ('name = "tiny"', "name = tiny", "Invalid value"),
        ("[mask]", "[pairs]\nsame_size = false\n[mask]", r"need \[pairs\] size"),
    ],
)
def test_wrong_table(edited: Edit, old: str, new: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Manifest.load(edited("manifest.toml", old, new))


def test_a_row_may_hold_several_files_a_calibration_and_numbers_of_its_own(edited: Edit) -> None:
    root = edited("manifest.toml", 'name = "tiny"', 'name = "tiny"')
    header, *lines = (root / "manifest.csv").read_text("utf-8").strip().split("\n")
    lines[1] = lines[1].replace("rgb/01.png", "rgb/01.png;rgb/01b.png")
    cells = ["calib/0.json,12.5,12.53,0.04" if number == 1 else ",,," for number in range(len(lines))]
    table = [f"{line},{more}" for line, more in zip(lines, cells, strict=True)]
    (root / "manifest.csv").write_text("\n".join([header + ",calibration,rgb.time,thermal.time,thermal.scale", *table]), "utf-8")
    first, second = Manifest.load(root).rows[:2]
    assert (first.calibration, dict(first.values)) == ("", {})
    assert second.files == {"rgb": ("rgb/01.png", "rgb/01b.png"), "thermal": ("thermal/01.png",)}
    assert (second.calibration, second.values) == ("calib/0.json", {"rgb": {"time": 12.5}, "thermal": {"time": 12.53, "scale": 0.04}})
    assert second.meta == {"id": "train-1", "group": "train-0", "frame": "frame-0"}
    (root / "manifest.toml").write_text((root / "manifest.toml").read_text("utf-8") + "[pairs]\nmax_time_offset = 0.02\n", "utf-8")
    with pytest.raises(ValueError, match=r"row 'train-1': sensors are 0\.03 seconds apart: .*max_time_offset is 0\.02: pair other files"):
        Manifest.load(root)


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        (
            "thermal.scael",
            "1",
            r"column 'thermal.scael' is not known; a row may state \['thermal.scale', 'thermal.offset', 'thermal.time', 'thermal.fps', '",
        ),
        ("rgb.scale", "1", r"column 'rgb.scale' is not known; a row may state \['rgb.time', 'rgb.fps', 'rgb.frames'\]"),
        ("thermal.scale", "high", "row 'train-0': thermal.scale is 'high', write a number"),
        ("thermal.scale", "nan", "row 'train-0': thermal.scale is 'nan', write a finite number"),
        ("calibration", "../c.txt", "row 'train-0': path '../c.txt' must be relative"),
    ],
)
def test_wrong_numbers_and_calibrations(edited: Edit, column: str, cell: str, message: str) -> None:
    root = edited("manifest.toml", 'name = "tiny"', 'name = "tiny"')
    header, *lines = (root / "manifest.csv").read_text("utf-8").strip().split("\n")
    (root / "manifest.csv").write_text("\n".join([f"{header},{column}", *(f"{line},{cell}" for line in lines)]), "utf-8")
    with pytest.raises(ValueError, match=message):
        Manifest.load(root)


def test_several_labels_and_none(edited: Edit) -> None:
    root = edited("manifest.toml", 'name = "tiny"', 'labels = "multi"\nname = "tiny"')
    text = (root / "manifest.csv").read_text("utf-8")
    text = text.replace("thermal/01.png,disc", "thermal/01.png,disc;bar").replace("thermal/00.png,blank", "thermal/00.png,-")
    (root / "manifest.csv").write_text(text, "utf-8")
    rows = Manifest.load(root).rows
    assert [row.labels for row in rows[:3]] == [(), ("disc", "bar"), ("bar",)]


def test_a_row_stays_small(edited: Edit) -> None:
    """A million rows fit into a laptop; what they take is printed by tools/benchmark.py data."""
    root = edited("manifest.csv", "id", "id")
    header = (root / "manifest.csv").read_text("utf-8").split("\n", 1)[0]
    lines = (f"r{n},train,g{n // 3},rgb/{n}.png,thermal/{n}.png,disc,mask/{n}.png,,1 2 3 4 disc,f{n}" for n in range(2000))
    (root / "manifest.csv").write_text("\n".join([header, *lines]), "utf-8")
    Manifest.load(root)
    tracemalloc.start()
    try:
        manifest = Manifest.load(root)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(manifest.rows) == 2000
    assert held / 2000 < 2000  # bytes


def test_paths_of_windows_are_those_of_any_system(edited: Edit) -> None:
    manifest = Manifest.load(edited("manifest.csv", "rgb/01.png", "rgb\\01.png"))
    [row] = [row for row in manifest.rows if row.id == "train-1"]
    assert row.files["rgb"] == ("rgb/01.png",)


def test_without_classes_no_row_may_have_a_label(edited: Edit) -> None:
    with pytest.raises(ValueError, match=r"unknown class 'blank'; manifest\.toml has \[\]"):
        Manifest.load(edited("manifest.toml", 'classes = ["blank", "disc", "bar"]', "classes = []"))
