"""Files that are missing, broken, turned, of another size or of other proportions than their pair."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from shape_pairs import HEIGHT, WIDTH, check, graver, only, replace


def test_files_that_are_missing_cut_off_or_no_image(copy: Path) -> None:
    (copy / "rgb/1.png").unlink()
    image = copy / "thermal/2.png"
    image.write_bytes(image.read_bytes()[:500])
    (copy / "rgb/3.png").write_bytes(b"words")
    (copy / "rgb/4.png").write_bytes(b"")
    (copy / "mask/5.png").unlink()
    texts = [finding.text for finding in graver(check(copy)) if finding.severity == "error"]
    assert "4 of 36 files cannot be read: rgb/1.png (no such file; row 'r1')" in texts[0]
    assert "thermal/2.png (is cut off after 500 bytes; row 'r2')" in texts[0]
    assert "rgb/3.png (is not an image that OpenCV can decode; row 'r3')" in texts[0]
    assert "rgb/4.png (is empty; row 'r4')" in texts[0]
    assert "mask/5.png (row 'r5')" in texts[1]


def test_names_that_other_letters_would_find_are_told(copy: Path) -> None:
    replace(copy / "manifest.csv", "rgb/1.png", "rgb/\u00e4.png")
    (copy / "rgb/1.png").rename(copy / "rgb/a\u0308.png")
    (copy / "rgb/3.png").rename(copy / "rgb/3.PNG")
    replace(copy / "manifest.csv", "\nr5,", "\nR4,")
    text, ids = [finding.text for finding in graver(check(copy))]
    assert "no such file, but one whose name differs in composed and decomposed letters: 'a\u0308.png'; row 'r1'" in text
    assert "no such file, but one whose name differs in upper and lower case: '3.PNG'; row 'r3'" in text
    assert "1 ids differ in upper and lower case or the form of letters alone: 'r4' and 'R4'" in ids


def test_one_size_within_a_pair_even_outside_the_sample(copy: Path) -> None:
    image = cv2.imread(str(copy / "rgb/7.png"))
    cv2.imwrite(str(copy / "rgb/7.png"), image[:, :-8])
    for sample in (0, 3):
        texts = [finding.text for finding in check(copy, sample).findings if finding.severity == "error"]
        assert any("sizes differ within 1 rows: row 'r7' (rgb 120x96, thermal 128x96)" in text for text in texts)


def test_profiles_and_orientations_are_noted(copy: Path) -> None:
    image = Image.open(copy / "rgb/0.png")
    image.save(copy / "rgb/0.png", icc_profile=b"a profile")
    turned = Image.open(copy / "rgb/1.png").rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(copy / "rgb/1.jpg", exif=exif)
    replace(copy / "manifest.csv", "rgb/1.png", "rgb/1.jpg")
    result = check(copy)
    assert not graver(result)  # the turned file has the size of its pair once it is turned back
    notes = [finding.text for finding in result.findings if finding.subject == "files"]
    assert "profile, which is not applied: rgb/0.png" in notes[0]
    assert "stored turned (EXIF orientation): reading turns them back or refuses them; rgb/1.jpg" in notes[1]


def test_images_and_masks_of_other_proportions_are_told(copy: Path) -> None:
    with (copy / "manifest.toml").open("a", encoding="utf-8") as file:
        file.write("[pairs]\nsame_size = false\n")
    thermal = cv2.imread(str(copy / "thermal/0.png"), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(copy / "thermal/1.png"), cv2.resize(thermal, (WIDTH // 2, HEIGHT // 2)))  # as it should be, but smaller
    assert not graver(check(copy))
    cv2.imwrite(str(copy / "thermal/0.png"), thermal[:, :HEIGHT])
    text = only(check(copy), "warning", "files")
    assert "thermal: 1 images have other proportions than the most, 128x96 (16), " in text
    assert "they are stretched; thermal/0.png" in text
    cv2.imwrite(str(copy / "thermal/0.png"), thermal)
    cv2.imwrite(str(copy / "mask/3.png"), np.zeros((HEIGHT, HEIGHT), np.uint8))
    assert "1 masks have other proportions than their images: mask/3.png (96x96 for 128x96)" in only(check(copy), "warning", "files")
