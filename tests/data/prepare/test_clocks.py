"""The time of a file, from its name or from a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from xkd.data.prepare.clocks import Clock
from xkd.data.prepare.records import File


def files(*names: str) -> dict[str, tuple[File, ...]]:
    return {Path(name).stem: (File(Path("/disk") / name, name),) for name in names}


@pytest.mark.parametrize(
    ("clock", "name", "seconds"),
    [
        (Clock(regex=r"(?P<seconds>\d+\.\d+)"), "f_12.25.png", 12.25),
        (Clock(regex=r"(?P<seconds>\d+)_(?P<nanoseconds>\d+)"), "1403636579_763555584.png", 1403636579.763556),
        (Clock(regex=r"(?P<milliseconds>\d+)$"), "x1500.png", 1.5),
        (Clock(format="%Y%m%d_%H%M%S_%f"), "19700102_000001_250000.png", 86401.25),
        (Clock(format="%Y-%m-%dT%H%M%S%z"), "1970-01-01T010000+0100.png", 0.0),
    ],
)
def test_a_name_tells_the_time(clock: Clock, name: str, seconds: float) -> None:
    times, unknown = clock.read("rgb", files(name), "")
    assert (list(times.values()), unknown) == ([pytest.approx(seconds, abs=1e-6)], 0)


def test_a_table_tells_the_time(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,seconds\na.png,1.5\nb.png,2\n")
    clock = Clock(tables={"rgb": tmp_path / "t.csv"})
    assert clock.read("rgb", files("a.png", "b.png", "c.png"), "") == ({"a": 1.5, "b": 2.0}, 1)
    for text, message in [
        ("file,seconds\nz.png,1\n", "line 2: no file 'z.png' below the sensor's folder; one is 'a.png'"),
        ("file,seconds\na.png,1\na.png,2\n", "line 3: 'a.png' is there twice"),
        ("file,seconds\na.png,soon\n", "'soon' is no number of seconds"),
        ("file,seconds\na.png,nan\n", "'nan' is no finite number of seconds"),
        ("name,seconds\na.png,1\n", "needs the columns 'file' and 'seconds'"),
    ]:
        (tmp_path / "t.csv").write_text(text)
        with pytest.raises(ValueError, match=message):
            clock.read("rgb", files("a.png"), "")


@pytest.mark.parametrize(
    ("clock", "names", "message"),
    [
        (Clock(), ["a.png"], "'rgb' has no clock: give --time-regex, --time-format, or --times rgb=CSV"),
        (Clock(regex=r"t(?P<seconds>\d+)"), ["a1.png"], r"a1\.png: --time-regex '.*' finds no time in 'a1'"),
        (Clock(format="%Y"), ["a.png"], r"a\.png: time data 'a' does not match format '%Y'; --strip takes"),
        (Clock(regex=r"(?P<seconds>\d+)"), ["a1.png", "b1.png"], r"a1\.png and .*b1\.png were both recorded at 1\.000000 s"),
    ],
)
def test_a_name_without_a_time_is_named(clock: Clock, names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clock.read("rgb", files(*names), "")


def test_a_clock_needs_one_rule() -> None:
    with pytest.raises(ValueError, match="needs a named group, some of"):
        Clock(regex=r"\d+")
    with pytest.raises(ValueError, match="give one of them"):
        Clock(regex=r"(?P<seconds>\d+)", format="%Y")
