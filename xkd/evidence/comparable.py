"""Whether the arms can be compared, asked before anything is trained: one task, one set of classes, test rows that all have, a metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.config import Config

from xkd.batch import View
from xkd.builder import build
from xkd.engine.config import as_plain
from xkd.engine.loaders import build_loader
from xkd.engine.outline import Outline
from xkd.evidence.answers import CLUSTER
from xkd.evidence.arm import Arm
from xkd.graph.class_map import ClassMap
from xkd.tasks import Task, checked

_NAMED = 3  # rows, at most, that a message names


@dataclass(frozen=True)
class _Tested:
    """What an arm is tested on; `rows` holds each labelled test row's target and cluster."""

    task: Task
    size: tuple[int, int]
    rows: dict[str, tuple[Any, str]]


def check_comparable(arms: Sequence[Arm]) -> None:
    """`ValueError` where arms answer in other classes, of another grid, or where no labelled test row has the sensors of all."""
    for arm in arms:
        check_measured(arm)
    tested = {arm.name: _tested(arm) for arm in arms}
    ours = tested["alone"]
    for arm in arms:
        _check_classes(arm, ours.task)
        theirs = tested[arm.name]
        if theirs.task.grid and theirs.size != ours.size:
            raise ValueError(
                f"arm '{arm.name}' is tested on pixels of {theirs.size}, the student alone on {ours.size}; views need one size"
            )
        for row in theirs.rows.keys() & ours.rows.keys():
            if theirs.rows[row] != ours.rows[row]:
                raise ValueError(
                    f"test row '{row}' has (label, cluster) {theirs.rows[row]} for arm '{arm.name}' and {ours.rows[row]} for the student"
                    " alone: the configs must name the same test data"
                )
    if not set.intersection(*(set(one.rows) for one in tested.values())):
        raise ValueError(f"no labelled test row has the sensors of all arms {list(tested)}, so they cannot be compared")


def check_readable(arms: Sequence[Arm]) -> None:
    """`ValueError` with the test rows that cannot be read, which would be told when the arms have been trained."""
    seen: list[tuple[str, View]] = []
    for arm in arms:
        config, view = _eats(arm)
        section = as_plain(config.test_dataloader)
        if (place := (str(section["dataset"]["root"]), view)) in seen:
            continue
        seen.append(place)
        section["dataset"] = {**section["dataset"], "on_broken": "skip"}
        if broken := [reason for batch in build_loader(section, 0, views=[view]) for reason in batch.broken]:
            raise ValueError(
                f"{len(broken)} test rows cannot be read, and arms are compared on the same ones: {'; '.join(broken[:_NAMED])}"
                f"{'; ...' if len(broken) > _NAMED else ''}. Mend the files, or empty their cells in the manifest; nothing was trained"
            )


def chosen_metric(arms: Sequence[Arm], metric: str) -> str:
    """What the finding is about: the named one, or the task's first. `ValueError` where the task is not judged by it."""
    (alone,) = [arm for arm in arms if arm.name == "alone"]
    task = _task(alone.config())
    known = [measure.name for measure in task.measures().main]
    if metric and metric not in known:
        raise ValueError(f"this task is not judged by --metric {metric}; there are {known}")
    return metric or known[0]


def check_measured(arm: Arm) -> None:
    """`ValueError` for a task that cannot be compared: it is of an unknown kind, or measures nothing."""
    task = _task(arm.config())
    if not task.measures().main:
        raise ValueError(f"arm '{arm.name}' has the task {task}, which measures nothing, so nothing can be compared")


def _check_classes(arm: Arm, ours: Task) -> None:
    own, (config, branch) = _task(arm.config()), arm.tested()
    plain = as_plain(config.distiller.branches.get(branch, {})).get("class_map")  # of an ensemble, its networks' own
    class_map: ClassMap | None = build(plain, f"distiller.branches.{branch}.class_map") if plain and arm.through else None
    if (type(own), getattr(own.annotation, "kind", "")) != (type(ours), getattr(ours.annotation, "kind", "")):
        raise ValueError(f"arm '{arm.name}' has the task {own}, the student {ours}: answers of two kinds cannot be compared")
    if class_map is None and own.annotation != ours.annotation:
        mapped = ": state which means which with Branch(class_map=ClassMap(own=..., to=...))" if ours.of_classes else ""
        raise ValueError(f"arm '{arm.name}' answers in the {own.noun} {_described(own)}, the student in {_described(ours)}{mapped}")
    if class_map is not None:
        if class_map.own != own.names:
            raise ValueError(
                f"arm '{arm.name}' is trained on the {own.noun} {list(own.names)}; the class_map of branch '{branch}' has"
                f" {list(class_map.own)}"
            )
        class_map.columns(ours.names)


def _tested(arm: Arm) -> _Tested:
    config, view = _eats(arm)
    dataset: Any = build_loader(config.test_dataloader, 0, views=[view]).dataset
    cluster = as_plain(config.get("compare") or {}).get("cluster", CLUSTER)
    targets = [np.asarray(target).tolist() for target in dataset.targets]
    rows = zip(dataset.rows, targets, strict=True)
    return _Tested(_task(config), view.size, {row.id: (target, row.meta[cluster]) for row, target in rows if row.labels is not None})


def _eats(arm: Arm) -> tuple[Config, View]:
    """The config that an arm is tested by, and what its network sees."""
    config, branch = arm.tested()
    view: View = build(Outline.of(config).view_of(branch), f"distiller.branches.{branch}.view")
    return config, view


def _task(config: Config) -> Task:
    return checked(build(as_plain(config.distiller.task), "distiller.task"))


def _described(task: Task) -> list[str]:
    """The names, of numbers with their units and ranges."""
    return list(task.described)
