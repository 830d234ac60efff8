"""FLIR ADAS: the authors' first release, and the aligned pairs that others made of it.

Teledyne FLIR, "Free ADAS Thermal Dataset", 1.3; Zhang et al., "Multispectral Fusion for Object Detection with Cyclic Fuse-and-Refine
Blocks", ICIP 2020, arXiv:2009.12664, for the aligned one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

from xkd.data.prepare.annotated import AnnotatedImage, Annotations
from xkd.data.prepare.coco import read_coco
from xkd.data.prepare.listing import Source
from xkd.data.prepare.published import RGB, THERMAL, Published, needed
from xkd.data.prepare.voc import read_voc
from xkd.data.text import read_text

_LISTS: Final = {"align_train.txt": "train", "align_validation.txt": "test"}
_FOLDERS: Final = {"train": "train", "val": "test"}
_VAL: Final = 0.15  # of train, from its end: frames follow each other
_UNALIGNED: Final = (
    "the camera of FLIR ADAS 1.3 has a wider view than the thermal one, where boxes were drawn: register the pairs first"
    " (xkd register-pairs), or take the aligned ones (align_train.txt)"
)


def read_flir_adas(root: Path, seed: int) -> Published:
    """`align_train.txt`, `align_validation.txt`, `JPEGImages` and `Annotations` of the aligned pairs, else `train` and `val` of 1.3.

    The authors' validation is what papers test on, so it is test here, and the last 15 % of train's frames are val. Release 2 has
    no pairs outside its videos, and is refused.
    """
    if (root / "images_thermal_train").is_dir():
        raise ValueError(f"{root}: FLIR ADAS 2 has pairs in its test videos alone; take release 1.3, or the aligned pairs made of it")
    if (root / "align_train.txt").is_file():
        return _aligned(root)
    needed(root, *(f"{folder}/{part}" for folder in _FOLDERS for part in ("RGB", "thermal_8_bit", "thermal_annotations.json")))
    annotations = read_coco([root / folder / "thermal_annotations.json" for folder in _FOLDERS])
    folders = {str(root / folder / "thermal_annotations.json"): split for folder, split in _FOLDERS.items()}
    pictures = [replace(picture, split=folders[picture.where]) for picture in annotations.pictures]
    sources = {
        "rgb": Source((root / "*" / "RGB" / "*.jpg",), RGB),
        "thermal": Source((root / "*" / "thermal_8_bit" / "*.jpeg",), THERMAL),
    }
    return Published(_with_last_as_val(annotations, pictures), sources).noting(_UNALIGNED)


def _aligned(root: Path) -> Published:
    needed(root, *_LISTS, "JPEGImages", "Annotations")
    listed = {line.strip(): split for name, split in _LISTS.items() for line in read_text(root / name).splitlines() if line.strip()}
    annotations = read_voc([root / "Annotations"])
    pictures = [replace(picture, split=listed.get(Path(picture.where).stem, "")) for picture in annotations.pictures]
    sources = {
        "rgb": Source((root / "JPEGImages" / "{id}_RGB.jpg",), RGB),
        "thermal": Source((root / "JPEGImages" / "{id}_PreviewData.jpeg",), THERMAL),
    }
    return Published(_with_last_as_val(annotations, pictures), sources)


def _with_last_as_val(annotations: Annotations, pictures: list[AnnotatedImage]) -> Annotations:
    train = sorted(picture.name for picture in pictures if picture.split == "train")
    last = set(train[len(train) - round(_VAL * len(train)) :])
    return replace(annotations, pictures=tuple(replace(one, split="val") if one.name in last else one for one in pictures))
