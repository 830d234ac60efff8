"""An ensemble as one network: what several networks on one view say together, for whoever tests or exports it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from xkd.batch import Batch, View
from xkd.ensembles.bound import Bound
from xkd.graph.branch import Branch
from xkd.graph.channels import Statistics
from xkd.graph.example import example_batch
from xkd.tasks.task import Task


@dataclass(frozen=True)
class Inside:
    """Weights of a network that normalises its images itself."""

    def load(self, model: nn.Module, view: View) -> Statistics:
        channels = view.modality.channels
        return (0.0,) * channels, (1.0,) * channels


class Together(nn.Module):
    """Images in the sensor's unit (B, C, H, W) to one output: each network on its own normalisation, then `by`."""

    def __init__(self, branches: Sequence[Branch], by: nn.Module, task: Task) -> None:
        super().__init__()
        for branch in branches:
            branch.taps.close()  # tracing would hand its hooks tensors that do not exist
        self.networks = nn.ModuleList(branch.model for branch in branches)
        self.means = nn.ParameterList(nn.Parameter(branch.mean, requires_grad=False) for branch in branches)
        self.stds = nn.ParameterList(nn.Parameter(branch.std, requires_grad=False) for branch in branches)
        self.class_maps = [branch.class_map for branch in branches]
        self.by, self.task = by, task
        self.batch: Batch = example_batch([branches[0].view], task, 1, torch.device("cpu"))

    def forward(self, images: Shaped[Tensor, "b c h w"]) -> Tensor:
        outputs = tuple(self._output(place, images) for place in range(len(self.networks)))
        there = torch.ones((len(outputs), images.shape[0]), dtype=torch.bool, device=images.device)
        output: Tensor = self.by(outputs, there)
        return output

    def _output(self, place: int, images: Tensor) -> Tensor:
        class_map = self.class_maps[place]

        def answer(inputs: Tensor) -> Any:
            output = self.networks[place](inputs)
            return output if class_map is None else class_map(output, self.task.names)

        return self.task.call(answer, (images - self.means[place]) / self.stds[place], self.batch)


def together(branches: Sequence[Branch], by: nn.Module, task: Task, name: str) -> Branch:
    """A branch whose network is `Together`; `ValueError` where `by` has learned something, or cannot serve the task.

    There are no labels to combine by: what goes by them combines as it does rows without.
    """
    if "target" in inspect.signature(by.forward).parameters:
        if not isinstance(unlabelled := getattr(by, "unlabelled", None), nn.Module):
            raise ValueError(
                f"ensemble '{name}' combines by labels ({type(by).__name__}), and does not say how without: name a source of it"
            )
        by = unlabelled
    if isinstance(by, Bound):
        cast("Bound", by).bind((len(task.names), *((1, 1) if task.grid else ())), len(branches), (), task.names)
    if any(True for _ in by.parameters()):
        raise ValueError(f"ensemble '{name}' has layers ({type(by).__name__}): it cannot be tested as one network; name one of its sources")
    return Branch(Together(branches, by, task), branches[0].view, Inside(), frozen=True, judged=False)
