"""Segmentation pictures become masks of codes, from codes or from colours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from prepare_calls import Prepare, first_sample, write_image

from xkd.data.region import read_codes

CODES = ("--mask-values", "background=0", "leaf=1", "lesion=2", "--mask-positive", "lesion")
COLOURS = ("--mask-colours", "leaf=0,255,0", "lesion=255,0,10", "--mask-positive", "lesion")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four images; codes/ and colours/ hold the same masks of three of them (red is drawn as OpenCV writes it: last)."""
    codes = np.zeros((24, 32), np.uint8)
    codes[2:20, 2:20], codes[5:9, 5:9] = 1, 2
    colours = np.array([(0, 0, 0), (0, 255, 0), (10, 0, 255)], np.uint8)[codes]
    for number in range(4):
        write_image(tmp_path / f"rgb/{number}.png", number)
    for folder, picture in (("codes", codes), ("colours", colours)):
        (tmp_path / folder).mkdir()
        for number in range(1, 5):
            cv2.imwrite(str(tmp_path / folder / f"{number}.png"), picture)
    return tmp_path


def words(root: Path, masks: str) -> tuple[str, ...]:
    return ("folders", "--sensor", f"rgb={root / 'rgb'}:rgb", "--classes", "leaf", "--masks", str(root / masks), "--out", str(root / "out"))


@pytest.mark.parametrize(("masks", "meaning"), [("codes", CODES), ("colours", COLOURS)])
def test_masks_are_codes(source: Path, prepare: Prepare, masks: str, meaning: tuple[str, ...]) -> None:
    answer = prepare(*words(source, masks), *meaning, "--split", "train=1")
    assert answer.code == 0, answer.error
    assert "left out: 1 x mask without a row" in answer.out
    manifest, sample = first_sample(source / "out", mask="mask")
    assert manifest.mask is not None
    assert (manifest.mask.values, manifest.mask.positive) == ({"background": 0, "leaf": 1, "lesion": 2}, ("lesion",))
    assert [row.mask for row in manifest.rows] == ["", "mask/1.png", "mask/2.png", "mask/3.png"]
    assert np.bincount(read_codes(source / "out/mask/1.png").ravel()).tolist() == [444, 308, 16]
    assert not sample.masked


@pytest.mark.parametrize(
    ("masks", "meaning", "message"),
    [
        (
            "codes",
            (*CODES[:3], "--mask-positive", "leaf"),
            "1.png: mask code 2 has no name; --mask-values has {'background': 0, 'leaf': 1}",
        ),
        ("colours", ("--mask-colours", "leaf=0,255,0", "--mask-positive", "leaf"), "1.png: colour (255, 0, 10) at x 5, y 5 has no name"),
        (
            "colours",
            CODES,
            "1.png: a mask of 3 channels holds colours, no codes: colours 0,0,0 (57.8 %); 0,255,0 (40.1 %); 255,0,10 (2.08 %) "
            "of the pixels (this file); use your names: --mask-colours NAME=0,255,0 NAME=255,0,10",
        ),
        (
            "codes",
            ("--mask-positive", "leaf"),
            "they hold codes 0 (57.8 %); 1 (40.1 %); 2 (2.08 %) of the pixels (4 of 4 were read); use your names: --mask-values "
            "background=0 NAME=1 NAME=2",
        ),
        ("colours", (), "2.08 %) of the pixels (4 of 4 were read); use your names: --mask-colours NAME=0,255,0 NAME=255,0,10"),
        ("rgb", (), "colours, too many for names: are these the masks, and were they never JPEGs (4 of 4"),
        ("codes", (*CODES[:4], *COLOURS), "codes: masks have codes or colours, not both"),
        ("codes", CODES[:4], "--mask-positive names the region of interest, some of ['background', 'leaf', 'lesion']; got []"),
        ("codes", (*CODES[:4], "--mask-positive", "spot"), "some of ['background', 'leaf', 'lesion']; got ['spot']"),
        ("codes", ("--mask-values", "leaf=300", "--mask-positive", "leaf"), "codes are whole numbers, 0 to 255"),
        ("codes", ("--mask-values", "leaf=0.5", "--mask-positive", "leaf"), "codes are whole numbers, 0 to 255"),
        ("colours", ("--mask-colours", "leaf=red", "--mask-positive", "leaf"), "write NAME=RED,GREEN,BLUE"),
        ("colours", ("--mask-colours", "leaf=0,0,0", "--mask-positive", "leaf"), "two names have one colour"),
        ("rgb/..", CODES, "have one stem, '"),
    ],
)
def test_a_planted_fault_is_named(source: Path, prepare: Prepare, masks: str, meaning: tuple[str, ...], message: str) -> None:
    if masks == "rgb/..":
        write_image(source / "codes/1.jpg", 0)
        masks = "codes"
    answer = prepare(*words(source, masks), *meaning)
    assert answer.code == 2
    assert message in answer.error
    assert not (source / "out").exists()


def test_the_one_name_beside_the_background_is_of_interest(source: Path, prepare: Prepare) -> None:
    for path in (source / "codes").iterdir():
        cv2.imwrite(str(path), (cv2.imread(str(path), cv2.IMREAD_UNCHANGED) > 1).astype(np.uint8))
    answer = prepare(*words(source, "codes"), "--mask-values", "background=0", "lesion=1", "--split", "train=1")
    assert answer.code == 0, answer.error
    manifest, _ = first_sample(source / "out", mask="mask")
    assert manifest.mask is not None
    assert manifest.mask.positive == ("lesion",)


def test_masks_of_other_files_are_refused(source: Path, prepare: Prepare) -> None:
    for path in sorted((source / "codes").iterdir()):
        path.rename(path.with_name(f"x{path.name}"))
    answer = prepare(*words(source, "codes"), *CODES)
    assert (answer.code, "no mask has the stem of a row; it has 'x1', the rows have '0'" in answer.error) == (2, True)
