"""Segmentation pictures as masks of codes: verified codes, or colours turned into codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.data.manifest import Mask
from xkd.data.prepare.listing import list_files
from xkd.data.prepare.records import Record
from xkd.data.prepare.stems import Stems
from xkd.data.region import read_codes
from xkd.modalities.files import IMAGES, read_image

Colour = tuple[int, int, int]  # red, green, blue
_FEW: Final = 5  # pictures are looked at
_MOST_NAMES: Final = 32  # that a person would give


@dataclass(frozen=True)
class MaskFolder:
    """Masks by stem, with the codes of their names or the colours of their names; `positive` are the names of interest.

    Colours get the codes 1, 2, ... in their order; `background` is code 0, and black unless it is named.
    """

    folder: Path
    positive: tuple[str, ...]
    values: Mapping[str, int] = field(default_factory=dict)
    colours: Mapping[str, Colour] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.values) == bool(self.colours):
            raise ValueError(f"{self.folder}: masks have codes or colours, not both: --mask-values or --mask-colours")
        if not self.positive or not set(self.positive) <= set(self.mask.values):
            raise ValueError(f"--mask-positive names the region of interest, some of {list(self.mask.values)}; got {list(self.positive)}")
        palette = list(self._palette().values())
        if self.colours and len(set(palette)) < len(palette):
            raise ValueError(f"--mask-colours: two names have one colour: {self._palette()}")

    @property
    def mask(self) -> Mask:
        codes = {name: code for code, name in enumerate(self._palette())} if self.colours else dict(self.values)
        return Mask(codes, self.positive)

    def find(self, strip: str) -> tuple[dict[str, partial[NDArray[np.uint8]]], int]:
        """Stem -> what makes its codes, and how many files are no images."""
        files, others = list_files(self.folder, IMAGES, strip)
        if self.colours:
            return {stem: partial(codes_of_colours, file.path, self._palette()) for stem, file in files.items()}, others
        return {stem: partial(known_codes, file.path, self.values) for stem, file in files.items()}, others

    def _palette(self) -> dict[str, Colour]:
        rest = {name: colour for name, colour in self.colours.items() if name != "background"}
        return {"background": self.colours.get("background", (0, 0, 0))} | rest


def held(folder: Path) -> str:
    """What a few of its pictures hold, as words for a person and for the command."""
    files, _ = list_files(folder, IMAGES)
    paths = [file.path for file in files.values()]
    some = paths[:: -(-len(paths) // _FEW)]
    return held_in([read_image(path, cv2.IMREAD_UNCHANGED) for path in some], f"{len(some)} of {len(paths)} were read")


def held_in(pictures: Sequence[NDArray[Any]], read: str) -> str:
    """Codes or colours, each with its share of the pixels, and the option that names them; `read` says which pictures these are."""
    if all(picture.ndim == 2 for picture in pictures):
        codes, counts = np.unique(np.concatenate([picture.ravel() for picture in pictures]), return_counts=True)
        shares = [f"{code} ({_percent(count, counts)})" for code, count in zip(codes.tolist(), counts, strict=True)]
        words = ["background=0" if code == 0 else f"NAME={code}" for code in codes.tolist()]
        kind, flag = "codes", "--mask-values"
    else:
        pixels = np.concatenate([picture[..., 2::-1].reshape(-1, 3) for picture in pictures if picture.ndim == 3])
        colours, counts = np.unique(pixels, axis=0, return_counts=True)
        names = [f"{red},{green},{blue}" for red, green, blue in colours.tolist()]
        shares = [f"{name} ({_percent(count, counts)})" for name, count in zip(names, counts, strict=True)]
        words = [f"NAME={name}" for name in names if name != "0,0,0"]
        kind, flag = "colours", "--mask-colours"
    if len(words) > _MOST_NAMES:
        return f"{len(shares)} {kind}, too many for names: are these the masks, and were they never JPEGs ({read})?"
    return f"{kind} {'; '.join(shares)} of the pixels ({read}); use your names: {flag} {' '.join(words)}"


def _percent(count: int, counts: NDArray[Any]) -> str:
    return f"{100 * count / counts.sum():.3g} %"


def give_masks(records: list[Record], masks: MaskFolder, strip: str) -> tuple[list[Record], dict[str, int]]:
    """The records with their masks, and what was left out by reason."""
    found, others = masks.find(strip)
    stems = Stems((record.id for record in records), strip)
    files: dict[str, partial[NDArray[np.uint8]]] = {}
    for name, codes in found.items():
        if (stem := stems.find(name)) and files.setdefault(stem, codes) is not codes:
            raise ValueError(f"{masks.folder}: two masks are of row '{stem}', one of them '{name}'; which is it? Remove one")
    unused = len(found) - len(files)
    if not files:
        raise ValueError(f"{masks.folder}: no mask has the stem of a row; it has '{next(iter(found))}', the rows have '{records[0].id}'")
    given = [replace(record, mask=files.get(record.id)) for record in records]
    reasons = {"mask without a row": unused, f"file in {masks.folder} that is no image": others}
    return given, {reason: number for reason, number in reasons.items() if number}


def known_codes(path: Path, values: Mapping[str, int]) -> NDArray[np.uint8]:
    """(H, W) codes of an 8-bit grey picture; `ValueError` names a code that has no name."""
    if (picture := read_image(path, cv2.IMREAD_UNCHANGED)).ndim == 3:
        raise ValueError(f"{path}: a mask of {picture.shape[2]} channels holds colours, no codes: {held_in([picture], 'this file')}")
    codes = read_codes(path)
    if strange := sorted(set(np.unique(codes).tolist()) - set(values.values())):
        raise ValueError(f"{path}: mask code {strange[0]} has no name; --mask-values has {dict(values)}")
    return codes.astype(np.uint8)


def codes_of_colours(path: Path, palette: Mapping[str, Colour]) -> NDArray[np.uint8]:
    """(H, W) codes, the places of the colours in `palette`; `ValueError` names a colour that is not in it."""
    image = read_image(path, cv2.IMREAD_COLOR_RGB).astype(np.uint32)
    packed = image[..., 0] << 16 | image[..., 1] << 8 | image[..., 2]
    codes = np.zeros(packed.shape, np.uint8)
    known = np.zeros(packed.shape, bool)
    for code, (red, green, blue) in enumerate(palette.values()):
        here = packed == (red << 16 | green << 8 | blue)
        codes[here] = code
        known |= here
    if not known.all():
        row, column = np.argwhere(~known)[0]
        raise ValueError(
            f"{path}: colour {tuple(image[row, column].tolist())} at x {column}, y {row} has no name; --mask-colours has {dict(palette)}"
        )
    return codes
