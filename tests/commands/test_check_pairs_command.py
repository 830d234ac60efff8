"""`xkd check-pairs`: its exit codes, its page, its numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from xkd import cli


def run(*arguments: str | Path) -> int:
    return cli.run("check-pairs", [str(argument) for argument in arguments])


def test_the_page_holds_findings_overlays_and_numbers(tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("tiny", "--out", tmp_path / "out", "--sample", "12") == 0
    output = capsys.readouterr().out
    assert "tiny: 48 rows, pixels of 12" in output
    assert "pairs.html" in output
    page = (tmp_path / "out" / "pairs.html").read_text("utf-8")
    for part in ("Findings", "checkerboard of rgb and thermal", "edges of thermal on rgb", "boxes", "shuffled pairs", "rows of class"):
        assert part in page
    assert page.count('<img src="data:image/jpeg;base64,') >= 8 * 4
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    numbers = json.loads((tmp_path / "out" / "pairs.json").read_text("utf-8"))
    assert len(numbers["rows"]) == 12
    assert numbers["balance"]["rows"] == {"train": 24, "val": 12, "test": 12}
    assert numbers["residuals"][0]["paired"]["pairs"] > 0


def test_what_training_would_refuse_exits_with_one_after_the_page(
    own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = own_data / "rgb" / "02.png"
    image.write_bytes(image.read_bytes()[:200])
    assert run(own_data, "--out", tmp_path / "out", "--sample", "6") == 1
    told = capsys.readouterr().out
    assert "│ error " in told, "no markup around it"
    assert "rgb/02.png (is cut off after 200 bytes" in " ".join(re.sub("[│]|error|files ", " ", told).split())
    page = (tmp_path / "out" / "pairs.html").read_text("utf-8")
    assert "training would refuse this data" in page
    assert "rgb/02.png (is cut off after 200 bytes" in page


def test_a_set_of_which_nothing_can_be_read_still_has_its_page(own_data: Path, tmp_path: Path) -> None:
    for path in own_data.glob("*/*.png"):
        path.unlink()
    assert run(own_data, "--out", tmp_path / "out") == 1
    assert "rgb/00.png (no such file" in (tmp_path / "out" / "pairs.html").read_text("utf-8")
    assert json.loads((tmp_path / "out" / "pairs.json").read_text("utf-8"))["rows"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["absent"], "no data set 'absent': no folder "), (["tiny", "--sample", "-1"], "sample is 0 (all rows) or more")],
)
def test_a_mistake_in_the_call_exits_with_two(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_group_in_two_splits_is_refused_with_its_line(own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = own_data / "manifest.csv"
    manifest.write_text(manifest.read_text("utf-8").replace("test-0,test,test-0", "test-0,test,train-0"), "utf-8")
    assert run(own_data, "--out", tmp_path / "out") == 2
    assert "group 'train-0' straddles splits 'train' and 'test'" in capsys.readouterr().err
