"""What xkd adds to mmengine's training loop: the epoch's seed and schedule, logging without a sync per step, plain checkpoints."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook, Hook, LoggerHook, RuntimeInfoHook
from mmengine.model import is_model_wrapper
from torch import Tensor

from xkd.distiller import Distiller
from xkd.weights import EMA


def distiller_of(runner: Any) -> Distiller:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    distiller: Distiller = model.distiller
    return distiller


class StepHook(Hook):  # type: ignore[misc]  # mmengine is untyped
    """Seeds the model's randomness from (seed, epoch), tells the distiller the epoch, lets EMA branches follow."""

    priority = "VERY_HIGH"

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


class IntervalInfoHook(RuntimeInfoHook):  # type: ignore[misc]  # mmengine is untyped
    """mmengine's own hook turns each logged value into a number in each step; this one sums on the device until the log interval.

    At the interval a value that is not finite ends the run, named.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def before_train_epoch(self, runner: Any) -> None:
        super().before_train_epoch(runner)
        self.sums, self.count = {}, 0

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        for name, value in outputs.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.count += 1
        if self.every_n_inner_iters(batch_idx, log_interval(runner)) or self.end_of_epoch(runner.train_dataloader, batch_idx):
            self.flush(runner)

    def flush(self, runner: Any) -> None:
        means = (torch.stack(list(self.sums.values())).double() / self.count).tolist()
        values = dict(zip(self.sums, means, strict=True))
        wrong = [name.removeprefix("term_") for name, value in values.items() if not np.isfinite(value) and name != "loss"]
        if wrong or not np.isfinite(values["loss"]):
            learning_rates = {name: rates[0] for name, rates in runner.optim_wrapper.get_lr().items()}
            raise FloatingPointError(
                f"epoch {runner.epoch + 1}, within the {self.count} steps up to iteration {runner.iter + 1}:"
                f" term {', '.join(wrong) or 'sum'} is not finite ({values}); learning rate {learning_rates}."
                " Lower the learning rate or the term's weight, clip gradients (optim_wrapper.clip_grad), or look for bad pixels"
            )
        for name, value in values.items():
            runner.message_hub.update_scalar(f"train/{name}", value)
        self.sums, self.count = {}, 0


def log_interval(runner: Any) -> int:
    return next((int(hook.interval) for hook in runner.hooks if isinstance(hook, LoggerHook)), 50)


class PlainCheckpointHook(CheckpointHook):  # type: ignore[misc]  # mmengine is untyped
    """Checkpoints that load weights-only, without the branches that can be loaded from their source, never half-written.

    The periodic one is written after the epoch's validation, so that it knows the best score so far; mmengine's would be written
    before, and a resumed run would skip that validation.
    """

    def __init__(self, interval: int = 1, max_keep_ckpts: int = 2, save_best: str = "") -> None:
        super().__init__(
            interval=interval,
            max_keep_ckpts=max_keep_ckpts,
            save_best=save_best or None,
            rule="greater" if save_best else None,
            backend_args={"backend": "atomic"},
        )

    def after_train_epoch(self, runner: Any) -> None:
        if not self._validates_now(runner):
            super().after_train_epoch(runner)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float]) -> None:
        if self.save_best and self.key_indicators[0] not in metrics:
            raise KeyError(f"save_best = '{self.key_indicators[0]}' is not measured; there are {sorted(metrics)}")
        super().after_val_epoch(runner, metrics)
        if runner.epoch % self.interval == 0 or runner.epoch == runner.max_epochs:
            self._save_checkpoint_with_step(runner, runner.epoch, {"epoch": runner.epoch, "iter": runner.iter})

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        distiller = distiller_of(runner)
        reproducible = tuple(f"distiller.branches.{name}." for name in reproducible_branches(distiller))
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {key: value for key, value in state.items() if not key.startswith(reproducible)}
        # the message hub pickles its history of scalars, which a weights-only load refuses; what a resume needs of it is plain
        # by exact type: a NumPy scalar is a float too, and is refused as well
        plain = {k: v for k, v in checkpoint["message_hub"]["runtime_info"].items() if type(v) in (str, int, float, bool)}
        checkpoint["message_hub"] = {"log_scalars": {}, "runtime_info": plain, "resumed_keys": {}}
        checkpoint["meta"]["xkd"] = {"student": distiller.student_name, "classes": list(distiller.task.classes)}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        distiller = distiller_of(runner)
        state = checkpoint["state_dict"]
        for name in reproducible_branches(distiller):
            for key, value in distiller.branches[name].state_dict().items():
                state[f"distiller.branches.{name}.{key}"] = value
        own = {f"distiller.{key}" for key in distiller.state_dict()}
        if own != set(state):
            odd = sorted(own ^ set(state))
            raise ValueError(
                f"the checkpoint is of another graph: {len(own & set(state))} of {len(own)} tensors match, '{odd[0]}' is on one side only"
                " (different branches, taps or terms?); start a new --work-dir"
            )

    def _validates_now(self, runner: Any) -> bool:
        epoch = runner.epoch + 1
        loop = runner.train_loop
        return bool(epoch >= loop.val_begin and (epoch % loop.val_interval == 0 or epoch == runner.max_epochs))


def reproducible_branches(distiller: Distiller) -> list[str]:
    """Branches left out of checkpoints: frozen ones that are loaded from their source; an EMA branch is not."""
    return [name for name, branch in distiller.branches.items() if branch.frozen and not isinstance(branch.weights, EMA)]


@register_backend("atomic", force=True)
class AtomicBackend(LocalBackend):  # type: ignore[misc]  # mmengine is untyped
    """Local files that are written to a temporary name, synced and renamed."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        write_atomically(Path(filepath), obj)


def write_atomically(path: Path, content: bytes) -> None:
    """The file is the old one or the new one, whatever happens in between; `OSError` names it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, f"cannot write {path}: {error.strerror}; what was there is untouched") from error
