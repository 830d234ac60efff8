"""Networks of segmentation-models-pytorch are used as they are: one trains, is tapped and exported, for classes and for numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from core_models import RGB
from pixel_branches import answers_as_a_file, learns

from xkd.batch import Number, View
from xkd.graph.branch import Branch
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
    batch = learns(branch, loss, task, steps=5)
    capture = branch(batch, task)
    assert (capture["deep"].shape, capture["last"].shape) == ((4, 128, 4, 8), (4, 8, 32, 64))
    answers_as_a_file(branch, task, batch, tmp_path)
