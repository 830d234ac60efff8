"""A frozen thermal teacher and an RGB student, and their terms."""

from __future__ import annotations

from core_models import TASK, rgb_branch, thermal_branch

from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.losses import KD, CrossEntropy
from xkd.taps import Tap

TAPS = {"mid": Tap("stem"), "deep": Tap("deep")}


def supervision(branch: str = "rgb") -> Term:
    return Term(CrossEntropy(), f"{branch}.output", "batch.target")


def offline(**more: Term) -> Distiller:
    branches = {"rgb": rgb_branch(TAPS), "thermal": thermal_branch(TAPS, frozen=True)}
    terms = {"ce": supervision(), "kd": Term(KD(2.0), "rgb.output", "thermal.output", weight=0.7), **more}
    return Distiller(branches, terms, "rgb", TASK)
