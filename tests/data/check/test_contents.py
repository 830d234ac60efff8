"""What was read, in a line; channels that carry nothing, one picture in two columns, temperatures that cannot be."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from shape_pairs import check, graver, only, replace


def test_a_line_says_what_each_sensor_was_read_as(sound: Path) -> None:
    lines = [finding.text for finding in check(sound).findings if finding.subject == "reading"]
    assert lines[0].startswith("rgb is read as sensor 'rgb' from .png: 3 channels, 8-bit counts; range 0 to 255, the images' means 1")
    assert lines[1].startswith("thermal is read as sensor 'thermal' from .png: 1 channel, K; range 280 to 320, the images' means 29")
    assert all(line.endswith("100 % of the pixels seen") for line in lines)


@pytest.mark.parametrize(("count", "where"), [(3, "3 of 18 sampled rows"), (18, "all sampled rows")])
def test_a_channel_that_carries_nothing_is_named(copy: Path, count: int, where: str) -> None:
    for path in sorted((copy / "rgb").iterdir())[:count]:
        image = cv2.imread(str(path))
        image[..., 2] = 7  # red
        cv2.imwrite(str(path), image)
    texts = [finding.text for finding in graver(check(copy)) if "channel" in finding.text]
    assert len(texts) == 1
    assert f"rgb: channel 1 of 3 (8-bit counts) is constant in {where}" in texts[0]


def test_one_file_in_two_columns_is_an_error(copy: Path) -> None:
    for path in sorted((copy / "rgb").iterdir()):
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
        (copy / "thermal" / path.name).write_bytes(path.read_bytes())
    replace(copy / "manifest.toml", "scale = 0.01\nrange = [280.0, 320.0]", "scale = 1.0\nrange = [0.0, 255.0]")
    found = [finding for finding in graver(check(copy)) if "under two names" in finding.text]
    assert [(one.severity, one.subject) for one in found] == [("error", "files")]
    assert "rgb and thermal have the same file under two names in 18 of 18 pairs" in found[0].text


def test_a_grey_copy_is_no_second_sensor(copy: Path) -> None:
    for path in sorted((copy / "rgb").iterdir()):
        grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(copy / "thermal" / path.name), (29_000 + 4 * grey.astype(np.uint16)).astype(np.uint16))
    texts = [finding.text for finding in graver(check(copy)) if "same picture" in finding.text]
    assert len(texts) == 1
    assert "rgb and thermal show the same picture in 18 of 18 pairs" in texts[0]


def test_a_temperature_that_cannot_be_is_an_error(copy: Path) -> None:
    """Centikelvin taken for kelvin, with the range that the counts suggest."""
    old = "scale = 0.01\nrange = [280.0, 320.0]\nmean = [295.2]\nstd = [3.8]"
    replace(copy / "manifest.toml", old, "scale = 1.0\nrange = [28000.0, 32000.0]\nmean = [29520.0]\nstd = [380.0]")
    assert "the mean of 18 of 18 images is no temperature in K" in only(check(copy), "error", "exposure")
