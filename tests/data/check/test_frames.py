"""The sampled rows: which they are, and a mask whose code the manifest lacks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from shape_pairs import HEIGHT, WIDTH, check, only

from xkd.data.check import check_pairs
from xkd.data.manifest import Manifest


def test_a_sample_is_even_over_splits_and_drawn_by_seed(sound: Path) -> None:
    splits = [row.split for row in check(sound, sample=9).rows]
    assert sorted(splits) == ["test"] * 3 + ["train"] * 3 + ["val"] * 3
    manifest = Manifest.load(sound)
    drawn = [tuple(row.id for row in check_pairs(manifest, 6, seed, 2.0, lambda *_: None).rows) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    with pytest.raises(ValueError, match="sample is 0"):
        check(sound, sample=-1)


def test_an_unknown_mask_code_is_an_error(copy: Path) -> None:
    cv2.imwrite(str(copy / "mask/2.png"), np.full((HEIGHT, WIDTH), 9, np.uint8))
    text = only(check(copy), "error", "files")
    assert "1 of 18 sampled rows cannot be read: row 'r2': mask/2.png: unknown mask codes [9]" in text
