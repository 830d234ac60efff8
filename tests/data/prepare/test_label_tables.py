"""A table of labels: its ids, groups and splits become those of the rows, and what it lacks is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from prepare_calls import Prepare, two_sensors

from xkd.data.manifest import Manifest

STRIP = ("--strip", "_rgb$|_th$")
PLANTS = ("--group-regex", r"^(plant\d+)_")


def test_a_table_in_another_encoding_is_named(recordings: Path, prepare: Prepare, tmp_path: Path) -> None:
    table = (recordings / "labels.csv").read_text("utf-8")
    (recordings / "labels.csv").write_bytes(table.replace("rust", "rouillée").encode("latin-1"))
    answer = prepare("folders", *two_sensors(recordings), *STRIP, *PLANTS, "--labels", recordings / "labels.csv", "--out", tmp_path / "out")
    assert answer.code == 2
    assert f"{recordings / 'labels.csv'}: save it as UTF-8" in answer.error


@pytest.mark.parametrize("header", ["file,label,note", "id,label,note"])
def test_ids_may_be_names_of_files(header: str, recordings: Path, prepare: Prepare, tmp_path: Path) -> None:
    table = [header, *(f"plant{plant}_0_rgb.png,rust,{plant}" for plant in range(10))]
    (recordings / "labels.csv").write_text("\n".join(table) + "\n", "utf-8")
    answer = prepare("folders", *two_sensors(recordings), *STRIP, "--labels", recordings / "labels.csv", "--out", tmp_path / "out")
    assert answer.code == 0, answer.error
    assert ("note: ids are the column 'file' of labels.csv: it holds the files' names" in answer.out) == header.startswith("file")
    rows = {row.id: row for row in Manifest.load(tmp_path / "out").rows}
    assert (rows["plant3_0"].labels, rows["plant3_0"].meta["note"], rows["plant3_1"].labels) == (("rust",), "3", None)


def test_the_column_of_the_labels_is_asked_for_with_those_there_are(recordings: Path, prepare: Prepare, tmp_path: Path) -> None:
    (recordings / "labels.csv").write_text("id,state,height\nplant1_0,rust,3\n", "utf-8")
    words = ("folders", *two_sensors(recordings), *STRIP, "--labels", recordings / "labels.csv", "--out", tmp_path / "out")
    answer = prepare(*words)
    assert answer.code == 2
    assert (
        "labels.csv: no column 'label'; --label-column names the labels', one of ['state', 'height'] ('-' where none is), or"
        in answer.error
    )
    assert prepare(*words, "--classes", "rust").code == 2, "they would all be unlabelled"
    assert prepare(*words, "--classes", "rust", "--label-column", "-").code == 0
    answer = prepare(*words, "--label-column", "State", "--out", tmp_path / "named")
    assert answer.code == 0, answer.error
    assert Manifest.load(tmp_path / "named").classes == ("rust",)
    assert "no column 'stat'; it has ['id', 'state', 'height']" in prepare(*words, "--label-column", "stat", "--out", tmp_path / "3").error


def test_given_splits_and_left_out_rows(recordings: Path, prepare: Prepare, tmp_path: Path) -> None:
    table = ["id,label,where,plant"]
    for plant in range(10):
        split = "train" if plant < 6 else "val" if plant < 8 else "test"
        table += [f"plant{plant}_{picture},{'rust' if plant % 2 else 'mite'},{split},p{plant}" for picture in range(2)]
    table.append("plant99_0,rust,train,p99")
    (recordings / "labels.csv").write_text("\n".join(table) + "\n", "utf-8")
    words = (*two_sensors(recordings), *STRIP, "--labels", recordings / "labels.csv", "--split-column", "where", "--group-column", "plant")
    answer = prepare("folders", *words, "--out", tmp_path / "out")
    assert answer.code == 0, answer.error
    assert "left out: 4 x row without a split" in answer.out
    assert "left out: 1 x row of labels.csv without a file" in answer.out
    rows = Manifest.load(tmp_path / "out").rows
    assert [sum(row.split == split for row in rows) for split in ("train", "val", "test")] == [12, 4, 4]
    answer = prepare("folders", *words, "--out", tmp_path / "chosen", "--classes", "rust")
    assert "left out: 10 x row with label 'mite', not among the classes" in answer.out
    (recordings / "labels.csv").write_text("\n".join(table).replace("test,p9", "test,p1") + "\n", "utf-8")
    answer = prepare("folders", *words, "--out", tmp_path / "straddling")
    assert answer.code == 2
    assert answer.error.startswith("xkd prepare-dataset: row 'plant9_0': group 'p1' straddles splits 'train' and 'test'")


def test_groups_of_some_rows_alone_are_refused(recordings: Path, prepare: Prepare, tmp_path: Path) -> None:
    table = ["id,label,group", *(f"plant{plant}_0,rust,p{plant}" for plant in range(10))]
    (recordings / "labels.csv").write_text("\n".join(table) + "\n", "utf-8")
    words = ("folders", *two_sensors(recordings), *STRIP, "--labels", recordings / "labels.csv")
    answer = prepare(*words, "--out", tmp_path / "out")
    assert answer.code == 2
    assert "14 of 24 rows have no group, such as 'plant0_1', others have one: they may be of the same plant" in answer.error
    assert not (tmp_path / "out").exists()
    answer = prepare(*words, "--group-regex", "^(plant[0-9]+)", "--out", tmp_path / "out")
    assert "row 'plant0_0' has a group, 'p0', and --group-regex is given too; which holds?" in answer.error
    (recordings / "labels.csv").write_text("\n".join(table).replace(",group", ",of") + "\n", "utf-8")
    assert prepare(*words, "--group-regex", "^(plant[0-9]+)", "--out", tmp_path / "out").code == 0
