"""Which stretches of which recordings become clips: those of a table, or sliding windows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite
from pathlib import Path
from typing import Final

from xkd.data.write import read_table

COLUMNS: Final = ("file", "start", "end", "label")
_EDGE: Final = 1e-6  # times are decimal numbers, which a computer rounds


@dataclass(frozen=True)
class Stretch:
    """Seconds of a recording, and what somebody said of them; `where` is the table's line."""

    start: float
    end: float
    label: str = ""
    group: str = ""
    split: str = ""
    where: str = ""

    def places(self, fps: float) -> range:
        """Those of the grid `place / fps` seconds that lie within."""
        return range(max(0, ceil(self.start * fps - _EDGE)), floor(self.end * fps + _EDGE) + 1)


@dataclass(frozen=True)
class Sliding:
    """Stretches of `window` seconds, one every `step` seconds, without a label."""

    window: float
    step: float

    def __post_init__(self) -> None:
        if not (0 < self.window < float("inf") and 0 < self.step < float("inf")):
            raise ValueError(f"--window and --step are seconds above 0, got {self.window:g} and {self.step:g}")

    def within(self, last: float) -> list[Stretch]:
        """All that end by the `last` second of the recording; all of it where it is shorter than a window."""
        count = floor((last - self.window) / self.step + _EDGE) + 1
        starts = [number * self.step for number in range(count)]
        return [Stretch(start, start + self.window) for start in starts] or [Stretch(0.0, last)]


def read_stretches(table: Path, videos: Mapping[Path, str]) -> dict[Path, list[Stretch]]:
    """The lines of a CSV by video; `videos` are their names below the folder. `ValueError` names the line and what is legal."""
    lines = read_table(table)
    if not lines:
        raise ValueError(f"{table} has no line below its header; it needs {', '.join(COLUMNS)}")
    if missing := [name for name in COLUMNS if name not in lines[0]]:
        raise ValueError(
            f"{table} has no columns {missing}; it needs {', '.join(COLUMNS)}, may have group and split, and has {list(lines[0])}"
        )
    known: dict[str, list[Path]] = {}
    for path, name in videos.items():
        for key in {name, Path(name).name, Path(name).stem, str(Path(name).with_suffix(""))}:
            known.setdefault(key, []).append(path)
    found: dict[Path, list[Stretch]] = {}
    for number, line in enumerate(lines, start=2):
        where = f"{table}, line {number}"
        fit = known.get((line["file"] or "").replace("\\", "/"), [])
        if len(fit) != 1:
            why = f"is the name of {len(fit)} videos" if fit else "is no video of the folder"
            raise ValueError(f"{where}: '{line['file']}' {why}; there are {sorted(videos.values())[:5]}")
        found.setdefault(fit[0], []).append(_stretch(line, where))
    return found


def _stretch(line: Mapping[str, str], where: str) -> Stretch:
    try:
        start, end = float(line["start"]), float(line["end"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: start and end are seconds of the video, got '{line['start']}' and '{line['end']}'") from error
    if not (isfinite(start + end) and 0 <= start < end):
        raise ValueError(f"{where}: 0 <= start < end must hold, in seconds of the video; got {start:g} and {end:g}")
    return Stretch(start, end, line["label"] or "", line.get("group") or "", line.get("split") or "", where)


def merged(stretches: Sequence[Stretch], fps: float) -> Iterator[int]:
    """The places of the grid that lie in any of them, each once, rising."""
    done = -1
    for places in sorted((stretch.places(fps) for stretch in stretches), key=lambda places: places.start):
        yield from range(max(places.start, done + 1), places.stop)
        done = max(done, places.stop - 1)
