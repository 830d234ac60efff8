"""The table that is printed before a run."""

from __future__ import annotations

import io

from core_models import TASK, rgb_branch, thermal_branch
from rich.console import Console

from xkd.engine.describe import describe
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.losses import KD, CrossEntropy, FitNet
from xkd.projectors import Conv1x1
from xkd.taps import Tap

TAPS = {"deep": Tap("deep")}


def test_it_says_what_the_projector_and_loss_of_each_term_cost() -> None:
    terms = {
        "ce": Term(CrossEntropy(), "rgb.output", "batch.target"),
        "kd": Term(KD(), "rgb.output", "thermal.output"),
        "hint": Term(FitNet(), "rgb.deep", "thermal.deep", Conv1x1(), weight=100.0),
    }
    distiller = Distiller({"rgb": rgb_branch(TAPS), "thermal": thermal_branch(TAPS, frozen=True)}, terms, "rgb", TASK)
    distiller.bind()
    page = io.StringIO()
    Console(file=page, width=200).print(describe(distiller))
    lines = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:-1]] for line in page.getvalue().splitlines() if "│" in line
    }
    # 12 channels to 20, with a bias; on the 4x4 grid that is the student's
    assert lines["term hint"] == ["100 * FitNet(rgb.deep, thermal.deep)", "260", "0.00768"]
    assert lines["term kd"] == ["1 * KD(rgb.output, thermal.output)", "", ""]
