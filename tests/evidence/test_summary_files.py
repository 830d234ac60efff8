"""The numbers of a comparison in files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from xkd import statistics
from xkd.evidence.arm import Arm, ArmRun
from xkd.evidence.costs import Cost
from xkd.evidence.flips import Flips
from xkd.evidence.particulars import Particulars
from xkd.evidence.summary_files import as_csv, as_json
from xkd.tasks import Classification

CLASSES = ("blank", "disc", "bar")
MEASURES = Classification(CLASSES).measures()


def run(folder: Path, right: int, randomised: float) -> ArmRun:
    """Twelve rows without bars, so many of them right; half of them have a map."""
    rows, target = np.arange(12).astype(str), np.arange(12) % 2
    answers = np.where(np.arange(12) < right, target, 2)
    scores = {"epg": np.where(np.arange(12) < 6, 0.25, np.nan), "randomised": np.full(12, randomised)}
    scores["epg_lift"] = right * scores["epg"]
    tested = statistics.TestRun(rows, 0.9 * np.eye(3, dtype=np.float32)[answers] + 0.03, target, rows, scores)
    return ArmRun(folder, folder / "best.pth", tested, 0.5, 60.0, 2**20)


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, list[ArmRun]]:
    right = {"teacher": (12, 11), "alone": (6, 5), "distilled": (9, 10)}
    return {arm: [run(tmp_path, number, float("nan")) for number in of] for arm, of in right.items()}


@pytest.fixture
def summary(runs: dict[str, list[ArmRun]]) -> statistics.Summary:
    arms = {arm: [one.test for one in of] for arm, of in runs.items()}
    return statistics.summarise(statistics.Comparison(arms), MEASURES, "accuracy", "teacher")


def test_a_line_for_each_arm_and_number(summary: statistics.Summary) -> None:
    lines = {(line["arm"], line["number"]): line for line in csv.DictReader(as_csv(summary).splitlines())}
    assert float(lines["distilled", "gain"]["mean"]) == pytest.approx(summary.gain.mean, rel=1e-5)
    assert lines["distilled", "gain"]["mean"] == lines["distilled", "minus_alone"]["mean"]
    assert float(lines["distilled", "share_of_gap"]["mean"]) == pytest.approx(summary.share.mean, rel=1e-5)
    assert float(lines["distilled", "minus_alone_p"]["mean"]) == pytest.approx(summary.gain_p, rel=1e-5)
    assert lines["teacher", "minus_alone_p"]["mean"] == "", "the same change in both seeds"
    assert ("alone", "minus_alone") not in lines
    assert float(lines["distilled", "epg_lift_times_alone"]["mean"]) == pytest.approx(9.5 / 5.5, rel=1e-5)
    assert float(lines["distilled", "epg_lift_minus_alone"]["mean"]) == pytest.approx(1, rel=1e-5)
    assert lines["distilled", "epg_lift_times_alone_p"]["mean"]
    assert float(lines["alone", "recall disc"]["mean"]) == pytest.approx(summary.each["alone"][1].mean, rel=1e-5)
    assert lines["distilled", "recall_gain blank"]["mean"]
    assert lines["distilled", "epg blank"]["mean"] == "0.25"
    assert (lines["alone", "epg"]["mean"], lines["alone", "epg"]["undefined"]) == ("0.25", "0.5")
    assert (lines["alone", "randomised"]["mean"], lines["alone", "randomised"]["undefined"]) == ("", "1"), "undefined, and told"
    assert lines["alone", "recall bar"]["low"] == ""


def test_everything_that_is_known_is_plain_data(summary: statistics.Summary, runs: dict[str, list[ArmRun]]) -> None:
    costs = dict.fromkeys(runs, Cost(60.0, 2**20, 1000, 5000, 1.5))
    details = Particulars(
        Flips({"7": 2}, {"3": 1}),
        {"rgb.deep and thermal.deep": (0.25, float("nan"))},
        costs,
    )
    arms = [Arm(name, name, Config, "rgb") for name in runs]
    content = json.loads(json.dumps(as_json(arms, runs, summary, details, 2), allow_nan=False))
    assert content["about"] == "gain"
    looks = content["attention"]
    assert (looks["score"], looks["distilled_times"]) == ("epg_lift", {})
    assert looks["arms"]["distilled"]["times_alone"]["mean"] == pytest.approx(
        looks["arms"]["distilled"]["value"]["mean"] / looks["alone"]["mean"]
    )
    assert set(looks["arms"]) == {"teacher", "distilled"}
    assert content["flips"] == {"gained": {"7": 2}, "lost": {"3": 1}}
    assert content["cka"] == {"rgb.deep and thermal.deep": {"alone": 0.25, "distilled": None}}
    distilled = content["arms"]["distilled"]
    assert distilled["cost"] == {"seconds": 60.0, "peak_memory": 2**20, "parameters": 1000, "flops": 5000, "latency": 1.5}
    (bins,) = distilled["calibration"]
    assert bins == pytest.approx({"count": 24, "confidence": 0.93, "right": 19 / 24})
    assert distilled["scores"]["randomised"]["mean"] is None
