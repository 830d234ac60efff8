"""Whether graph, data and config fit together, asked before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xkd.data.paired import PairedDataset
from xkd.data.rows import Row
from xkd.data.shots import has
from xkd.engine.folds import check_unseen, taught_by
from xkd.engine.model import chosen_by_terms, legal_scores, measurable
from xkd.graph.distiller import Distiller
from xkd.graph.reading import BATCH, Reading
from xkd.graph.wiring import all_read
from xkd.tasks import Task


def check_together(distiller: Distiller, loaders: Mapping[str, Any], save_best: str) -> None:
    """`ValueError` or `KeyError` names what does not fit, and what would."""
    check_annotation(distiller.task, loaders)
    _check_save_best(distiller, save_best)
    _check_views(distiller, loaders, chosen_by_terms(save_best))
    _check_labels(distiller, loaders["train"].dataset)
    _check_ensembles(distiller, loaders["train"].dataset)
    check_unseen(distiller, loaders["train"].dataset)
    if loaders["train"].dataset.part.without:
        taught_by(distiller, loaders["train"].dataset)
    if chosen_by_terms(save_best):
        _check_pairs(distiller, loaders)


def check_annotation(task: Task, loaders: Mapping[str, Any]) -> None:
    """Whether the rows are annotated with what the task learns from."""
    for split, loader in loaders.items():
        dataset = loader.dataset
        if why := task.misfit(dataset.annotation, f"the {split} data's manifest {dataset.manifest.root}"):
            raise ValueError(why)


def _check_views(distiller: Distiller, loaders: Mapping[str, Any], by_terms: bool) -> None:
    """What a branch was built for is what it is fed: every branch in training, the student in validation, or all where terms judge."""
    judged = distiller.branches if by_terms else {distiller.student_name: distiller.student}
    for split, branches in (("train", distiller.branches), ("val", judged)):
        views = {view.name: view for view in loaders[split].dataset.views}
        for name, branch in branches.items():
            # what eats of another branch in training is measured on its view
            if (branch.eats.of_view or (split == "val" and not by_terms)) and branch.view != views.get(branch.view.name):
                raise ValueError(f"branch '{name}' takes {branch.view}; the {split} data provides {list(views.values())}")
    first, student = loaders["train"].dataset.views[0], distiller.student.view
    if distiller.task.grid and first.size != student.size:
        raise ValueError(
            f"targets of pixels have the size of train_dataloader.dataset.views[0], '{first.name}' {first.size}, and the student sees"
            f" {student.size}: name view '{student.name}' first"
        )


def _check_save_best(distiller: Distiller, save_best: str) -> None:
    if save_best not in (legal := legal_scores(distiller)):
        raise KeyError(f"save_best = '{save_best}' is not measured; there are {legal}")
    if chosen_by_terms(save_best) and not measurable(distiller):
        raise ValueError(
            f"save_best = '{save_best}': the terms {list(distiller.terms)} remember the rows of training by their number, so they say"
            " nothing of held-out rows; add a term that does not, such as FitNet"
        )
    changing = [name for name in measurable(distiller) if callable(distiller.terms[name].weight)]
    if save_best == "val/loss" and changing:
        raise ValueError(
            f"save_best = 'val/loss' adds up terms by their weights, and the weight of '{changing[0]}' changes over the run: losses of two"
            f" epochs cannot be compared. Choose by one term, {[name for name in legal if 'term_' in name]}"
        )


def _check_pairs(distiller: Distiller, loaders: Mapping[str, Any]) -> None:
    """Every term that judges has rows in both splits: those with all of its views."""
    for name in measurable(distiller):
        term = distiller.terms[name]
        readers = [of.branch for of in map(Reading.parse, all_read(distiller.ensembles, term.required)) if of.branch in distiller.branches]
        read = list({distiller.branches[of].view.name: distiller.branches[of].view for of in readers}.values())
        for split, loader in loaders.items():
            rows = loader.dataset.rows
            if not any(all(_holds(distiller, row, reading) for reading in term.required) for row in rows):
                counts = {view.name: sum(has(row, view) for row in rows) for view in read}
                raise ValueError(
                    f"{loader.dataset.manifest.root}: no row of split '{split}' has all of {sorted(counts)}, which term '{name}' compares:"
                    f" of {len(rows)} rows {counts} have one. Pair the recordings in one row (xkd prepare-dataset), and see that splits do"
                    " not part them"
                )


def _holds(distiller: Distiller, row: Row, reading: str) -> bool:
    """Whether a row has the sensors that a reading is of."""
    node = Reading.parse(reading).branch
    if node == BATCH:
        return True
    if node in distiller.branches:
        branch = distiller.branches[node]
        return has(row, branch.view) if branch.eats.of_view else _holds(distiller, row, branch.eats.reading)
    ensemble = distiller.ensembles[node]
    enough = all if ensemble.need == "all" else any
    return enough(_holds(distiller, row, source) for source in ensemble.of) and all(
        _holds(distiller, row, asked) for asked in ensemble.asked
    )


def _check_labels(distiller: Distiller, data: PairedDataset) -> None:
    """A term that learns from labels has some: without any it would be zero in every step."""
    learns = [name for name, term in distiller.terms.items() if term.needs("target")]
    if learns and (data.strata < 0).all():
        raise ValueError(
            f"{data.manifest.root}: term '{learns[0]}' learns from labels, and none of the {len(data)} training rows has one: leave the"
            " term out, or name data with labels"
        )


def _check_ensembles(distiller: Distiller, data: PairedDataset) -> None:
    """Each has rows that count for it, and labels if it combines by them."""
    for name, ensemble in distiller.ensembles.items():
        if not any(_holds(distiller, row, f"{name}.output") for row in data.rows):
            counts = {source: sum(_holds(distiller, row, source) for row in data.rows) for source in ensemble.readings}
            raise ValueError(
                f"{data.manifest.root}: ensemble '{name}' counts rows that have {ensemble.need} of {list(ensemble.of)}, and no row of split"
                f" '{data.split}' does: of {len(data.rows)} rows {counts} have each. Name sources that are there, or fill their columns"
            )
        if "target" in ensemble.extras and all(row.labels is None for row in data.rows):
            raise ValueError(
                f"{data.manifest.root}: ensemble '{name}' of {list(ensemble.of)} combines by the label ({type(ensemble.by).__name__}),"
                f" and no row of split '{data.split}' has one: use Mean() or Entropy()"
            )
