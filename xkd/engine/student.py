"""The student of a trained run, alone: its network, its weights, its sensor; teachers, projectors and other sensors stay away."""

from __future__ import annotations

from dataclasses import dataclass

from mmengine.config import Config
from mmengine.device import get_device

from xkd.batch import View
from xkd.builder import build
from xkd.data.manifest import Manifest
from xkd.engine.config import as_plain
from xkd.graph.branch import Branch
from xkd.graph.state_dicts import load_file
from xkd.graph.weights import Checkpoint
from xkd.tasks import Task


@dataclass(frozen=True)
class Student:
    """What `load_student` gives."""

    branch: Branch
    task: Task
    name: str
    crops: float = 0.0  # the share of its training's rows that were crops of their images

    @property
    def of_crops(self) -> bool:
        return self.crops >= 0.5


def load_student(config: Config, checkpoint: str, name: str = "") -> Student:
    """Only the student's branch (or branch `name`) of the config, loaded from a run's checkpoint, on the accelerator where there is one."""
    section = as_plain(config.distiller)
    name = name or section["student"]
    if name not in section["branches"]:
        raise KeyError(f"no branch '{name}' in the config; there are {sorted(section['branches'])}")
    plain = {key: value for key, value in section["branches"][name].items() if key not in ("heads", "explanations")}
    # a teacher's checkpoint is of a run of its own, in which its branch may have another name
    source = name if name == section["student"] else plain["weights"].get("branch", "")
    plain.update(weights=Checkpoint(checkpoint, branch=source), frozen=True)
    branch: Branch = build(plain, f"distiller.branches.{name}")
    task: Task = build(section["task"], "distiller.task")
    known = list(task.classes if branch.class_map is None else branch.class_map.own)
    told = load_file(checkpoint).get("meta", {}).get("xkd", {})
    trained = told.get("classes", known)
    if known and trained != known:
        of = "the config's task" if branch.class_map is None else f"the class_map of branch '{name}'"
        raise ValueError(f"{checkpoint} was trained on classes {trained}; {of} has {known}")
    return Student(branch.to(get_device()), task, name, told.get("crops", 0.0))


def registered(manifest: Manifest, view: View) -> tuple[str, ...]:
    """What whoever feeds files to this student must know: its sensors that training read into another camera's frame."""
    return tuple(
        f"{sensor.name} was read into the frame of {one.reference} by [registration.{sensor.name}] of {manifest.root / 'manifest.toml'};"
        " files as the camera gives them show another part of the scene, unless they are warped by the same matrix"
        for sensor in view.sensors
        if (one := manifest.registrations.get(sensor.name)) is not None
    )
