"""A made-up batch, by which a graph finds out its shapes before any data are read."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from xkd.batch import Batch, View
from xkd.tasks.task import Task


def example_batch(views: list[View], task: Task, rows: int, device: torch.device, mask_size: tuple[int, int] | None = None) -> Batch:
    """Full rows of plausible noise, for a dry run: every view present, labelled and masked, masks as large as the first view by default."""
    mask_size = mask_size or views[0].size
    generator = torch.Generator().manual_seed(0)

    def noise(view: View) -> Tensor:
        mean, std = (torch.tensor(v).reshape(1, -1, 1, 1) for v in (view.modality.mean, view.modality.std))
        return (torch.randn((rows, view.modality.channels, *view.size), generator=generator) * std + mean).to(device)

    everything: Bool[Tensor, " b"] = torch.ones(rows, dtype=torch.bool)
    return Batch(
        views={view.name: noise(view) for view in views},
        present={view.name: everything for view in views},
        target=task.example_target(rows, mask_size).to(device),
        labelled=everything,
        mask=torch.ones((rows, 1, *mask_size), device=device),
        masked=everything,
        index=torch.arange(rows, device=device),
        draw=torch.zeros(rows, dtype=torch.long, device=device),
        groups={view.name: [""] * rows for view in views},
    )
