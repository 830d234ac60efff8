"""Files and pictures that stand twice, byte for byte or nearly: across splits, and within one."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
from shape_pairs import HEIGHT, WIDTH, check, graver, moved, only, replace

from xkd.data.check.files import scan_files
from xkd.data.check.leaks import FARTHEST, difference_bits
from xkd.data.manifest import Manifest


def test_the_same_file_in_two_splits_is_an_error(copy: Path) -> None:
    shutil.copy(copy / "rgb/0.png", copy / "rgb/17.png")
    result = check(copy)
    text = next(finding.text for finding in graver(result) if finding.severity == "error")
    assert "rgb of 'r0' (train, rgb/0.png) and 'r17' (test, rgb/17.png)" in text
    assert not result.leaks  # told once


def test_the_same_file_twice_in_one_split_is_a_warning_and_crops_may_share_one(copy: Path) -> None:
    replace(copy / "manifest.csv", "rgb/1.png,thermal/1.png", "rgb/0.png,thermal/0.png")
    assert "rgb of 'r0' (rgb/0.png) and 'r1' (rgb/0.png)" in only(check(copy), "warning", "files")
    lines = (copy / "manifest.csv").read_text("utf-8").splitlines()
    cropped = [lines[0] + ",crop"] + [line + ",0 0 50 50" for line in lines[1:]]
    (copy / "manifest.csv").write_text("\n".join(cropped) + "\n", "utf-8")
    assert not [finding for finding in graver(check(copy)) if finding.subject in ("files", "leaks")]


def test_near_duplicates_across_splits_are_found(copy: Path) -> None:
    image = cv2.imread(str(copy / "rgb/0.png")).astype(np.float32)
    other = moved(image, 1.0, 0.5) * 0.9 + np.random.default_rng(0).normal(0, 3, image.shape) + 8
    cv2.imwrite(str(copy / "rgb/16.jpg"), np.clip(other, 0, 255).astype(np.uint8))
    replace(copy / "manifest.csv", "rgb/16.png", "rgb/16.jpg")
    result = check(copy)
    assert [(leak.first, leak.second, leak.splits) for leak in result.leaks] == [("rgb/0.png", "rgb/16.jpg", ("train", "test"))]
    assert "rgb/0.png (train) and rgb/16.jpg (test)" in only(result, "warning", "leaks")


def test_pictures_that_share_a_hash_alone_are_no_leak(copy: Path) -> None:
    rng = np.random.default_rng(0)
    signs = rng.permutation(np.repeat([-1.0, 1.0], 32)).reshape(8, 8)
    for number in (0, 16):
        waves = np.zeros((32, 32))
        waves[8:16, 8:16] = rng.normal(0, 40, (8, 8))
        waves[:8, :8] = signs * rng.uniform(5, 120, (8, 8))
        grey = np.clip(np.kron(cv2.idct(waves), np.ones((3, 4))) + 128, 0, 255).astype(np.uint8)
        cv2.imwrite(str(copy / f"rgb/{number}.png"), np.repeat(grey[..., None], 3, 2))
    manifest = Manifest.load(copy)
    thumbnails = [
        fact.thumbnail for key, fact in scan_files(manifest, lambda: None).items() if key in (("rgb", "rgb/0.png"), ("rgb", "rgb/16.png"))
    ]
    assert (difference_bits(thumbnails[0]) != difference_bits(thumbnails[1])).sum() <= FARTHEST
    assert not check(copy).leaks


def test_even_images_are_no_leak_but_show_nothing(copy: Path) -> None:
    for number in (0, 16):
        cv2.imwrite(str(copy / f"rgb/{number}.png"), np.full((HEIGHT, WIDTH, 3), 120, np.uint8))
    result = check(copy)
    assert not result.leaks
    assert "rgb: 2 of 18 images show nothing" in only(result, "warning", "exposure")
