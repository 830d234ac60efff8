"""Sensors with their own frames: a row is a frame of the first sensor, with the nearest frame of each other one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from xkd.data.prepare.clocks import Clock
from xkd.data.prepare.folders import described
from xkd.data.prepare.labels import LabelSource
from xkd.data.prepare.listing import Source, list_sources
from xkd.data.prepare.masks import MaskFolder
from xkd.data.prepare.offset import estimate_offset, match
from xkd.data.prepare.records import Contents, File, Record


@dataclass(frozen=True)
class Pairing:
    """Frames belong together up to `tolerance` seconds. `offsets` are seconds to add to a sensor's clock to get the first one's.

    With `estimate` they are where a search of +-`reach` seconds begins.
    """

    clock: Clock
    tolerance: float
    offsets: Mapping[str, float] = field(default_factory=dict)
    estimate: bool = False
    reach: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < float("inf") or not 0 < self.reach < float("inf"):
            raise ValueError(f"--tolerance and --max-offset are seconds above 0; got {self.tolerance} and {self.reach}")


def find_by_times(
    sources: Mapping[str, Source], pairing: Pairing, labels: LabelSource, masks: MaskFolder | None = None, strip: str = ""
) -> Contents:
    """A row per frame of the first sensor; ids are its stems. A frame of another sensor serves one row at most.

    No two sensors of a row are further apart than the tolerance: of two that are, the one further from the first sensor is left out.
    """
    first, *others = _checked(sources, pairing)
    files, reasons = list_sources(sources, strip)
    left_out = Counter(reasons)
    clocks: dict[str, dict[str, float]] = {}
    for column in sources:
        clocks[column], unknown = pairing.clock.read(column, files[column], strip)
        left_out[f"'{column}' without a time"] += unknown
    notes = []
    partners: dict[str, list[tuple[float, str, str, float]]] = {stem: [] for stem in clocks[first]}
    for column in others:
        offset, note = _offset(first, column, clocks, pairing)
        notes += [note] if note else []
        clocks[column] = {stem: round(time + offset, 6) for stem, time in clocks[column].items()}
        pairs = _matched(clocks[first], clocks[column], pairing.tolerance)
        for stem, partner in pairs:
            when = clocks[column][partner]
            partners[stem].append((abs(when - clocks[first][stem]), column, partner, when))
        left_out[f"'{column}' that is no frame's nearest within {pairing.tolerance:g} s"] += len(clocks[column]) - len(pairs)
    records = []
    for stem in sorted(clocks[first]):
        record, apart = _record(stem, first, clocks[first][stem], partners[stem], files, pairing.tolerance)
        records.append(record)
        left_out.update(f"'{column}' too far from another sensor of its row" for column in apart)
    if not any(partners.values()):
        raise ValueError(f"no frame of {others} lies within {pairing.tolerance:g} s of one of '{first}'; see --offset, --estimate-offset")
    return described(records, sources, +left_out, labels, masks, strip, pairing.tolerance, tuple(notes))


def _checked(sources: Mapping[str, Source], pairing: Pairing) -> list[str]:
    """The sensors' names, the first one first."""
    first, *others = sources
    if not others:
        raise ValueError("pairs by time need two sensors or more: --sensor rgb=DIR:rgb --sensor thermal=DIR:thermal")
    if several := [column for column, source in sources.items() if len(source.folders) > 1]:
        raise ValueError(f"'{several[0]}' has several folders; pairs by time take one folder per sensor")
    for column in (*pairing.offsets, *pairing.clock.tables):
        if column not in sources:
            raise KeyError(f"no sensor '{column}' to give a clock to; sensors are {list(sources)}")
    if first in pairing.offsets:
        raise ValueError(f"'{first}' is the first sensor: the others' clocks are set by its clock, it has no offset")
    return [first, *others]


def _matched(anchor: Mapping[str, float], other: Mapping[str, float], tolerance: float) -> list[tuple[str, str]]:
    """Stems that are each other's nearest."""
    orders = [sorted(clock, key=clock.__getitem__) for clock in (anchor, other)]
    times = [np.array([clock[stem] for stem in order]) for clock, order in zip((anchor, other), orders, strict=True)]
    return [(orders[0][one], orders[1][two]) for one, two in match(times[0], times[1], tolerance)]


def _offset(first: str, column: str, clocks: Mapping[str, Mapping[str, float]], pairing: Pairing) -> tuple[float, str]:
    given = pairing.offsets.get(column, 0.0)
    if not pairing.estimate:
        return given, ""
    anchor, other = (np.array(sorted(clocks[name].values())) for name in (first, column))
    try:
        best, second = estimate_offset(anchor, other, pairing.tolerance, given, pairing.reach)
    except ValueError as error:
        raise ValueError(f"'{column}' against '{first}': {error}") from error
    return best.shift, f"offset of '{column}': {best}; the second best answer is {second}"


def _record(
    stem: str,
    first: str,
    time: float,
    partners: list[tuple[float, str, str, float]],
    files: Mapping[str, Mapping[str, tuple[File, ...]]],
    tolerance: float,
) -> tuple[Record, list[str]]:
    """The row of a frame, and the sensors that had to stay out of it."""
    times, taken, apart = {first: time}, {first: files[first][stem]}, []
    for _, column, partner, when in sorted(partners):
        if max(*times.values(), when) - min(*times.values(), when) > tolerance:
            apart.append(column)
            continue
        times[column], taken[column] = when, files[column][partner]
    ordered = {column: taken[column] for column in files if column in taken}
    return Record(stem, ordered, frame=stem, times=times), apart
