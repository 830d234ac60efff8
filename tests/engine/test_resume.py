"""A run that was interrupted and resumed is, bit for bit, the run that was not."""

from __future__ import annotations

import gc
import io
import multiprocessing
import os
import random
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import engine_runs as runs
import pytest
import torch
from broken_off_runs import interrupted, same_runs
from core_models import RGB_VIEW
from mmengine.hooks import EarlyStoppingHook
from rich.console import Console

from xkd.changes import Folded, Rounded
from xkd.engine import train as engine_train
from xkd.engine.hooks import PlainCheckpointHook, StepHook
from xkd.engine.student import load_student
from xkd.graph.state_dicts import load_file
from xkd.graph.weights import Checkpoint

FEW = [dict(type=Folded), dict(type=Rounded, weights=4, observe=3)]  # ranges are still seen in the second epoch, not in the third
OPTIONS: dict[str, dict[str, Any]] = {
    "dropout, frozen teacher, running average": {},
    "workers": {"train_dataloader.num_workers": 1},
    "balanced": {"train_dataloader.sampler": dict(shuffle=True, balanced=True)},
    # four steps an epoch: an optimiser step is made of the last of one epoch and the first two of the next
    "accumulation across epochs": {"optim_wrapper.accumulative_counts": 3, "train_dataloader.batch_size": 6},
    "validation every other epoch": {"train_cfg.val_interval": 2},
    "folded and rounded": {f"distiller.branches.{name}.changes": FEW for name in ("rgb", "average")},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=list(OPTIONS))
def test_a_resumed_run_is_the_uninterrupted_one(options: dict[str, Any], tmp_path: Path) -> None:
    def config() -> Any:
        return runs.config_of(tmp_path, runs.GRAPH, options)

    runs.run_training(config(), tmp_path / "whole")
    interrupted(config, tmp_path / "parts", epoch=2)
    runs.run_training(config(), tmp_path / "parts", resume=True)
    same_runs(tmp_path / "whole", tmp_path / "parts")


MEMORY = f"""{runs.GRAPH}
from xkd.losses import CRD

crd = dict(type=CRD, num_rows=24, num_negatives=8, dim=4)
distiller["terms"].update(dict(crd=dict(type=Term, loss=crd, student="rgb.output", teacher="thermal.output", weight=0.1)))
"""


def test_a_memory_bank_is_resumed_too(tmp_path: Path) -> None:
    runs.run_training(runs.config_of(tmp_path, MEMORY), tmp_path / "whole")
    interrupted(lambda: runs.config_of(tmp_path, MEMORY), tmp_path / "parts", epoch=2)
    runs.run_training(runs.config_of(tmp_path, MEMORY), tmp_path / "parts", resume=True)
    same_runs(tmp_path / "whole", tmp_path / "parts")
    held = [runs.read(tmp_path / "whole" / f"epoch_{epoch}.pth")["state_dict"]["distiller.terms.crd.loss.student_bank"] for epoch in (2, 3)]
    assert not torch.equal(*held)


SHARED = f"""{runs.GRAPH}
from xkd.graph.weights import Shared

pupil = dict(type=Branch, model=dict(type=CNN), view=rgb, weights=dict(type=Shared, of="rgb", norms="own"))
judge = dict(type=Branch, model=dict(type=CNN, channels=1), view=thermal, weights=dict(type=Shared, of="thermal"))
distiller["branches"].update(dict(pupil=pupil, judge=judge))
distiller["terms"].update(dict(kd_pupil=dict(type=Term, loss=dict(type=KD), student="pupil.output", teacher="judge.output")))
optim_wrapper["paramwise_cfg"] = dict(norm_decay_mult=0.0)
train_cfg.update(max_epochs=2)
"""


def test_shared_weights_are_held_once_and_resumed(tmp_path: Path) -> None:
    def config() -> Any:
        return runs.config_of(tmp_path, SHARED)

    page = io.StringIO()
    runs.run_training(config(), tmp_path / "whole", Console(file=page, width=200))
    interrupted(config, tmp_path / "parts", epoch=1)
    runs.run_training(config(), tmp_path / "parts", resume=True)
    same_runs(tmp_path / "whole", tmp_path / "parts", "epoch_2.pth")
    assert re.search(r"pupil \(learns, the weights of rgb, view rgb\)\W+\(16, 16\)\W+44 ", page.getvalue())  # its own norm layers
    assert "teacher 'judge' has the weights of 'thermal', and its view: not measured" in page.getvalue()
    path = tmp_path / "whole" / "epoch_2.pth"
    held = {key.removeprefix("distiller.branches.") for key in runs.read(path)["state_dict"]}
    assert {"rgb.model.fc.weight", "pupil.model.stem.1.weight", "pupil.model.stem.1.running_mean", "pupil.mean"} <= held
    assert not {"pupil.model.fc.weight", "judge.model.fc.weight", "judge.mean"} & held
    student = load_student(config(), str(path), "pupil").branch.model.state_dict()
    state = runs.read(path)["state_dict"]
    for key, value in student.items():
        own = f"distiller.branches.pupil.model.{key}"
        assert torch.equal(value, state[own if own in state else own.replace("pupil", "rgb")])
    with pytest.raises(KeyError, match="no branch 'judge', which has the weights of 'thermal': neither learned in this run; it has"):
        Checkpoint(str(path), branch="judge").load(torch.nn.Linear(1, 1), RGB_VIEW)


def test_the_seconds_before_an_interruption_count(tmp_path: Path) -> None:
    interrupted(lambda: runs.config_of(tmp_path, runs.PLAIN), tmp_path / "parts", epoch=2)
    last = tmp_path / "parts" / "epoch_2.pth"
    content = runs.read(last)
    assert 0 < content["message_hub"]["runtime_info"]["seconds"] < 60
    content["message_hub"]["runtime_info"]["seconds"] = 1000.0
    torch.save(content, last)
    assert 1000 < runs.run_training(runs.config_of(tmp_path, runs.PLAIN), tmp_path / "parts", resume=True).seconds < 1060


def test_a_used_folder_is_resumed_or_left_alone(tmp_path: Path) -> None:
    runs.run_training(runs.config_of(tmp_path, runs.PLAIN), tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    with pytest.raises(ValueError, match=r"run holds the checkpoints of an earlier run; use --resume to go on with it, or another"):
        runs.run_training(runs.config_of(tmp_path, runs.PLAIN), tmp_path / "run")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


def test_early_stopping_goes_on_counting(tmp_path: Path) -> None:
    # nothing is ever better by two, so the second validation that is no better ends the run
    hook = {"type": EarlyStoppingHook, "monitor": "val/accuracy", "rule": "greater", "min_delta": 2.0, "patience": 2}

    def config() -> Any:
        made = runs.config_of(tmp_path, runs.GRAPH, {"train_cfg.max_epochs": 6})
        made.custom_hooks = [hook]
        return made

    whole = runs.run_training(config(), tmp_path / "whole")
    assert whole.epochs == 3
    interrupted(config, tmp_path / "parts", epoch=2)
    assert runs.run_training(config(), tmp_path / "parts", resume=True).epochs == 3
    same_runs(tmp_path / "whole", tmp_path / "parts")
    assert runs.run_training(config(), tmp_path / "parts", resume=True).epochs == 3


def test_the_comparison_of_runs_can_fail(tmp_path: Path) -> None:
    for seed in (0, 1):
        runs.run_training(runs.config_of(tmp_path, runs.PLAIN), tmp_path / str(seed), seed=seed)
    one, two = (runs.read(tmp_path / str(seed) / "epoch_3.pth")["state_dict"] for seed in (0, 1))
    assert "state.distiller.branches.rgb.model.fc.weight" in runs.differences(one, two, "state")


WAIT = """
import time
from pathlib import Path

from mmengine.hooks import Hook


class Wait(Hook):
    def before_train_epoch(self, runner):
        time.sleep(60 * (runner.epoch == 2 and not Path(runner.work_dir, "go_on").exists()))
"""


def test_a_killed_process_goes_on(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = runs.write(tmp_path, config=runs.GRAPH)
    runs.run_training(runs.load_config(config, {"train_cfg.max_epochs": 3}), tmp_path / "whole")
    runs.write(tmp_path, wait_hook=WAIT)
    monkeypatch.syspath_prepend(tmp_path)
    slow = runs.write(tmp_path, slow=f"from wait_hook import Wait\n{runs.GRAPH}\ncustom_hooks = [dict(type=Wait)]\n")
    parts = tmp_path / "parts"
    tool, arguments = runs.REPOSITORY / "tools" / "train.py", [str(slow), "--work-dir", str(parts)]
    process = runs.forked(tool, arguments, runs.environment_of(data_root), tmp_path, "slow")
    deadline = time.monotonic() + 60
    while not (parts / "epoch_2.pth").is_file() and time.monotonic() < deadline and process.is_alive():
        time.sleep(0.05)
    process.kill()
    process.join()
    assert (parts / "epoch_2.pth").is_file()
    assert not (parts / "result.json").exists()
    (parts / "go_on").touch()
    runs.run_training(runs.load_config(slow), parts, resume=True)
    same_runs(tmp_path / "whole", parts)


SLOWLY = """
import time
from pathlib import Path

from mmengine.hooks import Hook

from xkd.engine import precision

precision.bfloat16_pays = lambda: True  # on whatever machine the tests run


class Slowly(Hook):
    def before_train(self, runner):
        Path(runner.work_dir, "begun").touch()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        time.sleep(0.03)
"""

KILLED = f"""{MEMORY}
import slowly

from xkd.engine.precision import BF16OptimWrapper

optim_wrapper.update(type=BF16OptimWrapper)
train_dataloader.update(num_workers=2)
train_cfg.update(max_epochs=50)
custom_hooks = [dict(type=slowly.Slowly)]
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_at_random_moments_change_nothing(data_root: Path, tmp_path: Path) -> None:
    """With workers, bfloat16, a running average and a memory bank; each file that is there is whole, whenever the power fails."""
    runs.write(tmp_path, slowly=SLOWLY)
    config, parts, rng = runs.write(tmp_path, config=KILLED), tmp_path / "parts", random.Random(0)
    environment = runs.environment_of(data_root)
    environment["PYTHONPATH"] += os.pathsep + str(tmp_path)
    command = [sys.executable, str(runs.REPOSITORY / "tools" / "train.py"), str(config), "--resume", "--work-dir"]
    subprocess.run([*command, str(tmp_path / "whole")], env=environment, cwd=tmp_path, check=True, capture_output=True)
    epochs = [0]
    for _ in range(20):
        (parts / "begun").unlink(missing_ok=True)
        aim = epochs[-1] + rng.choice([0, 1, 1])
        with subprocess.Popen([*command, str(parts)], env=environment, stdout=subprocess.DEVNULL, cwd=tmp_path) as process:
            deadline = time.monotonic() + 60
            while (not (parts / "begun").exists() or last_epoch(parts) < aim) and time.monotonic() < deadline and process.poll() is None:
                time.sleep(0.01)
            time.sleep(rng.uniform(0.0, 0.6))
            process.kill()
        for path in parts.glob("*.pth"):
            load_file(str(path))
        epochs.append(last_epoch(parts))
    assert not (parts / "result.json").exists()
    assert len(set(epochs)) > 5, f"the kills came at {epochs}"
    subprocess.run([*command, str(parts)], env=environment, cwd=tmp_path, check=True, capture_output=True)
    same_runs(tmp_path / "whole", parts, last="epoch_50.pth")
    assert not list(parts.glob(".*.tmp"))


def last_epoch(folder: Path) -> int:
    return max((int(path.stem.removeprefix("epoch_")) for path in folder.glob("epoch_*.pth")), default=0)


def test_nothing_to_resume_is_a_new_run(tmp_path: Path) -> None:
    result = runs.run_training(runs.config_of(tmp_path, runs.PLAIN, {"train_cfg.max_epochs": 1}), tmp_path / "run", resume=True)
    assert result.epochs == 1


def test_a_finished_run_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = runs.config_of(tmp_path, runs.PLAIN)
    first = runs.run_training(config, tmp_path / "run")
    monkeypatch.setattr(engine_train.DistillerModel, "train_step", lambda *_: pytest.fail("trained"))
    again = runs.run_training(runs.config_of(tmp_path, runs.PLAIN), tmp_path / "run", resume=True)
    assert (again.best, again.epochs) == (first.best, first.epochs)


def test_a_run_that_was_moved_goes_on(tmp_path: Path) -> None:
    def config() -> Any:
        return runs.config_of(tmp_path, runs.PLAIN)

    interrupted(config, tmp_path / "old", epoch=2)
    (tmp_path / "old").rename(tmp_path / "new")
    runs.run_training(config(), tmp_path / "new", resume=True)
    assert not (tmp_path / "old").exists()


def test_resuming_with_another_seed_or_graph_is_an_error(tmp_path: Path) -> None:
    runs.run_training(runs.config_of(tmp_path, runs.PLAIN, {"train_cfg.max_epochs": 1}), tmp_path / "run")
    with pytest.raises(ValueError, match="used seed 0, not 1; pass --seed 0"):
        runs.run_training(runs.config_of(tmp_path, runs.PLAIN), tmp_path / "run", resume=True, seed=1)
    last = tmp_path / "run" / "epoch_1.pth"
    content = runs.read(last)
    del content["meta"]["xkd"]["settings"]  # as if the config were the same, and the code of a network another
    torch.save(content, last)
    wider = runs.config_of(tmp_path, runs.PLAIN, {"distiller.branches.rgb.model.width": 16})
    with pytest.raises(ValueError, match=r"another graph: \d+ of \d+ tensors match.* is \(12,\) in the checkpoint and \(16,\) in"):
        runs.run_training(wider, tmp_path / "run", resume=True)
    with pytest.raises(ValueError, match=r"another graph.*average\..* is absent in the checkpoint"):
        runs.run_training(runs.config_of(tmp_path, runs.GRAPH), tmp_path / "run", resume=True)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def flip(path: Path) -> None:
    """One bit of the largest tensor, which torch itself would load."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        largest = max((held for held in archive.infolist() if "/data/" in held.filename), key=lambda held: held.file_size)
    content[largest.header_offset + 200 + largest.file_size // 2] ^= 1
    path.write_bytes(bytes(content))
    torch.load(path, weights_only=True)


@pytest.mark.parametrize("damage", [cut, flip])
def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(damage: Callable[[Path], None], tmp_path: Path) -> None:
    def config() -> Any:
        return runs.config_of(tmp_path, runs.GRAPH)

    runs.run_training(config(), tmp_path / "whole")
    interrupted(config, tmp_path / "parts", epoch=2)
    damage(tmp_path / "parts" / "epoch_2.pth")
    page = io.StringIO()
    runs.run_training(config(), tmp_path / "parts", Console(file=page, width=2000), resume=True)
    assert re.search(r"epoch_2\.pth is not a readable weights-only checkpoint: .*; the run goes on from epoch_1\.pth", page.getvalue())
    same_runs(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("damage", [flip, Path.unlink])
def test_a_best_checkpoint_that_is_gone_is_made_anew(damage: Callable[[Path], None], tmp_path: Path) -> None:
    def config() -> Any:
        return runs.config_of(tmp_path, runs.GRAPH)

    interrupted(config, tmp_path / "run", epoch=2)
    (best,) = (tmp_path / "run").glob("best_*.pth")
    damage(best)
    result = runs.run_training(config(), tmp_path / "run", resume=True)
    assert runs.read(Path(result.checkpoint))["meta"]["epoch"] == 3
    logs = "".join(path.read_text() for path in (tmp_path / "run").glob("*/*.log"))
    assert "is gone or damaged; the next validation makes a new best checkpoint" in logs


def test_where_every_checkpoint_is_damaged_all_are_named(tmp_path: Path) -> None:
    config = runs.config_of(tmp_path, runs.PLAIN, {"train_cfg.max_epochs": 1})
    runs.run_training(config, tmp_path / "run")
    cut(tmp_path / "run" / "epoch_1.pth")
    with pytest.raises(ValueError, match=r"none of the 1 checkpoints can be gone on from: .*epoch_1\.pth is not a readable weights-only"):
        runs.run_training(runs.config_of(tmp_path, runs.PLAIN), tmp_path / "run", resume=True)


def test_only_the_asked_number_of_checkpoints_is_kept_across_a_resume(tmp_path: Path) -> None:
    def config() -> Any:
        return runs.config_of(tmp_path, runs.PLAIN, {"train_cfg.max_epochs": 4})

    interrupted(config, tmp_path / "run", epoch=2)
    runs.run_training(config(), tmp_path / "run", resume=True)
    assert sorted(path.name for path in (tmp_path / "run").glob("epoch_*.pth")) == ["epoch_3.pth", "epoch_4.pth"]
    with pytest.raises(ValueError, match="max_keep_ckpts must be at least 2"):
        PlainCheckpointHook(max_keep_ckpts=1)


def test_without_the_epochs_seed_dropout_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shows that the equality above is the seed's work."""
    monkeypatch.setattr(StepHook, "before_train_epoch", lambda *_: None)

    def config() -> Any:
        return runs.config_of(tmp_path, runs.PLAIN)

    runs.run_training(config(), tmp_path / "whole")
    interrupted(config, tmp_path / "parts", epoch=2)
    torch.manual_seed(123)
    runs.run_training(config(), tmp_path / "parts", resume=True)
    whole, parts = (runs.read(tmp_path / name / "epoch_3.pth")["state_dict"] for name in ("whole", "parts"))
    assert runs.differences(whole, parts)


@pytest.mark.parametrize("epoch", [1, 9], ids=["interrupted", "finished"])
def test_workers_end_with_their_run(epoch: int, tmp_path: Path) -> None:
    config = partial(runs.config_of, tmp_path, runs.PLAIN, {"train_dataloader.num_workers": 1, "train_cfg.max_epochs": 2})
    if epoch == 1:
        interrupted(config, tmp_path / "run", epoch)
    else:
        runs.run_training(config(), tmp_path / "run")
    assert multiprocessing.active_children() == []
    started = time.monotonic()
    gc.collect()
    assert time.monotonic() - started < 4
