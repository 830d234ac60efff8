"""Which recording an annotated picture is: names that tools have changed meet the files on the disk."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from xkd.data.prepare.annotated import AnnotatedImage
from xkd.data.prepare.listing import stem_of
from xkd.data.prepare.records import File
from xkd.data.prepare.stems import one_form

_UPLOADED: Final = re.compile(r"^[0-9a-f]{8}-")  # Label Studio's, before the name of a file that was uploaded

Files = Mapping[str, tuple[File, ...]]


def meet(
    pictures: Sequence[AnnotatedImage], files: Mapping[str, Mapping[str, tuple[File, ...]]], strip: str, left_out: Counter[str]
) -> tuple[list[tuple[AnnotatedImage, str, Files]], list[str]]:
    """(picture, stem, its recordings) of those that have any, and notes.

    A name meets a stem if one ends with the other, folder by folder: `images/a.png` meets `a`, `a.png` meets `train/a`. Among several
    the one below a folder of the annotation file's own name is meant. `ValueError` where two are left, or none meets at all.
    """
    by_name: dict[str, dict[str, str]] = defaultdict(dict)  # last part of a path without suffix -> such paths -> stem
    for by_stem in files.values():
        for stem, recordings in by_stem.items():
            for path in (stem, *(one_form(PurePosixPath(file.name).with_suffix("").as_posix()) for file in recordings)):
                by_name[PurePosixPath(path).name][path] = stem
    met: list[tuple[AnnotatedImage, str, Files]] = []
    owners: dict[str, AnnotatedImage] = {}
    uploaded = 0
    for picture in pictures:
        stem = _meet(picture, stem_of(Path(picture.name), strip), by_name)
        if not stem and _UPLOADED.match(Path(picture.name).name):
            stem = _meet(picture, stem_of(Path(picture.name).with_name(Path(picture.name).name[9:]), strip), by_name)
            uploaded += bool(stem)
        if not stem:
            left_out["annotated image without a file"] += 1
            continue
        if stem in owners:
            raise ValueError(f"{picture.where}: two images have the stem '{stem}', '{picture.name}' and '{owners[stem].name}'")
        owners[stem] = picture
        met.append((picture, stem, {column: by_stem[stem] for column, by_stem in files.items() if stem in by_stem}))
    if not met:
        named = f"{pictures[0].where}: it names {pictures[0].name}" if pictures else "the annotations name no image at all"
        there = {column: next(iter(by_stem), "") for column, by_stem in files.items()}
        raise ValueError(f"none of the annotated images is a file of a sensor; {named}; stems of files are such as {there}")
    for column, by_stem in files.items():
        left_out[f"'{column}' that the annotations do not name"] += len(by_stem.keys() - owners.keys())
    return met, [f"{uploaded} names have eight digits that Label Studio puts before them; they were left out"] if uploaded else []


def _meet(picture: AnnotatedImage, name: str, by_name: Mapping[str, Mapping[str, str]]) -> str:
    parts = PurePosixPath(name).parts
    paths = {path: stem for path, stem in by_name.get(parts[-1], {}).items() if _ends(parts, PurePosixPath(path).parts)}
    if name in paths:
        return paths[name]
    if len(set(paths.values())) > 1:
        folder = Path(picture.where).absolute().parent.name
        paths = {path: stem for path, stem in paths.items() if folder in PurePosixPath(path).parts} or paths
    found = sorted(set(paths.values()))
    if len(found) > 1:
        raise ValueError(
            f"{picture.where}: image '{picture.name}' may be {' or '.join(found)}; name the folder that holds it as the --sensor, or put"
            " the annotation file into its folder"
        )
    return found[0] if found else ""


def _ends(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shared = min(len(one), len(other))
    return one[-shared:] == other[-shared:]
