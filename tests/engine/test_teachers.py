"""What a run asks of its teachers before they teach: weights that are named, images normalised as theirs were, answers above chance."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import engine_runs as runs
import pytest
import timm
import torch
import torchvision
from core_models import CNN
from mmengine.config import Config
from rich.console import Console
from torch import nn

from xkd.engine.describe import heard
from xkd.engine.loaders import build_distiller, check_pretrained
from xkd.engine.screen import Screen
from xkd.graph.weights import Checkpoint, Pretrained, Random


@pytest.fixture(scope="module")
def teacher(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `TEACHER` that is long enough to be above chance."""
    folder = tmp_path_factory.mktemp("teacher")
    config = runs.config_of(folder, runs.TEACHER, {"train_cfg.max_epochs": 12, "param_scheduler": []})
    return Path(runs.run_training(config, folder / "run").checkpoint)


def student_of(folder: Path, path: Path, **branch: Any) -> Config:
    """`STUDENT` with a judged teacher, changed."""
    config = runs.config_of(folder, runs.STUDENT, {"train_cfg.max_epochs": 1, "distiller.branches.thermal.weights.path": str(path)})
    for key in ("judged", *(branch if "weights" in branch else ())):
        config.distiller.branches.thermal.pop(key)
    config.distiller.branches.thermal.update(branch)
    return config


def plain_of(run: Path, path: Path) -> tuple[Path, list[float], list[float]]:
    """The teacher's state dict as somebody else would save it, and what its images were normalised by."""
    state = torch.load(run, weights_only=True)["state_dict"]
    own = {key.removeprefix("distiller.branches.thermal."): value for key, value in state.items()}
    torch.save({f"module.{key.removeprefix('model.')}": value for key, value in own.items() if key.startswith("model.")}, path)
    return path, own["mean"].flatten().tolist(), own["std"].flatten().tolist()


def trained(config: Config, folder: Path) -> str:
    """What the run prints."""
    console = Console(file=io.StringIO(), width=2000)
    runs.run_training(config, folder, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_teacher_above_chance_teaches(teacher: Path, tmp_path: Path) -> None:
    assert "teacher 'thermal' on val: accuracy" in trained(student_of(tmp_path, teacher), tmp_path / "run")


def test_a_foreign_one_is_told_of_and_one_that_is_normalised_otherwise_stops_the_run(teacher: Path, tmp_path: Path) -> None:
    path, mean, std = plain_of(teacher, tmp_path / "outside.pth")
    config = student_of(tmp_path, path)
    output = trained(config, tmp_path / "run")
    assert f"{path}: found under prefix 'module.'\n" in output
    assert f"{path} does not say how its images were normalised: those of view 'thermal' are by the data set's mean" in output
    config.distiller.branches.thermal.weights.update(mean=[mean[0] - 60 * std[0]], std=std)
    message = (
        r"teacher 'thermal' is at chance level on val: accuracy .* over \d+ labelled rows, and \d+% of random pairings .* normalised as in"
    )
    with pytest.raises(ValueError, match=message) as error:
        trained(config, tmp_path / "wrong")
    for reason in ("mean=, std= of Checkpoint", "Are its classes in this order, ['blank', 'disc', 'bar']", str(path), "judged=False"):
        assert reason in str(error.value)
    config.distiller.branches.thermal.judged = False
    trained(config, tmp_path / "meant")


def test_random_weights_and_taps_alone_are_not_judged(tmp_path: Path) -> None:
    torch.save(CNN(1).state_dict(), tmp_path / "untrained.pth")
    control = student_of(tmp_path, Path(), weights=dict(type="xkd.graph.weights.Random", frozen=True))
    assert "teacher 'thermal' on val" in trained(control, tmp_path / "control")
    with pytest.raises(ValueError, match="at chance level"):
        trained(student_of(tmp_path, tmp_path / "untrained.pth"), tmp_path / "untrained")
    hint = student_of(tmp_path, tmp_path / "untrained.pth", taps=dict(deep=dict(type="xkd.taps.Tap", path="deep")))
    hint.distiller.terms.kd.teacher = "thermal.deep"
    hint.distiller.terms.kd.student = "rgb.deep"
    hint.distiller.terms.kd.loss = dict(type="xkd.losses.AT")
    hint.distiller.branches.rgb.taps = dict(deep=dict(type="xkd.taps.Tap", path="deep"))
    trained(hint, tmp_path / "hint")


def test_a_learning_branch_is_not_judged(tmp_path: Path) -> None:
    config = runs.config_of(tmp_path, runs.PLAIN)
    config.distiller.branches.rgb.judged = False
    with pytest.raises(ValueError, match=r"judged=False is for a frozen branch.* view 'rgb' learns"):
        build_distiller(config.distiller, 0)


def test_what_is_logged_elsewhere_is_not_printed() -> None:
    console = Screen(file=io.StringIO())
    with heard(console):
        logging.getLogger("xkd").info("of [weights]")
        logging.getLogger("other").warning("of something else")
    logging.getLogger("xkd").warning("too late")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "of [weights]\n"


NAMED = {"type": timm.create_model, "model_name": "test_resnet", "pretrained": True}
INSIDE = {"type": nn.Sequential, "args": [{"type": nn.ReLU}, NAMED]}


@pytest.mark.parametrize(
    ("model", "place"),
    [
        (NAMED, r"branches.rgb.model.pretrained=True"),
        (INSIDE, r"branches.rgb.model.args\[1\].pretrained=True"),
        ({"type": torchvision.models.resnet18, "weights": "DEFAULT"}, r"branches.rgb.model.weights='DEFAULT'"),
        ({"type": type("Auto", (), {"from_pretrained": staticmethod(lambda name: name)}).from_pretrained}, r"model.type=from_pretrained"),
    ],
)
@pytest.mark.parametrize("weights", [Random, Checkpoint, Pretrained])
def test_a_network_that_brings_weights_is_refused_in_a_config(model: dict[str, Any], place: str, weights: Any) -> None:
    if getattr(model["type"], "__name__", "") == "<lambda>":
        model["type"].__name__ = "from_pretrained"
    message = rf"{place}: .* beside weights={weights.__name__}\(\), .* use weights=Pretrained\(\), with file=... .* Checkpoint\(path, mean"
    with pytest.raises(ValueError, match=message):
        check_pretrained({"model": model, "weights": {"type": weights}}, "branches.rgb")


def test_one_that_brings_none_is_not(tmp_path: Path) -> None:
    for model in ({**NAMED, "pretrained": False}, {"type": torchvision.models.resnet18, "weights": None}, {"type": CNN}):
        check_pretrained({"model": model, "weights": {"type": Random}}, "branches.rgb")
    config = runs.config_of(tmp_path, runs.PLAIN)
    config.distiller.branches.rgb.model = {"type": "timm.create_model", "model_name": "test_resnet", "num_classes": 3, "pretrained": True}
    with pytest.raises(ValueError, match=r"distiller.branches.rgb.model.pretrained=True"):
        build_distiller(config.distiller, 0, smoke=True)
