"""Two sensors that take the same files: refused, with the patterns that tell them apart, where the files' names end in several ways."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Final

from xkd.data.prepare.listing import Source
from xkd.data.prepare.pattern import base, files_of
from xkd.modalities import SENSORS

_ENDING: Final = re.compile(r"([_-][A-Za-z0-9]*)(\.[^.]+)$")
_MOST: Final = 12  # endings that a camera gives
_CALLED: Final[Mapping[str, tuple[str, ...]]] = {  # what cameras write for a picture of this sensor
    "rgb": ("w", "z", "v", "d", "rgb", "vis", "wide", "zoom", "color", "colour"),
    "thermal": ("t", "ir", "th", "r", "lwir", "thermal", "previewdata"),
}


def check_shared(sources: Mapping[str, Source]) -> None:
    """`ValueError` for two sensors of the same files whose names end in several ways, or where both are one kind of sensor."""
    taken: dict[str, set[Path]] = {}
    for column, source in sources.items():
        suffixes = SENSORS[source.table["sensor"]].suffixes
        per_band = [{place.path for place in files_of(where) if place.path.suffix.lower() in suffixes} for where in source.folders]
        taken[column] = set().union(*per_band)
        for first, second in itertools.combinations(range(len(per_band)), 2):
            if twice := per_band[first] & per_band[second]:
                raise ValueError(f"'{column}': {source.folders[first]} and {source.folders[second]} take the same file, {min(twice)}")
    for one, other in itertools.combinations(sources, 2):
        both = taken[one] & taken[other]
        if not both:
            continue
        bands = "multispectral" in (sources[one].table["sensor"], sources[other].table["sensor"])
        endings = _endings(both, bands)
        if len(endings) > 1 or sources[one].table["sensor"] == sources[other].table["sensor"]:
            raise ValueError(f"'{one}' and '{other}' take the same {len(both)} files, such as {min(both)}; {_remedy(sources, endings)}")


def _endings(files: set[Path], bands: bool) -> Counter[str]:
    """The last word and the suffix of the names, such as `_W.JPG`, if they are a few that several files share; numbers only of bands."""
    found = Counter(match[0] for path in files if (match := _ENDING.search(path.name)) and (bands or not match[1][1:].isdecimal()))
    common = Counter({ending: number for ending, number in found.items() if number > 1})
    return common if len(common) <= _MOST else Counter()


def _remedy(sources: Mapping[str, Source], endings: Counter[str]) -> str:
    if len(endings) < 2:
        return "give each its own folder, or a pattern that matches its files alone, such as 'DIR/*_W.JPG'"
    listed = ", ".join(f"*{ending} ({number})" for ending, number in sorted(endings.items()))
    words, free = [], sorted(endings)
    for column, source in sources.items():
        kind = source.table["sensor"]
        called = (column.casefold(), *_CALLED.get(kind, ()), *SENSORS[kind].names)
        own = [ending for ending in free if PurePath(ending).stem[1:].casefold() in called] or free or sorted(endings)
        several = f"{{{','.join(own)}}}" if kind == "multispectral" and len(own) > 1 else own[0]
        free = [ending for ending in free if ending not in (own if kind == "multispectral" else own[:1])]
        words.append(f"--sensor '{column}={base(source.folders[0])}/**/*{several}:{kind}'")
    return f"names end in {listed}: a pattern for each tells them apart, such as {' '.join(words)}"
