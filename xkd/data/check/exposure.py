"""Exposure: pixels at the ends of the range, even images, images unlike the others; and the statistics that normalise them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xkd.data.check.finding import Finding, listed
from xkd.data.check.frames import Frame, seen
from xkd.data.frame import crop_of
from xkd.data.manifest import Manifest
from xkd.modality import Modality, Scans

FARTHEST: Final = 4.0  # robust standard deviations from the median of a sensor's images
CLIPPED: Final = 0.25  # share of an image's pixels at one end of the range
_EVEN: Final = 1e-3  # standard deviation over the range, below which an image shows nothing
_TO_SIGMA: Final = 1.4826  # median absolute deviation to the standard deviation of a normal distribution
DIFFERENCE: Final = 0.5  # of the manifest's std, by which the measured mean or std may differ
_LONGEST: Final = 640  # pixels; enough for shares and means
_SPREAD_LEAST: Final = 0.01  # of the range: images whose means hardly vary have no outliers


@dataclass(frozen=True)
class Exposure:
    """One image. `low` and `high` are shares of seen pixels at or beyond the ends of the range, of the first channel unless it is colour.

    `mean` and `std` are in the sensor's unit; `moments` are, per channel, the share of the row's crop that was seen and over all of
    the crop the mean of seen values and of their squares: a view makes crops alike in size, so rows count alike.
    """

    row: str
    split: str
    mean: float
    std: float
    low: float
    high: float
    unseen: float
    moments: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class NormalisationCheck:
    """Per channel in the sensor's unit: what manifest.toml states and what the sampled train rows (their crops) have."""

    stated_mean: tuple[float, ...]
    stated_std: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def expose(manifest: Manifest, frame: Frame, name: str) -> Exposure:
    sensor = frame.contents[name][0]
    own = frame.size(name)
    factor = max(1.0, max(own) / _LONGEST) if not isinstance(sensor, Scans) else 1.0  # fewer pixels hold more returns
    placed = frame.placed(name, (round(own[0] / factor), round(own[1] / factor)))
    there = seen(sensor, placed)
    values = (placed if placed.dtype == np.uint8 else placed[..., :1])[there].astype(np.float64)
    low, high = sensor.range
    if not values.size:
        values = np.array([[sensor.mean[0]]])
    x1, y1, x2, y2 = (max(int(edge / factor), 0) for edge in crop_of(manifest, frame.row, own))
    part, inside = (pixels[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)] for pixels in (placed, there))
    pixels = part.reshape(-1, sensor.channels).astype(np.float64)
    counted = inside.reshape(-1, 1) | np.array(_counted(sensor))
    counted &= np.isfinite(pixels)
    pixels = np.where(counted, pixels, 0.0)
    return Exposure(
        frame.row.id,
        frame.row.split,
        float(values.mean()),
        float(values.std()),
        float((values <= low).mean()),
        float((values >= high).mean()),
        float(1 - there.mean()),
        (tuple(counted.mean(0).tolist()), tuple(pixels.mean(0).tolist()), tuple((pixels**2).mean(0).tolist())),
    )


def _counted(sensor: Modality) -> tuple[bool, ...]:
    """Channels that have a value in every pixel, which depends on how large pixels are."""
    return sensor.counted if isinstance(sensor, Scans) else (False,) * sensor.channels


def outliers(means: NDArray[np.float64], span: float) -> NDArray[np.bool_]:
    """(N,): whose mean lies more than `FARTHEST` robust sigmas (median, MAD) from the others'; `span` is the sensor's range."""
    middle = np.median(means)
    sigma = max(_TO_SIGMA * float(np.median(np.abs(means - middle))), _SPREAD_LEAST * span)
    return np.asarray(np.abs(means - middle) > FARTHEST * sigma, np.bool_)


def normalisation(sensor: Modality, exposures: Sequence[Exposure]) -> NormalisationCheck | None:
    """None where no train row has this sensor."""
    moments = np.array([one.moments for one in exposures if one.split == "train"])
    if not len(moments) or not (seen := moments[:, 0].sum(0)).all():
        return None
    first, second = moments[:, 1].sum(0) / seen, moments[:, 2].sum(0) / seen
    std = np.sqrt(np.maximum(second - first**2, 0))
    return NormalisationCheck(tuple(sensor.mean), tuple(sensor.std), tuple(first.tolist()), tuple(std.tolist()))


def exposure_findings(sensors: Mapping[str, Modality], exposures: Mapping[str, Sequence[Exposure]]) -> list[Finding]:
    findings = []
    for name, images in exposures.items():
        if not images:
            continue
        low, high = sensors[name].range
        odd: dict[str, list[Any]] = {
            "show nothing: all pixels alike": [one for one in images if one.std < _EVEN * (high - low)],
            f"have a quarter of their pixels or more at the low end of the range ({low:g})": [
                one
                for one in images
                if one.low >= CLIPPED and low < sensors[name].outside[0]  # else it is what nothing looks like
            ],
            f"have a quarter of their pixels or more at the high end of the range ({high:g})": [
                one for one in images if one.high >= CLIPPED
            ],
            "see nothing in more than half of their pixels": [
                one for one in images if one.unseen > 0.5 and not isinstance(sensors[name], Scans)
            ],
        }
        far = outliers(np.array([one.mean for one in images]), high - low)
        odd["are much darker or brighter than the others (4 robust sigmas)"] = [
            one for one, is_far in zip(images, far, strict=True) if is_far
        ]
        for what, those in odd.items():
            if those:
                rows = listed([f"'{one.row}'" for one in those])
                findings.append(Finding("warning", "exposure", f"{name}: {len(those)} of {len(images)} images {what}: {rows}"))
    return findings


def normalisation_findings(sensors: Mapping[str, Modality], measured: Mapping[str, NormalisationCheck]) -> list[Finding]:
    findings = []
    for name, own in measured.items():
        means = np.abs(np.subtract(own.mean, own.stated_mean)) / own.stated_std
        spreads = np.abs(np.subtract(own.std, own.stated_std)) / own.stated_std
        judged = ~np.array(_counted(sensors[name]))
        if (np.maximum(means, spreads)[judged] > DIFFERENCE).any():
            text = (
                f"{name}: it is normalised by mean {_few(own.stated_mean)} and std {_few(own.stated_std)} (of manifest.toml, or the"
                f" sensor's defaults where it has none), the sampled train rows have mean = {_few(own.mean)} and std = {_few(own.std)}"
            )
            findings.append(Finding("warning", "normalisation", text))
    return findings


def _few(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:.4g}" for value in values) + "]"
