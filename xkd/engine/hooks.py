"""What xkd adds to mmengine's training loop: the epoch's seed and schedule, logging without a sync per step, plain checkpoints."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from mmengine.dist import all_reduce, all_reduce_params, get_rank, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook
from mmengine.model import is_model_wrapper
from rich.console import Console
from torch import nn

from xkd.changes.rounded import inputs_of
from xkd.data.rows import Row
from xkd.engine.folds import taught_by
from xkd.files import write_atomically
from xkd.graph.changes import name_of
from xkd.graph.distiller import Distiller
from xkd.graph.shared import shared_keys
from xkd.graph.state_dicts import load_file
from xkd.graph.weights import EMA, Shared

SETTINGS: Final = "settings"  # what a run was told, in its checkpoints
COPIES: Final = (
    "{hook} keeps a copy of the network, which a resumed run has no more (mmengine's EMAHook copies teachers and memories too)."
    " For a running average add a branch: average=dict(type=Branch, model=..., view=..., weights=dict(type=EMA, of='rgb', decay=0.98)),"
    " and test or export it by --cfg-options distiller.student=average"
)


def distiller_of(runner: Any) -> Distiller:
    return distiller_of_model(runner.model)


def distiller_of_model(model: Any) -> Distiller:
    distiller: Distiller = (model.module if is_model_wrapper(model) else model).distiller
    return distiller


class StepHook(Hook):
    """Seeds the model's randomness from (seed, epoch), tells the distiller the epoch, lets EMA branches follow, keeps the time."""

    priority = "VERY_HIGH"
    started: float

    def before_train(self, runner: Any) -> None:
        # the seconds before an interruption come from the checkpoint
        self.started = time.perf_counter() - runner.message_hub.get_info("seconds", 0.0)

    def after_train_epoch(self, runner: Any) -> None:
        runner.message_hub.update_info("seconds", time.perf_counter() - self.started)

    def after_train(self, runner: Any) -> None:
        self.after_train_epoch(runner)

    def before_train_epoch(self, runner: Any) -> None:
        # a run resumed at an epoch's end then draws the same dropout as one that was never interrupted
        seed = int(np.random.SeedSequence([runner.seed, runner.epoch, get_rank()]).generate_state(1)[0])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        distiller_of(runner).epoch = runner.epoch + batch_idx / len(runner.train_dataloader)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if runner.optim_wrapper.should_update():
            distiller_of(runner).after_step()


class SyncStatisticsHook(Hook):
    """Averages batch norm's running statistics over processes after each epoch, and widens rounded ranges to those of all.

    mmengine's own hook averages every buffer, so also a loss's memory of rows, which each process keeps for itself.
    """

    def after_train_epoch(self, runner: Any) -> None:
        norms = [module for module in runner.model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        statistics = [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var) if buffer is not None]
        if statistics:
            all_reduce_params(statistics, op="mean")
        for grid in inputs_of(runner.model).values():
            all_reduce(grid.low, op="min")
            all_reduce(grid.high, op="max")


class PlainCheckpointHook(CheckpointHook):
    """Checkpoints that load weights-only, without the branches that can be loaded from their source, never half-written.

    The periodic one is written after the epoch's validation, so that it knows the best score so far; mmengine's would be written
    before, and a resumed run would skip that validation. A file goes only when the one that replaces it is there.
    """

    best_ckpt_path: str | None

    def __init__(self, interval: int = 1, max_keep_ckpts: int = 2, save_best: str = "", less_is_better: bool = False) -> None:
        if max_keep_ckpts in (0, 1):
            raise ValueError(
                f"max_keep_ckpts must be at least 2, so that the last one stays while the next is written; got {max_keep_ckpts}"
            )
        super().__init__(
            interval=interval,
            max_keep_ckpts=max_keep_ckpts,
            save_best=save_best or None,
            rule=("less" if less_is_better else "greater") if save_best else None,
            backend_args={"backend": "atomic"},
        )
        self.validations: list[dict[str, float]] = []  # what each gave; early stopping counts them

    def before_train(self, runner: Any) -> None:
        super().before_train(runner)
        for hook in runner.hooks:
            if copies(hook, runner.model):
                raise ValueError(COPIES.format(hook=type(hook).__name__))
        if self.best_ckpt_path and not is_whole(Path(runner.work_dir) / Path(self.best_ckpt_path).name):
            # the run has gone back to a checkpoint before the one that knew of a better one, or a bit of it has flipped
            runner.logger.error("%s is gone or damaged; the next validation makes a new best checkpoint", self.best_ckpt_path)
            self.best_ckpt_path = None
            for key in ("best_ckpt", "best_score"):
                runner.message_hub.pop_info(key)

    def after_train_epoch(self, runner: Any) -> None:
        if not self._validates_now(runner):
            super().after_train_epoch(runner)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float]) -> None:
        previous, self.best_ckpt_path, self.last_ckpt = self.best_ckpt_path, None, None  # what mmengine does not know it cannot remove
        self.validations.append(dict(metrics))
        super().after_val_epoch(runner, metrics)
        best, self.best_ckpt_path = self.best_ckpt_path, self.best_ckpt_path or previous
        if best or runner.epoch % self.interval == 0 or runner.epoch == runner.max_epochs:
            self._save_checkpoint_with_step(runner, runner.epoch, {"epoch": runner.epoch, "iter": runner.iter})
        if best and previous not in (None, best) and is_main_process():
            Path(previous).unlink(missing_ok=True)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        distiller = distiller_of(runner)
        left_out = _left_out(distiller)
        checkpoint["state_dict"] = {key: value for key, value in checkpoint["state_dict"].items() if key not in left_out}
        # the message hub pickles its history of scalars, which a weights-only load refuses; what a resume needs of it is plain
        plain = {key: value for key, value in as_python(checkpoint["message_hub"]["runtime_info"]).items() if is_plain(value)}
        checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": plain, "resumed_keys": dict.fromkeys(plain, True)}
        checkpoint["validations"] = as_python(self.validations)
        # as the config names them: a smoke run, which loads none, is asked about them too
        weights = {name: branch.weights for name, branch in runner.cfg.distiller.branches.items()}
        taught = {name: of.path for name, of in weights.items() if "path" in of}
        data = runner.train_dataloader.dataset
        checkpoint["meta"]["xkd"] = {
            "student": distiller.student_name,
            "classes": list(distiller.task.names),  # or what else its outputs are
            "own_classes": {name: list(of.own_task.names) for name, of in distiller.branches.items() if of.own_task},
            "shared": {name: of.weights.of for name, of in distiller.branches.items() if isinstance(of.weights, Shared)},
            "changes": {name: list(map(name_of, of.changes)) for name, of in distiller.branches.items() if of.changes},
            "teachers": taught,
            "crops": crops_of(data.rows),
            **({"seen": taught_by(distiller, data)} if data.part.without else {}),
            SETTINGS: dict(runner.cfg[SETTINGS]),
        }
        for key in {"meta", "optimizer", "param_schedulers"} & set(checkpoint):
            checkpoint[key] = as_python(checkpoint[key])
        if "optimizer" in checkpoint:
            # an epoch may end between two optimiser steps (accumulative_counts); of several processes only the first's are kept
            checkpoint["gradients"] = {name: p.grad.cpu() for name, p in distiller.named_parameters() if p.grad is not None}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        distiller = distiller_of(runner)
        state = checkpoint["state_dict"]
        state.update(_left_out(distiller))
        own = {f"distiller.{key}": value.shape for key, value in distiller.state_dict().items()}
        held = {key: value.shape for key, value in state.items()}
        odd = sorted(key for key in own.keys() | held.keys() if own.get(key) != held.get(key))
        if odd:
            raise ValueError(
                f"the checkpoint is of another graph: {len([key for key in own if key not in odd])} of {len(own)} tensors match, '{odd[0]}'"
                f" is {_shape(held, odd[0])} in the checkpoint and {_shape(own, odd[0])} in the config; start a new --work-dir"
            )
        check_same_run(runner, checkpoint["meta"])
        for name, parameter in distiller.named_parameters():
            if name in checkpoint.get("gradients", {}):
                parameter.grad = checkpoint["gradients"][name].to(parameter.device)
        self.validations = list(checkpoint.get("validations", []))
        for hook in runner.hooks:
            if isinstance(hook, EarlyStoppingHook):  # keeps its count nowhere; told again, it knows it again
                for metrics in self.validations:
                    hook.after_val_epoch(runner, metrics)

    def _validates_now(self, runner: Any) -> bool:
        epoch = runner.epoch + 1
        loop = runner.train_loop
        return bool(epoch >= loop.val_begin and (epoch % loop.val_interval == 0 or epoch == runner.max_epochs))


def check_same_run(runner: Any, meta: Mapping[str, Any]) -> None:
    """The seed and the number of steps are those of the run that goes on."""
    if meta["seed"] != runner.seed:
        raise ValueError(f"the run to resume used seed {meta['seed']}, not {runner.seed}; pass --seed {meta['seed']}")
    steps, epochs, now = meta["iter"], meta["epoch"], len(runner.train_dataloader)
    if steps != epochs * now:
        raise ValueError(
            f"the run to resume had {steps // epochs} steps an epoch, now there are {now}: the data set or the number of processes has"
            " changed; take those of the run, or start a new --work-dir"
        )


def crops_of(rows: Sequence[Row]) -> float:
    """The share of rows that are crops of their images."""
    return sum(row.crop is not None for row in rows) / max(len(rows), 1)


def checkpoints(work_dir: Path) -> list[Path]:
    """Of whole epochs, the last one first. By the files themselves: mmengine's note `last_checkpoint` may be half-written."""
    return sorted(work_dir.glob("epoch_*.pth"), key=lambda path: -int(path.stem.removeprefix("epoch_")))


def find_last(work_dir: Path, console: Console) -> str | None:
    """Path of the checkpoint to go on from, the last that is as it was written, each broken one named; None where there is none yet."""
    paths, broken = checkpoints(work_dir), []
    for path in paths:
        try:
            load_file(str(path))
        except ValueError as error:
            broken.append(str(error))
        else:
            for damage in broken:
                console.print(f"{damage}; the run goes on from {path.name}", style="bold red")
            if not broken:
                console.print(f"the run goes on from {path.name}")
            return str(path)
    if paths:
        raise ValueError(f"none of the {len(paths)} checkpoints can be gone on from: {'; '.join(broken)}")
    return None


def copies(hook: Hook, model: nn.Module) -> bool:
    """Whether a hook holds a network with all tensors of the student's beside the model itself."""
    own, distiller = set(map(id, model.modules())), distiller_of_model(model)
    keys = list(distiller.student.model.state_dict())
    for held in vars(hook).values():
        if isinstance(held, nn.Module) and id(held) not in own and keys:
            there = set(held.state_dict())
            before = [key.removesuffix(keys[0]) for key in there if key.endswith(keys[0])]
            if any(there.issuperset(f"{prefix}{key}" for key in keys) for prefix in before):
                return True
    return False


def is_whole(path: Path) -> bool:
    try:
        load_file(str(path))
    except (FileNotFoundError, ValueError):
        return False
    return True


def as_python(node: Any) -> Any:
    """The same with NumPy's scalars, which a weights-only load refuses, as Python's numbers."""
    if isinstance(node, Mapping):
        return {key: as_python(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return type(node)(as_python(value) for value in node)
    return node.item() if isinstance(node, np.generic) else node


def is_plain(value: Any) -> bool:
    return type(value) in (str, int, float, bool) or (type(value) is list and all(map(is_plain, value)))


def _shape(shapes: Mapping[str, torch.Size], key: str) -> str:
    return str(tuple(shapes[key])) if key in shapes else "absent"


def reproducible_branches(distiller: Distiller) -> list[str]:
    """Branches left out of checkpoints: frozen ones that are loaded from their source, or have another's weights; an EMA branch is not."""
    return [name for name, branch in distiller.branches.items() if branch.frozen and not isinstance(branch.weights, EMA)]


def _left_out(distiller: Distiller) -> dict[str, torch.Tensor]:
    """What a checkpoint need not hold: reproducible branches, and tensors that it holds as another branch's."""
    reproducible = tuple(f"branches.{name}." for name in reproducible_branches(distiller))
    shared = shared_keys(dict(distiller.branches.items()))
    every: dict[str, torch.Tensor] = distiller.state_dict()
    return {f"distiller.{key}": value for key, value in every.items() if key.startswith(reproducible) or key in shared}


@register_backend("atomic", force=True)
class AtomicBackend(LocalBackend):
    """Local files that are written to a temporary name, synced and renamed."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        write_atomically(Path(filepath), obj)
