"""What each sensor's files hold, in a line; channels that carry nothing, two columns that are one, values that cannot be."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xkd.data.check.exposure import Exposure
from xkd.data.check.files import Facts
from xkd.data.check.finding import Finding, listed
from xkd.data.clips import is_clip
from xkd.data.manifest import Manifest
from xkd.data.rows import Row
from xkd.modalities import SENSORS
from xkd.modality import Modality, Scans

_CONSTANT: Final = 1e-6  # of a channel's largest value: a spread below it is rounding
_ALIKE: Final = 0.999  # correlation of thumbnails: two sensors see one scene, and never with the same grey values
# what nature and instruments allow, by unit: from the sky's cold to a furnace
_POSSIBLE: Final = {"K": (100.0, 3500.0), "degC": (-150.0, 3200.0), "°C": (-150.0, 3200.0), "C": (-150.0, 3200.0)}


def content_findings(manifest: Manifest, exposures: Mapping[str, Sequence[Exposure]]) -> list[Finding]:
    """For each sensor what was read, channels without content, values outside physics."""
    findings = []
    for name, images in exposures.items():
        if images:
            sensor = manifest.modalities[name]
            findings.append(Finding("note", "reading", _reading(manifest, name, sensor, images)))
            findings += _constant_channels(name, sensor, images)
            findings += _impossible(name, sensor, images)
    return findings


def column_findings(manifest: Manifest, facts: Facts) -> list[Finding]:
    """Pairs of columns whose files are the same, or the same pictures saved again."""
    findings = []
    for first, second in itertools.combinations(manifest.modalities, 2):
        rows = [row for row in manifest.rows if len(row.files.get(first, ())) == len(row.files.get(second, ())) == 1]
        pairs = {(row.files[first][0], row.files[second][0]): row for row in rows}
        pairs = {pair: row for pair, row in pairs.items() if pair[0] != pair[1]}  # two sensors may read one file, each its own channels
        same = [row.id for (one, other), row in pairs.items() if _digest(facts, first, one) == _digest(facts, second, other) != ""]
        if same:
            text = f"{first} and {second} have the same file under two names in {len(same)} of {len(pairs)} pairs: {listed(same)}"
            findings.append(Finding("error", "files", f"{text}; one of the columns is not its sensor's"))
            continue
        alike = [row.id for (one, other), row in pairs.items() if _correlation(facts, (first, one), (second, other)) > _ALIKE]
        if 2 * len(alike) > len(pairs):
            text = f"{first} and {second} show the same picture in {len(alike)} of {len(pairs)} pairs: {listed(alike)}"
            findings.append(Finding("warning", "files", f"{text}; is one a grey or rendered copy of the other, and no second sensor?"))
    return findings


def _reading(manifest: Manifest, name: str, sensor: Modality, images: Sequence[Exposure]) -> str:
    row = next(row for row in manifest.rows if row.id == images[0].row)
    kind = next((kind for kind, of in SENSORS.items() if type(sensor) is of), type(sensor).__name__)
    means = [one.mean for one in images]
    seen = 100 * (1 - np.mean([one.unseen for one in images]))
    plural = "s" * (sensor.channels > 1)
    low, high = sensor.range
    return (
        f"{name} is read as sensor '{kind}' from {_suffixes(row, name)}: {sensor.channels} channel{plural}, {sensor.unit};"
        f" range {_number(low)} to {_number(high)}, the images' means {_number(min(means))} to {_number(max(means))};"
        f" {seen:.0f} % of the pixels seen"
    )


def _suffixes(row: Row, name: str) -> str:
    suffixes = ["." + path.rsplit(".", 1)[-1] for path in row.files[name]]
    return "the frames of a clip, " + suffixes[0] if is_clip(row, name) else " + ".join(suffixes)


def _constant_channels(name: str, sensor: Modality, images: Sequence[Exposure]) -> list[Finding]:
    """Channels that say how a pixel was hit may be the same everywhere; others carry nothing then."""
    counted = sensor.counted if isinstance(sensor, Scans) else (False,) * sensor.channels
    constant = np.array([_is_constant(one) for one in images])
    constant &= ~constant.all(1, keepdims=True) & ~np.array(counted)  # an even image is one that `exposure` names
    findings = []
    for channel in np.flatnonzero(constant.any(0)).tolist():
        rows = [f"'{one.row}'" for one, is_constant in zip(images, constant[:, channel].tolist(), strict=True) if is_constant]
        where = "all" if len(rows) == len(images) else f"{len(rows)} of {len(images)}"
        why = "it carries nothing" if len(rows) == len(images) else "are these files of another camera or driver?"
        text = (
            f"{name}: channel {channel + 1} of {sensor.channels} ({sensor.unit}) is constant in {where} sampled rows, {listed(rows)}: {why}"
        )
        findings.append(Finding("warning", "exposure", text))
    return findings


def _is_constant(image: Exposure) -> NDArray[np.bool_]:
    """(C,): of seen pixels, several of them."""
    seen, first, second = (np.array(of) for of in image.moments)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, square = first / seen, second / seen
    return np.asarray((seen > 0) & (square - mean**2 <= _CONSTANT * np.maximum(square, np.finfo(np.float64).tiny)), np.bool_)


def _impossible(name: str, sensor: Modality, images: Sequence[Exposure]) -> list[Finding]:
    if sensor.unit not in _POSSIBLE:
        return []
    low, high = _POSSIBLE[sensor.unit]
    if not (odd := [f"'{one.row}' ({_number(one.mean)})" for one in images if not low <= one.mean <= high]):
        return []
    text = f"{name}: the mean of {len(odd)} of {len(images)} images is no temperature in {sensor.unit}: {listed(odd)}"
    return [Finding("error", "exposure", f"{text}; are scale, offset and unit of [modalities.{name}] those of the files?")]


def _digest(facts: Facts, name: str, path: str) -> str:
    return facts[name, path].digest


def _correlation(facts: Facts, one: tuple[str, str], other: tuple[str, str]) -> float:
    """Of two thumbnails, 0 where there is none or nothing in it."""
    first, second = facts[one].thumbnail, facts[other].thumbnail
    if first is None or second is None or min(first.std(), second.std()) == 0:
        return 0.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def _number(value: float) -> str:
    return f"{value:.4g}"
