"""Every shipped plan can be read: its stages' configs with their options, what they load, and tests that its chains can answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from xkd.engine.config import as_plain
from xkd.evidence.plan.stages import read_plan

PLANS = sorted((Path(__file__).resolve().parents[3] / "configs" / "plans").glob("*.py"))
QUICK = ("coffee_lifelong",)  # its stages are made as those of the digits are


@pytest.mark.parametrize("path", [pytest.param(one, marks=[pytest.mark.slow] * (one.stem not in QUICK), id=one.stem) for one in PLANS])
def test_a_plan_has_stages_that_build_on_each_other_and_tests_that_they_can_answer(path: Path) -> None:
    made = read_plan(path)
    assert any(stage.arm.linked for stage in made.stages)
    for stages in made.chains.values():
        assert not made.tests or stages[-1].arm.tests


def test_chains_of_classes_differ_in_what_keeps_a_network_from_forgetting() -> None:
    [path] = [one for one in PLANS if one.stem == "coffee_lifelong"]
    made = read_plan(path)
    stages = {name: of[-1].arm.config() for name, of in made.chains.items()}
    graphs = {name: as_plain(of.distiller) for name, of in stages.items()}
    rows = {name: as_plain(of.train_dataloader.dataset) for name, of in stages.items()}
    assert {name: sorted(of["terms"]) for name, of in graphs.items()} == {
        "finetuned": ["ce"],
        "exemplars": ["ce"],
        "lwf": ["ce", "lwf"],
        "lwf_exemplars": ["ce", "lwf"],
        "pod_exemplars": ["ce", "flat", "pod"],
        "joint": ["ce"],
    }
    assert {name for name, of in rows.items() if of["exemplars"]} == {"exemplars", "lwf_exemplars", "pod_exemplars"}
    assert {name for name, of in rows.items() if of["classes"] == ("phoma",)} == {*rows} - {"joint"}
    assert {of["known"] for of in rows.values()} == {("healthy", "rust", "miner", "cercospora", "phoma")}
    assert graphs["pod_exemplars"]["terms"]["pod"]["weight"] == pytest.approx(3 * 5**0.5)
    assert made.chains["lwf"][-1].arm.linked == ["lwf_2"]
    assert [stage.learns for stage in made.chains["joint"]][-1] == ("healthy_rust", "miner_cercospora", "phoma")
