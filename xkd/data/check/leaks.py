"""The same picture, or nearly the same, in two splits: then the test is no test."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.data.check.files import Facts, users
from xkd.data.check.finding import Finding, listed
from xkd.data.manifest import Manifest
from xkd.data.rows import SPLITS, Row

FARTHEST: Final = 8  # bits of 63 in which two hashes may differ
CLOSEST: Final = 0.95  # correlation of the thumbnails, at least; unlike scenes of one kind share hashes but stay below 0.93
_CONTRAST: Final = 0.02  # standard deviation of a thumbnail over its largest value, below which there is nothing to compare
_BLOCK: Final = 2048


@dataclass(frozen=True)
class Leak:
    """Two files of a sensor in two splits that look alike. `distance` is in bits of 63, `correlation` that of 32x32 thumbnails."""

    sensor: str
    first: str
    second: str
    splits: tuple[str, str]
    distance: int
    correlation: float


def difference_bits(thumbnail: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(63,): signs of the lowest cosine coefficients about their median, without the mean (pHash: Zauner 2010, section 3.2)."""
    low = cv2.dct(thumbnail)[:8, :8].ravel()[1:]
    return np.asarray(low > np.median(low), np.bool_)


def has_contrast(thumbnail: NDArray[np.float32] | None) -> bool:
    """Whether there is something to compare: an even image is like every other even image."""
    return thumbnail is not None and float(thumbnail.std()) > _CONTRAST * float(np.abs(thumbnail).max())


def near_duplicates(manifest: Manifest, facts: Facts) -> list[Leak]:
    """Pairs of files of one sensor in different splits, closest first; the same bytes are told by `duplicate_findings`."""
    leaks = []
    used = users(manifest.rows)
    for sensor in manifest.modalities:
        paths: dict[str, list[str]] = {split: [] for split in SPLITS}
        for (name, path), rows in used.items():
            if name == sensor and has_contrast(facts[name, path].thumbnail):
                paths[rows[0].split].append(path)
        for one, other in itertools.combinations(SPLITS, 2):
            leaks += list(_alike(sensor, (one, other), paths[one], paths[other], facts))
    return sorted(leaks, key=lambda leak: (leak.distance, -leak.correlation))


def _alike(sensor: str, splits: tuple[str, str], first: Sequence[str], second: Sequence[str], facts: Facts) -> Iterator[Leak]:
    if not first or not second:
        return
    left, right = (_signs(sensor, paths, facts) for paths in (first, second))
    for start in range(0, len(first), _BLOCK):
        distance = (left.shape[1] - left[start : start + _BLOCK] @ right.T) / 2
        for row, column in np.argwhere(distance <= FARTHEST):
            a, b = facts[sensor, first[start + row]], facts[sensor, second[column]]
            assert a.thumbnail is not None  # only files with contrast came here
            assert b.thumbnail is not None
            close = float(np.corrcoef(a.thumbnail.ravel(), b.thumbnail.ravel())[0, 1])
            if close >= CLOSEST and a.digest != b.digest:
                yield Leak(sensor, first[start + row], second[column], splits, int(distance[row, column]), close)


def _signs(sensor: str, paths: Sequence[str], facts: Facts) -> NDArray[np.float32]:
    bits = [difference_bits(thumbnail) for path in paths if (thumbnail := facts[sensor, path].thumbnail) is not None]
    return np.where(np.stack(bits), np.float32(1), np.float32(-1))


def duplicate_findings(manifest: Manifest, facts: Facts) -> list[Finding]:
    """The same bytes in two splits (an error), or in two rows of one split that are not crops of a shared image (a warning)."""
    holders: dict[tuple[str, str], dict[str, tuple[str, Row]]] = defaultdict(dict)
    for (name, path), rows in users(manifest.rows).items():
        fact = facts[name, path]
        if fact.digest and (fact.thumbnail is None or has_contrast(fact.thumbnail)):
            for row in rows:
                holders[name, fact.digest][row.id] = (path, row)
    leaks, twice = [], []
    for (name, _), held in holders.items():
        if len(held) < 2:
            continue
        (path, row), *others = held.values()
        elsewhere = [(p, r) for p, r in others if r.split != row.split]
        whole = [(p, r) for p, r in held.values() if r.crop is None]
        if elsewhere:
            other_path, other = elsewhere[0]
            leaks.append(f"{name} of '{row.id}' ({row.split}, {path}) and '{other.id}' ({other.split}, {other_path})")
        elif len(whole) > 1:
            twice.append(f"{name} of " + " and ".join(f"'{r.id}' ({p})" for p, r in whole[:2]))
    findings = []
    if leaks:
        findings.append(Finding("error", "leaks", f"{len(leaks)} files are in more than one split, byte for byte: {listed(leaks)}"))
    if twice:
        findings.append(Finding("warning", "files", f"{len(twice)} files serve several rows that are no crops: {listed(twice)}"))
    return findings


def near_findings(leaks: Sequence[Leak]) -> list[Finding]:
    if not leaks:
        return []
    names = [f"{leak.first} ({leak.splits[0]}) and {leak.second} ({leak.splits[1]})" for leak in leaks]
    text = (
        f"{len(leaks)} pairs of files in different splits look alike: {listed(names)}; neighbours of one scene belong to one group "
        "(frames of a camera that stands still are alike by their background)"
    )
    return [Finding("warning", "leaks", text)]
