"""Exemplars by herding: chosen as the paper says, written down, the same in a run that goes on and in a later stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import engine_runs as runs
import pytest
import torch
from core_models import CNN
from mmengine.config import Config

from xkd.engine.exemplars import FILE, drawn_instead, herded, with_exemplars

STAGE = f"""{runs.HEAD}
from xkd.data.exemplars import Exemplars

old = dict(
    type=Branch,
    model=dict(type=CNN, num_classes=2),
    view=rgb,
    weights=dict(type=Checkpoint, path="FOLDER/old.pth"),
    task=dict(type=Classification, classes=("blank", "disc")),
    taps=dict(deep=dict(type=Tap, path="deep")),
    frozen=True,
)
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict({runs._RGB}, old=old),
    terms=dict({runs._CE}),
)
train_dataloader["dataset"].update(
    views=[rgb],
    classes=("bar",),
    exemplars=dict(type=Exemplars, classes=("disc", "blank"), per_class=3, by="herding", features="old.deep"),
)
train_cfg.update(max_epochs=1)
"""


@pytest.fixture
def stage(tmp_path: Path) -> Config:
    torch.manual_seed(0)
    torch.save(CNN(num_classes=2).state_dict(), tmp_path / "old.pth")
    return runs.config_of(tmp_path, STAGE.replace("FOLDER", str(tmp_path)))


def rows_of(config: Config, folder: Path, last: str | None = None) -> Any:
    told: list[str] = []
    chosen = with_exemplars(config, folder, last, 0, told.append)
    return chosen.train_dataloader.dataset.exemplars.rows.to_dict()


def test_each_row_brings_the_mean_nearest_to_the_class() -> None:
    features = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    unit = [row / (row**2).sum().sqrt() for row in features]
    mean, chosen = sum(unit) / 9, list[int]()
    for number in range(1, 6):
        far = {place: ((mean - (sum(unit[one] for one in chosen) + unit[place]) / number) ** 2).sum() for place in range(9)}
        chosen.append(min((place for place in range(9) if place not in chosen), key=lambda place: far[place]))
    assert herded(features, 5) == chosen
    assert herded(5 * features, 3) == chosen[:3], "a smaller set is the first of a larger one, and length does not matter"
    assert sorted(herded(features, 99)) == list(range(9))


def test_a_run_chooses_them_first_and_goes_on_with_the_same(stage: Config, tmp_path: Path) -> None:
    runs.run_training(stage, tmp_path / "run")
    held = json.loads((tmp_path / "run" / FILE).read_text("utf-8"))
    assert {name: len(of) for name, of in held["rows"].items()} == {"disc": 3, "blank": 3}
    dumped = runs.load_config(tmp_path / "run" / "config.py")
    assert dumped.train_dataloader.dataset.exemplars.rows.to_dict() == held["rows"]
    assert rows_of(stage, tmp_path / "again") == held["rows"]
    stage.distiller.branches.old.weights.path = "gone.pth"
    assert rows_of(stage, tmp_path / "run", last="epoch_1.pth") == held["rows"], "a run that goes on reads them"
    with pytest.raises(FileNotFoundError, match=r"no .*nowhere.*exemplars.json, which says what exemplars this run has"):
        rows_of(stage, tmp_path / "nowhere", last="epoch_1.pth")
    stage.train_dataloader.dataset.exemplars.per_class = 2
    with pytest.raises(ValueError, match="was written for other exemplars"):
        rows_of(stage, tmp_path / "run", last="epoch_1.pth")


def test_what_an_earlier_stage_kept_is_all_that_is_left_of_its_classes(stage: Config, tmp_path: Path) -> None:
    kept = {
        "classes": ["blank"],
        "per_class": 3,
        "by": "herding",
        "features": "old.deep",
        "rows": {"blank": ["train-18", "train-0", "train-3"]},
    }
    (tmp_path / FILE).write_text(json.dumps(kept), "utf-8")
    assert rows_of(stage, tmp_path / "run")["blank"] == kept["rows"]["blank"]
    stage.train_dataloader.dataset.exemplars.per_class = 2
    assert rows_of(stage, tmp_path / "fewer")["blank"] == kept["rows"]["blank"][:2]
    stage.train_dataloader.dataset.exemplars.per_class = 4
    with pytest.raises(ValueError, match=r"per_class is 4, and .*exemplars.json has 3 of each of \['blank'\]: ask for less"):
        rows_of(stage, tmp_path / "more")


def test_a_smoke_run_draws_them(stage: Config) -> None:
    assert drawn_instead(stage).train_dataloader.dataset.exemplars.by == "drawn"
    assert stage.train_dataloader.dataset.exemplars.by == "herding"


@pytest.mark.parametrize(
    ("features", "message"),
    [("rgb.deep", r"is of no frozen branch; frozen are \['old'\]"), ("old.pooled", r"no tap 'pooled'; old has \['output', 'deep'\]")],
)
def test_features_that_are_not_there_are_named(features: str, message: str, stage: Config, tmp_path: Path) -> None:
    stage.train_dataloader.dataset.exemplars.features = features
    with pytest.raises((ValueError, KeyError), match=message):
        rows_of(stage, tmp_path / "run")
