"""Evaluation of one branch on its own view alone, or of an ensemble: its prediction of each row, the metrics over the labelled ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import compress

import torch
from torch import Tensor

from xkd.batch import Batch, View
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.inputs import Crops
from xkd.statistics import TestRun, run_of
from xkd.tasks import Task

MOST_BROKEN = 0.05  # share of the rows; beyond it the data are at fault, or the disk, and not some files


@dataclass(frozen=True)
class Predictions:
    """One row per sample, in the loader's order."""

    values: Tensor  # (N, ...) what the task predicts: probabilities, numbers
    target: Tensor  # (N, ...) as in Batch
    labelled: Tensor  # (N,) bool
    meta: tuple[dict[str, str], ...]
    broken: tuple[str, ...] = ()  # why some rows could not be read; they are none of the above

    def __len__(self) -> int:
        return len(self.values)

    @property
    def measured(self) -> TestRun:
        """The labelled rows, each on its own."""
        return run_of(self.values[self.labelled].float().numpy(), self.target[self.labelled].numpy())


Answer = tuple[Tensor, Tensor]  # outputs of a batch, and on the CPU the rows that have one


def predict(
    branch: Branch, task: Task, batches: Iterable[Batch], seen: Callable[[int], None] = lambda rows: None, reading: str = "output"
) -> Predictions:
    """Run the branch over all batches in eval mode; `seen` hears of the rows done. A head's `reading` may answer in the output's place.

    Rows that could not be read are left out and told in `broken`; `ValueError` where they are many, and for others that lack the
    branch's view.
    """

    def answer(batch: Batch) -> Answer:
        there = batch.present[branch.view.name]
        if int((~there).sum()) != len(batch.broken):
            raise ValueError(f"some rows lack view '{branch.view.name}', which is what this network sees")
        return branch(batch, task)[reading] if there.any() else torch.empty(0), there

    training = branch.training
    branch.eval()
    predictions = _collected(answer, task, batches, branch.mean.device, seen)
    branch.train(training)
    return predictions


def predict_boxes(branch: Branch, run: Task, batches: Iterable[Batch]) -> Predictions:
    """What a classifier of crops says of each annotated box, a row for each, whose target is the box's class by the branch's own task.

    Of its own boxes, where the branch is a control that sees others. `ValueError` where it does not know all classes of the run.
    """
    task, crops = branch.task_in(run), branch.eats
    if not isinstance(crops, Crops) or not task.one_class or not set(run.names) <= set(task.names):
        raise ValueError(f"{task} with {branch.eats} does not tell the {run.noun} {list(run.names)} of boxes apart")
    number = torch.tensor([task.names.index(name) for name in run.names])
    parts: list[tuple[Tensor, Tensor]] = []
    broken: list[str] = []
    rows, training = 0, branch.training
    branch.eval()
    with torch.no_grad():
        for batch in batches:
            broken.extend(batch.broken)
            rows += len(batch)
            here = batch.to(branch.mean.device)
            images, places = replace(crops, shuffled=False).food(branch.view, here, run, None)
            if len(images):
                values = task.predict(branch.run(images, here, run)["output"]).cpu()
                parts.append((values, number[run.boxes(batch.target)[places][:, 4].long()]))
    branch.train(training)
    _check_broken(broken, rows)
    if not parts:
        raise ValueError(f"no row has a box in view '{branch.view.name}', so there is nothing to evaluate")
    values, target = (torch.cat(column) for column in zip(*parts, strict=True))
    return Predictions(values, target, torch.ones(len(target), dtype=torch.bool), (), tuple(broken))


def predict_by(answer: Callable[[Tensor], Tensor], view: View, task: Task, batches: Iterable[Batch]) -> Predictions:
    """The same of a network that runs elsewhere: `answer` takes a batch's images (B, C, H, W) in the sensor's unit, on the CPU."""

    def of(batch: Batch) -> Answer:
        there = batch.present[view.name]
        return answer(batch.views[view.name]) if there.any() else torch.empty(0), there

    return _collected(of, task, batches, torch.device("cpu"))


def predict_together(distiller: Distiller, ensemble: str, batches: Iterable[Batch]) -> Predictions:
    """The same of an ensemble, on the rows that count for it. A way to combine that asks for labels is shown none."""

    def answer(batch: Batch) -> Answer:
        readings = distiller.joined(ensemble, replace(batch, target=torch.full_like(batch.target, -1)) if hides else batch)
        return readings[f"{ensemble}.output"], readings.there(f"{ensemble}.output")

    hides = "target" in distiller.ensembles[ensemble].extras
    training = distiller.training
    distiller.eval()
    predictions = _collected(answer, distiller.task, batches, distiller.student.mean.device)
    distiller.train(training)
    return predictions


def _collected(
    answer: Callable[[Batch], Answer],
    task: Task,
    batches: Iterable[Batch],
    device: torch.device,
    seen: Callable[[int], None] = lambda rows: None,
) -> Predictions:
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    meta: list[dict[str, str]] = []
    broken: list[str] = []
    rows = 0
    with torch.no_grad():
        for batch in batches:
            output, there = answer(batch.to(device))
            broken.extend(batch.broken)
            rows += len(batch)
            if not there.any():
                continue
            parts.append((task.predict(output).cpu()[there], batch.target[there], batch.labelled[there]))
            meta.extend(compress(batch.meta, there.tolist()))
            seen(len(batch))
    _check_broken(broken, rows)
    if not parts:
        raise ValueError("there is nothing to evaluate: the loader is empty")
    values, target, labelled = (torch.cat(column) for column in zip(*parts, strict=True))
    return Predictions(values, target, labelled, tuple(meta), tuple(broken))


def _check_broken(broken: list[str], rows: int) -> None:
    if len(broken) > max(1, MOST_BROKEN * rows):
        raise ValueError(f"{len(broken)} of {rows} rows could not be read, more than {MOST_BROKEN:.0%}: {broken[0]}; see xkd check-pairs")


def measure(task: Task, predictions: Predictions) -> dict[str, float]:
    """The task's metrics over labelled rows; `ValueError` where no row is labelled, and for a task that has none."""
    measures = task.measures()
    if not measures.main:
        raise ValueError(f"{type(task).__name__} measures nothing: train a network with a task on top of it, weights=Checkpoint(path)")
    if not predictions.labelled.any():
        raise ValueError("no row is labelled, so nothing can be measured")
    return measures.of(predictions.measured)
