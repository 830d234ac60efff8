"""Tasks: what a network's output means, one task per file."""

from __future__ import annotations

from typing import Final

from xkd.batch import Annotation
from xkd.tasks.boxes import Selection
from xkd.tasks.classification import Classification
from xkd.tasks.dense import Dense
from xkd.tasks.detection import Detection
from xkd.tasks.features import Features
from xkd.tasks.regression import Regression
from xkd.tasks.segmentation import PixelHead, Segmentation
from xkd.tasks.task import Reply, Task, checked

TASKS: Final[tuple[type[Task], ...]] = (Classification, Segmentation, Detection, Regression, Dense, Features)

__all__ = [
    "TASKS",
    "Classification",
    "Dense",
    "Detection",
    "Features",
    "PixelHead",
    "Regression",
    "Reply",
    "Segmentation",
    "Selection",
    "Task",
    "checked",
    "task_of",
]


def task_of(annotation: Annotation) -> Task | None:
    """The task that a linear layer on a network's features can learn from such labels; None where there is none."""
    return next((made for task in TASKS if (made := task.of_labels(annotation)) is not None), None)
