"""A report with a bit of everything, and text that would like to be code."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from report_parts import ALONE, CONTROL, DISTILLED, GAIN, HOSTILE, SHARE, UNDEFINED

from xkd.report import ArmRow, Chart, Confusion, Headline, Metric, Picture, Provenance, Report, Table
from xkd.statistics import Estimate, Measure, mean_score

ACCURACY = Measure("accuracy", mean_score("accuracy"))


@pytest.fixture
def report(tmp_path: Path) -> Report:
    picture = tmp_path / "sheet.png"
    cv2.imwrite(str(picture), np.zeros((4, 4, 3), np.uint8))
    lift = Estimate(3.42, 0.21, 3.04, 3.87)
    return Report(
        title="Thermal teaches RGB",
        introduction="Tested on RGB alone.",
        headline=Headline("Distilled is better.", ACCURACY, GAIN, SHARE, (ALONE, DISTILLED), (CONTROL,), 0.0123),
        names=("classes", ("healthy", HOSTILE)),
        arms=(
            ArmRow("Student alone", "CNN on RGB", {"accuracy": ALONE, "lift": UNDEFINED}, {"training": "9 s"}),
            ArmRow(HOSTILE, "", {"accuracy": DISTILLED, "lift": lift}, {"training": "81 s", "parameters": "4.9 M"}),
            ArmRow("Teacher", "", {}, {"training": "101 s"}),
        ),
        tables=(
            Table("Results", "three seeds", (Metric("accuracy", "accuracy"),), chart=True),
            Table("Attention", "", (Metric("lift", "lift", "times"),), chart=True),
        ),
        made=Provenance("xkd compare x.py", "a = '<b>'", "leafsim", "CC0", (0, 1, 2), "2026-01-01", {"torch": "2.15.0"}, {"images": "180"}),
        pictures=(Picture("Panels", HOSTILE, picture),),
        charts=(Chart("Accuracy", "epoch", "share", {"alone": [(1, 0.5), (2, 0.75), (3, float("nan"))], HOSTILE: []}),),
        confusions=(Confusion("alone", ((7, 3), (0, 0))),),
        caveats=("Simulated & small.",),
    )
