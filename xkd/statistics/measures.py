"""What a task is judged by: numbers with their names, units and directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from xkd.statistics.estimate import Estimate
from xkd.statistics.metrics import Statistic
from xkd.statistics.runs import TestRun

# the unit of what is 0..1 and shown in percent, its differences in points; "%" is a unit of labels, whose numbers are shown as they are
SHARE: Final = "a share of one"
Style = Literal["percent", "number", "times", "points", "change"]


@dataclass(frozen=True)
class Measure:
    """A number of a test split: its `name` in files, its `unit` (`SHARE`, a sensor's or a label's, "" for none), which way is better."""

    name: str
    statistic: Statistic
    title: str = ""  # for people; its name if empty
    unit: str = SHARE
    higher: bool = True

    @property
    def words(self) -> str:
        return self.title or self.name.replace("_", " ")

    @property
    def heading(self) -> str:
        """Of a column."""
        return f"{self.words}, {self.unit}" if self.unit not in ("", SHARE) else self.words

    @property
    def style(self) -> Style:
        return "percent" if self.unit == SHARE else "number"

    @property
    def change_style(self) -> Style:
        """Of a difference of two values."""
        return "points" if self.unit == SHARE else "change"

    def better(self, difference: Estimate) -> bool:
        """Whether what is subtracted from is surely better: its interval says so."""
        return difference.low > 0 if self.higher else difference.high < 0

    def worse(self, difference: Estimate) -> bool:
        return difference.high < 0 if self.higher else difference.low > 0

    def change(self, difference: Estimate) -> str:
        """A difference in words: "+1.2 points", "-0.043 grades"."""
        if self.unit == SHARE:
            return f"{100 * difference.mean:+.1f} points"
        return f"{difference.mean:+.3g} {self.unit}".rstrip()

    def span(self, difference: Estimate) -> str:
        """Its interval, in the same unit."""
        if self.unit == SHARE:
            return f"[{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"
        return f"[{difference.low:+.3g}, {difference.high:+.3g}]"


@dataclass(frozen=True)
class Each:
    """A measure of every name, such as the recall of each class, and which rows are of a name, for scores of these rows alone."""

    key: str  # in files, before the name
    title: str  # of the table
    names: tuple[str, ...]
    measure: Callable[[int], Measure]
    members: Callable[[TestRun, int], NDArray[np.bool_]] | None = None


@dataclass(frozen=True)
class RowScore:
    """How well each row is answered, (N,), higher is better: 1 where an answer is right and 0 where it is wrong, or by degrees.

    `show` is a value for people, `change` a difference of two, `columns` head a row's name and these: alone, distilled, the change.
    """

    of: Callable[[TestRun], NDArray[np.float64]]
    by_degrees: bool = False
    show: Callable[[float], str] = str
    change: Callable[[float], str] = str
    columns: tuple[str, str, str, str] = ("", "", "", "")
    note: str = ""  # which rows are shown


@dataclass(frozen=True)
class Near:
    """How near each row's answer is to the teacher's: (N,) scores by name, and a title and a unit for each of the names."""

    of: Callable[[TestRun, TestRun], dict[str, NDArray[np.float64]]]  # of the student's run and the teacher's
    titles: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class Measures:
    """All that a task is judged by. A comparison goes by the first of `main` unless it is told otherwise; `aside` have their own table.

    What a task does not have is None: answers with a confidence (`bins`, (N, bins, 3): how many, their confidence added up, how many are
    right), a `confusion` of names. `chance` is the share of random pairings of answers and rows that are as good. `scale` puts
    predictions (N, ...) on one on which differences mean the same everywhere, such as logarithms of probabilities. `probed` is the measure
    of `main`, higher is better, by which networks are told apart by what a linear layer on their features learns.
    """

    main: tuple[Measure, ...] = ()
    aside: tuple[Measure, ...] = ()
    each: Each | None = None
    probed: str = ""
    rows: RowScore | None = None
    near: Near | None = None
    bins: Callable[[TestRun], NDArray[np.float64]] | None = None
    confusion: Callable[[TestRun], NDArray[np.float64]] | None = None
    chance: Callable[[TestRun], float] | None = None
    scale: Callable[[NDArray[np.floating]], NDArray[np.floating]] = np.asarray

    def named(self, name: str) -> Measure:
        """Of `main`; `KeyError` lists them."""
        for measure in self.main:
            if measure.name == name:
                return measure
        raise KeyError(f"unknown metric '{name}'; there are {[measure.name for measure in self.main]}")

    def of(self, run: TestRun) -> dict[str, float]:
        """The values of `main`, by name."""
        return {measure.name: measure.statistic(run) for measure in self.main}
