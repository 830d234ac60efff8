"""The converter of LLVIP, on made-up pairs in its layout: persons, background that touches none, locations that stay in one split."""

from __future__ import annotations

import shutil
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
from xkd.geometry import Box

SIZE = (160, 128)  # width and height
FIRST, SECOND = "20 30 44 70", "30 40 60 100"  # two persons who overlap
FRAMES = {
    "train/010001": (FIRST, SECOND),
    "train/010002": (),
    "train/020001": (FIRST, "5 5 15 60", "50 40 50 90"),  # too narrow; without an area
    "train/030001": ("-4 20 24 60",),  # reaches outside the image
    "train/040001": (FIRST,),
    "train/190009": (FIRST,),  # at a location of test
    "test/190001": (FIRST,),
    "test/200001": ("10 4 70 124",),  # leaves no room for background
}


@pytest.fixture(scope="module")
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("llvip")


def _xml(boxes: tuple[str, ...], size: tuple[int, int] = SIZE, label: str = "person") -> str:
    objects = ""
    for box in boxes:
        edges = "".join(f"<{edge}>{word}</{edge}>" for edge, word in zip(("xmin", "ymin", "xmax", "ymax"), box.split(), strict=True))
        objects += f"<object><name>{label}</name><difficult>0</difficult><bndbox>{edges}</bndbox></object>"
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><folder>VOC</folder><filename>x.jpg</filename>{stated}{objects}</annotation>"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Eight pairs at six locations; thermal pictures are grey, stored as colour."""
    folder, rng = tmp_path / "source", np.random.default_rng(0)
    (folder / "Annotations").mkdir(parents=True)
    for name in ("visible", "infrared"):
        for split in ("train", "test"):
            (folder / name / split).mkdir(parents=True)
    for frame, boxes in FRAMES.items():
        colours = rng.integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        grey = np.repeat(cv2.GaussianBlur(colours, (5, 5), 0)[..., :1], 3, 2)
        cv2.imwrite(str(folder / f"visible/{frame}.jpg"), colours)
        cv2.imwrite(str(folder / f"infrared/{frame}.jpg"), grey)
        (folder / f"Annotations/{Path(frame).name}.xml").write_text(_xml(boxes))
    return folder


def test_crops_of_persons_and_background(script: ModuleType, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert script.prepare(source, out, val=["03"]) == {
        "boxes without an area in the image": 1,
        "persons too small": 1,
        "squares of background that found no place": 1,
        "frames of train at a location of test": 1,
    }
    manifest = Manifest.load(out)
    assert manifest.classes == ("background", "person")
    assert 80 < manifest.modalities["thermal"].mean[0] < 180  # counts
    rows = {row.id: row for row in manifest.rows}
    assert list(rows)[:4] == ["010001-00", "010001-00b", "010001-01", "010001-01b"]
    assert {row.group: row.split for row in manifest.rows} == {
        "location-01": "train",
        "location-02": "train",
        "location-03": "val",
        "location-04": "train",
        "location-19": "test",
        "location-20": "test",
    }
    assert Counter(row.labels for row in manifest.rows) == {("person",): 7, ("background",): 6}
    first = rows["010001-00"]
    assert first.crop == Box(9, 27, 55, 73)  # 1.15 times 40 about (32, 50)
    assert first.boxes == ((Box(20, 30, 44, 70), "person"), (Box(30, 40, 60, 100), "person"))
    assert rows["010001-00b"].boxes == ()
    assert rows["030001-00"].boxes == ((Box(0, 20, 24, 60), "person"),)  # cut at the edge of the image
    assert first.meta["frame"] == "010001"
    assert not (out / "rgb/010002.jpg").exists()  # shows nobody
    views = [View(name, sensor(str(out), name), (32, 32)) for name in ("rgb", "thermal")]
    sample = PairedDataset(str(out), "train", views, Augment(), masks=Masks("boxes"))[0, 1]
    assert sample.present == {"rgb": True, "thermal": True}
    assert sample.mask.mean() > 0.2


def test_background_is_as_large_inside_touches_nobody_and_depends_on_the_seed(script: ModuleType, source: Path, tmp_path: Path) -> None:
    places = []
    for number, seed in enumerate((0, 0, 1)):
        script.prepare(source, tmp_path / str(number), val=["03"], seed=seed)
        rows = {row.id: row for row in Manifest.load(tmp_path / str(number)).rows}
        drawn = {name: row.crop for name, row in rows.items() if row.labels == ("background",)}
        for name, place in drawn.items():
            crop = rows[name[:-1]].crop
            assert place is not None
            assert crop is not None
            assert place.x2 - place.x1 == pytest.approx(crop.x2 - crop.x1, abs=0.011)
            assert min(place) >= 0
            assert place.x2 <= SIZE[0]
            assert place.y2 <= SIZE[1]
            for x1, y1, x2, y2 in (map(float, box.split()) for box in FRAMES[f"{rows[name].split.replace('val', 'train')}/{name[:6]}"]):
                assert place.x2 <= x1 or place.x1 >= x2 or place.y2 <= y1 or place.y1 >= y2
        places.append(drawn)
    assert places[0] == places[1] != places[2]


def test_whole_frames(script: ModuleType, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert script.prepare(source, out, rows="frames", val=["03"])["frames of train at a location of test"] == 1
    manifest = Manifest.load(out)
    assert [row.id for row in manifest.rows] == ["010001", "010002", "020001", "030001", "040001", "190001", "200001"]
    assert {row.labels for row in manifest.rows} == {None}
    assert manifest.rows[0].boxes == ((Box(20, 30, 44, 70), "person"), (Box(30, 40, 60, 100), "person"))
    assert manifest.rows[1].boxes == ()
    assert len(PairedDataset(str(out), "train", [View("rgb", sensor(str(out), "rgb"), (32, 40))], Augment(), masks=Masks("boxes"))) == 4


def test_val_is_drawn_by_location_where_none_is_named(script: ModuleType, source: Path) -> None:
    frames = script.read_frames(source, Counter())
    splits = [script.split_of_locations(frames * 2, (), seed) for seed in (0, 0, 1, 2, 3)]
    assert splits[0] == splits[1]
    assert len({tuple(sorted(split.items())) for split in splits}) > 1
    for split in splits:
        assert Counter(split.values())["val"] == 1
        assert split["19"] == split["20"] == "test"


def test_locations_that_cannot_be_val(script: ModuleType, source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no location '19' in train .*\['01', '02', '03', '04'\]"):
        script.prepare(source, tmp_path / "out", val=["19"])
    with pytest.raises(ValueError, match="do not serve train and val; say which are val"):
        script.prepare(source, tmp_path / "out", val=["01", "02", "03", "04"])
    with pytest.raises(ValueError, match=r"rows are one of \['crops', 'frames'\], got 'boxes'"):
        script.prepare(source, tmp_path / "out", rows="boxes")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation><object>", r"010002\.xml: no element found"),
        (_xml((), (1280, 1024)), r"010002\.xml: is for an image of 1280x1024, the images are 160x128"),
        (_xml((FIRST,), label="car"), r"010002\.xml: unknown object 'car'; LLVIP has 'person' alone"),
        (_xml(("20 30 x 70",)), r"010002\.xml: <bndbox/xmax> is 'x', not a number"),
        ("<annotation/>", r"010002\.xml: <size/width> is '', not a number"),
    ],
)
def test_a_wrong_annotation_is_named_and_nothing_is_half_written(
    script: ModuleType, source: Path, tmp_path: Path, text: str, message: str
) -> None:
    (source / "Annotations/010002.xml").write_text(text)
    with pytest.raises(ValueError, match=message):
        script.prepare(source, tmp_path / "made/out")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("infrared/train/010002.jpg", r"infrared/train/010002\.jpg: no such file; 1 images of train have no partner"),
        ("visible/test/200001.jpg", r"visible/test/200001\.jpg: no such file"),
        ("Annotations/010002.xml", r"Annotations/010002\.xml: no such file; 1 images of train have no annotation"),
    ],
)
def test_a_file_that_is_missing_is_named(script: ModuleType, source: Path, tmp_path: Path, file: str, message: str) -> None:
    (source / file).unlink()
    with pytest.raises(FileNotFoundError, match=message):
        script.prepare(source, tmp_path / "out")


def test_files_that_do_not_belong(script: ModuleType, source: Path, tmp_path: Path) -> None:
    (source / "Annotations/999999.xml").write_text(_xml(()))
    with pytest.raises(FileNotFoundError, match=r"999999\.xml: has no image; 1 annotations have none"):
        script.prepare(source, tmp_path / "out")
    (source / "Annotations/999999.xml").unlink()
    cv2.imwrite(str(source / "infrared/train/010002.jpg"), np.zeros((64, 80, 3), np.uint8))
    with pytest.raises(ValueError, match=r"010002\.jpg: is 160x128, .*infrared.*010002\.jpg 80x64; an aligned pair has one size"):
        script.prepare(source, tmp_path / "out")
    for path in ("visible/train/{}.jpg", "infrared/train/{}.jpg", "Annotations/{}.xml"):
        (source / path.format("010002")).rename(source / path.format("A10002"))
    with pytest.raises(ValueError, match=r"A10002\.jpg: is not called NNNNNN\.jpg"):
        script.prepare(source, tmp_path / "out")
    shutil.rmtree(source / "Annotations")
    with pytest.raises(FileNotFoundError, match=r"lacks \['Annotations'\]"):
        script.prepare(source, tmp_path / "out")


def test_command_line(
    script: ModuleType, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["prepare.py", "--source", str(source), "--out", str(tmp_path / "out"), "--val", "03"])
    script.main()
    assert "'persons too small': 1" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        script.main()
    assert stopped.value.code == 2
    assert "is there already; remove it" in capsys.readouterr().err
