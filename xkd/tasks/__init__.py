"""Tasks: what a network's output means, one task per file."""

from xkd.tasks.classification import Classification
from xkd.tasks.features import Features
from xkd.tasks.segmentation import PixelHead, Segmentation
from xkd.tasks.task import Task

__all__ = ["Classification", "Features", "PixelHead", "Segmentation", "Task"]
