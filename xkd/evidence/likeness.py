"""How alike the student's and the teacher's readings are that a term compares, before distillation and after."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray

from xkd.batch import View
from xkd.builder import build
from xkd.engine.config import as_plain
from xkd.engine.loaders import build_loader
from xkd.engine.outline import Outline
from xkd.engine.student import load_student
from xkd.evidence.arm import Arm, ArmRun
from xkd.graph.reading import Reading
from xkd.statistics.cka import linear_cka

NUM_ROWS = 256


def likeness(arms: Mapping[str, Arm], runs: Mapping[str, list[ArmRun]]) -> dict[str, tuple[float, float]]:
    """CKA of each pair of readings that the distilled student's terms compare, for the student alone and the distilled one, first seed."""
    arm = arms["distilled"]
    config, _ = arm.tested()
    taught_by = {name: source for name, source in arm.teachers.items() if source in runs}
    pairs = tap_pairs(config, arm.branch, set(taught_by))
    if not pairs:
        return {}
    branches = {arm.branch, *(teacher.branch for _, teacher in pairs)}
    views: dict[str, View] = {name: build(as_plain(config.distiller.branches[name].view)) for name in branches}
    checkpoints = {name: runs[source][0].checkpoint for name, source in taught_by.items()}
    teachers = {name: _readings(config, name, str(checkpoints[name]), views) for name in branches - {arm.branch}}
    values_of: dict[str, list[float]] = {f"{student} and {teacher}": [] for student, teacher in pairs}
    for source in ("alone", "distilled"):
        own = _readings(config, arm.branch, str(runs[source][0].checkpoint), views)
        if not own:
            return {}  # hardly a test row has every sensor
        for student, teacher in pairs:
            values_of[f"{student} and {teacher}"].append(linear_cka(own[student.name], teachers[teacher.branch][teacher.name]))
    return {name: (values[0], values[1]) for name, values in values_of.items()}


def tap_pairs(config: Config, student: str, teachers: set[str]) -> list[tuple[Reading, Reading]]:
    """Outputs and taps that a term compares between the student and one of its teachers; heads and explanations are of a run alone."""
    outline = Outline.of(config)

    def kept(readings: tuple[Reading, ...], of: set[str]) -> bool:
        return len(readings) == 1 and readings[0].branch in of and readings[0].name in ("output", *outline.taps(readings[0].branch))

    edges = [edge for edge in outline.edges.values() if kept(edge.student, {student}) and kept(edge.teacher, teachers)]
    return list(dict.fromkeys((edge.student[0], edge.teacher[0]) for edge in edges))


def _readings(config: Config, branch: str, checkpoint: str, views: Mapping[str, View]) -> dict[str, NDArray[np.float32]]:
    """Of the test rows that have every sensor, `NUM_ROWS` at most."""
    student = load_student(config, checkpoint, branch)
    columns: dict[str, list[torch.Tensor]] = {}
    seen = 0
    with torch.no_grad():
        for batch in build_loader(config.test_dataloader, 0, views=list({view.name: view for view in views.values()}.values())):
            whole = torch.stack([batch.present[view.name] for view in views.values()]).all(0)
            if not whole.any():
                continue
            for name, reading in student.branch.eval()(batch.to(student.branch.mean.device), student.task).items():
                columns.setdefault(name, []).append(reading[whole].cpu())
            seen += int(whole.sum())
            if seen >= NUM_ROWS:
                break
    return {name: torch.cat(column)[:NUM_ROWS].float().numpy() for name, column in columns.items() if seen > 1}
