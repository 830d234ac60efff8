"""What a trained network says of the test split, where it looks there, and how all that is kept in a file."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray
from torch import Tensor

from xkd.attention import NUM_DRAWS, attention_map, attention_scores, insertion_deletion, lift_within, randomised, unlearned_correlation
from xkd.batch import Batch
from xkd.data import choose
from xkd.data.annotations import Masks
from xkd.data.paired import PairedDataset
from xkd.data.region import positive_names
from xkd.engine.config import as_plain
from xkd.engine.loaders import build_loader
from xkd.engine.student import Student
from xkd.evaluate import predict
from xkd.graph.branch import Branch
from xkd.statistics import TestRun

CLUSTER = "group"  # rows of one plant, scene or drive are alike: the bootstrap draws them together
NUM_PROBED = 128  # labelled rows, at most, of what takes many passes: insertion, deletion and randomised weights
SCORES = ("no_map", "epg", "epg_lift", "pointing_game", "iou", "lift_within", "insertion", "deletion", "randomised")
_SCORE = "score_"  # of the columns of a file
_PREDICTIONS = "probabilities"  # as they are called in files, whatever the task


def answer(config: Config, student: Student, seed: int) -> TestRun:
    """The trained network on the labelled rows of the test split, on its own view alone."""
    section = as_plain(config.get("compare") or {})
    loader = build_loader(config.test_dataloader, seed, views=[student.branch.view])
    predictions = predict(student.branch, student.task, loader)
    if predictions.broken:
        rows = f"{len(predictions.broken)} rows cannot be read, and arms are compared on the same ones"
        raise ValueError(f"{rows}: {predictions.broken[0]}; mend the files, or take the rows out of the manifest")
    labelled = predictions.labelled.numpy()
    method = section.get("attention", {}).get(student.name, "")
    around = section.get("object", ())
    wider = _loader_of(config, student, seed, around) if around else None
    scores = score_columns(student, loader, method, wider, num_probed(section)) if method else {}
    return TestRun(
        np.array([meta["id"] for meta in predictions.meta]),
        predictions.values.numpy(),
        predictions.target.numpy(),
        np.array([meta[section.get("cluster", CLUSTER)] for meta in predictions.meta]),
        scores,
    ).at(np.flatnonzero(labelled))


def _loader_of(config: Config, student: Student, seed: int, codes: Any) -> Any:
    """The same rows with another region of interest."""
    section = as_plain(config.test_dataloader)
    masks = {"type": Masks, **section["dataset"].get("masks", {}), "positive": tuple(codes)}
    section["dataset"] = {**section["dataset"], "masks": masks}
    return build_loader(section, seed, views=[student.branch.view])


def score_columns(
    student: Student, loader: Any, method: str, around: Any = None, probed: int = NUM_PROBED
) -> dict[str, NDArray[np.float64]]:
    """Scores of where the network looks in each row, by name; not a number where a row has no such score.

    "no_map", "epg", "epg_lift", "pointing_game" and "iou" need a mask, "lift_within" also the mask of what is `around` it; "insertion" and
    "deletion" follow the likeliest class; "randomised" is the rank correlation with the map of a network that has learned nothing: these
    three are of `probed` rows.
    """
    unlearned, chosen_rows = cache(partial(randomised, student.branch)), probed_rows(loader.dataset, probed)
    columns: dict[str, list[Tensor]] = {name: [] for name in SCORES if name != "lift_within" or around is not None}
    wider = iter(around) if around is not None else None
    for batch in loader:
        moved = batch.to(student.branch.mean.device)
        scores = _scores(student, moved, method, next(wider) if wider is not None else None)
        chosen = torch.tensor([meta["id"] in chosen_rows for meta in batch.meta])
        scores.update(_probe(student, unlearned, moved, method, chosen.nonzero().flatten()))
        for name, column in columns.items():
            column.append(scores[name].double())
    return {name: torch.cat(column).numpy() for name, column in columns.items()}


def _scores(student: Student, batch: Batch, method: str, wider: Batch | None) -> dict[str, Tensor]:
    maps = attention_map(student.branch, batch.views[student.branch.view.name], student.task, method)
    scores = attention_scores(maps, batch.mask)
    if wider is not None:
        scores["lift_within"] = lift_within(maps, batch.mask, wider.mask.to(maps.device))
    return {name: torch.where(batch.masked, score.cpu(), torch.nan) for name, score in scores.items()}


def num_probed(section: Mapping[str, Any]) -> int:
    """`compare.probed`: how many labelled test rows, at most, are asked what takes many passes."""
    number = section.get("probed", NUM_PROBED)
    if type(number) is not int or number < 1:
        raise ValueError(f"compare.probed is a number of test rows, 1 or more; got {number!r}")
    return number


def probed_rows(dataset: PairedDataset, number: int) -> set[str]:
    """The same for networks of unlike sensors: chosen among all labelled rows of the split, the classes in turn."""
    labelled = [row for row in dataset.manifest.rows if row.split == dataset.split and row.labels is not None]
    return {row.id for row in choose.subset(labelled, dataset.manifest.classes, number, 0)}


def _probe(student: Student, unlearned: Callable[[int], Branch], batch: Batch, method: str, chosen: Tensor) -> dict[str, Tensor]:
    """Of the chosen rows alone; where rows have no one class, there is none to follow."""
    scores = {name: torch.full((len(batch),), torch.nan) for name in ("insertion", "deletion", "randomised")}
    images = batch.views[student.branch.view.name][chosen]
    if len(images):
        maps = attention_map(student.branch, images, student.task, method)
        scores["randomised"][chosen] = unlearned_correlation(unlearned, images, student.task, method, maps).cpu()
        if student.task.one_class:
            classes = student.task.choose(student.branch.run(images, batch, student.task)["output"])
            inserted, deleted = insertion_deletion(student.branch, images, student.task, maps, classes)
            scores["insertion"][chosen], scores["deletion"][chosen] = inserted.cpu(), deleted.cpu()
    return scores


def check_questions(config: Config) -> None:
    """Before anything is trained: are there such a column and such codes?"""
    section = as_plain(config.get("compare") or {})
    num_probed(section)
    cluster, around = section.get("cluster", CLUSTER), section.get("object", ())
    dataset: Any = build_loader(config.test_dataloader, 0).dataset
    columns = dataset.rows[0].meta
    if cluster not in columns:
        raise KeyError(f"compare.cluster = '{cluster}' is no column of the manifest; there are {sorted(columns)}")
    if around and dataset.masks.source != "mask":
        raise ValueError(f"compare.object = {list(around)} names codes of masks; the test split has regions of {dataset.masks.source}")
    positive_names(dataset.manifest, around)


def questions_key(config: Config) -> str:
    """Changes with what a trained network is asked: which attention, which scores, which clusters."""
    section = as_plain(config.get("compare") or {})
    keys = [
        section.get("attention", {}),
        section.get("object", ()),
        section.get("cluster", CLUSTER),
        SCORES,
        num_probed(section),
        NUM_DRAWS,
    ]
    return hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()[:8]


def to_bytes(run: TestRun) -> bytes:
    buffer = io.BytesIO()
    scores: Mapping[str, Any] = {f"{_SCORE}{name}": score for name, score in run.scores.items()}
    columns: dict[str, Any] = {"rows": run.rows, _PREDICTIONS: run.predictions, "target": run.target, "clusters": run.clusters}
    np.savez(buffer, **columns, **scores)
    return buffer.getvalue()


def from_file(path: Path) -> TestRun:
    with np.load(path, allow_pickle=False) as columns:
        scores = {name.removeprefix(_SCORE): columns[name] for name in columns if name.startswith(_SCORE)}
        return TestRun(columns["rows"], columns[_PREDICTIONS], columns["target"], columns["clusters"], scores)
