"""What a comparison finds beside its estimates: the samples that changed, how alike the networks see, what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xkd.evidence.arm import Arm, ArmRun
from xkd.evidence.costs import Cost, cost_of
from xkd.evidence.flips import Flips, flips
from xkd.evidence.likeness import likeness
from xkd.statistics import Measures


@dataclass(frozen=True)
class Particulars:
    """For the page and for the file of numbers."""

    changed: Flips
    likeness: Mapping[str, tuple[float, float]]  # readings that a term compares -> CKA, student alone and distilled
    costs: Mapping[str, Cost]  # by arm


def particulars(arms: list[Arm], runs: Mapping[str, list[ArmRun]], measures: Measures) -> Particulars:
    """Of finished runs on the same rows."""
    alone, distilled = ([run.test for run in runs[arm]] for arm in ("alone", "distilled"))
    costs = {arm.name: cost_of(arm, runs[arm.name]) for arm in arms}
    return Particulars(flips(alone, distilled, measures.rows), likeness({arm.name: arm for arm in arms}, runs), costs)
