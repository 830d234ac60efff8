"""The files of a sensor's folder by stem, and the rows that mirroring folders make."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xkd.data.prepare.pattern import base, files_of
from xkd.data.prepare.records import File, Table
from xkd.data.prepare.stems import one_form
from xkd.modalities import SENSORS


@dataclass(frozen=True)
class Source:
    """A sensor on the disk: its folder or pattern, or one per file of a row (a band each), and its table of manifest.toml.

    `why` says how the sensor was guessed, and is empty where somebody named it.
    """

    folders: tuple[Path, ...]
    table: Table
    why: str = ""


def list_files(place: Path, suffixes: Sequence[str], strip: str = "") -> tuple[dict[str, File], int]:
    """Stem -> file, and how many files have another suffix; hidden files do not count.

    A stem is the path below the folder without its suffix, or what a pattern says, and without what the regular expression `strip`
    matches. Raises what `files_of` does, and `ValueError` where two files have one stem or a file has none.
    """
    by_stem: dict[str, File] = {}
    others = 0
    for path, name, plain in files_of(place):
        if path.suffix.lower() not in suffixes:
            others += 1
            continue
        stem = stripped(plain, strip, name)
        if stem in by_stem:
            raise ValueError(
                f"{by_stem[stem].path} and {path} have one stem, '{stem}': which is it? Remove one, or change --strip; a pattern takes some"
                f" files of a folder alone, such as {base(place)}/*{path.suffix}"
            )
        by_stem[stem] = File(path, name)
    if not by_stem:
        raise ValueError(f"{place}: no file that ends in {list(suffixes)}")
    return by_stem, others


def stem_of(name: Path, strip: str) -> str:
    """The relative path without its suffix and without what `strip` matches; `ValueError` where nothing is left."""
    return stripped(name.with_suffix("").as_posix(), strip, str(name))


def stripped(stem: str, strip: str, name: str) -> str:
    """The stem of the file `name` without what `strip` matches; `ValueError` where nothing is left."""
    stem = one_form(stem)
    stem = re.sub(strip, "", stem) if strip else stem
    if not stem:
        raise ValueError(
            f"{name}: --strip '{strip}' leaves nothing of its stem" if strip else f"{name}: its pattern leaves no stem; write {{id}}"
        )
    return stem


def list_sources(sources: Mapping[str, Source], strip: str) -> tuple[dict[str, dict[str, tuple[File, ...]]], dict[str, int]]:
    """Sensor -> stem -> the files of a row, and what was left out by reason."""
    listed: dict[str, dict[str, tuple[File, ...]]] = {}
    left_out: Counter[str] = Counter()
    for column, source in sources.items():
        suffixes = SENSORS[source.table["sensor"]].suffixes
        parts = []
        for number, folder in enumerate(source.folders, 1):
            files, others = list_files(folder, suffixes, strip)
            left_out[f"file in {folder} that sensor '{source.table['sensor']}' does not read"] += others
            several = len(source.folders) > 1
            parts.append({stem: File(file.path, f"{number}/{file.name}" if several else file.name) for stem, file in files.items()})
        whole = set(parts[0]).intersection(*parts[1:])
        left_out[f"'{column}' with files in only some of its {len(parts)} folders"] += len(set().union(*parts) - whole)
        listed[column] = {stem: tuple(part[stem] for part in parts) for stem in sorted(whole)}
    return listed, +left_out
