"""Who is in which split: labels, masks, boxes, sensors, and when they were taken."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xkd.data.check.finding import Finding
from xkd.data.class_names import remarks
from xkd.data.manifest import Manifest
from xkd.data.rows import SPLITS


@dataclass(frozen=True)
class NumberSpread:
    """Of a number that rows are labelled with: how many rows have one, the least, the median and the most, NaN where none has."""

    count: int
    least: float
    median: float
    most: float


@dataclass(frozen=True)
class Balance:
    """By split, each as [name][split]: counts of rows of a label, boxes of a class, rows that `have` something; what `numbers` are like."""

    rows: Mapping[str, int]
    classes: Mapping[str, Mapping[str, int]]
    numbers: Mapping[str, Mapping[str, NumberSpread]]  # names with unit and range
    boxes: Mapping[str, Mapping[str, int]]
    have: Mapping[str, Mapping[str, int]]
    sensors: tuple[str, ...]


@dataclass(frozen=True)
class Timing:
    """Seconds between the first and the last sensor of a row, over the `timed` rows that state two times or more."""

    timed: int
    untimed: int
    median: float
    largest: float


def balance(manifest: Manifest) -> Balance:
    rows = Counter(row.split for row in manifest.rows)
    classes = {name: Counter[str]() for name in manifest.classes}
    boxes = {name: Counter[str]() for name in manifest.classes}
    have = {name: Counter[str]() for name in ("a label", "a mask", "boxes", *manifest.modalities)}
    for row in manifest.rows:
        for label in row.labels or ():
            classes[label][row.split] += 1
        for _, label in row.boxes or ():
            boxes.setdefault(label, Counter())[row.split] += 1
        there = {"a label": row.labels is not None, "a mask": bool(row.mask), "boxes": row.boxes is not None}
        for name in [name for name, is_there in there.items() if is_there] + list(row.files):
            have[name][row.split] += 1

    def by_split(counts: Mapping[str, int]) -> dict[str, int]:
        return {split: counts.get(split, 0) for split in SPLITS}

    tables = [{name: by_split(part) for name, part in table.items()} for table in (classes, boxes, have)]
    return Balance(by_split(rows), tables[0], _spreads(manifest), tables[1], tables[2], tuple(manifest.modalities))


def _spreads(manifest: Manifest) -> dict[str, dict[str, NumberSpread]]:
    """Of each number in each split."""
    held = {split: np.array([row.numbers for row in manifest.rows if row.split == split and row.numbers]) for split in SPLITS}
    return {
        number.described: {split: _spread(values[:, place] if len(values) else values) for split, values in held.items()}
        for place, number in enumerate(manifest.numbers)
    }


def _spread(values: NDArray[np.float64]) -> NumberSpread:
    if not len(values):
        return NumberSpread(0, math.nan, math.nan, math.nan)
    return NumberSpread(len(values), float(values.min()), float(np.median(values)), float(values.max()))


def balance_findings(counts: Balance) -> list[Finding]:
    """Classes that some split never sees, splits without rows, and sensors that most rows lack."""
    total, findings = sum(counts.rows.values()), []
    for name in counts.sensors:
        if 2 * (held := sum(counts.have[name].values())) < total:
            findings.append(
                Finding("warning", "pairs", f"{total - held} of {total} rows have no {name}: they teach and learn nothing by it")
            )
    if counts.rows["test"] == total:
        findings.append(Finding("note", "labels", "all rows are in split 'test': a set to be tested on, nothing can be trained with it"))
    else:
        findings += [Finding("warning", "labels", f"split '{split}' has no rows") for split in SPLITS if not counts.rows[split]]
    findings += [Finding("warning", "labels", text) for text in remarks(list(counts.classes))]
    for what, table in (("class", counts.classes), ("boxes of", counts.boxes)):
        if not any(any(part.values()) for part in table.values()):
            continue
        for name, part in table.items():
            there = [split for split in SPLITS if part[split]]
            if there and "train" not in there and counts.rows["train"]:
                text = f"{what} '{name}' only in {' and '.join(there)}: it is measured and never learned"
                # boxes may be there for their place alone, the label is what is learned
                findings.append(Finding("error" if what == "class" else "warning", "labels", text))
            elif what == "class" and not there:
                findings.append(Finding("warning", "labels", f"class '{name}' has no labelled row"))
            elif what == "class" and "test" not in there and counts.rows["test"]:
                findings.append(Finding("warning", "labels", f"class '{name}' is not in test: nothing measures it"))
    return findings


def timing(manifest: Manifest) -> Timing:
    spans = []
    for row in manifest.rows:
        times = [stated["time"] for name, stated in row.values.items() if "time" in stated and name in row.files]
        if len(times) > 1:
            spans.append(max(times) - min(times))
    median, largest = (float(np.median(spans)), max(spans)) if spans else (float("nan"), float("nan"))
    return Timing(len(spans), len(manifest.rows) - len(spans), median, largest)


def timing_findings(manifest: Manifest, times: Timing) -> list[Finding]:
    if len(manifest.modalities) < 2:
        return []
    if not times.timed:
        return [Finding("note", "time", "no row states when its sensors looked (columns SENSOR.time): simultaneity is taken on trust")]
    text = f"sensors of a row are {times.median:.3g} s apart (median), {times.largest:.3g} s at most, in {times.timed} rows"
    untimed = f"; {times.untimed} rows state no two times" if times.untimed else ""
    limit = manifest.pairs.max_time_offset
    unlimited = "; no limit is set: [pairs] max_time_offset" if limit == float("inf") else f"; the limit is {limit:g} s"
    return [Finding("note", "time", text + untimed + unlimited)]
