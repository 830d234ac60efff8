"""The charts of a comparison's page, from what runs have logged."""

from __future__ import annotations

import json
from pathlib import Path

import engine_runs as runs
import numpy as np
import pytest

from xkd import statistics
from xkd.evidence.arm import ArmRun
from xkd.evidence.arms import make_arms
from xkd.evidence.page import charts as page_charts

VARIANTS = """
compare["variants"] = dict(heavy={"distiller.terms.kd.weight": 9.0}, slow={"optim_wrapper.optimizer.lr": 1e-4})
"""


@pytest.fixture
def logged(tmp_path: Path) -> dict[str, list[ArmRun]]:
    """Two seeds of three arms; a run that was resumed has two logs."""
    tested = statistics.TestRun(np.arange(2).astype(str), np.zeros((2, 3)), np.zeros(2, int), np.arange(2).astype(str))
    runs_of: dict[str, list[ArmRun]] = {}
    for place, name in enumerate(("distilled", "heavy", "slow")):
        for seed in range(2):
            folder = tmp_path / name / str(seed)
            entries = [
                {"loss": 4.0 + place, "epoch": 1, "step": 20},
                {"loss": 2.0 + place + seed, "epoch": 1, "step": 40},
                {"val/accuracy": 0.25, "step": 1},
                {"loss": 1.0, "epoch": 2, "step": 60},
                {"val/accuracy": 0.5 + 0.5 * seed, "step": 2},
            ]
            for part, lines in enumerate((entries[:3], entries[3:])):
                log = folder / f"2026_{part}" / "vis_data" / "scalars.json"
                log.parent.mkdir(parents=True)
                log.write_text("\n".join(map(json.dumps, lines)), "utf-8")
            (folder / "result.json").write_text('{"save_best": "val/accuracy"}', "utf-8")
            runs_of.setdefault(name, []).append(ArmRun(folder, folder, tested, 0.0, 0.0))
    return runs_of


def test_losses_are_means_of_an_epoch(logged: dict[str, list[ArmRun]]) -> None:
    assert page_charts.losses(logged["distilled"][1]) == {1: 3.5, 2: 1.0}


def test_learning_curves_are_means_of_the_seeds(data_root: Path, tmp_path: Path, logged: dict[str, list[ArmRun]]) -> None:
    arms = [arm for arm in make_arms(runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT), {}) if arm.name == "distilled"]
    assert page_charts.curves(arms, logged).lines == {"student distilled": [(1.0, 0.25), (2.0, 0.75)]}


def test_losses_of_the_same_terms_share_a_chart(data_root: Path, tmp_path: Path, logged: dict[str, list[ArmRun]]) -> None:
    path = runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT + VARIANTS)
    arms = [arm for arm in make_arms(path, {}) if arm.name in logged]
    expected = {"student distilled": [(1.0, 3.25), (2.0, 1.0)], "student, slow": [(1.0, 5.25), (2.0, 1.0)]}
    assert page_charts.descent(arms, logged).lines == expected, "another weight is another loss"
    assert not page_charts.descent(arms[:2], logged).lines
