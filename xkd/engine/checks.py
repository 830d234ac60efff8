"""Whether graph, data and config fit together, asked before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xkd.engine.model import TaskMetric
from xkd.graph.distiller import Distiller
from xkd.tasks import Classification, Task


def check_together(distiller: Distiller, loaders: Mapping[str, Any], save_best: str) -> None:
    """`ValueError` or `KeyError` names what does not fit, and what would."""
    check_classes(distiller.task, loaders)
    _check_views(distiller, loaders)
    _check_save_best(distiller, save_best)


def check_classes(task: Task, loaders: Mapping[str, Any]) -> None:
    several = isinstance(task, Classification) and task.multilabel
    for split, loader in loaders.items():
        if isinstance(task, Classification) and loader.dataset.target == "label" and loader.dataset.multilabel != several:
            labels = 'labels = "multi"' if loader.dataset.multilabel else "one label per row"
            raise ValueError(
                f"the {split} data's manifest {loader.dataset.manifest.root} has {labels}, the task has multilabel={several}:"
                f" use Classification(..., multilabel={not several}), with {'CrossEntropy' if several else 'BinaryCrossEntropy'}"
            )
        if tuple(loader.dataset.classes) != tuple(task.classes):
            raise ValueError(
                f"the task's classes {list(task.classes)} are not those of the {split} data's manifest"
                f" {loader.dataset.manifest.root}: {list(loader.dataset.classes)}"
                + (", in that order" if set(loader.dataset.classes) == set(task.classes) else "")
            )


def _check_views(distiller: Distiller, loaders: Mapping[str, Any]) -> None:
    """What a branch was built for is what it is fed: every branch in training, the student in validation."""
    for split, branches in (("train", distiller.branches), ("val", {distiller.student_name: distiller.student})):
        views = {view.name: view for view in loaders[split].dataset.views}
        for name, branch in branches.items():
            if branch.view != views.get(branch.view.name):
                raise ValueError(f"branch '{name}' takes {branch.view}; the {split} data provides {list(views.values())}")
    first, student = loaders["train"].dataset.views[0], distiller.student.view
    if loaders["train"].dataset.target == "mask" and first.size != student.size:
        raise ValueError(
            f"masks have the size of train_dataloader.dataset.views[0], '{first.name}' {first.size}, and the student sees {student.size}:"
            f" name view '{student.name}' first"
        )


def _check_save_best(distiller: Distiller, save_best: str) -> None:
    legal = [f"{TaskMetric.default_prefix}/{name}" for name in distiller.task.metrics()]
    if save_best not in legal:
        raise KeyError(f"save_best = '{save_best}' is not measured; there are {legal}")
