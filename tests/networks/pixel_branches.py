"""What every network for pixels must do, whoever wrote it: learn as a branch, and answer the same as an ONNX file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from core_models import make_batch
from torch import nn

from xkd.batch import Batch
from xkd.deploy.card import CardNotes
from xkd.deploy.export import export_onnx
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.tasks import Task


def learns(branch: Branch, loss: nn.Module, task: Task, steps: int) -> Batch:
    """The batch by which it has learned."""
    distiller = Distiller({"rgb": branch}, {"labels": Term(loss, "rgb.output", "batch.target")}, "rgb", task)
    distiller.bind()
    batch = make_batch(4, views=(branch.view,), target=task.example_target(4, branch.view.size))
    optimizer, losses = torch.optim.AdamW(distiller.parameters(), 3e-3), []
    for _ in range(steps):
        step = distiller(batch)
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        losses.append(step.loss.item())
    assert losses[-1] < losses[0]
    return batch


def answers_as_a_file(branch: Branch, task: Task, batch: Batch, folder: Path) -> None:
    export_onnx(branch, task, folder / "m.onnx", CardNotes("m"))
    session = onnxruntime.InferenceSession(folder / "m.onnx", providers=["CPUExecutionProvider"])
    answer = session.run(None, {"images": batch.views["rgb"].numpy().astype(np.float32)})[-1]
    with torch.no_grad():
        expected = task.predict(branch.eval()(batch, task)["output"]).numpy()
    assert answer.shape == expected.shape
    assert np.abs(answer - expected).max() < task.tolerance
