"""The page of the pair check: findings, numbers, and pictures of pairs to look at."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.data.check import Overlay, PairCheck
from xkd.data.check.exposure import Exposure
from xkd.data.check.residual import Residual, Shift
from xkd.data.rows import SPLITS
from xkd.report.charts import Chart, draw_lines
from xkd.report.page import environment

_QUALITY: Final = 85  # of JPEG


@dataclass(frozen=True)
class ExposureLine:
    """A sensor in the table of exposures; shares are of pixels, means over its images."""

    sensor: str
    unit: str
    images: int
    mean: float
    spread: float  # standard deviation of the images' means
    low: float
    high: float
    unseen: float


def pairs_page(check: PairCheck, overlays: Sequence[Overlay], units: dict[str, str], licence: str, command: str) -> str:
    """The HTML, with everything inside; `units` is by sensor."""
    page = environment()
    page.filters.update(jpeg=jpeg_uri, number=show_number, signed=show_signed)
    return page.get_template("pairs.html").render(
        check=check,
        counts={kind: sum(finding.severity == kind for finding in check.findings) for kind in ("error", "warning", "note")},
        overlays=overlays,
        residual_charts=[draw_chart(residual_chart(one)) for one in check.residuals if one.pairs],
        exposure_charts=[draw_chart(exposure_chart(name, units[name], those)) for name, those in check.exposures.items() if those],
        exposures=[_line(name, units[name], those) for name, those in check.exposures.items() if those],
        splits=SPLITS,
        licence=licence,
        command=command,
        today=date.today().isoformat(),
    )


def draw_chart(chart: Chart) -> dict[str, object]:
    return {"chart": chart, "drawn": draw_lines(chart)}


def residual_chart(residual: Residual) -> Chart:
    """How many pairs have a residual below x: true pairs' curve rises at once, that of shuffled ones by chance."""
    lines = {
        "pairs": [pair.paired for pair in residual.pairs],
        "shuffled pairs": [pair.shuffled for pair in residual.pairs if pair.shuffled],
    }
    points = {name: _cumulated([_length(shift) for shift in shifts]) for name, shifts in lines.items()}
    return Chart(f"{residual.first} and {residual.second}", "residual, pixels", "share of all pairs below, %", points)


def exposure_chart(name: str, unit: str, images: Sequence[Exposure]) -> Chart:
    """Each split's images by their mean: splits that were exposed alike have one curve."""
    lines = {split: _cumulated([one.mean for one in images if one.split == split]) for split in SPLITS}
    return Chart(name, f"mean of an image, {unit}", "share of images below, %", {split: line for split, line in lines.items() if line})


def jpeg_uri(picture: NDArray[np.uint8]) -> str:
    """(H, W, 3) RGB as a `data:` address."""
    # full chroma: thin coloured lines and dots would fade
    settings = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    done, data = cv2.imencode(".jpg", picture[..., ::-1], settings)
    assert done
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


def show_number(value: float, digits: int = 3) -> str:
    """A few digits with a true minus sign, a dash for what is not defined."""
    return "\N{EN DASH}" if math.isnan(value) else f"{value:.{digits}g}".replace("-", "\N{MINUS SIGN}")


def show_signed(value: float) -> str:
    """A shift with its sign, to a hundredth."""
    return "\N{EN DASH}" if math.isnan(value) else f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def _length(shift: Shift) -> float:
    return shift.length


def _cumulated(values: Sequence[float]) -> list[tuple[float, float]]:
    return [(value, 100 * number / len(values)) for number, value in enumerate(sorted(values), 1)]


def _line(name: str, unit: str, images: Sequence[Exposure]) -> ExposureLine:
    table = np.array([(one.mean, one.low, one.high, one.unseen) for one in images])
    mean, low, high, unseen = table.mean(0).tolist()
    return ExposureLine(name, unit, len(images), mean, float(table[:, 0].std()), low, high, unseen)
