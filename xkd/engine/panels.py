"""Panels of a trained student: what it saw, what the teacher's sensor saw, where each network looked, what it said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray
from torch import Tensor

from xkd.attention.maps import METHODS, attention_map
from xkd.batch import Batch, View
from xkd.builder import build
from xkd.data.loader import collate
from xkd.data.manifest import Manifest
from xkd.data.paired import PairedDataset
from xkd.engine.config import as_plain
from xkd.engine.loaders import build_distiller, with_views
from xkd.engine.outline import Outline
from xkd.engine.student import Student, load_student
from xkd.graph.example import example_batch
from xkd.graph.state_dicts import load_file
from xkd.modalities import Clip
from xkd.tasks import Reply, Task
from xkd.visualise import Panel, PanelRow

CLASSES: Final = "classes"


@dataclass(frozen=True)
class Looker:
    """A network that is shown, under which title, by which method: one of `xkd.attention.maps`, or "classes", its answer for each pixel."""

    title: str
    student: Student
    method: str


def attention_method(config: Config, branch: str) -> str:
    """What the config's `compare.attention` says of a branch, else its first attention tap, else Grad-CAM of its last stage."""
    named = as_plain(config.get("compare") or {}).get("attention", {})
    if branch in named:
        return str(named[branch])
    taps = as_plain(config.distiller.branches[branch]).get("taps") or {}
    attention = [name for name, tap in taps.items() if tap.get("kind") == "attention"]
    return f"tap:{attention[0]}" if attention else "grad_cam"


def teacher_method(config: Config, branch: str) -> str:
    """Where a teacher looks where the config says how to show that, or the task has no picture of an answer; else its answer."""
    own = as_plain(config.distiller.branches[branch])
    named = branch in as_plain(config.get("compare") or {}).get("attention", {})
    if named or own.get("task") or any(tap.get("kind") == "attention" for tap in (own.get("taps") or {}).values()):
        return attention_method(config, branch)
    return picture_method(config, branch)


def picture_method(config: Config, branch: str) -> str:
    """What a person wants to see of a branch: what it says of each pixel where it does, else where it looks."""
    task: Task = build(as_plain(config.distiller.task), "distiller.task")
    return CLASSES if task.pictured else attention_method(config, branch)


def check_attention(config: Config, branch: str) -> None:
    """Ask the untrained network where it looks, before hours of training; `ValueError` says what to name instead.

    Nobody needs to know where the answer itself is the picture and `compare.attention` names no map.
    """
    if branch not in as_plain(config.get("compare") or {}).get("attention", {}) and picture_method(config, branch) == CLASSES:
        return
    distiller = build_distiller(config.distiller, seed=0, smoke=True)
    of = distiller.branches[branch]
    method = attention_method(config, branch)
    images = example_batch([of.view], distiller.task, 2, of.mean.device).views[of.view.name]
    try:
        attention_map(of, images, distiller.task, method)
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"branch '{branch}' cannot show its attention by '{method}': {error.args[0]}. Set compare.attention.{branch}, one of"
            f" {', '.join(METHODS)}"
        ) from error


def test_samples(config: Config, split: str, number: int) -> tuple[list[Any], tuple[View, ...]]:
    """`number` rows of a split with every sensor that the config names, the student's first, the classes in turn; and those views.

    Rows that could not be read are passed over, unlabelled ones too unless none has a label; `ValueError` where none is left.
    """
    dataset, views = _split_with_all_views(config, split)
    kinds = np.unique(dataset.strata[dataset.strata >= 0]) if (dataset.strata >= 0).any() else np.unique(dataset.strata)
    by_class = [np.flatnonzero(dataset.strata == k).tolist() for k in kinds]
    turns = [index for round_ in zip_longest(*by_class) for index in round_ if index is not None]
    samples = list(islice((sample for sample in map(dataset.__getitem__, turns) if not sample.broken), number))
    if not samples:
        raise ValueError(f"the {split} split has no row that can be read and shown")
    return samples, views


def named_samples(config: Config, split: str, ids: Sequence[str]) -> tuple[list[Any], tuple[View, ...]]:
    """The rows of these ids, in this order, as `test_samples`."""
    dataset, views = _split_with_all_views(config, split)
    place = {row.id: index for index, row in enumerate(dataset.rows)}
    return [dataset[place[name]] for name in ids], views


def _split_with_all_views(config: Config, split: str) -> tuple[PairedDataset, tuple[View, ...]]:
    section = as_plain(config[f"{split}_dataloader"].dataset)
    views = {}
    branches, known = as_plain(config.distiller.branches), set(Manifest.load(section["root"]).modalities)
    for branch in sorted(branches.values(), key=lambda branch: branch is not branches[config.distiller.student]):
        view: View = build(branch["view"])
        if {sensor.name for sensor in view.sensors} <= known:  # other data than the training's may lack the teacher's
            views[view.name] = view
    dataset: PairedDataset = build(with_views(section, list(views.values())), "dataset")
    return dataset, tuple(views.values())


def teachers(config: Config, checkpoint: str) -> list[Looker]:
    """The networks that taught the run of `checkpoint`: from where it had them, else from the checkpoints that the config names."""
    outline, had = Outline.of(config), load_file(checkpoint).get("meta", {}).get("xkd", {}).get("teachers", {})
    lookers = []
    for name in outline.teachers:
        if outline.branches[name].get("eats"):
            continue  # what it is shown of a row is no panel's
        places = [place for place in (had.get(name), outline.branches[name]["weights"].get("path")) if place]
        path = next((place for place in places if Path(place).is_file()), places[-1] if places else None)
        if path is None or not Path(path).is_file():
            where = f"{path} is gone" if path else f"{checkpoint} does not say where it was"
            raise FileNotFoundError(f"the teacher '{name}' cannot be shown: {where}; --no-teachers leaves it out")
        lookers.append(Looker(f"teacher ({name})", load_student(config, path, name), teacher_method(config, name)))
    return lookers


def panel_rows(samples: Sequence[Any], views: Sequence[View], lookers: Sequence[Looker]) -> list[PanelRow]:
    """One row per sample: each sensor as a person sees it, the classes of its pixels if any, then each network over its own input."""
    batch = collate(list(samples))
    shown = [_look(looker, batch) for looker in lookers]
    rows = []
    for position, sample in enumerate(samples):
        outline = sample.mask[0].numpy() if sample.masked and sample.mask.any() else None
        pictures = {view.name: _pictures(view, batch.views[view.name][position]) for view in views if sample.present[view.name]}
        images: dict[str, NDArray[np.uint8]] = {}
        for title, image in chain.from_iterable(of.items() for of in pictures.values()):
            images.setdefault(title, image)  # a sensor that is in a stack too is shown once
        shapes = {title: view for view in views if view.name in pictures for title in pictures[view.name]}
        panels = [Panel(title, image, outline=_spread(shapes[title], outline)) for title, image in images.items()]
        truth = _truth(sample, lookers[-1].student.task)
        if truth.pixels is not None:
            panels.append(Panel("truth", panels[0].image, classes=truth.pixels.numpy()))
        panels += _levels("truth", panels[0], truth)
        if truth.boxes is not None:
            panels.append(Panel("truth", panels[0].image, boxes=truth.boxes.numpy(), caption=truth.said))
        for looker, (maps, predictions) in zip(lookers, shown, strict=True):
            seen = pictures.get(looker.student.branch.view.name)
            if seen is None:
                continue
            known = sample.labelled and looker.student.task == lookers[-1].student.task
            answer = looker.student.task.answer(predictions[position], sample.target if known else None)
            panel = Panel(looker.title, next(iter(seen.values())), None, None, answer.caption, answer.verdict)
            if maps is not None:
                view = looker.student.branch.view
                panels.append(replace(panel, attention=_spread(view, maps[position, 0].numpy()), outline=_spread(view, outline)))
            elif answer.pixels is not None:
                panels.append(replace(panel, classes=answer.pixels.numpy()))
            elif answer.boxes is not None:
                panels.append(replace(panel, boxes=answer.boxes.numpy()))
            else:
                panels += _levels(looker.title, panel, answer)
        rows.append(PanelRow(sample.meta.get("id", str(position)), truth.said, tuple(panels)))
    return rows


def _levels(title: str, panel: Panel, answer: Reply) -> list[Panel]:
    """A picture of each quantity of an answer, under its name where there are several."""
    titles = [title] if len(answer.levels) == 1 else [f"{title}: {scale}" for scale in answer.levels]
    pictures = zip(titles, answer.levels.items(), strict=True)
    return [Panel(name, panel.image, None, None, panel.caption, levels=of.numpy(), scale=scale) for name, (scale, of) in pictures]


def _look(looker: Looker, batch: Batch) -> tuple[Tensor | None, Tensor]:
    """Maps (B, 1, h, w), none where the answer is the picture, and predictions; a row without the view gives what zeros give."""
    branch, task = looker.student.branch, looker.student.task
    images = batch.views[branch.view.name].to(branch.mean.device)
    training = branch.training
    with torch.no_grad():
        predictions = task.predict(branch.eval().run(images, batch, task)["output"]).cpu()
    branch.train(training)  # it may be in the middle of its training
    if looker.method != CLASSES:
        return attention_map(branch, images, task, looker.method).clamp(min=0).cpu(), predictions
    if not task.pictured:
        raise ValueError(
            f"'{CLASSES}' is what a network says of each pixel, or its boxes; this task answers by image. Legal are {', '.join(METHODS)}"
        )
    return None, predictions


def _pictures(view: View, image: Tensor) -> dict[str, NDArray[np.uint8]]:
    """A view as a person sees it, by title: of a stack, each of its sensors."""
    ends = np.cumsum([sensor.channels for sensor in view.sensors])[:-1].tolist()
    parts = [part.permute(1, 2, 0).contiguous().numpy() for part in image.tensor_split(ends)]
    titles = [view.name] if len(parts) == 1 else [sensor.name for sensor in view.sensors]
    return {title: sensor.show(part) for title, sensor, part in zip(titles, view.sensors, parts, strict=True)}


def _spread(view: View, place: NDArray[Any] | None) -> Any:
    """A map of a view as it lies over the view's picture: of a clip over each of its frames."""
    return view.modality.over(place) if place is not None and isinstance(view.modality, Clip) else place


def _truth(sample: Any, task: Task) -> Reply:
    return task.truth(sample.target) if sample.labelled and task.names else Reply("unlabelled")
