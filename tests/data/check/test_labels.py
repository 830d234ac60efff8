"""Classes, splits and sensors that hardly any row has, and the times between a row's sensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace as replaced
from pathlib import Path

import pytest
from number_pairs import write_numbers
from shape_pairs import check, only, replace

from xkd.data.check.labels import NumberSpread, balance
from xkd.data.check.splits import split_findings
from xkd.data.manifest import Manifest


def class_only_in_test(root: Path) -> None:
    class_nowhere(root)
    rows = (root / "manifest.csv").read_text("utf-8").splitlines()
    (root / "manifest.csv").write_text(
        "\n".join(row.replace(",b,", ",c,") if row.startswith("r15,test,") else row for row in rows) + "\n", "utf-8"
    )


def class_nowhere(root: Path) -> None:
    replace(root / "manifest.toml", '["a", "b"]', '["a", "b", "c"]')


def no_test_rows(root: Path) -> None:
    replace(root / "manifest.csv", ",test,", ",val,")


def one_class_in_val(root: Path) -> None:
    rows = (root / "manifest.csv").read_text("utf-8").splitlines()
    (root / "manifest.csv").write_text("\n".join(row.replace(",b,", ",a,") if ",val," in row else row for row in rows) + "\n", "utf-8")


def nothing_known_in_val(root: Path) -> None:
    lines = (root / "manifest.csv").read_text("utf-8").splitlines()
    kept = [",".join([*line.split(",")[:-2], "", ""]) if ",val," in line else line for line in lines]
    (root / "manifest.csv").write_text("\n".join(kept) + "\n", "utf-8")


LABELS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "only in test": (class_only_in_test, "error", "class 'c' only in test: it is measured and never learned"),
    "nowhere": (class_nowhere, "warning", "class 'c' has no labelled row"),
    "one class in val": (one_class_in_val, "warning", "all labels of split 'val' are 'a': a network that always says so is right there"),
    "nothing known in val": (
        nothing_known_in_val,
        "warning",
        "no row of val has a label, a mask or boxes: nothing is learned or measured there by classes; if there is"
        " a label table, do its ids match?",
    ),
    "no test": (no_test_rows, "warning", "split 'test' has no rows"),
}


@pytest.mark.parametrize(("change", "severity", "text"), LABELS.values(), ids=list(LABELS))
def test_labels_that_make_no_sense(change: Callable[[Path], None], severity: str, text: str, copy: Path) -> None:
    change(copy)
    assert only(check(copy), severity, "labels") == text


def test_numbers_are_told_by_split(tiny_dataset: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(write_numbers(tiny_dataset, tmp_path / "numbers"))
    counts = balance(manifest)
    assert counts.classes == {}
    assert counts.numbers["warmth (0 to 20 K)"]["test"] == NumberSpread(12, 1.25, 9.0, 16.5)
    assert split_findings(manifest, counts) == []
    same = [replaced(row, numbers=(4.0,)) if row.split == "train" and row.numbers else row for row in manifest.rows]
    unknown = [replaced(row, labels=None, numbers=(), mask="", boxes=None) if row.split == "val" else row for row in same]
    told = replaced(manifest, rows=tuple(unknown))
    nothing, always, rest = split_findings(told, balance(told))
    assert nothing.text.startswith("no row of val has a label, a mask or boxes: nothing is learned or measured there by numbers")
    assert (always.severity, always.text) == (
        "error",
        "warmth (0 to 20 K) is 4 in all labelled rows of split 'train': a network that always says so is right there",
    )
    assert (rest.severity, rest.text) == ("note", "warmth (0 to 20 K) is 1.25 to 16.5 in test, and 4 to 4 in train: the rest is guessed")


def test_a_set_that_is_only_tested_on_is_no_mistake(copy: Path) -> None:
    for split in ("train", "val"):
        replace(copy / "manifest.csv", f",{split},", ",test,")
    findings = check(copy).findings
    assert [finding.text for finding in findings if finding.severity == "error"] == []
    assert any("a set to be tested on" in finding.text for finding in findings)
    assert not any("has no rows" in finding.text for finding in findings)


def test_a_sensor_that_most_rows_lack_is_told(copy: Path) -> None:
    rows = (copy / "manifest.csv").read_text("utf-8").splitlines()
    rows[3:] = [",".join("" if at == 4 else cell for at, cell in enumerate(row.split(","))) for row in rows[3:]]
    (copy / "manifest.csv").write_text("\n".join(rows) + "\n", "utf-8")
    assert "16 of 18 rows have no thermal: they teach and learn nothing by it" in only(check(copy), "warning", "pairs")


def test_times_are_counted(copy: Path) -> None:
    lines = (copy / "manifest.csv").read_text("utf-8").splitlines()
    timed = [lines[0] + ",rgb.time,thermal.time"] + [f"{line},{n},{n + 0.25 if n else ''}" for n, line in enumerate(lines[1:])]
    (copy / "manifest.csv").write_text("\n".join(timed) + "\n", "utf-8")
    times = check(copy).timing
    assert (times.timed, times.untimed, times.median, times.largest) == (17, 1, 0.25, 0.25)
