"""The charts of a comparison's page: learning curves, the terms' shares of the gradient, reliability."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xkd.engine.config import as_plain
from xkd.evidence.arm import Arm, ArmRun
from xkd.report.charts import Chart
from xkd.statistics import TestRun

Bins = Callable[[TestRun], NDArray[np.float64]]
_GRADIENT = "gradient_"  # of `GradientHook`
_MOST = 6  # variants in one chart
_DIAGONAL = "as sure as right"
_LEAST = 10  # answers, below which a share of right ones says little


def curves(arms: list[Arm], runs: Mapping[str, list[ArmRun]]) -> Chart:
    """The score that checkpoints were chosen by, over epochs, averaged over seeds."""
    score = json.loads((runs["distilled"][0].folder / "result.json").read_text())["save_best"]
    lines = {
        arm.title: mean([{entry["step"]: entry[score] for entry in entries(run.folder) if score in entry} for run in runs[arm.name]])
        for arm in arms
    }
    return Chart("Learning curves (mean of the seeds)", "epoch", score, lines)


def descent(arms: list[Arm], runs: Mapping[str, list[ArmRun]]) -> Chart:
    """The training loss of the distilled student and of those variants that learn by the same terms; without lines where there are none."""
    (distilled,) = [arm for arm in arms if arm.name == "distilled"]
    terms = as_plain(distilled.config().distiller.terms)
    alike = [arm for arm in arms if arm.variant and as_plain(arm.config().distiller.terms) == terms]
    shown = [distilled, *alike] if 0 < len(alike) <= _MOST else []
    return Chart(
        "Training loss (mean of the seeds)", "epoch", "loss", {arm.title: mean([losses(run) for run in runs[arm.name]]) for arm in shown}
    )


def losses(run: ArmRun) -> dict[int, float]:
    """The mean of the logged training losses of each epoch."""
    by_epoch: dict[int, list[float]] = {}
    for entry in entries(run.folder):
        if "loss" in entry and "epoch" in entry:
            by_epoch.setdefault(entry["epoch"], []).append(entry["loss"])
    return {epoch: float(np.mean(values)) for epoch, values in by_epoch.items()}


def mean(seeds: list[dict[int, float]]) -> list[tuple[float, float]]:
    """Where every seed has a point."""
    return [(float(at), float(np.mean([seed[at] for seed in seeds]))) for at in seeds[0] if all(at in seed for seed in seeds)]


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


def reliability(arms: list[Arm], runs: Mapping[str, list[ArmRun]], bins_of: Bins) -> Chart:
    """Right answers over confidence, all seeds together: below the diagonal a network is surer than it should be."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for arm in arms:
        bins = np.sum([bins_of(run.test).sum(0) for run in runs[arm.name]], axis=0)
        filled = bins[bins[:, 0] >= _LEAST]
        lines[arm.title] = [(100 * confidence / count, 100 * right / count) for count, confidence, right in filled]
    lines[_DIAGONAL] = [(0.0, 0.0), (100.0, 100.0)]
    return Chart("Reliability", "confidence, %", "right answers, %", lines, guide=_DIAGONAL)


def entries(folder: Path) -> Iterator[dict[str, Any]]:
    """What a run has logged, from its first start to its last."""
    for log in sorted(folder.glob("*/vis_data/scalars.json")):
        yield from map(json.loads, log.read_text().splitlines())
