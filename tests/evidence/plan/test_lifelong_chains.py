"""The chains of a shipped plan of classes that come later differ in what keeps a network from forgetting, and in nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from xkd.engine.config import as_plain
from xkd.evidence.plan.stages import read_plan

PLAN = Path(__file__).resolve().parents[3] / "configs" / "plans" / "coffee_lifelong.py"


def test_chains_of_classes_differ_in_what_keeps_a_network_from_forgetting() -> None:
    made = read_plan(PLAN)
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
