"""Classification of whole images, with one label or several per image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from xkd.batch import Annotation, Batch
from xkd.networks.logits import no_tensor
from xkd.statistics.measures import Measure, Measures, Near, RowScore
from xkd.statistics.runs import TestRun
from xkd.tasks import class_counts as counts
from xkd.tasks.task import LABELLED, Reply, Task, Verdict

FLIPS_NOTE = "Those that flipped in most seeds first: above what distillation put right, below what it spoiled."


@dataclass(frozen=True)
class Classification(Task):
    """Outputs are logits (B, K). Single label: softmax, target (B,) of class indices; multi-label: sigmoid, target (B, K) of 0/1."""

    classes: tuple[str, ...]
    multilabel: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        if len(self.classes) < (1 if self.multilabel else 2):
            raise ValueError(f"classification needs at least two classes (multi-label: one), got {list(self.classes)}")
        twice = [name for name in self.classes if self.classes.count(name) > 1]
        if twice:
            raise ValueError(f"classification has class '{twice[0]}' twice in {list(self.classes)}")

    @property
    def names(self) -> tuple[str, ...]:
        return self.classes

    @property
    def noun(self) -> str:
        return "classes"

    @property
    def annotation(self) -> Annotation:
        return Annotation("labels" if self.multilabel else "label", self.classes)

    @property
    def of_classes(self) -> bool:
        return True

    @property
    def exclusive(self) -> bool:
        return not self.multilabel

    @classmethod
    def of_labels(cls, annotation: Annotation) -> Classification | None:
        if annotation.kind not in ("label", "labels") or len(annotation.names) < 2:
            return None
        return cls(annotation.names, multilabel=annotation.kind == "labels")

    def misfit(self, annotation: Annotation, where: str) -> str:
        if {annotation.kind, self.annotation.kind} == {"label", "labels"}:
            return (
                f"{where} has {LABELLED[annotation.kind]}, the task has multilabel={self.multilabel}: use"
                f" Classification(..., multilabel={not self.multilabel}), with"
                f" {'CrossEntropy' if self.multilabel else 'BinaryCrossEntropy'}"
            )
        why = super().misfit(annotation, where)
        if why and annotation.kind == "label" and set(self.classes) < set(annotation.names):
            why += f"; where classes come in stages, the dataset says which there are so far: known={self.classes}"
        return why

    def among(self, names: Sequence[str]) -> Classification:
        return replace(self, classes=tuple(names))

    def call(self, model: Callable[[Tensor], Any], images: Float[Tensor, "b c h w"], batch: Batch) -> Float[Tensor, "b k"]:
        output = model(images)
        if not isinstance(output, Tensor):
            raise ValueError(no_tensor(output))
        if output.shape[1:] != (len(self.classes),):
            raise ValueError(
                f"the network gives {tuple(output.shape)}, classification into {len(self.classes)} classes"
                f" {list(self.classes)} needs (batch, {len(self.classes)}): make it with num_classes={len(self.classes)}, or, if it knows"
                " other classes, give its branch class_map=ClassMap(own=..., to=...)"
            )
        return output

    def predict(self, output: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        return output.float().sigmoid() if self.multilabel else output.float().softmax(1)

    def choose(self, output: Float[Tensor, "b k"]) -> Int[Tensor, " b"]:
        return output.argmax(1)

    def score(self, output: Float[Tensor, "b k"], chosen: Int[Tensor, " b"] | None = None) -> Float[Tensor, ""]:
        return chosen_scores(output, self.choose(output) if chosen is None else chosen)

    def loss(self, output: Float[Tensor, "b k"], target: Shaped[Tensor, "b ..."]) -> Float[Tensor, ""]:
        return F.binary_cross_entropy_with_logits(output, target.float()) if self.multilabel else F.cross_entropy(output, target)

    def example_target(self, rows: int, size: tuple[int, int]) -> Shaped[Tensor, "b ..."]:
        if self.multilabel:
            return torch.zeros(rows, len(self.classes))
        return torch.arange(rows) % len(self.classes)

    def measures(self) -> Measures:
        of = counts.ClassCounts(self.multilabel)
        main = [
            Measure("accuracy", of.statistic(counts.label_accuracy if self.multilabel else counts.accuracy)),
            Measure("balanced_accuracy", of.statistic(counts.label_balanced_accuracy if self.multilabel else counts.balanced_accuracy)),
            Measure("macro_f1", of.statistic(counts.macro_f1)),
        ]
        if self.multilabel:
            main.append(Measure("mean_average_precision", counts.MEAN_AVERAGE_PRECISION))
        return Measures(
            main=tuple(main),
            aside=(of.calibration(),),
            each=of.recalls(self.classes, self._members),
            probed="macro_f1" if self.multilabel else "balanced_accuracy",
            rows=RowScore(of.right, note=FLIPS_NOTE),
            near=Near(of.fidelity, counts.FIDELITY),
            bins=of.confidence_bins,
            confusion=None if self.multilabel else of.confusion,
            chance=of.chance,
            scale=counts.logarithms,
        )

    def _members(self, run: TestRun, k: int) -> NDArray[np.bool_]:
        return np.asarray(run.target[:, k] > 0 if self.multilabel else run.target == k)

    def answer(self, prediction: Float[Tensor, " k"], target: Shaped[Tensor, "..."] | None = None) -> Reply:
        chosen = self._chosen(prediction)
        values = dict(zip(self.classes, prediction.tolist(), strict=True))
        right: Verdict = "" if target is None else "right" if chosen == self._true(target) else "wrong"
        return Reply(
            said=", ".join(chosen) or "none",
            caption=", ".join(f"{name} {values[name]:.2f}" for name in chosen) or "none",
            verdict=right,
            chosen=chosen,
            values=values,
            cells=(";".join(chosen), *(f"{value:.4f}" for value in values.values())),
        )

    def truth(self, target: Shaped[Tensor, "..."]) -> Reply:
        return Reply(said=", ".join(self._true(target)) or "none", chosen=self._true(target))

    def _chosen(self, prediction: Tensor) -> tuple[str, ...]:
        """All labels above one half, or the likeliest class."""
        if self.multilabel:
            return self._true(prediction)
        return (self.classes[int(prediction.argmax())],)

    def _true(self, target: Tensor) -> tuple[str, ...]:
        if self.multilabel:
            return tuple(name for name, there in zip(self.classes, (target > 0.5).tolist(), strict=True) if there)
        return (self.classes[int(target)],)

    @property
    def columns(self) -> tuple[str, ...]:
        return ("prediction", *self.classes)

    @property
    def recipe(self) -> Mapping[str, Any]:
        return {"kind": "several" if self.multilabel else "one", "names": list(self.names), "columns": list(self.columns)}

    @property
    def outputs(self) -> Mapping[str, str]:
        return {"logits": "(batch, classes) float32", "probabilities": "(batch, classes) float32, 0..1"}


def chosen_scores(output: Float[Tensor, "b k"], chosen: Int[Tensor, " b"]) -> Float[Tensor, ""]:
    """Of each row's class, added up."""
    if output.ndim != 2:
        raise ValueError(f"grad_cam explains one score per class, (batch, classes); this task's output is {tuple(output.shape)}")
    scores: Tensor = output.gather(1, chosen[:, None]).sum()
    return scores
