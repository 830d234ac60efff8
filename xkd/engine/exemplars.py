"""Exemplars by herding, before a run trains: the network as it was reads earlier classes' rows, and those nearest to their mean are kept.

Rebuffi et al., "iCaRL: Incremental Classifier and Representation Learning", CVPR 2017, arXiv:1611.07725, algorithm 4: each time the row
by which the mean of those chosen comes nearest to the mean of the class, features being of length one. Means are not brought to length one,
and no row is taken twice, as in mammoth and others; the authors' code descends by Welling's herding, which may name a row twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import torch
from jaxtyping import Float
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import barrier, is_main_process
from torch import Tensor

from xkd.builder import build
from xkd.data.exemplars import Exemplars
from xkd.data.paired import PairedDataset
from xkd.engine.config import as_names, as_plain, copied
from xkd.engine.loaders import build_loader
from xkd.files import write_atomically
from xkd.graph.branch import Branch
from xkd.graph.reading import Reading
from xkd.graph.weights import Checkpoint
from xkd.losses.rows import of_length_one
from xkd.tasks import Task

FILE: Final = "exemplars.json"  # in a run's folder, beside its checkpoints


def with_exemplars(config: Config, work_dir: Path, last: str | None, seed: int, tell: Callable[[str], None]) -> Config:
    """The config with the rows of its exemplars, where those are by herding; a run that goes on from `last` has them from its folder."""
    section = as_plain(config.train_dataloader.dataset).get("exemplars") or {}
    if section.get("by") != "herding" or section.get("rows"):
        return config
    wanted: Exemplars = build(section, "train_dataloader.dataset.exemplars")
    file = work_dir / FILE
    if last is None:
        if is_main_process():
            work_dir.mkdir(parents=True, exist_ok=True)
            write_atomically(file, json.dumps(_told(wanted, _chosen(config, wanted, seed, tell)), indent=1).encode())
        barrier()
    held = _read(file)
    if held != _told(wanted, held["rows"]):
        told = {key: value for key, value in held.items() if key != "rows"}
        raise ValueError(f"{file} was written for other exemplars, {told}: leave {wanted} as it was, or start a new run")
    named = copied(config)
    named.train_dataloader.dataset.exemplars = as_names({**section, "rows": held["rows"]})
    return named


def drawn_instead(config: Config) -> Config:
    """For a smoke run, whose teachers know nothing: exemplars by herding are drawn."""
    section = as_plain(config.train_dataloader.dataset).get("exemplars") or {}
    if section.get("by") != "herding":
        return config
    named = copied(config)
    named.train_dataloader.dataset.exemplars = as_names({**section, "by": "drawn", "features": "", "rows": {}})
    return named


def herded(features: Float[Tensor, "n d"], count: int) -> list[int]:
    """Places of `count` rows, or of all, in the order in which they are chosen."""
    vectors = of_length_one(features.double())
    mean, total, left = vectors.mean(0), torch.zeros_like(vectors[0]), torch.ones(len(vectors), dtype=torch.bool)
    chosen: list[int] = []
    for number in range(1, min(count, len(vectors)) + 1):
        distances = torch.linalg.vector_norm(mean - (total + vectors) / number, dim=1)
        chosen.append(int(distances.masked_fill(~left, torch.inf).argmin()))
        total, left[chosen[-1]] = total + vectors[chosen[-1]], False
    return chosen


def _told(wanted: Exemplars, rows: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What the file says; nothing more than what a config says and what was chosen."""
    told = {"classes": list(wanted.classes), "per_class": wanted.per_class, "by": wanted.by, "features": wanted.features}
    return {**told, "rows": {name: list(rows[name]) for name in wanted.classes if name in rows}}


def _chosen(config: Config, wanted: Exemplars, seed: int, tell: Callable[[str], None]) -> dict[str, list[str]]:
    node, reading = Reading.parse(wanted.features)
    sections = as_plain(config.distiller.branches)
    if node not in sections or not sections[node].get("frozen"):
        frozen = sorted(name for name, of in sections.items() if of.get("frozen"))
        raise ValueError(f"exemplars.features = '{wanted.features}' is of no frozen branch; frozen are {frozen}")
    rows = _kept_before(sections[node]["weights"], wanted)
    if new := [name for name in wanted.classes if name not in rows]:
        branch: Branch = build(sections[node], f"distiller.branches.{node}")
        if reading not in branch.readings:
            raise KeyError(f"exemplars.features = '{wanted.features}': no tap '{reading}'; {node} has {branch.readings}")
        of_class = _features(config, branch, reading, new, seed)
        for name, (ids, features) in of_class.items():
            rows[name] = [ids[place] for place in herded(features, wanted.per_class)]
    earlier = [name for name in wanted.classes if name not in new]
    tell(
        f"exemplars: {wanted.per_class} of each of {new} by herding in '{wanted.features}'" + (f", {earlier} as before" if earlier else "")
    )
    return rows


def _kept_before(weights: Mapping[str, Any], wanted: Exemplars) -> dict[str, list[str]]:
    """What the run kept that the branch's checkpoint is of: a run that goes on has no other rows of those classes."""
    if not issubclass(weights["type"], Checkpoint) or not (file := Path(weights["path"]).parent / FILE).is_file():
        return {}
    held = _read(file)
    if held["per_class"] < wanted.per_class:
        raise ValueError(
            f"exemplars.per_class is {wanted.per_class}, and {file} has {held['per_class']} of each of {list(held['rows'])}: ask for less"
        )
    return {name: of[: wanted.per_class] for name, of in held["rows"].items() if name in wanted.classes}


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise FileNotFoundError(f"no {file}, which says what exemplars this run has; put it back, or start a new run")
    held: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return held


def _features(config: Config, branch: Branch, reading: str, classes: Sequence[str], seed: int) -> dict[str, tuple[list[str], Tensor]]:
    """Of each class the ids of its labelled training rows, and their features (N, D), without augmentation."""
    loader = as_plain(config.train_dataloader)
    kept = {key: of for key, of in loader["dataset"].items() if key not in ("exemplars", "known", "shuffle", "windows", "subset")}
    read = {key: of for key, of in loader.items() if key in ("batch_size", "num_workers", "multiprocessing_context", "prefetch_factor")}
    rows = build_loader({**read, "persistent_workers": False, "dataset": {**kept, "classes": tuple(classes)}}, seed, views=[branch.view])
    dataset = cast("PairedDataset", rows.dataset)
    task: Task = build(as_plain(config.distiller.task), "distiller.task")
    branch.to(get_device()).bind(task)
    ids: dict[str, list[str]] = {name: [] for name in classes}
    features: dict[str, list[Tensor]] = {name: [] for name in classes}
    with torch.no_grad():
        for batch in rows:
            read_here = branch(batch.to(branch.mean.device), task)[reading].float().cpu()
            pooled = read_here.flatten(2).mean(2) if read_here.ndim > 2 else read_here
            for place in (batch.labelled & batch.present[branch.view.name]).nonzero().flatten().tolist():
                row = dataset.rows[int(batch.index[place])]
                [label] = row.labels or ()
                ids[label].append(row.id)
                features[label].append(pooled[place])
    if empty := [name for name in classes if not ids[name]]:
        raise ValueError(
            f"{dataset.manifest.root}: exemplars of class '{empty[0]}', and no labelled row of split 'train' that can be read has it"
        )
    return {name: (ids[name], torch.stack(features[name])) for name in classes}
