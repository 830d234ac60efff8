"""Two processes without a GPU: they train, and hold the same network after each step."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import engine_runs as runs
import pytest
import torch
from torch.utils.data import get_worker_info

from xkd.data.loader import DrawSampler
from xkd.data.paired import PairedDataset
from xkd.data.sample import Sample
from xkd.engine import launch
from xkd.engine.loaders import build_loader

RANK = """
import sys, torch
from xkd import cli
from xkd.engine import hooks

save = hooks.StepHook.after_train_iter
states = []


def after_train_iter(hook, runner, **context):
    save(hook, runner, **context)
    distiller = hooks.distiller_of(runner)
    states.append({name: value.clone() for name, value in distiller.named_parameters()})


def after_val_epoch(hook, runner, metrics=None):
    torch.save((states, hooks.distiller_of(runner).state_dict(), metrics), f"{sys.argv[1]}/rank{runner.rank}.pth")


hooks.StepHook.after_train_iter, hooks.StepHook.after_val_epoch = after_train_iter, after_val_epoch
sys.exit(cli.run("train", sys.argv[2:]))
"""

DOUBLE = """
import engine_runs
from xkd.engine import train

train.build_distiller = engine_runs.double
"""

OPTIONS = ["train_cfg.max_epochs=1", "train_dataloader.batch_size=2", "val_dataloader.batch_size=4"]


def check(folder: Path) -> None:
    (steps, state, metrics), (other_steps, other_state, other_metrics) = (
        torch.load(folder / f"rank{rank}.pth", weights_only=True) for rank in (0, 1)
    )
    assert len(steps) == 6  # 23 rows, two processes of two
    for one, other in zip(steps, other_steps, strict=True):
        assert runs.differences(one, other) == []
    assert runs.differences(steps[0], steps[-1])
    assert runs.differences(state, other_state) == []  # batch statistics too, so both validate one network
    assert metrics == other_metrics
    written = runs.read(folder / "run" / "epoch_1.pth")["state_dict"]
    assert all(torch.equal(value, state[key.removeprefix("distiller.")]) for key, value in written.items())
    assert (folder / "run" / "result.json").is_file()


def in_two_processes(arguments: list[str], data: Path, folder: Path, before: str = "") -> list[str]:
    ended = runs.launched(arguments, data, folder, before + RANK)
    assert [process.code for process in ended] == [0, 0], ended
    return [process.out for process in ended]


@pytest.fixture(scope="module")
def live(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Folder of a run of two processes and what each printed; each row has one draw, as a cache holds them."""
    folder = tmp_path_factory.mktemp("live")
    config = runs.write(folder, config=runs.GRAPH + 'train_dataloader["sampler"].update(num_draws=1)\n')
    arguments = [str(config), "--work-dir", str(folder / "run"), "--cfg-options", *OPTIONS]
    return folder, in_two_processes(arguments, data_root, folder, DOUBLE)


def test_two_processes_train_one_network(live: tuple[Path, list[str]]) -> None:
    folder, outputs = live
    dataset = build_loader(runs.load_config(folder / "config.py").train_dataloader, 0).dataset
    orders = [[index for index, _ in DrawSampler(dataset, rank=rank, world_size=2)] for rank in (0, 1)]
    labelled = [[any(dataset.strata[order[at : at + 2]] >= 0) for at in range(0, 12, 2)] for order in orders]
    assert any(one != other for one, other in zip(*labelled, strict=True)), "no step in which one process alone has labels"
    check(folder)
    assert "best val/macro_f1" in outputs[0]
    assert outputs[1].count("epoch") == 0  # the second process is silent
    assert not (folder / ".dist_test").exists()


def test_two_processes_fill_one_cache_and_train_as_if_there_were_none(
    live: tuple[Path, list[str]], data_root: Path, tmp_path: Path
) -> None:
    cache = f'from xkd.data.cache import TeacherCache\nteacher_cache = dict(type=TeacherCache, draws=1, folder="{tmp_path / "cache"}")\n'
    config = runs.write(tmp_path, config=runs.GRAPH + cache)
    in_two_processes([str(config), "--work-dir", str(tmp_path / "run"), "--cfg-options", *OPTIONS], data_root, tmp_path, DOUBLE)
    check(tmp_path)
    cached, uncached = (torch.load(folder / "rank1.pth", weights_only=True)[0] for folder in (tmp_path, live[0]))
    torch.testing.assert_close(cached, uncached, rtol=1e-9, atol=1e-12)
    assert list((tmp_path / "cache").rglob("draw_0_row_0.safetensors"))


# no batch norm, no dropout: nothing in it knows how many rows a process has
PLAIN_NETWORK = (
    "dict(type=create_model, model_name='vit_tiny_patch16_224', img_size=16, patch_size=8, depth=1, embed_dim=12, num_classes=3)"
)
TOGETHER = f"""from timm import create_model
{runs.GRAPH}
from xkd.losses import RKD
from xkd.graph.schedules import StopAt

distiller["branches"].pop("average")
distiller["branches"]["rgb"].update(model={PLAIN_NETWORK})
distiller["terms"].pop("loss_mean")
distiller["terms"].update(
    rkd=dict(type=Term, loss=dict(type=RKD), student="rgb.output", teacher="thermal.output", weight=0.01, gather=True),
    brief=dict(
        type=Term, loss=dict(type=KD), student="rgb.output", teacher="thermal.output", weight=dict(type=StopAt, weight=1.0, epoch=1)
    ),
)
train_dataloader["dataset"].update(subset=20)
train_cfg.update(max_epochs=2)
log_interval = 1
"""


def losses(folder: Path) -> list[dict[str, float]]:
    (path,) = folder.glob("*/vis_data/scalars.json")
    entries = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [
        {key: entry[key] for key in ("loss", "term_ce", "term_kd", "term_rkd", "term_brief", "grad_norm")}
        for entry in entries
        if "loss" in entry
    ]


@pytest.mark.parametrize("gather", [True, False])
def test_two_processes_have_the_losses_of_one_with_twice_the_batch(
    gather: bool, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xkd.engine.train.build_distiller", runs.double)
    config = runs.config_of(tmp_path, TOGETHER, {"train_dataloader.batch_size": 4})
    runs.run_training(config, tmp_path / "one")
    options = ["train_dataloader.batch_size=2", f"distiller.terms.rkd.gather={gather}"]
    arguments = [str(tmp_path / "config.py"), "--work-dir", str(tmp_path / "two"), "--cfg-options", *options]
    in_two_processes(arguments, data_root, tmp_path, DOUBLE)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == len(two) == 10
    dataset = build_loader(config.train_dataloader, 0).dataset
    assert not (dataset.strata >= 0).all(), "all rows have labels, so processes have equally many"
    alike = [entry == pytest.approx(other, rel=1e-5, abs=1e-9) for entry, other in zip(one, two, strict=True)]
    assert all(alike) if gather else not any(alike), list(zip(one, two, strict=True))
    states = [runs.read(tmp_path / name / "epoch_2.pth")["state_dict"] for name in ("one", "two")]
    assert {value.dtype for value in states[0].values()} == {torch.float64}
    differences = [name for name in states[0] if not torch.allclose(states[0][name], states[1][name], rtol=1e-7, atol=1e-9)]
    assert differences == [] if gather else len(differences) > 0


@pytest.mark.parametrize(
    ("environment", "first"),
    [({}, True), ({"RANK": "0"}, True), ({"RANK": "1"}, False), ({"SLURM_PROCID": "2"}, False), ({"OMPI_COMM_WORLD_RANK": "1"}, False)],
)
def test_one_process_speaks(environment: dict[str, str], first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launch.is_first() is first


def test_a_dead_worker_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = PairedDataset.__getitem__

    def killed(dataset: PairedDataset, key: Any) -> Sample:
        if get_worker_info() is not None and key[1] == 1:
            os.kill(os.getpid(), signal.SIGKILL)  # as by a machine that is out of memory
        return whole(dataset, key)

    monkeypatch.setattr(PairedDataset, "__getitem__", killed)
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid"):
        runs.run_training(runs.config_of(tmp_path, runs.GRAPH, {"train_dataloader.num_workers": 1}), tmp_path / "run")
    assert (tmp_path / "run" / "epoch_1.pth").is_file()


DEAD = """
import os, signal, sys
from xkd import cli
from xkd.engine import hooks

whole = hooks.StepHook.before_train_iter


def dies(hook, runner, batch_idx, data_batch=None):
    if runner.rank == 1 and runner.iter == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    whole(hook, runner, batch_idx, data_batch)


hooks.StepHook.before_train_iter = dies
sys.exit(cli.run("train", sys.argv[2:]))
"""


def test_a_dead_rank_ends_the_others(data_root: Path, tmp_path: Path) -> None:
    arguments = [str(runs.write(tmp_path, config=runs.GRAPH)), "--work-dir", str(tmp_path / "run"), "--cfg-options", *OPTIONS]
    first, dead = runs.launched(arguments, data_root, tmp_path, DEAD)
    assert dead.code == -signal.SIGKILL
    assert first.code not in (0, -signal.SIGKILL)
    assert "Connection closed by peer" in first.err or "Connection reset by peer" in first.err
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.slow
def test_torchrun(data_root: Path, tmp_path: Path) -> None:
    config = runs.write(tmp_path, config=runs.GRAPH)
    (tmp_path / "rank.py").write_text(RANK, "utf-8")
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", runs.free_port()]
    arguments = [str(config), "--work-dir", str(tmp_path / "run"), "--launcher", "pytorch", "--cfg-options", *OPTIONS]
    command = [*torchrun, str(tmp_path / "rank.py"), str(tmp_path), *arguments]
    done = runs.run_python(command, data_root, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr
    check(tmp_path)


def test_a_launcher_that_cannot_work_says_what_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("RANK", raising=False)
    assert launch.prepare("none", {}) == {}
    with pytest.raises(ValueError, match="only --launcher pytorch works"):
        launch.prepare("slurm", {})
    with pytest.raises(ValueError, match="started by torchrun: torchrun --nproc-per-node"):
        launch.prepare("pytorch", {})
    with pytest.raises(ValueError, match=r"unknown launcher 'ssh'; there are \['none'"):
        launch.prepare("ssh", {})


def test_with_a_gpu_the_group_is_there_before_the_loaders(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(launch, "init_dist", lambda launcher, **settings: made.append((launcher, settings)))
    monkeypatch.setenv("RANK", "0")
    assert launch.prepare("pytorch", {"backend": "nccl", "timeout": 60}) == {}
    assert launch.prepare("slurm", {}) == {}
    assert made == [("pytorch", {"backend": "nccl", "timeout": 60}), ("slurm", {})]
    monkeypatch.delenv("RANK")
    with pytest.raises(ValueError, match="started by torchrun"):
        launch.prepare("pytorch", {})


ON_PAIRS = f"""{runs.HEAD}
from xkd.losses import FitNet
from xkd.projectors import Conv1x1
from xkd.tasks import Features

hint = dict(hint=dict(type=Tap, path="deep"))
distiller = dict(
    type=Distiller,
    student="thermal",
    task=dict(type=Features),
    branches=dict(
        rgb=dict(type=Branch, model=dict(type=CNN), view=rgb, weights=dict(type=Random, frozen=True), taps=hint, frozen=True),
        thermal=dict(type=Branch, model=dict(type=CNN, channels=1), view=thermal, weights=dict(type=Random), taps=hint),
    ),
    terms=dict(
        hint=dict(type=Term, loss=dict(type=FitNet), student="thermal.hint", teacher="rgb.hint", projector=dict(type=Conv1x1)),
    ),
)
for loader in (train_dataloader, val_dataloader, test_dataloader):
    loader["dataset"].update(views=[thermal, rgb])
save_best = "val/loss"
"""
"""Its classifier is read by no term, so it gets no gradient."""


def test_two_processes_learn_from_pairs_and_judge_by_all_of_val(data_root: Path, tmp_path: Path) -> None:
    config = runs.write(tmp_path, config=ON_PAIRS)
    outputs = in_two_processes([str(config), "--work-dir", str(tmp_path / "run"), "--cfg-options", *OPTIONS], data_root, tmp_path)
    check(tmp_path)
    assert "best val/loss" in outputs[0]
