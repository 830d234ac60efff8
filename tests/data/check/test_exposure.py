"""Odd exposures are named, and statistics that are not the manifest's."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from shape_pairs import HEIGHT, WIDTH, check, graver, only, replace

from xkd.data.check.exposure import outliers


def test_oddly_exposed_images_are_named(copy: Path) -> None:
    image = cv2.imread(str(copy / "rgb/3.png")).astype(np.float32)
    cv2.imwrite(str(copy / "rgb/3.png"), np.clip(image * 2.5, 0, 255).astype(np.uint8))
    texts = [finding.text for finding in graver(check(copy)) if finding.subject == "exposure"]
    assert any("high end of the range (255): 'r3'" in text for text in texts)
    assert any("darker or brighter than the others" in text and "'r3'" in text for text in texts)


def test_outliers_are_measured_by_the_others() -> None:
    means = np.array([10.0, 11.0, 9.0, 10.5, 9.5, 100.0])
    assert outliers(means, 255.0).tolist() == [False] * 5 + [True]
    assert not outliers(np.array([10.0, 10.0, 10.0, 10.5]), 255.0).any()  # hardly any spread is no reason to shout


def test_statistics_far_from_the_manifest_are_told(copy: Path) -> None:
    replace(copy / "manifest.toml", "mean = [295.2]", "mean = [290.0]")
    text = only(check(copy), "warning", "normalisation")
    assert "thermal: it is normalised by mean [290] and std [3.8] (of manifest.toml, or" in text
    assert "the sampled train rows have mean = [29" in text


def test_crops_count_alike_whatever_their_size(tmp_path: Path) -> None:
    """A network sees each at the same size."""
    image = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    image[:8, :8] = 130
    (tmp_path / "rgb").mkdir()
    for name in "01":
        cv2.imwrite(str(tmp_path / f"rgb/{name}.png"), image)
    (tmp_path / "manifest.toml").write_text('name = "x"\nclasses = ["a"]\n[modalities.rgb]\nsensor = "rgb"\n', "utf-8")
    crops = ("0 0 8 8", "16 16 96 96")
    lines = [f"{n},train,{n},rgb/{n}.png,a,{crop}" for n, crop in enumerate(crops)]
    (tmp_path / "manifest.csv").write_text("\n".join(["id,split,group,rgb,label,crop", *lines]) + "\n", "utf-8")
    measured = check(tmp_path).normalisations["rgb"]
    assert measured.mean == pytest.approx((80.0,) * 3)
    assert measured.std == pytest.approx((50.0,) * 3)


def test_crops_are_scaled_to_each_sensors_frame(tmp_path: Path) -> None:
    for name, size, value in (("rgb", (60, 80), 60), ("thermal", (30, 40), 50)):
        (tmp_path / name).mkdir()
        for number in range(2):
            image = np.full(size, value, np.uint8)
            image[2 * size[0] // 3 :, 27 * size[1] // 40 :] = 200 + number  # what the crop shows
            cv2.imwrite(str(tmp_path / f"{name}/{number}.png"), np.stack([image] * 3, -1) if name == "rgb" else image)
    (tmp_path / "manifest.toml").write_text(
        'name = "x"\nclasses = ["a"]\n[modalities.rgb]\nsensor = "rgb"\n[modalities.thermal]\nsensor = "thermal"\n'
        'unit = "counts"\nscale = 1.0\nrange = [0.0, 255.0]\n[pairs]\nsame_size = false\nsize = [80, 60]\n',
        "utf-8",
    )
    lines = [f"{n},train,{n},rgb/{n}.png,thermal/{n}.png,a,54 40 80 60" for n in range(2)]
    (tmp_path / "manifest.csv").write_text("\n".join(["id,split,group,rgb,thermal,label,crop", *lines]) + "\n", "utf-8")
    measured = check(tmp_path).normalisations
    assert measured["rgb"].mean == pytest.approx((200.5,) * 3)
    assert measured["thermal"].mean == pytest.approx((200.5,))
