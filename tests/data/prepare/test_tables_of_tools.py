"""Label tables as tools write them: other headers, one column per class, several labels in a cell, names from other systems."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from prepare_calls import Answer, Prepare, write_image

from xkd.data.manifest import Manifest
from xkd.data.prepare.separators import find_separator
from xkd.data.prepare.stems import Stems
from xkd.data.prepare.tables import read_any_table

SETS = (("scab",), ("rust",), ("scab", "rust"), ("healthy",), ("scab", "mildew"), ("rust", "mildew"))
NAMES = ("scab", "rust", "mildew", "healthy")


@pytest.fixture
def leaves(tmp_path: Path) -> Path:
    for number in range(12):
        write_image(tmp_path / f"rgb/leaf{number:02d}.png", number)
    return tmp_path


def call(
    prepare: Prepare, root: Path, table: str, *words: str, encoding: str = "utf-8"
) -> tuple[Answer, dict[str, tuple[str, ...] | None]]:
    (root / "t.csv").write_bytes(table.encode(encoding))
    answer = prepare("folders", "--sensor", f"rgb={root / 'rgb'}:rgb", "--labels", root / "t.csv", "--out", root / "out", *words)
    return answer, {row.id: row.labels for row in Manifest.load(root / "out").rows} if answer.code == 0 else {}


def lines(header: str, row: str) -> str:
    return "\n".join([header, *(row.format(n=number, kind=("healthy", "rust")[number % 2]) for number in range(12))]) + "\n"


@pytest.mark.parametrize(
    ("table", "note"),
    [
        (lines("id,label", "leaf{n:02d},{kind}"), ""),
        (lines("id,class", "leaf{n:02d},{kind}"), "note: labels are the column 'class' of t.csv; --label-column names another"),
        (lines("Id,Label", "leaf{n:02d},{kind}"), "note: labels are the column 'Label'"),
        (lines("id, label", "leaf{n:02d}, {kind}"), ""),
        (lines("\ufeffid;label", "leaf{n:02d};{kind}"), "t.csv is read as separated by ';'"),
        (lines("image_path\tSpecies", "C:\\data\\rgb\\leaf{n:02d}.JPG\t{kind}"), "ids are the column 'image_path'"),
        (lines("id,filename,target", "{n},images/rgb/leaf{n:02d}.png,{kind}"), "ids are the column 'filename'"),
        (lines(",file,category,", "{n},leaf{n:02d}.png,{kind},") + ",,,\n", "labels are the column 'category'"),
        (lines("id;share;label", "leaf{n:02d};0,{n};{kind}"), "separated by ';'"),
        (lines("ID,LABEL", 'leaf{n:02d},"{kind} "').replace("\n", "\r\n"), ""),
    ],
)
def test_one_table_written_in_many_ways(table: str, note: str, leaves: Path, prepare: Prepare) -> None:
    answer, rows = call(prepare, leaves, table)
    assert answer.code == 0, answer.error
    assert rows == {f"leaf{number:02d}": (("healthy", "rust")[number % 2],) for number in range(12)}
    assert note in answer.out


def sets(header: str, row: str, joint: str = "") -> str:
    rows = [row.format(n=n, cell=joint.join(SETS[n % 6]), hot=",".join(str(int(c in SETS[n % 6])) for c in NAMES)) for n in range(12)]
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (sets("id,label", "leaf{n:02d},{cell}", ";"), ("--multilabel",)),
        (sets("id,label", 'leaf{n:02d},"{cell}"', ","), ("--multilabel",)),
        (sets("id,label", "leaf{n:02d},{cell}", "|"), ("--multilabel",)),
        (sets("id,label", "leaf{n:02d},{cell}", " / "), ("--multilabel",)),
        (sets("id,label", "leaf{n:02d},{cell}", "+"), ("--multilabel",)),
        (sets("id,label", "leaf{n:02d},{cell}", " "), ("--label-separator", " ")),
        (sets("id,label", "leaf{n:02d},\"['{cell}']\"", "', '"), ("--multilabel",)),
        (sets("id," + ",".join(NAMES), "leaf{n:02d},{hot}"), ()),
    ],
)
def test_several_labels_in_a_row(table: str, words: tuple[str, ...], leaves: Path, prepare: Prepare) -> None:
    answer, rows = call(prepare, leaves, table, *words)
    assert answer.code == 0, answer.error
    assert {row: set(labels or ()) for row, labels in rows.items()} == {f"leaf{n:02d}": set(SETS[n % 6]) for n in range(12)}
    assert Manifest.load(leaves / "out").multilabel


def test_what_joins_labels_is_asked_for_where_it_is_not_clear(leaves: Path, prepare: Prepare) -> None:
    answer, _ = call(prepare, leaves, sets("id,label", "leaf{n:02d},{cell}", " "), "--multilabel")
    assert (
        "t.csv, column 'label': does ' ' join several labels in 'scab rust', or belong to a name? --label-separator ' ' or" in answer.error
    )
    with pytest.raises(ValueError, match="does ',' join"):
        find_separator(["Tomato, late blight", "Tomato, healthy"], "here")
    with pytest.raises(ValueError, match="--label-separator ';' or --label-separator ','"):
        find_separator(["a;b,c", "a"], "here")
    assert find_separator(["leaf", "a b", "a", "b"], "here")[0] == " "
    assert find_separator(["a", "b"], "here") == (";", "")


def test_a_class_that_holds_others_is_said(leaves: Path, prepare: Prepare) -> None:
    answer, rows = call(prepare, leaves, sets("id,label", 'leaf{n:02d},"{cell}"', ","))
    assert rows["leaf02"] == ("scab,rust",)
    assert "note: a class's name holds others' names, joined by ',' ('rust,mildew', 'scab,mildew', 'scab,rust'): are these" in answer.out


def test_one_column_per_class(leaves: Path, prepare: Prepare) -> None:
    table = "\n".join(["id,healthy,rust", *(f"leaf{n:02d},{int(n % 2 == 0)},{int(n % 2)}.0" for n in range(12))]) + "\n"
    answer, rows = call(prepare, leaves, table, "--classes", "healthy", "rust")
    assert answer.code == 0, answer.error
    assert (rows["leaf00"], rows["leaf01"]) == (("healthy",), ("rust",))
    assert "labels are the columns healthy, rust of t.csv, of 0 and 1; each row has one: a label" in answer.out
    assert not Manifest.load(leaves / "out").multilabel
    answer, _ = call(prepare, leaves, table.replace("leaf03,0,1.0", "leaf03,,1"), "--out", str(leaves / "2"))
    assert "t.csv, line 5: 'healthy' is empty, others are not" in answer.error


def test_twins_are_said(leaves: Path, prepare: Prepare) -> None:
    answer, _ = call(prepare, leaves, lines("id,label", "leaf{n:02d},{kind}").replace("leaf00,healthy", "leaf00,Healthy"))
    assert "classes 'Healthy' and 'healthy' differ in case, blanks or quotes alone: are they one class?" in answer.out


@pytest.mark.parametrize(
    ("table", "words", "message"),
    [
        (lines("id,label", "leaf{n:02d},"), ("--classes", "a"), "'label' labels no file: all of its cells are empty"),
        (lines("id,label", "leaf{n:02d},{kind}"), ("--classes", "Rust"), "no label is among --classes Rust: they are ['healthy', 'rust']"),
        (
            lines("id,class,species", "leaf{n:02d},{kind},oak"),
            (),
            "each of ['class', 'species'] may hold the labels; --label-column says which",
        ),
        (lines("leaf00,healthy", "leaf{n:02d},{kind}"), (), "its first line is a file's, not a header"),
        (lines("id,label,label", "leaf{n:02d},{kind},x"), (), "column 'label' is there twice"),
        ("id,label\n", (), "a table has a header and a line for each file"),
    ],
)
def test_a_planted_fault_is_named(table: str, words: tuple[str, ...], message: str, leaves: Path, prepare: Prepare) -> None:
    answer, _ = call(prepare, leaves, table, *words)
    assert answer.code == 2
    assert message in answer.error


def test_rows_that_do_not_meet_are_named(leaves: Path, prepare: Prepare) -> None:
    answer, rows = call(prepare, leaves, lines("id,label", "leaf{n:02d},{kind}").replace("leaf03", "Leaf03").replace("leaf04", "x"))
    assert rows["leaf03"] is None
    assert "10 of 12 rows of t.csv have a file; none has 'Leaf03', 'x'; some differ from a file's name in upper and lower" in answer.out
    assert "2 of 12 rows of files have no line in t.csv: 'leaf03', 'leaf04'" in answer.out


def test_a_column_of_splits_is_taken_as_given(leaves: Path, prepare: Prepare) -> None:
    table = "\n".join(["id,label,Set", *(f"leaf{n:02d},a,{('Train', 'valid', 'test')[n % 3]}" for n in range(12))]) + "\n"
    answer, _ = call(prepare, leaves, table)
    assert "splits are those of the column 'Set' of t.csv" in answer.out
    assert [row.split for row in Manifest.load(leaves / "out").rows[:3]] == ["train", "val", "test"]
    answer, _ = call(prepare, leaves, table, "--split", "train=1", "--out", str(leaves / "out2"))
    assert "t.csv has a column 'Set' that is not used; --split-column Set takes it" in answer.out


def test_composed_and_decomposed_names_meet(tmp_path: Path, prepare: Prepare) -> None:
    composed = [unicodedata.normalize("NFC", f"Blätter_{number}") for number in range(6)]
    for number, name in enumerate(composed):
        write_image(tmp_path / "photos" / f"{unicodedata.normalize('NFD', name)}.png", number)
        write_image(tmp_path / "warm" / f"{name}.png", number)
    (tmp_path / "t.csv").write_text("id,label\n" + "".join(f"{unicodedata.normalize('NFD', name)},a\n" for name in composed), "utf-8")
    for split, part in (("train", composed[:4]), ("val", composed[4:])):
        (tmp_path / f"{split}.txt").write_text("".join(f"{unicodedata.normalize('NFD', name)}.png\n" for name in part), "utf-8")
    sensors = ("--sensor", f"rgb={tmp_path / 'photos'}:rgb", "--sensor", f"warm={tmp_path / 'warm'}:rgb")
    words = (*sensors, "--labels", tmp_path / "t.csv", "--split-lists", tmp_path, "--out", tmp_path / "out")
    answer = prepare("folders", *words)
    assert answer.code == 0, answer.error
    rows = Manifest.load(tmp_path / "out").rows
    assert [(row.id, row.labels, len(row.files)) for row in rows] == [(name, ("a",), 2) for name in composed]


def test_names_that_differ_in_case_are_said(tmp_path: Path, prepare: Prepare) -> None:
    for number in range(6):
        write_image(tmp_path / f"rgb/IMG_{number}.png", number)
        write_image(tmp_path / f"warm/{'img' if number == 2 else 'IMG'}_{number}.png", number)
    sensors = ("--sensor", f"rgb={tmp_path / 'rgb'}:rgb", "--sensor", f"warm={tmp_path / 'warm'}:rgb")
    answer = prepare("folders", *sensors, "--classes", "a", "--out", tmp_path / "out")
    assert "1 stems differ in upper and lower case alone, such as 'IMG_2' and 'img_2': they stay rows of their own" in answer.out
    assert len(Manifest.load(tmp_path / "out").rows) == 7


def test_names_find_stems() -> None:
    stems = Stems({"train/a/1", "test/a/1", "train/b/2.v1", "c_rgb"}, "_rgb$")
    assert stems.find("rgb\\train\\a\\1.png") == "train/a/1"
    assert stems.find("b/2.v1") == stems.find("2.v1.jpeg") == "train/b/2.v1"
    assert stems.find("other/b/2.v1") == stems.find("x") == stems.find("") == ""
    with pytest.raises(ValueError, match=r"'1\.png' may be 'test/a/1' or 'train/a/1'; write its folder too"):
        stems.find("1.png")


def test_cells_without_a_header_of_theirs(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,label\na,b,c\n", "utf-8")
    with pytest.raises(ValueError, match=r"t\.csv, line 2: has not as many cells as the header, 2; put text with commas in quotes"):
        read_any_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("header", "row", "note"),
    [
        ("id,label,Usage", lambda n: ("Training", "validation", "Test")[n % 3], "splits are those of the column 'Usage' of t.csv"),
        ("id,label,is_train", lambda n: str(n % 2), "a column 'is_train' that is not used for splits; --split-column takes one of train"),
        ("id,label,fold", lambda n: str(n % 5), "a column 'fold' that is not used for splits"),
    ],
)
def test_splits_in_a_column_of_another_name_are_taken_or_said(
    header: str, row: Callable[[int], str], note: str, leaves: Path, prepare: Prepare
) -> None:
    table = "\n".join([header, *(f"leaf{n:02d},a,{row(n)}" for n in range(12))]) + "\n"
    assert note in call(prepare, leaves, table)[0].out


def test_cells_that_read_as_empty_are_said(leaves: Path, prepare: Prepare) -> None:
    answer, _ = call(prepare, leaves, lines("id,label", "leaf{n:02d},{kind}").replace("leaf03,rust", "leaf03,NaN"))
    assert "class 'NaN' reads like an empty cell; leave the cell empty where nobody looked" in answer.out


def test_lists_and_quotes_around_single_labels(leaves: Path, prepare: Prepare) -> None:
    answer, rows = call(prepare, leaves, lines("id,label", "leaf{n:02d},['{kind}']"))
    assert rows["leaf00"] == ("healthy",)
    answer, _ = call(
        prepare, leaves, lines("id,label", "leaf{n:02d},{kind}").replace("leaf03,rust", "leaf03,'rust'"), "--out", str(leaves / "out2")
    )
    assert "differ in case, blanks or quotes alone" in answer.out


def test_split_lists_that_name_no_row_say_what_they_hold(leaves: Path, prepare: Prepare) -> None:
    for split in ("train", "val", "test"):
        (leaves / f"{split}.txt").write_text(f"{split}/1 0\n")
    answer, _ = call(prepare, leaves, lines("id,label", "leaf{n:02d},{kind}"), "--split-lists", str(leaves))
    assert answer.code == 2
    assert "no line is the stem of a row or a file's name: it has 'train/1 0', the rows 'leaf00'" in answer.error
