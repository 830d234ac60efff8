"""A linear probe: what a frozen network's last stage says of the labels, a sign of what fine-tuning will find."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, Shaped
from mmengine.config import Config
from torch import Tensor, nn
from torch.utils.data import DataLoader

from xkd.data.sample import NO_DRAW
from xkd.engine.config import as_plain
from xkd.engine.loaders import build_loader
from xkd.engine.student import Student
from xkd.evidence.readings import output_and_reading
from xkd.statistics import run_of
from xkd.tasks import Task, task_of

_DECAY: Final = 1e-2  # of the squared weights, beside the mean loss; not tuned
_STEPS: Final = 100  # of L-BFGS, which converges in fewer
_MOST: Final = 4000  # rows of a split: more hardly move a linear classifier


def probe(config: Config, network: Student) -> Mapping[str, float]:
    """Measures on val of a linear layer that learned from the labels of train, the one that counts first; empty where there are none."""
    (train, train_target), (val, val_target) = (features(config, network, split) for split in ("train", "val"))
    dataset: Any = build_loader(config.val_dataloader, 0, views=[network.branch.view]).dataset
    task = task_of(dataset.annotation)
    if not len(train) or not len(val) or task is None:
        return {}
    mean, std = train.mean(0), train.std(0).clamp(min=1e-6)
    layer = fit_linear((train - mean) / std, train_target, task)
    with torch.no_grad():
        predictions = task.predict(task.in_units(layer((val - mean) / std)))
    measures = task.measures()
    values = measures.of(run_of(predictions.numpy(), val_target.numpy()))
    return {measures.probed: values[measures.probed], **values}


def score(probed: Mapping[str, float]) -> float:
    """The one number of a probe by which two networks are compared: its first."""
    return next(iter(probed.values()))


def fit_linear(features: Float[Tensor, "n d"], target: Shaped[Tensor, "n ..."], task: Task) -> nn.Linear:
    """By the task's plain loss, such as logistic regression, with decay of the weights; `task.in_units` of it are outputs."""
    layer = nn.Linear(features.shape[1], len(task.names))
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer: Any = torch.optim.LBFGS(layer.parameters(), max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> float:
        optimizer.zero_grad()
        output = task.in_units(layer(features))
        loss: Any = task.loss(output, target) + _DECAY * layer.weight.square().sum() / 2
        loss.backward()
        return float(loss.detach())

    optimizer.step(closure)
    return layer


def features(config: Config, network: Student, split: str) -> tuple[Float[Tensor, "n d"], Shaped[Tensor, "n ..."]]:
    """Of the split's labelled rows: the last stage averaged over positions, and the targets."""
    branch = network.branch
    section = {key: value for key, value in config[f"{split}_dataloader"].items() if key != "mix"}
    # windows have no labels, the rows in whose place they are have
    dataset = {key: value for key, value in as_plain(section["dataset"]).items() if key != "windows"}
    section |= {"sampler": {"shuffle": False}, "drop_last": False, "dataset": dataset}
    readings, targets = [torch.empty(0, 1)], []
    whole: Any = build_loader(section, 0, views=[branch.view])
    labelled = np.flatnonzero(whole.dataset.strata >= 0)
    if len(labelled) > _MOST:
        logging.getLogger("xkd").info(f"the linear probe reads {_MOST} of the {len(labelled)} labelled rows of {split}")
        labelled = np.sort(np.random.default_rng(0).choice(labelled, _MOST, replace=False))
    keys: Any = [(int(row), NO_DRAW) for row in labelled]
    loader = DataLoader(whole.dataset, whole.batch_size, sampler=keys, num_workers=whole.num_workers, collate_fn=whole.collate_fn)
    for batch in loader:
        rows = (batch.present[branch.view.name] & batch.labelled).nonzero().flatten()
        if len(rows):
            _, deep = output_and_reading(branch, batch.to(branch.mean.device), network)
            readings.append(deep.cpu()[rows])
            targets.append(batch.target[rows])
    if not targets:
        return readings[0], torch.empty(0)
    return torch.cat(readings[1:]), torch.cat(targets)
