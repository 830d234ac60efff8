"""What a network says of images, and how its last stage sees them."""

from __future__ import annotations

import torch

from xkd.batch import Batch
from xkd.engine.student import Student
from xkd.graph.branch import Branch
from xkd.taps import Tap, Taps, stage_names


def output_and_reading(branch: Branch, batch: Batch, student: Student) -> tuple[torch.Tensor, torch.Tensor]:
    """The output, and the last stage averaged over positions; of a network without stages, the output once more."""
    images = batch.views[branch.view.name]
    taps = Taps(branch.model, {"deep": Tap("stage:-1")} if stage_names(branch.model) else {})
    try:
        with torch.no_grad():
            output = branch.eval().call(taps, images, batch, student.task)
        deep = taps.read(images.shape).get("deep", output)
    finally:
        taps.close()
    return output, (deep.mean((2, 3)) if deep.ndim == 4 else deep).float()
