"""The charts of a comparison's page: learning curves, the terms' shares of the gradient, reliability."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xkd.compare import confidence_bins
from xkd.engine.arms import Arm, ArmRun
from xkd.report.charts import Chart

_GRADIENT = "gradient_"  # of `GradientHook`
_LEAST = 10  # answers, below which a share of right ones says little


def curves(arms: list[Arm], runs: Mapping[str, list[ArmRun]]) -> Chart:
    """The score that checkpoints were chosen by, over epochs, of the first seed."""
    score = json.loads((runs["distilled"][0].folder / "result.json").read_text())["save_best"]
    lines = {
        arm.title: [(float(entry["step"]), float(entry[score])) for entry in entries(runs[arm.name][0].folder) if score in entry]
        for arm in arms
    }
    return Chart("Learning curves (first seed)", "epoch", score, lines)


def gradient_shares(run: ArmRun) -> Chart:
    """How much of the student's gradient each term had, over epochs; without lines where one term was all there was."""
    lines: dict[str, dict[float, float]] = {}
    for entry in entries(run.folder):
        for key, value in entry.items():
            if key.startswith(_GRADIENT) and "epoch" in entry:
                lines.setdefault(key.removeprefix(_GRADIENT), {})[float(entry["epoch"])] = 100 * float(value)
    return Chart(
        "Terms of the distilled student (first seed)", "epoch", "share of the gradient, %", {n: list(of.items()) for n, of in lines.items()}
    )


def reliability(arms: list[Arm], runs: Mapping[str, list[ArmRun]]) -> Chart:
    """Right answers over confidence, all seeds together: below the diagonal a network is surer than it should be."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for arm in arms:
        bins = np.sum([confidence_bins(run.test).sum(0) for run in runs[arm.name]], axis=0)
        filled = bins[bins[:, 0] >= _LEAST]
        lines[arm.title] = [(100 * confidence / count, 100 * right / count) for count, confidence, right in filled]
    lines["as sure as right"] = [(0.0, 0.0), (100.0, 100.0)]
    return Chart("Reliability", "confidence, %", "right answers, %", lines)


def entries(folder: Path) -> Iterator[dict[str, Any]]:
    """What a run has logged, from its first start to its last."""
    for log in sorted(folder.glob("*/vis_data/scalars.json")):
        yield from map(json.loads, log.read_text().splitlines())
