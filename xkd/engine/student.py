"""The student of a trained run, alone: its network, its weights, its sensor; teachers, projectors and other sensors stay away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from mmengine.config import Config
from mmengine.device import get_device
from torch import nn

from xkd.batch import View
from xkd.builder import build
from xkd.data.manifest import Manifest
from xkd.engine.config import as_plain
from xkd.graph.branch import Branch
from xkd.graph.reading import readings_of
from xkd.graph.state_dicts import load_counted, load_file
from xkd.graph.together import together
from xkd.graph.weights import EMA, Checkpoint, Shared, Trained
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
    """Only the student's branch (or branch `name`) of the config, loaded from a run's checkpoint, on the accelerator where there is one.

    `name` may be an ensemble of outputs on one view: its networks then are one, learning ones from the checkpoint, teachers from where the
    run had them.
    """
    section = as_plain(config.distiller)
    name = name or section["student"]
    told = load_file(checkpoint).get("meta", {}).get("xkd", {})
    task: Task = build(section["task"], "distiller.task")
    if name in section.get("ensembles", {}):
        branch = _together(section, name, checkpoint, told.get("teachers", {}), task)
    elif name in section["branches"]:
        # a teacher's checkpoint is of a run of its own, in which its branch may have another name
        of = section["branches"][name]
        source = of["weights"].get("branch", "") if of.get("frozen") else name
        branch = _branch(section, name, {"type": Checkpoint, "path": checkpoint, "branch": source}, task)
    else:
        raise KeyError(f"no branch '{name}' in the config; there are {[*sorted(section['branches']), *section.get('ensembles', {})]}")
    return Student(branch.to(get_device()), branch.task_in(task), name, told.get("crops", 0.0))


def load_with_heads(config: Config, checkpoint: str, heads: Sequence[str] = ()) -> Student:
    """The student with its heads, or some of them, which `load_student` leaves away. `ValueError` names what the checkpoint lacks."""
    section = as_plain(config.distiller)
    name, task = section["student"], build(section["task"], "distiller.task")
    known = section["branches"].get(name, {}).get("heads", {})
    if missing := [head for head in heads if head not in known]:
        raise KeyError(f"'{name}' has no head '{missing[0]}'; it has {sorted(known)}")
    if heads:
        section["branches"][name]["heads"] = {head: known[head] for head in heads}
    weights = {"type": Checkpoint, "path": checkpoint, "branch": name}
    branch = _branch(section, name, weights, task, heads=True)
    branch.bind(task)
    start = f"distiller.branches.{name}.heads."
    file = load_file(checkpoint)
    starts = tuple(f"{start}{head}." for head in branch.heads)
    held = {key.removeprefix(start): of for key, of in file["state_dict"].items() if key.startswith(starts)}
    load_counted(cast("nn.Module", branch.heads), held, (), f"{checkpoint}, the heads of '{name}'")
    crops = file.get("meta", {}).get("xkd", {}).get("crops", 0.0)
    return Student(branch.requires_grad_(False).eval().to(get_device()), task, name, crops)


def _branch(section: Mapping[str, Any], name: str, weights: Mapping[str, Any], task: Task, *, heads: bool = False) -> Branch:
    left_out = ("explanations",) if heads else ("heads", "explanations")
    plain = {key: value for key, value in section["branches"][name].items() if key not in left_out}
    branch: Branch = build({**plain, "weights": weights, "frozen": not heads}, f"distiller.branches.{name}")
    if isinstance(branch.weights, Checkpoint):
        task = branch.task_in(task)
        known = list(task.names if branch.class_map is None else branch.class_map.own)
        run = load_file(branch.weights.path).get("meta", {}).get("xkd", {})
        trained = run.get("own_classes", {}).get(branch.weights.branch) or run.get("classes", known)
        if known and trained != known:
            of = "the config's task" if branch.class_map is None else f"the class_map of branch '{name}'"
            raise ValueError(f"{branch.weights.path} was trained on {task.noun} {trained}; {of} has {known}")
    return branch


def _together(section: Mapping[str, Any], name: str, checkpoint: str, teachers: Mapping[str, str], task: Task) -> Branch:
    """An ensemble as one network; `ValueError` where it is not of whole networks that see the same."""
    node, branches = section["ensembles"][name], section["branches"]
    sources = readings_of(node["of"])
    if any(of.branch not in branches or of.name != "output" for of in sources) or "reading" in node["by"]:
        raise ValueError(
            f"ensemble '{name}' of {[str(of) for of in sources]} cannot be tested or exported: one network is made of outputs of whole"
            f" networks ('branch.output'), and reads nothing else; name a branch, distiller.student= one of {sorted(branches)}"
        )
    if odd := [of.branch for of in sources if branches[of.branch].get("task") or branches[of.branch].get("eats")]:
        raise ValueError(f"ensemble '{name}' cannot be tested or exported: '{odd[0]}' has a task of its own, or eats no whole view")
    views = {of.branch: branches[of.branch]["view"] for of in sources}
    if any(view != views[sources[0].branch] for view in views.values()):
        seen = {branch: view["name"] for branch, view in views.items()}
        raise ValueError(
            f"ensemble '{name}' cannot be tested or exported: its networks see several views, {seen}, and a student sees one; name one of"
            " them, distiller.student=..., or distil the ensemble into a student"
        )

    def weights(branch: str) -> Mapping[str, Any]:
        own: Mapping[str, Any] = branches[branch]["weights"]
        if not branches[branch].get("frozen") or issubclass(own["type"], EMA):
            return {"type": Checkpoint, "path": checkpoint, "branch": branch}
        if issubclass(own["type"], Shared):
            return weights(own["of"])
        if not issubclass(own["type"], Checkpoint | Trained):
            return own
        if not (path := teachers.get(branch) or own.get("path", "")):
            raise FileNotFoundError(f"{checkpoint} does not say where the weights of '{branch}' are, a source of ensemble '{name}'")
        return {**(own if issubclass(own["type"], Checkpoint) else {}), "type": Checkpoint, "path": path}

    parts = [_branch(section, of.branch, weights(of.branch), task) for of in sources]
    return together(parts, build(node["by"], f"distiller.ensembles.{name}.by"), task, name)


def registered(manifest: Manifest, view: View) -> tuple[str, ...]:
    """What whoever feeds files to this student must know: its sensors that training read into another camera's frame."""
    return tuple(
        f"{sensor.name} was read into the frame of {one.reference} by [registration.{sensor.name}] of {manifest.root / 'manifest.toml'};"
        " files as the camera gives them show another part of the scene, unless they are warped by the same matrix"
        for sensor in view.sensors
        if (one := manifest.registrations.get(sensor.name)) is not None
    )
