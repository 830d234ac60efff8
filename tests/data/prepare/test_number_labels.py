"""Numbers as labels: what a person types becomes the manifest, and what is wrong is named with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prepare_calls import Prepare, two_sensors

from xkd.batch import Annotation, Number
from xkd.data.manifest import Manifest, numbers
from xkd.data.prepare.numbers import number_of

STRIP = ("--strip", "_rgb$|_th$", "--group-regex", r"^(plant\d+)_")
SEVERITY = Number("severity", "grade", (0, 4))


def table(recordings: Path, *cells: str, header: str = "id,severity,share,note") -> Path:
    """Twenty rows of ten plants; the first ones have these cells."""
    rows = [f"plant{plant}_{picture}" for plant in range(10) for picture in range(2)]
    lines = [f"{row},{cells[at] if at < len(cells) else f'{at % 5},{at / 20}'},x" for at, row in enumerate(rows)]
    (recordings / "labels.csv").write_text("\n".join([header, *lines]) + "\n", "utf-8")
    return recordings / "labels.csv"


def test_columns_of_numbers_label_the_rows(recordings: Path, prepare: Prepare, tmp_path: Path) -> None:
    words = ("--labels", table(recordings, ",", "3.5,0.25"), "--numbers", "severity:grade:0..4", "share:0..1")
    answer = prepare("folders", *two_sensors(recordings), *STRIP, *words, "--out", tmp_path / "out")
    assert answer.code == 0, answer.error
    manifest = Manifest.load(tmp_path / "out")
    expected = (SEVERITY, Number("share", "", (0, 1)))
    assert manifest.numbers == numbers(str(tmp_path / "out")) == expected
    assert manifest.annotation == Annotation("numbers", ("severity", "share"), expected)
    assert (manifest.classes, manifest.multilabel) == ((), False)
    rows = {row.id: row for row in manifest.rows}
    assert (rows["plant0_0"].labels, rows["plant0_0"].numbers) == (None, ())
    assert (rows["plant0_1"].labels, rows["plant0_1"].numbers) == ((), (3.5, 0.25))
    assert rows["plant0_1"].meta["note"] == "x", "and further columns are carried along"
    assert "(unlabelled)" in answer.out


def test_splits_hold_their_share_of_low_and_high_numbers(recordings: Path, prepare: Prepare, tmp_path: Path) -> None:
    cells = [f"{0 if plant < 5 else 4},0" for plant in range(10) for _ in range(2)]
    words = ("--labels", table(recordings, *cells), "--numbers", "severity:grade:0..4", "--split", "train=0.6", "val=0.2", "test=0.2")
    assert prepare("folders", *two_sensors(recordings), *STRIP, *words, "--out", tmp_path / "out").code == 0
    manifest = Manifest.load(tmp_path / "out")
    for split in ("train", "val", "test"):
        assert {row.numbers[0] for row in manifest.rows if row.split == split and row.numbers} == {0, 4}, split


WRONG = {
    "not a number": (("much,0.1",), r"labels.csv, line 2: severity is 'much', write a number from 0 to 4 \(grade\)"),
    "NaN": (("nan,0.1",), "labels.csv, line 2: severity is nan, write a number from 0 to 4"),
    "outside": (("1,0.1", "4.5,0.1"), r"labels.csv, line 3: severity is 4.5, .* or leave the cell empty where nobody looked"),
    "half": (("1,",), "labels.csv, line 2: 'share' is empty, others are not"),
}


@pytest.mark.parametrize(("cells", "message"), WRONG.values(), ids=list(WRONG))
def test_a_wrong_number_is_named_with_its_line(
    cells: tuple[str, ...], message: str, recordings: Path, prepare: Prepare, tmp_path: Path
) -> None:
    words = ("--labels", table(recordings, *cells), "--numbers", "severity:grade:0..4", "share:0..1", "--out", tmp_path / "out")
    answer = prepare("folders", *two_sensors(recordings), *STRIP, *words)
    assert answer.code == 2
    assert re.search(message, answer.error), answer.error


@pytest.mark.parametrize("word", ["severity", "severity:4", "severity:grade:4..0", "severity:a:b:0..1", ":0..1", "severity:0..inf"])
def test_how_a_number_is_written(word: str) -> None:
    with pytest.raises(ValueError, match=rf"--numbers {word}: .*write NAME:LOWEST\.\.HIGHEST or NAME:UNIT:LOWEST\.\.HIGHEST"):
        number_of(word)


def test_numbers_take_the_place_of_classes(recordings: Path, prepare: Prepare, tmp_path: Path) -> None:
    words = ("folders", *two_sensors(recordings), *STRIP, "--numbers", "severity:0..4", "--out", tmp_path / "out")
    assert "give it by --labels CSV" in prepare(*words).error
    assert "takes the place of classes" in prepare(*words, "--labels", table(recordings), "--classes", "rust").error
    assert "no column 'severity'; it has ['id', 'grade'," in prepare(*words, "--labels", table(recordings, header="id,grade,a,b")).error
