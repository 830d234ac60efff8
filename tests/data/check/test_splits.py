"""Splits that contradict the folders."""

from __future__ import annotations

import shutil
from pathlib import Path

from shape_pairs import check, graver, only


def _into_folders(root: Path, folder_of: dict[str, str]) -> None:
    """Files of each split are moved into `folder_of` it."""
    lines = (root / "manifest.csv").read_text("utf-8").splitlines()
    head = lines[0].split(",")
    moved = [lines[0]]
    for line in lines[1:]:
        cells = line.split(",")
        for sensor in ("rgb", "thermal"):
            at = head.index(sensor)
            new = Path(sensor) / folder_of[cells[head.index("split")]] / Path(cells[at]).name
            (root / new).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(root / cells[at], root / new)
            cells[at] = new.as_posix()
        moved.append(",".join(cells))
    (root / "manifest.csv").write_text("\n".join(moved) + "\n", "utf-8")


def test_rows_in_the_folder_of_another_split_are_counted(copy: Path) -> None:
    _into_folders(copy, {"train": "Test", "val": "valid", "test": "test"})
    text = only(check(copy), "warning", "leaks")
    assert text.startswith("10 rows are in another split than their folder says: 10 of folder test in split train; ")


def test_folders_of_the_same_splits_or_of_no_split_are_no_finding(copy: Path) -> None:
    _into_folders(copy, {"train": "training", "val": "validation", "test": "field"})
    assert not graver(check(copy))
