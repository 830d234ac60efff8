"""What a run says of its steps, once per log interval: means, and the terms and samples of steps that are not finite."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from mmengine.dist import all_reduce, get_rank
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from torch import Tensor, nn

from xkd.batch import Batch
from xkd.data.loader import collate
from xkd.engine.hooks import distiller_of
from xkd.engine.precision import StepOptimWrapper
from xkd.files import write_atomically

NORM = "grad_norm"


class IntervalInfoHook(RuntimeInfoHook):
    """mmengine's own hook turns each logged value into a number in each step; this one keeps them on the device until the log interval.

    What is logged is the mean over the interval's finite steps. Of a step that is not finite the optimiser has taken nothing (see
    `StepOptimWrapper`); the first of an interval is named with its terms and samples, which are written to `not_finite/` in the run's
    folder. `not_finite` says what then happens: "stop" ends the run, "skip" goes on and counts
    (`default_hooks = dict(runtime_info=dict(not_finite="skip"))`); more than `most` such steps end a run in any case.
    """

    def __init__(self, not_finite: Literal["stop", "skip"] = "stop", most: int = 100) -> None:
        super().__init__()
        if not_finite not in ("stop", "skip") or most < 1:
            raise ValueError(f"runtime_info: not_finite is 'stop' or 'skip' and most 1 or more; got {not_finite!r} and {most}")
        self.not_finite, self.most = not_finite, most
        self.left_out = 0
        self.names: list[str] = []
        self.steps: list[Tensor] = []  # the values of one step each, in the order of `names`
        self.samples: list[tuple[Tensor, Tensor]] = []  # row and draw of each step's samples
        self.statistics: dict[Tensor, Tensor] = {}  # of batch norm, and what they were when all was well

    def before_train(self, runner: Any) -> None:
        super().before_train(runner)
        for term in distiller_of(runner).terms.values():
            term.strict = False  # the interval's report says more: the samples too, and writes them down
        norms = [module for module in runner.model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        buffers = [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var) if buffer is not None]
        self.statistics = {buffer: buffer.clone() for buffer in buffers}

    def before_train_epoch(self, runner: Any) -> None:
        super().before_train_epoch(runner)
        self.steps, self.samples = [], []

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        taken = isinstance(runner.optim_wrapper, StepOptimWrapper) and runner.optim_wrapper.should_update()
        norm = runner.optim_wrapper.norm if taken else torch.zeros_like(outputs["loss"])
        self.names = [*outputs, NORM]
        self.steps.append(torch.stack([*outputs.values(), norm]))
        self.samples.append((data_batch.index, data_batch.draw))
        if self.every_n_inner_iters(batch_idx, log_interval(runner)) or self.end_of_epoch(runner.train_dataloader, batch_idx):
            self.flush(runner)

    def flush(self, runner: Any) -> None:
        stacked = torch.stack(self.steps).double()
        # a term's value here is its share of the mean over the rows of all processes; one that is not finite is told by all of them
        all_reduce(stacked, op="mean")
        values = stacked.cpu()
        finite = values.isfinite().all(1)
        if not finite.all():
            self._tell(runner, values, (~finite).nonzero().flatten().tolist())
        for name, of in zip(self.names, values[finite].T, strict=True):
            of = of[of > 0] if name == NORM else of  # gradients that are still being gathered have none
            if len(of):
                runner.message_hub.update_scalar(f"train/{name}", of.mean().item())
        self.steps, self.samples = [], []
        for buffer, before in self.statistics.items():
            before.copy_(buffer)

    def _tell(self, runner: Any, values: Tensor, steps: list[int]) -> None:
        """Say which step was not finite; go on from statistics that are, or end the run."""
        self.left_out += len(steps)
        text = self._not_finite(runner, values, steps[0])
        for buffer, before in self.statistics.items():
            buffer.copy_(torch.where(buffer.isfinite(), buffer, before))
        if self.not_finite == "stop" or self.left_out > self.most:
            raise FloatingPointError(f"{text}; {self.left_out} steps were left out, the last checkpoint is whole")
        runner.message_hub.update_scalar("train/left_out", self.left_out)
        runner.logger.error("%s; %d such steps of this interval were left out, %d in all", text, len(steps), self.left_out)

    def _not_finite(self, runner: Any, values: Tensor, step: int) -> str:
        logged = dict(zip(self.names, values[step].tolist(), strict=True))
        terms = distiller_of(runner).compares
        bad = [name.removeprefix("term_") for name, value in logged.items() if not np.isfinite(value) and name not in ("loss", NORM)]
        wrong = " and ".join(f"term {name}, which compares {terms[name]}," for name in bad)
        wrong = wrong or ("the sum" if not np.isfinite(logged["loss"]) else "the gradient")
        rates = ", ".join(f"{name} {rate[0]:.3g}" for name, rate in runner.optim_wrapper.get_lr().items())
        iteration = runner.iter + 2 - len(values) + step
        return (
            f"epoch {runner.epoch + 1}, iteration {iteration}: {wrong} is not finite"
            f" ({', '.join(f'{name} {value:.4g}' for name, value in logged.items())}; {rates}); {self._samples(runner, step, iteration)}."
            " Lower the learning rate or the term's weight, clip gradients (optim_wrapper.clip_grad), or look for bad pixels"
        )

    def _samples(self, runner: Any, step: int, iteration: int) -> str:
        """Make the step's samples again, a function of row and draw, and write them down; names those with pixels that are not finite."""
        dataset = runner.train_dataloader.dataset
        keys = [(int(index), int(draw)) for index, draw in zip(*self.samples[step], strict=True)]
        batch = collate([dataset[key] for key in keys])
        path = Path(runner.work_dir) / "not_finite" / f"iteration_{iteration}{f'_rank_{get_rank()}' if get_rank() else ''}.npz"
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, **_arrays(batch))
        write_atomically(path, file.getvalue())
        names = [meta["id"] for meta in batch.meta]
        broken = [name for name, row in zip(names, _broken_rows(batch), strict=True) if row]
        pixels = f"{', '.join(broken)} of its samples have pixels that are not finite" if broken else "the pixels of its samples are finite"
        return f"{pixels}, all {len(names)} are in {path}"


def _arrays(batch: Batch) -> dict[str, Any]:
    """Plain arrays by name: views in the sensors' units, what the rows are, what branches had answered."""
    views = {f"view_{name}": view.float().numpy() for name, view in batch.views.items()}
    cached = {f"cached_{name}": reading.float().numpy() for name, reading in batch.cached.items()}
    rows = {"id": np.array([meta["id"] for meta in batch.meta]), "index": batch.index.numpy(), "draw": batch.draw.numpy()}
    return {**rows, "target": batch.target.numpy(), **views, **cached}


def _broken_rows(batch: Batch) -> list[bool]:
    rows = torch.zeros(len(batch), dtype=torch.bool)
    for pixels in (*batch.views.values(), *batch.cached.values()):
        rows |= ~pixels.float().flatten(1).isfinite().all(1)
    broken: list[bool] = rows.tolist()
    return broken


def log_interval(runner: Any) -> int:
    return next((int(hook.interval) for hook in runner.hooks if isinstance(hook, LoggerHook)), 50)
