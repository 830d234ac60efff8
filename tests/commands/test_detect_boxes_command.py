"""`xkd detect-boxes`: a data set whose boxes a detector drew."""

from __future__ import annotations

from pathlib import Path

import pytest

from xkd import cli
from xkd.data.manifest import Manifest


def test_annotated_rows_keep_their_boxes_and_the_others_get_some(
    tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "boxed"
    arguments = [str(tiny_dataset), "--sensor", "rgb", "--size", "32", "32", "--fraction", "0.2", "--steps", "2", "--threshold", "0.01"]
    assert cli.run("detect-boxes", [*arguments, "--out", str(out)]) == 0
    output = capsys.readouterr().out
    assert "step 2/2, loss" in output
    assert "as they were annotated" in output
    assert " val rows" in output
    before = {row.id: row for row in Manifest.load(tiny_dataset).rows}
    certain = 0
    for row in Manifest.load(out).rows:
        if row.split != "train":
            assert row == before[row.id]
        elif row.scores and set(row.scores) == {1.0}:
            certain += 1
            assert [box for box, _ in row.boxes or ()] == [box for box, _ in before[row.id].boxes or ()]
    assert certain
    assert cli.run("detect-boxes", [*arguments, "--checkpoint", str(out / "detector.pth"), "--out", str(tmp_path / "again")]) == 0
    assert "0 as they were annotated" in capsys.readouterr().out
    assert cli.run("detect-boxes", [*arguments, "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err


def test_a_data_set_without_val_rows_says_that_nothing_can_be_said(
    own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = own_data / "manifest.csv"
    kept = [line for line in manifest.read_text("utf-8").splitlines() if ",val," not in line]
    manifest.write_text("\n".join(kept) + "\n", "utf-8")
    arguments = [str(own_data), "--sensor", "rgb", "--size", "32", "32", "--steps", "1", "--out", str(tmp_path / "boxed")]
    assert cli.run("detect-boxes", arguments) == 0
    assert "no val row has boxes" in capsys.readouterr().out


def test_a_detector_that_finds_nothing_is_told(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(tiny_dataset), "--sensor", "rgb", "--size", "32", "32", "--steps", "1", "--threshold", "1"]
    assert cli.run("detect-boxes", [*arguments, "--out", str(tmp_path / "boxed")]) == 0
    assert "the detector found nothing with a score of 1 in" in capsys.readouterr().out


@pytest.mark.parametrize(("wrong", "message"), [(["--steps", "0"], "1 step or more, got 0"), (["--threshold", "1.5"], "0 to 1, got 1.5")])
def test_numbers_that_make_no_sense(
    wrong: list[str], message: str, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(tiny_dataset), "--sensor", "rgb", "--size", "32", "32", "--out", str(tmp_path / "boxed"), *wrong]
    assert cli.run("detect-boxes", arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "boxed").exists()
