"""Networks of segmentation-models-pytorch are used as they are: one trains, is tapped and exported, for classes and for numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from core_models import RGB, make_batch

from xkd.batch import Number, View
from xkd.deploy.export import CardNotes, export_onnx
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import CrossEntropy, ScaleInvariantLog
from xkd.taps import Tap
from xkd.tasks import Dense, Segmentation, Task

smp = pytest.importorskip("segmentation_models_pytorch")
VIEW = View("rgb", RGB, (32, 64))
TASKS = {"classes": Segmentation(("soil", "crop", "weed")), "numbers": Dense((Number("range", "m", (2, 80)),), ratios=True)}


@pytest.mark.parametrize("kind", TASKS)
def test_a_unet_trains_is_tapped_and_exported(kind: str, tmp_path: Path) -> None:
    task: Task = TASKS[kind]
    torch.manual_seed(0)
    network = smp.Unet("resnet18", encoder_weights=None, encoder_depth=3, decoder_channels=(16, 16, 8), classes=len(task.names))
    branch = Branch(network, VIEW, Random(), {"deep": Tap("encoder.layer2"), "last": Tap("decoder.blocks.2")})
    loss = CrossEntropy() if kind == "classes" else ScaleInvariantLog()
    distiller = Distiller({"rgb": branch}, {"labels": Term(loss, "rgb.output", "batch.target")}, "rgb", task)
    distiller.bind()
    batch = make_batch(4, views=(VIEW,), target=task.example_target(4, VIEW.size))
    optimizer, losses = torch.optim.AdamW(distiller.parameters(), 3e-3), []
    for _ in range(5):
        step = distiller(batch)
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        losses.append(step.loss.item())
    assert losses[-1] < losses[0]
    branch.eval()
    with torch.no_grad():
        capture = branch(batch, task)
    assert (capture["deep"].shape, capture["last"].shape) == ((4, 128, 4, 8), (4, 8, 32, 64))
    export_onnx(branch, task, tmp_path / "m.onnx", CardNotes("m"))
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    answer = session.run(None, {"images": batch.views["rgb"].numpy().astype(np.float32)})[-1]
    assert np.abs(answer - task.predict(capture["output"]).numpy()).max() < task.tolerance
