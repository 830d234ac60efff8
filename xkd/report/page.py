"""What a report holds, and how it becomes one HTML file: no request, pictures inside, one script that sorts, written then renamed."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import jinja2

from xkd.files import write_atomically
from xkd.report.charts import Chart, Span, Tick, draw_lines, draw_spans, ink, is_known
from xkd.statistics import Attention, Estimate, Measure, Purpose, Style

Verdict = Literal["gain", "none", "loss"]


@dataclass(frozen=True)
class Control:
    """A difference that says what a gain is worth, and in words what it compares."""

    title: str
    difference: Estimate
    note: str


@dataclass(frozen=True)
class Headline:
    """The top of the page: `xkd.statistics.Summary` in short."""

    sentence: str
    measure: Measure
    gain: Estimate | None  # None where the page is no comparison of two arms
    share: Estimate | None  # None where no arm is a teacher
    attention: tuple[Estimate, Estimate] | None = None  # energy inside the mask: student alone, distilled
    controls: tuple[Control, ...] = ()
    gain_p: float = math.nan  # of a paired test over seeds; not a number for one
    taken_back: bool = False  # by a control, as the sentence says
    looks: Attention | None = None  # against the student alone's; None where nobody has measured it
    purpose: Purpose = field(default_factory=Purpose)

    @property
    def verdict(self) -> Verdict:
        if self.looks is not None and self.purpose.about == "attention":
            return self._steered(self.looks)
        if self.gain is None or not is_known(self.gain) or self.gain.low <= 0 <= self.gain.high:
            return "none"
        if self.measure.worse(self.gain):
            return "loss"
        return "none" if self.taken_back else "gain"

    def _steered(self, looks: Attention) -> Verdict:
        """Attention on the region is a gain where it costs nothing and is what the masks show."""
        if looks.moved.away or (self.gain is not None and self.measure.worse(self.gain)):
            return "loss"
        return "gain" if looks.moved.toward and not looks.objections else "none"


@dataclass(frozen=True)
class Metric:
    """A column: `key` into `ArmRow.metrics`. "percent" shows 0.5 as 50.0, "points" (a difference of such) as +50.0, "times" as x 0.50.

    "number" shows 0.5 as it is, "change" (a difference of such) as +0.5.
    """

    key: str
    title: str
    style: Style = "percent"

    @property
    def heading(self) -> str:
        unit = {"percent": ", %", "points": ", points"}.get(self.style, "")
        return f"{self.title}{unit}"


@dataclass(frozen=True)
class ArmRow:
    """A row of every table: what was trained how, its estimates, and facts in words (times, sizes) for the table of costs.

    `asides` stand beside the estimate of the same key, such as a p.
    """

    title: str
    note: str
    metrics: Mapping[str, Estimate]
    facts: Mapping[str, str] = field(default_factory=dict)
    asides: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """All arms against some metrics; where an arm lacks a metric the cell is a dash. `chart` draws the first one's intervals."""

    title: str
    note: str
    metrics: tuple[Metric, ...]
    chart: bool = False


@dataclass(frozen=True)
class Confusion:
    """Counts (or sums over seeds): `counts[true][predicted]`."""

    title: str
    counts: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Picture:
    """A PNG or JPEG, copied into the page. `note` is its caption and what is read aloud."""

    title: str
    note: str
    path: Path


@dataclass(frozen=True)
class Listing:
    """Words in a table, a row for each thing."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Provenance:
    """How to get these numbers again."""

    command: str
    config: str
    data: str
    licence: str
    seeds: tuple[int, ...]
    date: str
    versions: Mapping[str, str]
    facts: Mapping[str, str] = field(default_factory=dict)  # anything else: number of images, machine, hash of the data


@dataclass(frozen=True)
class Report:
    """The page from top to bottom; an empty part is left out, with its heading."""

    title: str
    introduction: str
    headline: Headline
    names: tuple[str, tuple[str, ...]]  # what outputs are of, and the names of these: ("classes", ("healthy", "rust"))
    arms: tuple[ArmRow, ...]
    tables: tuple[Table, ...]
    made: Provenance
    pictures: tuple[Picture, ...] = ()
    charts: tuple[Chart, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    lists: tuple[Listing, ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)  # what the data are like, by subject
    caveats: tuple[str, ...] = ()


def write_report(path: Path, report: Report) -> None:
    """Write the page, whole or not at all.

    Raises `FileNotFoundError` for a picture that is not there and `ValueError` for one that is no PNG or JPEG, or for a confusion
    matrix that does not fit the names.
    """
    for confusion in report.confusions:
        count = len(report.names[1])
        if len(confusion.counts) != count or any(len(row) != count for row in confusion.counts):
            raise ValueError(
                f"confusion '{confusion.title}' must be {count} x {count}, as there are {report.names[0]} {list(report.names[1])}"
            )
    text = environment().get_template("page.html").render(report=report)
    write_atomically(path, text.encode())


def environment() -> jinja2.Environment:
    """The templates beside this file, with what they use to show numbers, pictures and charts."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        mean=show_mean,
        spread=show_spread,
        interval=show_interval,
        difference=show_difference,
        bound=show_bound,
        data_uri=data_uri,
        lines=draw_lines,
        ink=ink,
        known=is_known,
    )
    environment.globals["spans"] = _interval_chart
    script = (Path(__file__).parent / "sort.js").read_text("utf-8")
    # the page's policy lets this script run and no other
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals.update(sort_script=script, sort_digest=f"sha256-{digest}")
    return environment


def show_mean(estimate: Estimate, style: Style) -> str:
    if not is_known(estimate):
        return "undefined"
    return {
        "percent": f"{100 * estimate.mean:.1f}",
        "number": f"{estimate.mean:.3g}",
        "times": f"\N{MULTIPLICATION SIGN} {estimate.mean:.2f}",
        "points": show_points(estimate.mean),
        "change": show_change(estimate.mean),
    }[style]


def show_spread(estimate: Estimate, style: Style) -> str:
    if math.isnan(estimate.std):
        return ""  # one seed has no spread
    return f"± {100 * estimate.std:.1f}" if style in ("percent", "points") else f"± {estimate.std:.2g}"


def show_interval(estimate: Estimate, style: Style) -> str:
    if style == "percent":
        return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"
    if style == "points":
        return f"{show_points(estimate.low)} to {show_points(estimate.high)}"
    if style == "change":
        return f"{show_change(estimate.low)} to {show_change(estimate.high)}"
    digits = ".2f" if style == "times" else ".3g"
    return f"{estimate.low:{digits}} to {estimate.high:{digits}}"


def show_points(value: float) -> str:
    """A difference of shares in signed points, with a true minus sign."""
    return f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def show_change(value: float) -> str:
    """A difference of numbers, signed."""
    return f"{value:+.3g}".replace("-", "\N{MINUS SIGN}")


def show_difference(value: float, measure: Measure) -> str:
    """A difference of two values of a measure, with its unit."""
    if measure.change_style == "points":
        return f"{show_points(value)} points"
    return f"{show_change(value)} {measure.unit}".rstrip()


def show_bound(value: float, measure: Measure) -> str:
    """The same without the unit."""
    return show_points(value) if measure.change_style == "points" else show_change(value)


def data_uri(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith(b"\x89PNG"):
        kind = "png"
    elif content.startswith(b"\xff\xd8"):
        kind = "jpeg"
    else:
        raise ValueError(f"{path}: a report's picture is a PNG or a JPEG")
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _interval_chart(arms: Sequence[ArmRow], metric: Metric) -> tuple[list[tuple[str, Span | None]], list[Tick]]:
    having = [arm for arm in arms if metric.key in arm.metrics]
    drawn, axis = draw_spans([arm.metrics[metric.key] for arm in having], scale=100.0 if metric.style == "percent" else 1.0)
    return [(arm.title, span) for arm, span in zip(having, drawn, strict=True)], axis
