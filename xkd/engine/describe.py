"""What a run says before it begins: its rows, its graph with what each part costs, how good its teachers are."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from xkd.data.clips import has_clips
from xkd.data.manifest import Manifest
from xkd.data.paired import PairedDataset
from xkd.data.shots import has
from xkd.engine.loaders import build_loader
from xkd.evaluate import Predictions, measure, predict, predict_boxes, predict_together
from xkd.graph.branch import Branch
from xkd.graph.changes import name_of
from xkd.graph.distiller import Distiller, count_flops
from xkd.graph.inputs import WHOLE
from xkd.graph.meanings import Nodes
from xkd.graph.reading import Reading
from xkd.graph.shared import follows, origin, own_parameters, twice
from xkd.graph.weights import Checkpoint, Random, Shared
from xkd.graph.wiring import all_read

_MIRRORED: Final = (
    "clips are flipped left to right: if that makes another class of one (left, right), say so in [flips] of manifest.toml, or set flip=0"
)
LEVEL: Final = 0.05  # a teacher that random pairings match more often than this is at chance level


def print_rows(loaders: Mapping[str, Any], console: Console) -> None:
    """What there is to learn from, and what is left out: nothing is dropped silently."""
    for split, loader in loaders.items():
        dataset: PairedDataset = loader.dataset
        share = f" (labels.fraction {dataset.labels.fraction:g})" if dataset.labels.fraction < 1 else ""
        masks = f", {dataset.num_masked} with a mask (masks.fraction {dataset.masks.fraction:g})" if dataset.masks.fraction < 1 else ""
        windows = f", {dataset.windows.per_frame} windows of each frame" if dataset.windows else ""
        gaps = f", {dataset.gaps.fraction:.0%} without one of {list(dataset.gaps.sensors)} (gaps)" if dataset.gaps else ""
        kept = dataset.part.exemplars
        earlier = f", at most {kept.per_class} of each of {list(kept.classes)} (exemplars)" if kept else ""
        known = f"{len(dataset)} rows, {int((dataset.strata >= 0).sum())} of them labelled{share}{masks}{windows}{gaps}{earlier}"
        console.print(f"{split}: {known}", markup=False)
        for reason, count in dataset.left_out.items():
            console.print(f"{split}: {count} rows left out ({reason})")
        if dataset.augment.flip > 0 and not dataset.manifest.flips and split == "train" and has_clips(dataset.views):
            console.print(f"{split}: {_MIRRORED}", style="yellow")


@contextmanager
def heard(console: Console) -> Iterator[None]:
    """What xkd logs in here is printed too: what was found in files of weights, and what was assumed about them."""
    logger, handler = logging.getLogger("xkd"), _Printed(console)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Printed(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        warns = record.levelno >= logging.WARNING
        self.console.print(record.getMessage(), style="yellow" if warns else None, highlight=False)


def measure_teachers(distiller: Distiller, config: Config, seed: int, console: Console) -> None:
    """Each frozen teacher is measured on val before it teaches, on its own view; `ValueError` names one that is at chance level there."""
    if not distiller.task.measures().main:
        return
    branches = dict(distiller.branches.items())
    for name, branch in branches.items():
        weights = origin(name, branches).weights
        if branch.frozen and isinstance(weights, Checkpoint) and weights.without_labels():
            console.print(f"teacher '{name}' knows no classes: it teaches by its features alone")
            continue
        if branch.frozen and not follows(name, branches):
            task = distiller.task_of(name)
            if why := _unmeasured(distiller, name, config):
                console.print(f"teacher '{name}' {why}: not measured")
                continue
            loader = build_loader(config.val_dataloader, seed, views=[branch.view])
            predictions = predict_boxes(branch, distiller.task, loader) if branch.eats.several else predict(branch, task, loader)
            metrics = measure(task, predictions)
            without = f" ({len(predictions.broken)} rows could not be read)" if predictions.broken else ""
            measured = ", ".join(f"{key} {value:.3f}" for key, value in metrics.items())
            boxes = f" of {len(predictions)} boxes" if branch.eats.several else ""
            console.print(f"teacher '{name}' on val: {measured}{boxes}{without}")
            if is_judged(distiller, name):
                _refuse_chance(distiller, name, predictions, measured)
    nodes = Nodes(dict(distiller.branches.items()), dict(distiller.ensembles.items()), distiller.task)
    for name in teaching_ensembles(distiller):
        if (task := nodes.task_of(f"{name}.output")) != distiller.task:
            console.print(f"teacher '{name}' answers by {task}, the run's labels are of {distiller.task}: not measured")
            continue
        views = {branch.view.name: branch.view for branch in sources_of(distiller, name)}
        predictions = predict_together(distiller, name, build_loader(config.val_dataloader, seed, views=list(views.values())))
        measured = ", ".join(f"{key} {value:.3f}" for key, value in measure(distiller.task, predictions).items())
        hidden = ", without its labels" if "target" in distiller.ensembles[name].extras else ""
        console.print(
            f"teacher '{name}' on val: {measured} ({type(distiller.ensembles[name].by).__name__} of {len(predictions)} rows{hidden})"
        )


def _unmeasured(distiller: Distiller, name: str, config: Config) -> str:
    """Why a teacher cannot be held against the labels of val; empty where it can."""
    branch = distiller.branches[name]
    if isinstance(of := branch.weights, Shared) and branch.view == distiller.branches[of.of].view:
        return f"has the weights of '{of.of}', and its view"
    if (task := distiller.task_of(name)) != distiller.task and not branch.eats.several:
        return f"answers by {task}, of which this run has no labels"
    data = config.val_dataloader.dataset
    if branch.eats.of_view or any(row.split == data.split and has(row, branch.view) for row in Manifest.load(data.root).rows):
        return ""
    return f"eats '{branch.eats.reading}', and no row of {data.split} has its view '{branch.view.name}'"


def teaching_ensembles(distiller: Distiller) -> list[str]:
    """Those whose answer is there before training: of outputs of frozen networks alone, which see their own views."""

    def is_answer(name: str) -> bool:
        node, reading = Reading.parse(name)
        if node in distiller.ensembles:
            return all(map(is_answer, distiller.ensembles[node].readings))
        branch = distiller.branches[node]
        return reading == "output" and branch.frozen and branch.eats.of_view and not follows(node, dict(distiller.branches.items()))

    return [name for name in distiller.ensembles if is_answer(f"{name}.output")]


def sources_of(distiller: Distiller, ensemble: str) -> list[Branch]:
    """The branches that an ensemble is made of, through others."""
    read = {Reading.parse(of).branch for of in all_read(distiller.ensembles, [f"{ensemble}.output"])}
    return [branch for name, branch in distiller.branches.items() if name in read]


def is_judged(distiller: Distiller, name: str) -> bool:
    """Whether a teacher has to be better than chance: random weights are a control, and of taps alone the classifier does not matter."""
    branch = distiller.branches[name]
    answers = {"output", *branch.explanations} & set(distiller.needed[name])
    told = distiller.task_of(name).measures().chance is not None
    return branch.judged and bool(answers) and told and not isinstance(origin(name, dict(distiller.branches.items())).weights, Random)


def _refuse_chance(distiller: Distiller, name: str, predictions: Predictions, measured: str) -> None:
    task = distiller.task_of(name)
    chance, labelled = task.measures().chance, predictions.labelled
    share = chance(predictions.measured) if chance else math.nan
    if not share > LEVEL:  # nor where the rows are too few to tell
        return
    branch = distiller.branches[name]
    mean, std = ([round(value, 3) for value in of.flatten().tolist()] for of in (branch.mean, branch.std))
    names = list(task.names if branch.class_map is None else branch.class_map.own)
    raise ValueError(
        f"teacher '{name}' is at chance level on val: {measured} over {int(labelled.sum())} labelled rows, and {share:.0%} of random"
        f" pairings of its answers with these rows are as good. Was it trained for long enough? Is it normalised as in its own training"
        f" (here by mean {mean} and std {std},"
        f" {branch.view.modality.unit}: mean=, std= of Checkpoint)? Are its {task.noun} in this order,"
        f" {names}{' (else class_map=ClassMap(own=..., to=...))' if task.of_classes else ''}?"
        f" Are these its weights, its last layer too, for this task and view '{branch.view.name}'"
        f" ({getattr(branch.weights, 'path', branch.weights)})? If you mean it, use Branch(..., judged=False)"
    )


def describe(distiller: Distiller) -> Table:
    """The dry run as a table: each reading's shape, and what each branch and term costs."""
    table = Table("reading", "shape (C, H, W)", "parameters", "MFLOPs per image", title="The graph", title_justify="left")
    held = twice(dict(distiller.branches.items()))
    for name, branch in distiller.branches.items():
        count = own_parameters(branch, held.get(name))
        label = "frozen" if branch.frozen else "learns"
        flops = count_flops(branch, distiller.task) / 1e6
        weights = f", the weights of {branch.weights.of}" if isinstance(branch.weights, Shared) else ""
        sees = f"view {branch.view.name}" if branch.eats == WHOLE else f"{branch.eats}, view {branch.view.name}"
        changed = "".join(f", {name_of(change)}" for change in branch.changes)
        table.add_row(f"{name} ({label}{weights}, {sees}{changed})", str(branch.eats.size_of(branch.view)), f"{count:,}", f"{flops:.0f}")
        for reading, shape in branch.shapes.items():
            table.add_row(f"  {name}.{reading}", str(tuple(shape)))
    for name, ensemble in distiller.ensembles.items():
        count = sum(p.numel() for p in ensemble.parameters())
        table.add_row(f"{name} ({type(ensemble.by).__name__} of {', '.join(ensemble.of)})", "", f"{count:,}" if count else "", "")
        table.add_row(f"  {name}.output", str(ensemble.shape))
    for name, term in distiller.terms.items():
        count = sum(p.numel() for p in term.parameters())
        weight = "scheduled" if callable(term.weight) else f"{term.weight:g}"
        edge = f"{weight} * {type(term.loss).__name__}({', '.join(term.readings)})"
        flops = distiller.term_flops[name] / 1e6
        table.add_row(f"term {name}", edge, f"{count:,}" if count else "", f"{flops:.3g}" if flops else "")
    return table
