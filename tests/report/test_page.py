from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_parts import CONTROL, GAIN, HOSTILE, UNDEFINED

from xkd.report import ArmRow, Chart, Confusion, Control, Listing, Metric, Picture, Report, Table, write_report
from xkd.statistics import Estimate


class Reader(HTMLParser):
    """Text, attributes, and whether every element is closed."""

    VOID = frozenset({"meta", "img", "br", "line", "polyline"})

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text("utf-8"))
    reader.close()
    assert not reader.open
    return reader


def test_every_number_is_on_the_page(report: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "out" / "report.html", report)
    text = " ".join(" ".join(read(tmp_path / "out" / "report.html").text).split())
    for part in (
        *("68.2", "± 1.2", "64.2 to 72.2", "82.3", "± 0.6", "79.2 to 85.2", "× 3.42", "3.04 to 3.87"),
        *("+14.2 points", "+10.3 to +17.4; paired t-test over seeds p = 0.012", "53 %", "41 to 64 %", "−1.3 points", "68.2 → 82.3 %"),
        *(
            "Distilled is better.",
            "9 s",
            "81 s",
            "101 s",
            "4.9 M",
            "xkd compare x.py",
            "a = '<b>'",
            "CC0",
            "0, 1, 2",
            "torch 2.15.0",
            "180",
        ),
        *("Simulated & small.", "undefined", "Tested on RGB alone.", "–", HOSTILE),
    ):
        assert part in text, part
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.html"]


def test_nothing_is_asked_of_the_network_and_only_the_sorting_runs(report: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", report)
    page = read(tmp_path / "report.html")
    tags = {tag for tag, _, _ in page.attributes}
    scripts = re.findall(r"<script>(.*?)</script>", (tmp_path / "report.html").read_text("utf-8"), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert len(scripts) == 1
    assert not tags & {"link", "iframe", "object", "embed", "base", "form"}
    for tag, name, value in page.attributes:
        if name in ("src", "href", "srcset", "action", "poster", "background", "data"):
            assert value.startswith("data:image/png;base64,"), (tag, name)
        assert not name.startswith("on")
        if name == "style":
            assert re.fullmatch(r"((left|top|width):-?[\d.]+%;?|--share:[\d.]+;?)+", value), value
    style = (tmp_path / "report.html").read_text("utf-8").split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert ("meta", "content", policy) in page.attributes
    assert not [value for tag, _, value in page.attributes if tag == "script"], "the script has no source and no other attribute"


@pytest.mark.parametrize(
    ("gain", "verdict"),
    [
        (GAIN, "gain"),
        (Estimate(0.01, 0.0, -0.01, 0.03), "none"),
        (Estimate(-0.04, 0.0, -0.06, -0.02), "loss"),
        (UNDEFINED, "none"),
    ],
)
def test_the_colour_of_the_finding_is_that_of_its_interval(report: Report, tmp_path: Path, gain: Estimate, verdict: str) -> None:
    write_report(tmp_path / "report.html", replace(report, headline=replace(report.headline, gain=gain)))
    assert ("p", "class", f"finding {verdict}") in read(tmp_path / "report.html").attributes


def test_a_gain_that_a_control_takes_back_has_no_colour_of_a_gain(report: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", replace(report, headline=replace(report.headline, taken_back=True)))
    assert ("p", "class", "finding none") in read(tmp_path / "report.html").attributes
    worse = replace(report.headline, gain=Estimate(-0.04, 0.0, -0.06, -0.02), taken_back=True)
    assert worse.verdict == "loss"


def test_an_aside_stands_beside_its_estimate(report: Report, tmp_path: Path) -> None:
    change = Metric("change", "minus alone", "points")
    arm = ArmRow("Distilled", "", {"change": Estimate(0.031, 0.004, -0.012, 0.052)}, asides={"change": "p 0.03"})
    write_report(tmp_path / "report.html", replace(report, arms=(arm,), tables=(Table("Changes", "", (change,)),)))
    text = " ".join(" ".join(read(tmp_path / "report.html").text).split())
    assert "minus alone, points" in text
    assert "+3.1 ± 0.4 −1.2 to +5.2 p 0.03" in text


def test_a_gain_that_is_no_number_is_undefined(report: Report, tmp_path: Path) -> None:
    nothing = Control("Effect of pairing", UNDEFINED, "distilled against shuffled pairs")
    write_report(tmp_path / "report.html", replace(report, headline=replace(report.headline, gain=UNDEFINED, controls=(nothing,))))
    text = (tmp_path / "report.html").read_text("utf-8")
    assert text.count("not a number in some seed") == 2
    assert "nan" not in re.findall(r'<section class="tiles">.*?</section>', text, re.DOTALL)[0]


def test_a_share_of_no_gap_is_undefined(report: Report, tmp_path: Path) -> None:
    share = Estimate(2.13, 9.0, -8.0, 12.0, defined=False)
    write_report(tmp_path / "report.html", replace(report, headline=replace(report.headline, share=share)))
    text = " ".join(read(tmp_path / "report.html").text)
    assert "213" not in text
    assert "there is no gap to share" in text


def test_without_a_teacher_there_is_no_gap(report: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", replace(report, headline=replace(report.headline, share=None)))
    text = " ".join(read(tmp_path / "report.html").text)
    assert "Gap recovered" not in text
    assert "Gain in accuracy" in text


def test_controls_stand_beside_the_gain(report: Report, tmp_path: Path) -> None:
    part = Control("The teacher's part", Estimate(0.043, 0.01, 0.021, 0.065), "distilled against the student alone with the same masks")
    write_report(tmp_path / "report.html", replace(report, headline=replace(report.headline, controls=(CONTROL, part))))
    text = " ".join(" ".join(read(tmp_path / "report.html").text).split())
    assert "Control: shuffled pairs −1.3 points pairs mixed up must not help; −3.1 to +0.4" in text
    assert "The teacher's part +4.3 points distilled against the student alone with the same masks; +2.1 to +6.5" in text


def test_lines_that_share_a_colour_have_other_dashes_and_one_point_is_a_dot(report: Report, tmp_path: Path) -> None:
    lines = {f"line {place}": [(0.0, place), (1.0, place)] for place in range(7)} | {
        "early": [(0.5, 2.0)],
        "diagonal": [(0.0, 0.0), (1.0, 6.0)],
    }
    write_report(tmp_path / "report.html", replace(report, charts=(Chart("Many", "", "", lines, guide="diagonal"),)))
    page = read(tmp_path / "report.html")
    drawn = [value for tag, name, value in page.attributes if (tag, name) == ("polyline", "class")]
    assert drawn == [*(f"line c{place} d0" for place in range(6)), "line c0 d1", "line c1 d1 single", "line guide"]
    legend = [value for tag, name, value in page.attributes if (tag, name) == ("line", "class") and value != "grid-line"]
    assert legend == [value.removesuffix(" single") for value in drawn]


def test_lists_and_facts(report: Report, tmp_path: Path) -> None:
    listing = Listing("Put right", "2 samples", ("sample", "truth"), (("leaf 7", HOSTILE), ("leaf 9", "rust")))
    empty = Listing("Spoiled", "none", ("sample",), ())
    write_report(tmp_path / "report.html", replace(report, lists=(listing, empty), data={"rows": "train 7", HOSTILE: "x"}))
    text = " ".join(" ".join(read(tmp_path / "report.html").text).split())
    for part in ("Put right", "2 samples", "leaf 7", "leaf 9", "Data and pairs", "train 7", HOSTILE):
        assert part in text
    assert "Spoiled" not in text


def test_a_page_with_the_least(report: Report, tmp_path: Path) -> None:
    finding = replace(report.headline, controls=(), attention=None, gain_p=float("nan"))
    write_report(tmp_path / "report.html", replace(report, headline=finding, pictures=(), charts=(), confusions=(), caveats=(), tables=()))
    text = " ".join(read(tmp_path / "report.html").text)
    for heading in ("Confusion", "Curves", "beware", "Control", "Attention inside", "paired t-test", "Data and pairs"):
        assert heading not in text


def test_nothing_half_written(report: Report, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("the last good one")
    (tmp_path / "sheet.gif").write_bytes(b"GIF89a")
    for broken, text in (
        (replace(report, pictures=(Picture("a", "b", tmp_path / "none.png"),)), "none.png"),
        (replace(report, pictures=(Picture("a", "b", tmp_path / "sheet.gif"),)), "a PNG or a JPEG"),
        (replace(report, confusions=(Confusion("alone", ((1, 2, 3),)),)), "'alone' must be 2 x 2"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=text):
            write_report(page, broken)
    assert page.read_text() == "the last good one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "sheet.gif", "sheet.png"]
