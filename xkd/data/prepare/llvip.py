"""LLVIP's layout: aligned pairs of street scenes at night, Pascal VOC's XML for each.

Jia et al., "LLVIP: A Visible-infrared Paired Dataset for Low-light Vision", ICCV workshops 2021, arXiv:2108.10831.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from xkd.data.prepare.listing import Source
from xkd.data.prepare.published import RGB, THERMAL, Published, needed, with_val
from xkd.data.prepare.voc import read_voc

_SPLITS: Final = ("train", "test")
LOCATION: Final = r"(?:^|/)([0-9]{2})[0-9]{4}(?:\.[a-z]+)?$"  # the first two digits of a name say where


def read_llvip(root: Path, seed: int) -> Published:
    """`visible/{train,test}`, `infrared/{train,test}` and `Annotations`. Locations are groups, some of train's become val.

    An image of train at a location of test is left out. `FileNotFoundError` names what is missing.
    """
    needed(root, *(f"{folder}/{split}" for folder in ("visible", "infrared") for split in _SPLITS), "Annotations")
    annotations = read_voc([root / "Annotations"])
    splits = {path.stem: split for split in _SPLITS for path in (root / "visible" / split).iterdir()}
    placed = [replace(picture, split=splits.get(Path(picture.name).stem, "")) for picture in annotations.pictures]
    test = {Path(name).name[:2] for name, split in splits.items() if split == "test"}
    pictures = [replace(one, split="") if one.split == "train" and Path(one.name).name[:2] in test else one for one in placed]
    published = Published(
        replace(annotations, pictures=tuple(with_val(pictures, LOCATION, seed))),
        {"rgb": Source((root / "visible",), RGB), "thermal": Source((root / "infrared",), THERMAL)},
    )
    if moved := sum(one.split != other.split for one, other in zip(placed, pictures, strict=True)):
        return published.noting(f"{moved} images of train are at a location of test, and are left out")
    return published
