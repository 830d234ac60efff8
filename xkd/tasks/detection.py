"""Detection: boxes and their classes, by a dense detector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xkd.batch import Annotation, Batch
from xkd.losses.boxes import IGNORED, parts_of
from xkd.losses.fcos import FCOS
from xkd.networks.logits import no_tensor
from xkd.statistics.measures import Measures
from xkd.tasks.box_measures import SHOWN, box_measures, counts
from xkd.tasks.boxes import Selection, detections
from xkd.tasks.task import Reply, Task

_FIXED: Final = 9  # numbers of a place beside its logits
_SCRIPT: Final = "boxes.py"  # of xkd/deploy: from places to boxes, with numpy alone


@dataclass(frozen=True)
class Detection(Task):
    """Outputs are those of a `DenseDetector`, (B, N, 9 + K); predictions are boxes (B, M, 6): x1 y1 x2 y2 in 0..1, score, class.

    Targets (B, M, 5) are x1 y1 x2 y2 in 0..1 and the class, -1 where padded and -2 where nothing is known; a dataset makes them with
    `target="boxes"`. `selection` says which places become boxes. Those of a score of 0.3 or more are drawn, and written down for people.
    """

    classes: tuple[str, ...]
    selection: Selection = field(default_factory=Selection)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise ValueError(f"detection needs one class or more, all different, got {list(self.classes)}")

    @property
    def names(self) -> tuple[str, ...]:
        return self.classes

    @property
    def noun(self) -> str:
        return "classes"

    @property
    def annotation(self) -> Annotation:
        return Annotation("boxes", self.classes)

    @property
    def pictured(self) -> bool:
        return True

    def call(self, model: Callable[[Tensor], Any], images: Float[Tensor, "b c h w"], batch: Batch) -> Float[Tensor, "b n parts"]:
        output = model(images)
        if not isinstance(output, Tensor):
            raise ValueError(no_tensor(output))
        if output.ndim != 3 or output.shape[2] != _FIXED + len(self.classes):
            raise ValueError(
                f"the network gives {tuple(output.shape)}, detection of {len(self.classes)} classes {list(self.classes)} needs"
                f" (batch, places, {_FIXED + len(self.classes)}); DenseDetector(backbone, num_classes={len(self.classes)}) gives it"
            )
        return output

    def predict(self, output: Float[Tensor, "b n parts"]) -> Float[Tensor, "b most 6"]:
        return detections(output, self.selection)

    def deployed(self, output: Float[Tensor, "b n parts"]) -> Float[Tensor, "b n parts"]:
        """The suppression of boxes is left to the numpy script beside the file."""
        return output

    def choose(self, output: Float[Tensor, "b n parts"]) -> Int[Tensor, " b"]:
        """The class that some place is surest of."""
        return parts_of("Detection", output).logits.amax(1).argmax(1)

    def score(self, output: Float[Tensor, "b n parts"], chosen: Int[Tensor, " b"] | None = None) -> Float[Tensor, ""]:
        """Of the place that is surest of the class."""
        surest = parts_of("Detection", output).logits.amax(1)
        scores: Tensor = surest.gather(1, (surest.argmax(1) if chosen is None else chosen)[:, None]).sum()
        return scores

    def loss(self, output: Float[Tensor, "b n parts"], target: Float[Tensor, "b m 5"]) -> Float[Tensor, ""]:
        loss: Tensor = FCOS()(output, target)
        return loss

    def example_target(self, rows: int, size: tuple[int, int]) -> Float[Tensor, "b 2 5"]:
        """An object in the middle of each, and room for another one."""
        target = torch.tensor([[0.25, 0.25, 0.75, 0.75, 0.0], [0.0, 0.0, 0.0, 0.0, -1.0]]).repeat(rows, 1, 1)
        target[:, 0, 4] = torch.arange(rows) % len(self.classes)
        return target

    def boxes(self, target: Float[Tensor, "b m 5"]) -> Float[Tensor, "b m 5"]:
        return target

    def measures(self) -> Measures:
        return box_measures(self.classes)

    def answer(self, prediction: Float[Tensor, "m 6"], target: Float[Tensor, "t 5"] | None = None) -> Reply:
        shown = prediction[(prediction[:, 5] >= 0) & (prediction[:, 4] >= SHOWN)]
        caption = f"{len(shown)} boxes"
        if target is not None:
            right, wrong, objects = counts(prediction.numpy(), target.numpy(), len(self.classes))
            caption = f"{right} of {objects} found, {wrong} wrong"
        values = {name: max(prediction[prediction[:, 5] == k, 4].tolist(), default=0.0) for k, name in enumerate(self.classes)}
        return Reply(
            said=self._said(shown[:, 5]),
            caption=caption,
            chosen=tuple(name for k, name in enumerate(self.classes) if (shown[:, 5] == k).any()),
            values=values,
            cells=(self._said(shown[:, 5]), *(f"{value:.4f}" for value in values.values())),
            boxes=shown,
        )

    def truth(self, target: Float[Tensor, "m 5"]) -> Reply:
        known = target[target[:, 4] >= 0]
        ignored = int((target[:, 4] == IGNORED).sum())
        said = self._said(known[:, 4]) + (f", {ignored} to ignore" if ignored else "")
        sure = torch.cat([known[:, :4], torch.ones(len(known), 1), known[:, 4:]], 1)
        return Reply(said=said, chosen=tuple(self.classes[k] for k in sorted(set(known[:, 4].int().tolist()))), boxes=sure)

    def _said(self, labels: Float[Tensor, " m"]) -> str:
        numbers = [(int((labels == k).sum()), name) for k, name in enumerate(self.classes)]
        return ", ".join(f"{count} {name}" for count, name in numbers if count) or "none"

    @property
    def columns(self) -> tuple[str, ...]:
        return ("prediction", *self.classes)

    @property
    def outputs(self) -> Mapping[str, str]:
        parts = "box x1 y1 x2 y2 (shares of the image), centre-ness, logits of the classes, place"
        return {"places": f"(batch, places, {_FIXED} + classes) float32: {parts}; {_SCRIPT} makes boxes of it"}

    @property
    def recipe(self) -> Mapping[str, Any]:
        columns = ["left", "top", "right", "bottom", "class", "score"]
        return {"kind": "boxes", "names": list(self.classes), "columns": columns, "selection": asdict(self.selection), "shown": SHOWN}

    @property
    def beside(self) -> Mapping[str, bytes]:
        return {_SCRIPT: (files("xkd.deploy") / _SCRIPT).read_bytes()}

    @property
    def usage(self) -> tuple[str, ...]:
        of = self.selection
        chosen = f"score={of.score:g}, overlap={of.overlap:g}, most={of.most}, candidates={of.candidates}"
        return ("from boxes import detections  # boxes.py, beside this file", f"found = detections(places, {chosen})")
