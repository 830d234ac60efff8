"""A planted shift between two sensors is measured, and what cannot be measured is not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from shape_pairs import HEIGHT, SPLITS, WIDTH, as_thermal, check, graver, make_set, moved, only, scene

from xkd.data.check.residual import shift_between


@pytest.mark.parametrize("shift", [(2.0, -3.0), (-4.5, 1.25), (0.0, 0.0)])
def test_a_planted_shift_is_found_to_half_a_pixel(shift: tuple[float, float]) -> None:
    for seed in range(5):
        image = scene(seed)
        measured = shift_between(image, as_thermal(moved(image, *shift), seed).astype(np.float32))
        assert np.hypot(measured.x - shift[0], measured.y - shift[1]) < 0.5
        assert measured.peak > 4.5


def test_holes_are_no_edges() -> None:
    image = scene(0)
    holed, other = image.copy(), moved(image, 3.0, 2.0)
    for left in range(0, WIDTH, 16):
        holed[:, left : left + 6] = np.nan
        other[:, left : left + 6] = np.nan  # the holes did not move; alone they would say 0
    measured = shift_between(holed, other)
    assert np.hypot(measured.x - 3, measured.y - 2) < 1.0  # a third of each row is gone


def test_what_has_no_texture_is_not_measurable() -> None:
    even = np.full((HEIGHT, WIDTH), 7.0, np.float32)
    assert shift_between(even, even).peak == 0
    assert shift_between(scene(0), np.full_like(even, np.nan)).peak == 0
    assert shift_between(scene(0)[:4, :4], scene(0)[:4, :4]).peak == 0  # too small to tell one shift from another
    noise = [np.random.default_rng(seed).normal(size=even.shape).astype(np.float32) for seed in range(2)]
    assert shift_between(*noise).peak < 4.5


def test_misaligned_data_are_flagged_and_the_offset_is_told(tmp_path: Path) -> None:
    result = check(make_set(tmp_path / "shapes", (2.0, -3.0)))
    (residual,) = result.residuals
    assert np.hypot(residual.offset[0] - 2, residual.offset[1] + 3) < 0.5
    assert residual.paired.measurable > 0.8 * len(SPLITS)
    text = only(result, "warning", "registration")
    assert "The limit is 2" in text
    assert " pixels of rgb apart (median of " in text  # of two that are equally fine the first
    assert not graver(check(tmp_path / "shapes", max_residual=5.0))


def test_shuffled_pairs_lie_farther_apart_than_true_ones(sound: Path) -> None:
    (residual,) = check(sound).residuals
    assert residual.paired.median < 0.5
    assert residual.shuffled.median_of_all > 4 * residual.paired.median_of_all
    assert residual.paired.measurable > 0.8 * residual.paired.pairs
    assert residual.shuffled.measurable < 0.2 * residual.shuffled.pairs


def test_pairs_that_are_mixed_up_are_not_measurable(copy: Path) -> None:
    for number in range(0, len(SPLITS), 2):
        one, other = copy / f"thermal/{number}.png", copy / f"thermal/{number + 1}.png"
        kept = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(kept)
    assert "mixed up" in only(check(copy), "warning", "registration")


def test_sensors_of_unlike_size_are_measured_in_the_coarser_frame(copy: Path) -> None:
    for path in (copy / "thermal").iterdir():
        thermal = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), cv2.resize(moved(thermal, 8.0, 0.0), (WIDTH // 2, HEIGHT // 2), interpolation=cv2.INTER_AREA))
    assert "sizes differ within 18 rows" in next(finding.text for finding in graver(check(copy)) if finding.severity == "error")
    with (copy / "manifest.toml").open("a", encoding="utf-8") as file:
        file.write("[pairs]\nsame_size = false\n")
    (residual,) = check(copy).residuals
    assert np.hypot(residual.offset[0] - 4, residual.offset[1]) < 0.5


def test_a_depth_camera_that_sees_no_outlines_is_measured_by_them(tmp_path: Path) -> None:
    """Near every jump of depth some pixels are lost, as of structured light and time of flight; elsewhere there is noise."""
    root = make_set(tmp_path / "set")
    for number in range(len(SPLITS)):
        rng, shapes = np.random.default_rng(number), moved(scene(number), 2.0, 1.0)
        outline = cv2.dilate(shapes, np.ones((3, 3))) > cv2.erode(shapes, np.ones((3, 3)))
        millimetres = 1000 + 1500 * shapes + rng.normal(0, 10, shapes.shape)
        millimetres[outline & (rng.random(shapes.shape) < 0.7)] = 0
        cv2.imwrite(str(root / f"thermal/{number}.png"), millimetres.astype(np.uint16))
    toml = (root / "manifest.toml").read_text("utf-8")
    before, after = toml.split("[modalities.thermal]")
    depth = '[modalities.thermal]\nsensor = "depth"\nscale = 0.001\nlimits = [0.3, 6.0]\n'
    (root / "manifest.toml").write_text(before + depth + after[after.index("\n[mask]") :], "utf-8")
    [residual] = check(root).residuals
    assert residual.paired.measurable > 0.8 * len(SPLITS)
    assert np.hypot(residual.offset[0] - 2, residual.offset[1] - 1) < 0.5
    assert residual.shuffled.measurable < 0.3 * len(SPLITS)


def test_the_worst_registered_are_looked_at_first(tmp_path: Path) -> None:
    root = make_set(tmp_path / "set")
    for number, shift in ((12, 3.0), (5, 6.0)):
        cv2.imwrite(str(root / f"thermal/{number}.png"), as_thermal(moved(scene(number), shift, 0.0), number))
    assert [row.id for row, _ in check(root).to_look_at(2)] == ["r5", "r12"]
