"""The controls of a comparison whose teacher is an ensemble: what is left of it is built and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import engine_runs as runs
import pytest

from xkd.engine.config import as_plain
from xkd.engine.loaders import build_distiller
from xkd.evidence.arm import Arm
from xkd.evidence.arms import make_arms

IMPORTS = """
from xkd.ensembles import Gated, Mean
from xkd.graph.ensemble import Ensemble
from xkd.graph.gates import Dropped, Right, SameOrder
from xkd.graph.weights import Trained
"""
TEAM = f"""{runs.HEAD}{IMPORTS}
distiller = dict(
    type=Distiller, student="rgb", task=task,
    branches=dict(
        rgb=dict(type=Branch, model=dict(type=CNN), view=rgb, weights=dict(type=Random), taps=dict(deep=dict(type=Tap, path="deep")),
            heads=dict(exit=dict(type=Head, tap="deep", module=dict(type=PooledLinear)))),
        thermal=dict(type=Branch, model=dict(type=CNN, channels=1), view=thermal, weights=dict(type=Trained), frozen=True),
        wide=dict(type=Branch, model=dict(type=CNN, width=16), view=rgb, weights=dict(type=Trained), frozen=True),
    ),
    ensembles=dict(
        team=dict(type=Ensemble, of=("thermal.output", "wide.output"), by=dict(type=Mean)),
        both=dict(type=Ensemble, of=("team.output", "rgb.output"), by=dict(type=Mean)),
        native=dict(type=Ensemble, of=("rgb.output", "rgb.exit"), by=dict(type=Gated, reading="rgb.deep")),
    ),
    terms=dict(
        ce=dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target"),
        ce_native=dict(type=Term, loss=dict(type=CrossEntropy), student="native.output", teacher="batch.target"),
        ce_both=dict(type=Term, loss=dict(type=CrossEntropy), student="both.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=KD, tau=2.0), student="rgb.output", teacher="team.output"),
        right=dict(type=Term, loss=dict(type=KD, tau=2.0), student="rgb.exit", teacher="wide.output",
            gate=dict(type=Right, reading="team.output")),
        dropped=dict(type=Term, loss=dict(type=KD), student="rgb.output", teacher="wide.output",
            gate=dict(type=Dropped, student="rgb.output", teachers=("thermal.output", "wide.output"), of=1)),
        alike=dict(type=Term, loss=dict(type=KD), student="rgb.output", teacher="wide.output",
            gate=dict(type=SameOrder, reading=("rgb.output", "wide.output"))),
    ),
)
compare = dict(cluster="frame")
"""


@pytest.fixture
def arms(tmp_path: Path) -> dict[str, Arm]:
    return {arm.name: arm for arm in make_arms(runs.write(tmp_path, team=TEAM), {})}


def terms_of(arm: Arm) -> dict[str, Any]:
    plain: dict[str, Any] = as_plain(arm.config().distiller.terms)
    return plain


def test_each_teacher_has_an_arm_and_the_team_has_none(arms: dict[str, Arm]) -> None:
    assert [name for name in arms if name.startswith("teacher")] == ["teacher_thermal", "teacher_wide"]
    assert arms["distilled"].teachers == {"thermal": "teacher_thermal", "wide": "teacher_wide"}
    assert "ensembles" not in arms["teacher_wide"].config().distiller


def test_alone_drops_what_teachers_are_in_and_keeps_the_students_own(arms: dict[str, Arm]) -> None:
    config = arms["alone"].config()
    assert list(config.distiller.terms) == ["ce", "ce_native"]
    assert list(config.distiller.ensembles) == ["native"]
    build_distiller(config.distiller, 0)


def test_its_own_teacher_takes_the_place_of_the_team(arms: dict[str, Arm]) -> None:
    config, terms = arms["self_taught"].config(), terms_of(arms["self_taught"])
    assert terms["kd"]["teacher"] == "own.output"
    assert terms["right"]["gate"]["reading"] == "own.output"
    assert "gate" not in terms["dropped"], "it chooses among teachers, and there is one"
    assert terms["alike"]["gate"]["reading"] == ("rgb.output", "own.output")
    assert list(terms) == ["ce", "ce_native", "kd", "right", "dropped", "alike"]
    assert list(config.distiller.ensembles) == ["native"]
    build_distiller(config.distiller, 0, smoke=True)


def test_pairs_are_shuffled_and_the_graph_stays(arms: dict[str, Arm]) -> None:
    config = arms["shuffled"].config()
    assert config.train_dataloader.dataset.shuffle.anchor == "rgb"
    assert as_plain(config.distiller) == as_plain(arms["distilled"].config().distiller)
    build_distiller(config.distiller, 0, smoke=True)
