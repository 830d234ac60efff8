"""Splits: those that the recordings come with are taken, and a note says where they come from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from prepare_calls import Prepare, write_image

from xkd.data.manifest import Manifest
from xkd.data.prepare.split_names import class_folders, named_split, split_of


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """rgb/SPLIT/CLASS/N.png: two classes, 4 train, 2 Valid and 2 test images of each."""
    for split, count in (("train", 4), ("Valid", 2), ("test", 2)):
        for kind in ("healthy", "rust"):
            for number in range(count):
                write_image(tmp_path / f"rgb/{split}/{kind}/{number}.png", hash((split, kind, number)) % 1000)
    return tmp_path


def call(prepare: Prepare, root: Path, *words: str) -> tuple[Counter[tuple[str, str]], str]:
    """(folder, split) of the rows, and what was said."""
    answer = prepare("folders", "--sensor", f"rgb={root / 'rgb'}:rgb", "--labels-from-folder", "--out", root / "out", *words)
    if answer.code:
        return Counter(), answer.error
    rows = Manifest.load(root / "out").rows
    assert {label for row in rows for label in row.labels or ()} == {"healthy", "rust"}
    return Counter((row.id.split("/")[0], row.split) for row in rows), answer.out


GIVEN = Counter({("train", "train"): 8, ("Valid", "val"): 4, ("test", "test"): 4})


@pytest.mark.parametrize("words", [(), ("--split-from-folder",)])
def test_folders_of_splits_are_taken_as_given(words: tuple[str, ...], folders: Path, prepare: Prepare) -> None:
    pairs, said = call(prepare, folders, *words)
    assert pairs == GIVEN, "files of one name in two splits stay two rows"
    assert "splits are those of the folders (train 8, val 4, test 4); --split train=0.7 val=0.15 test=0.15 draws them anew" in said


def test_they_are_drawn_anew_where_shares_are_given(folders: Path, prepare: Prepare) -> None:
    pairs, said = call(prepare, folders, "--split", "train=0.5", "val=0.25", "test=0.25")
    assert pairs != GIVEN
    assert "splits were drawn with seed 0, of single rows (train 8, val 4, test 4)" in said


def test_class_folders_above_the_splits(folders: Path, prepare: Prepare) -> None:
    for path in sorted((folders / "rgb").glob("*/*/*.png")):
        target = folders / "rgb" / path.parts[-2] / path.parts[-3] / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    answer = prepare("folders", "--sensor", f"rgb={folders / 'rgb'}:rgb", "--labels-from-folder", "--out", folders / "out")
    assert answer.code == 0, answer.error
    rows = Manifest.load(folders / "out").rows
    assert all(row.id.split("/")[1].lower()[:3] == row.split[:3] or row.split == "train" for row in rows)
    assert {row.labels for row in rows} == {("healthy",), ("rust",)}


@pytest.mark.parametrize(
    ("image", "words", "message"),
    [
        ("rgb/healthy/9.png", (), "folders name splits (test, train, val), but 1 of 17 rows lie in none, such as 'healthy/9': move them"),
        ("rgb/train/test/rust/9.png", (), "'train/test/rust/9.png' lies in folders of two splits, train and test; which holds?"),
        (
            "rgb/train/rust/9.png",
            ("--split-from-folder", "--split", "train=1"),
            "splits are given twice, by --split and --split-from-folder",
        ),
    ],
)
def test_what_is_ambiguous_is_refused(image: str, words: tuple[str, ...], message: str, folders: Path, prepare: Prepare) -> None:
    write_image(folders / image, 9)
    assert message in call(prepare, folders, *words)[1]
    assert not (folders / "out").exists()


def test_sensors_of_unlike_splits_are_no_pair(tmp_path: Path, prepare: Prepare) -> None:
    for number in range(4):
        for sensor, split in (("rgb", "train" if number else "val"), ("warm", "train" if number > 1 else "val")):
            write_image(tmp_path / f"{sensor}/{split}/{number}.png", number)
    words = ("--sensor", f"rgb={tmp_path / 'rgb'}:rgb", "--sensor", f"warm={tmp_path / 'warm'}:rgb", "--classes", "a")
    answer = prepare("folders", *words, "--strip", "^(train|val)/", "--out", tmp_path / "out")
    assert "row '1': its files lie in folders of unlike splits: {'rgb': 'train', 'warm': 'val'}" in answer.error


def test_one_word_alone_is_no_split(tmp_path: Path, prepare: Prepare) -> None:
    for number in range(8):
        write_image(tmp_path / f"rgb/{('test', 'control')[number % 2]}/{number}.png", number)
    words = ("folders", "--sensor", f"rgb={tmp_path / 'rgb'}:rgb", "--labels-from-folder", "--out", tmp_path / "out")
    answer = prepare(*words)
    assert answer.code == 0, answer.error
    assert "splits were drawn with seed 0" in answer.out
    assert Manifest.load(tmp_path / "out").classes == ("control", "test")
    answer = prepare(
        "folders", "--sensor", f"rgb={tmp_path / 'rgb/test'}:rgb", "--classes", "a", "--split-from-folder", "--out", tmp_path / "2"
    )
    assert "--split-from-folder: no folder below the sensors' is called train" in answer.error


def test_words_for_splits() -> None:
    words = ("train", "Training", "val2017", "valid", "validation", "dev", "test_set", "TEST", "tests", "trainer", "rgb")
    assert [named_split(word) for word in words] == ["train", "train", "val", "val", "val", "val", "test", "test", "", "", ""]
    assert split_of("a/valid/train.png") == "val"
    assert class_folders(["train/a/1", "test/b/1"]) == {"train/a/1": "a", "test/b/1": "b"}
    assert class_folders(["train/1", "train/2"]) == {"train/1": "", "train/2": ""}
