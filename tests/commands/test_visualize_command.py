"""`xkd visualize`: a picture per sample and a sheet of all, by whatever method, of whatever images."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import pytest

from xkd import cli


def panels(trained: Path, out: Path, *more: str) -> list[str]:
    command = [str(trained / "student.py"), str(trained / "best.pth"), "--out", str(out), *more]
    assert cli.run("visualize", command) == 0
    assert cv2.imread(str(out / "contact_sheet.png")) is not None
    return sorted(path.name for path in out.glob("*.png") if path.name != "contact_sheet.png")


def width(folder: Path) -> int:
    return int(cv2.imread(str(next(path for path in folder.glob("*.png") if path.name != "contact_sheet.png"))).shape[1])


def test_rows_of_the_split_with_the_teachers(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(panels(trained, tmp_path / "whole", "--num", "4")) == 4
    assert "4 panels and contact_sheet.png in" in capsys.readouterr().out
    panels(trained, tmp_path / "alone", "--num", "4", "--no-teachers")
    panels(trained, tmp_path / "before", "--num", "4", "--no-teachers", "--before", str(trained / "best.pth"))
    assert width(tmp_path / "alone") < width(tmp_path / "before")
    assert width(tmp_path / "alone") < width(tmp_path / "whole")


def test_images_from_elsewhere(trained: Path, data_root: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("00.png", "01.png"):
        shutil.copy(data_root / "rgb" / name, tmp_path / "photos")
    assert len(panels(trained, tmp_path / "out", "--image", str(tmp_path / "photos"))) == 2


@pytest.mark.parametrize("method", ["grad_cam:stem", "grad_cam:deep"])
def test_a_method_by_name(method: str, trained: Path, tmp_path: Path) -> None:
    assert panels(trained, tmp_path / "out", "--num", "1", "--method", method, "--split", "val")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--num", "0"], "--num must be at least 1, got 0"),
        (["--method", "gradcam:deep"], "gradcam:deep"),
        (["--method", "tap:absent"], "absent"),
        (["--image", "absent.png"], "no file or folder absent.png"),
    ],
)
def test_what_makes_no_sense(wrong: list[str], message: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert cli.run("visualize", [str(trained / "student.py"), str(trained / "best.pth"), "--out", str(out), *wrong]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
