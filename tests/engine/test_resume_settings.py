"""A run that is resumed by another config: it is the uninterrupted run of the config that it writes down, or it is refused."""

from __future__ import annotations

import copy
import io
import shutil
from pathlib import Path
from typing import Any

import engine_runs as runs
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from rich.console import Console

from xkd.data.augment import Augment
from xkd.engine.hooks import distiller_of

OPEN_END = runs.GRAPH.replace("begin=0, end=3, ", "").replace("T_max=3, ", "")


@pytest.fixture(scope="module")
def begun(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of two epochs; `data_root` is where the data is."""
    folder: Path = tmp_path_factory.mktemp("begun")
    runs.run_training(config_of(folder, {"train_cfg.max_epochs": 2}), folder / "run")
    return folder


def config_of(folder: Path, options: dict[str, Any]) -> Config:
    return runs.config_of(folder, OPEN_END, options)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "rate": ({"optim_wrapper.optimizer.lr": 0.1}, r"optim_wrapper\.optimizer\.lr 0\.003 -> 0\.1"),
    "weight decay": ({"optim_wrapper.optimizer.weight_decay": 0.5}, r"optimizer\.weight_decay 0\.01 -> 0\.5"),
    "betas": ({"optim_wrapper.optimizer.betas": (0.8, 0.9)}, r"optimizer\.betas left out -> \[0\.8, 0\.9\]"),
    "schedule": ({"param_scheduler.0.eta_min": 0.1}, r"param_scheduler\.0\.eta_min left out -> 0\.1"),
    "end of the schedule": ({"param_scheduler.0.end": 9}, r"param_scheduler\.0\.end 2 -> 9"),
    "no schedule": ({"param_scheduler": []}, r"param_scheduler\.0\.type .* -> left out"),
    "weight of a term": ({"distiller.terms.kd.weight": 2.0}, r"distiller\.terms\.kd\.weight left out -> 2\.0"),
    "batch": ({"train_dataloader.batch_size": 4}, r"train_dataloader\.batch_size 6 -> 4"),
    "augmentation": ({"train_dataloader.dataset.augment": {"type": Augment, "flip": 0.0}}, r"dataset\.augment\.flip 0\.5 -> 0\.0"),
    "choice of the best": ({"save_best": "val/accuracy"}, r"save_best 'val/macro_f1' -> 'val/accuracy'"),
    "tap": ({"distiller.branches.thermal.judged": False}, r"branches\.thermal\.judged left out -> False"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=list(REFUSED))
def test_what_cannot_change_on_the_way_is_refused_by_name(options: dict[str, Any], message: str, begun: Path) -> None:
    before = {path: path.read_bytes() for path in (begun / "run").glob("*.*")}
    with pytest.raises(ValueError, match=rf"epoch_2\.pth was trained with other settings, .*{message}.*\. Leave .* another --work-dir"):
        runs.run_training(config_of(begun, {"train_cfg.max_epochs": 3, **options}), begun / "run", resume=True)
    assert {path: path.read_bytes() for path in (begun / "run").glob("*.*")} == before


def test_a_flag_of_the_command_is_a_setting_too(begun: Path) -> None:
    with pytest.raises(ValueError, match="--amp False -> True"):
        runs.run_training(config_of(begun, {"train_cfg.max_epochs": 2}), begun / "run", resume=True, amp=True)


def test_a_run_cannot_be_made_shorter_than_it_is(begun: Path) -> None:
    with pytest.raises(ValueError, match=r"max_epochs is 1, and .*epoch_2\.pth has 2 epochs behind it"):
        runs.run_training(config_of(begun, {"train_cfg.max_epochs": 1}), begun / "run", resume=True)


def test_a_longer_run_keeps_its_schedule_and_writes_it_down(begun: Path, tmp_path: Path) -> None:
    shutil.copytree(begun / "run", tmp_path / "run")
    said = io.StringIO()
    runs.run_training(config_of(begun, {"train_cfg.max_epochs": 3}), tmp_path / "run", Console(file=said, width=2000), resume=True)
    assert "train_cfg.max_epochs 2 -> 3" in said.getvalue()
    assert "the schedule ends at epoch 2 of 3, as it did when the run began" in said.getvalue()
    written = runs.load_config(tmp_path / "run" / "config.py")
    assert written.param_scheduler[0]["end"] == 2
    runs.run_training(written, tmp_path / "whole")  # the config that it wrote down, from the start
    one, two = (dict(sorted(runs.read(tmp_path / name / "epoch_3.pth")["state_dict"].items())) for name in ("whole", "run"))
    assert runs.differences(one, two) == []


def test_what_is_shown_and_how_rows_are_read_may_change(begun: Path, tmp_path: Path) -> None:
    shutil.copytree(begun / "run", tmp_path / "run")
    options = {
        "log_interval": 1,
        "val_dataloader.batch_size": 4,
        "train_dataloader.num_workers": 1,
        "default_hooks": {"checkpoint": {"interval": 2}},
    }
    said = io.StringIO()
    config = config_of(begun, {"train_cfg.max_epochs": 2, **options})
    runs.run_training(config, tmp_path / "run", Console(file=said, width=2000), resume=True)
    assert "changed for the rest of the run: default_hooks.checkpoint" in said.getvalue()
    assert "train_dataloader.num_workers 0 -> 1" in said.getvalue()
    assert "the schedule ends" not in said.getvalue()


@pytest.mark.parametrize("there", [True, False], ids=["another file", "moved"])
def test_a_teacher_may_be_elsewhere_but_no_other(there: bool, data_root: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(("teacher", "other")):
        runs.run_training(runs.config_of(tmp_path, runs.TEACHER, {"train_cfg.max_epochs": 1}), tmp_path / name, seed=seed)
    key = "distiller.branches.thermal.weights.path"
    first, second = (str(tmp_path / name / "best.pth") for name in ("teacher", "other"))
    runs.run_training(runs.config_of(tmp_path, runs.STUDENT, {key: first, "train_cfg.max_epochs": 1}), tmp_path / "run")
    config = runs.config_of(tmp_path, runs.STUDENT, {key: second, "train_cfg.max_epochs": 1})
    if there:
        with pytest.raises(ValueError, match=r"branches\.thermal\.weights\.path '.*teacher/best\.pth' -> '.*other/best\.pth'"):
            runs.run_training(config, tmp_path / "run", resume=True)
    else:
        shutil.move(first, second)
        runs.run_training(config, tmp_path / "run", resume=True)


def test_a_manifest_with_other_content_is_refused(begun: Path, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(begun / "run", tmp_path / "run")
    shutil.copytree(data_root, tmp_path / "elsewhere" / data_root.name)
    monkeypatch.setenv("XKD_DATA_ROOT", str(tmp_path / "elsewhere"))
    manifest = tmp_path / "elsewhere" / data_root.name / "manifest.csv"
    header, first, second, *rest = manifest.read_text("utf-8").splitlines()
    manifest.write_text("\n".join([header, second, first, *rest]) + "\n", "utf-8")
    with pytest.raises(ValueError, match=r"train_dataloader\.dataset \(its manifest\) '\w{8}' -> '\w{8}'"):
        runs.run_training(config_of(begun, {"train_cfg.max_epochs": 3}), tmp_path / "run", resume=True)
    shutil.copy(data_root / "manifest.csv", manifest)  # elsewhere, and the same
    runs.run_training(config_of(begun, {"train_cfg.max_epochs": 3}), tmp_path / "run", resume=True)


def test_another_number_of_rows_is_refused(begun: Path, tmp_path: Path) -> None:
    shutil.copytree(begun / "run", tmp_path / "run")
    last = tmp_path / "run" / "epoch_2.pth"
    content = runs.read(last)
    content["meta"]["iter"] += 2  # as if each epoch had had a step more
    torch.save(content, last)
    with pytest.raises(ValueError, match="had 5 steps an epoch, now there are 4: the data set or the number of processes has changed"):
        runs.run_training(config_of(begun, {"train_cfg.max_epochs": 3}), tmp_path / "run", resume=True)


class Averaged(EMAHook):
    """A child of mmengine's."""


class Snapshot(Hook):
    """Copies the student by itself."""

    def before_run(self, runner: Any) -> None:
        self.best = copy.deepcopy(distiller_of(runner).student.model)


@pytest.mark.parametrize("hook", ["EMAHook", EMAHook, Averaged, Snapshot])
def test_a_hook_that_copies_the_network_is_refused_at_the_start(hook: Any, data_root: Path, tmp_path: Path) -> None:
    name = hook if isinstance(hook, str) else hook.__name__
    with pytest.raises(ValueError, match=rf"{name} keeps a copy of the network.* add a branch: average=dict\(type=Branch"):
        runs.run_training(runs.config_of(tmp_path, runs.PLAIN, {"custom_hooks": [{"type": hook}]}), tmp_path / "run")
    assert not list(tmp_path.glob("run/*.pth"))
