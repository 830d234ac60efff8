"""Exported folders in tests: their run.py as a module, and a model that answers what it is told, without a network."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np

from xkd.batch import View
from xkd.deploy.card import of_frames
from xkd.modalities import Clip
from xkd.modality import Portable
from xkd.tasks import Task

CLASSES: Final = ("blank", "disc", "bar")
ROOM: Final = Path(__file__).parent.parent / "xkd" / "deploy"


def load_runner(folder: Path = ROOM) -> ModuleType:
    """The folder's run.py, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"run_of_{folder.name}", folder / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def told_model(run: ModuleType, view: View, task: Task, answer: Any = None) -> Any:
    """A `Model` of a plan for this view and task, that gives one answer to every image."""
    [seen] = view.sensors
    sensor = of_frames(seen)
    assert isinstance(sensor, Portable)
    image = {**sensor.recipe, "outside": list(sensor.outside)}
    if isinstance(seen, Clip):
        image["clip"] = {"frames": seen.frames, "every": seen.every, "fps": None, "strip": None}
    taken = {"size": list(view.size), "dtype": "uint8" if sensor.recipe["kind"] == "colour" else "float32"}
    model = run.Model.__new__(run.Model)
    model.plan = json.loads(json.dumps({"image": image, "input": taken, "answer": {"suffix": "", **task.recipe}, "crops": False}))
    model.run = lambda images: np.asarray(answer)
    return model
