"""Data loaders and distillers from the sections of a config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch.utils.data import DataLoader

from xkd.batch import View
from xkd.builder import build
from xkd.data.annotations import Labels, Masks
from xkd.data.exemplars import Exemplars
from xkd.data.fold import Fold
from xkd.data.gaps import Gaps
from xkd.data.loader import DrawSampler, collate, collate_mixed
from xkd.data.mix import Mix
from xkd.data.paired import PairedDataset
from xkd.data.supervisor import view_named
from xkd.data.targets import can_be_mixed
from xkd.engine.config import as_plain
from xkd.engine.settings import NO_WORKERS, workers_of
from xkd.graph.distiller import Distiller
from xkd.hints import parameters


def build_loader(section: Any, seed: int, steps: int = 0, views: Sequence[View] = (), draws: int = 0) -> DataLoader[Any]:
    """A `train_dataloader`-like section; `steps` > 0 keeps that many batches (a smoke run), `views` replaces the dataset's views.

    `draws` > 0 says how many draws of the augmentation a training has. The run's seed draws the train split's augmentation, its order,
    which labels, masks and sensors are kept and which pairs are shuffled, unless the section names seeds of its own.
    """
    plain = as_plain(section)
    if plain["dataset"].get("split", "train") == "train":
        plain["dataset"] = _seeded(plain["dataset"], seed)
    if views:
        plain["dataset"] = with_views(plain["dataset"], views)
    dataset: PairedDataset = build(plain["dataset"], "dataset")
    mix: Mix | None = build({"seed": seed, **plain["mix"]}, "mix") if "mix" in plain else None
    if mix and not can_be_mixed(dataset.annotation):
        what = "the mask" if dataset.target == "mask" else f"{dataset.annotation.kind} {list(dataset.annotation.names)}"
        raise ValueError(f"mix is for labels of images; this dataset's target is {what}")
    order = plain.get("sampler", {"shuffle": False})
    if draws and order.get("shuffle"):
        order = {**order, "num_draws": draws}
    sampler: Any = DrawSampler(dataset, seed=seed, **order)
    batch_size, workers = plain["batch_size"], workers_of(plain)
    drop_last = plain.get("drop_last", False)
    if drop_last and len(sampler) < batch_size:
        split = plain["dataset"]["split"]
        raise ValueError(
            f"{len(sampler)} rows are fewer than one batch of {batch_size} (drop_last=True); lower {split}_dataloader.batch_size"
        )
    if steps:
        batch_size, workers = min(batch_size, 8), NO_WORKERS
        # labelled rows first: a file may begin with others, and a smoke run measures too
        sampler = list(islice(sorted(sampler, key=lambda key: dataset.strata[key[0]] < 0), steps * batch_size))
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers.count,
        persistent_workers=plain.get("persistent_workers", True) and workers.count > 0,
        prefetch_factor=workers.ahead,
        drop_last=drop_last,
        pin_memory=torch.cuda.is_available(),
        collate_fn=partial(collate_mixed, mix) if mix else collate,
        multiprocessing_context=workers.start,
        # its own, or starting workers would draw from the model's randomness, once in a run and once more in a resumed one
        generator=torch.Generator().manual_seed(seed),
    )


def with_views(dataset: Mapping[str, Any], views: Sequence[View]) -> dict[str, Any]:
    """A dataset's section with these views, and with the one that is its target."""
    return {**dataset, "views": [*views, *supervising(dataset, [view.name for view in views])]}


def supervising(dataset: Mapping[str, Any], given: Sequence[str]) -> list[Any]:
    """The view among a dataset section's that is its target, as it stands there, unless its name is `given` already."""
    name = view_named(dataset.get("target", "label"))
    named = {view.name if isinstance(view, View) else view["name"]: view for view in dataset["views"]}
    return [named[name]] if name in named and name not in given else []


def _seeded(dataset: Mapping[str, Any], seed: int) -> dict[str, Any]:
    kinds = {"labels": Labels, "masks": Masks}
    kinds |= {name: kind for name, kind in (("gaps", Gaps), ("exemplars", Exemplars), ("without", Fold)) if dataset.get(name)}
    parts = {name: {"type": kind, "seed": seed, **dataset.get(name, {})} for name, kind in kinds.items()}
    takes = parameters(dataset["type"])
    return {"seed": seed, **dataset, **{name: part for name, part in parts.items() if name in takes}}


def build_distiller(section: Any, seed: int, smoke: bool = False) -> Distiller:
    """The `distiller` section, bound. Each branch is initialised from (seed, its name), so it starts alike in every graph.

    `smoke` needs no teacher's checkpoint: frozen branches get random weights.
    """
    plain = dict(as_plain(section))
    branches = {}
    for name, branch in plain["branches"].items():
        check_pretrained(branch, f"distiller.branches.{name}")
        torch.manual_seed(seed_of(seed, name))
        branches[name] = build(without_weights(branch) if smoke else branch, f"distiller.branches.{name}")
    torch.manual_seed(seed_of(seed, "terms"))
    distiller: Distiller = build({**plain, "branches": branches}, "distiller")
    distiller.bind()
    return distiller


def check_pretrained(branch: Mapping[str, Any], where: str) -> None:
    """`ValueError` where the network brings weights of its own: the branch would not know how their images were normalised."""
    if places := brought(branch.get("model"), f"{where}.model"):
        weights = getattr(branch["weights"].get("type"), "__name__", "weights")
        raise ValueError(
            f"{places[0]}: the network brings weights of its own beside weights={weights}(), and nobody says how their images were"
            " normalised: take them out and use weights=Pretrained(), with file=... for a file of timm's, or"
            " Checkpoint(path, mean=..., std=...)"
        )


def brought(model: Any, where: str) -> list[str]:
    """Where a network's section asks for weights: `pretrained=True`, torchvision's `weights=`, Hugging Face's `from_pretrained`."""
    if isinstance(model, list | tuple):
        return [one for place, part in enumerate(model) for one in brought(part, f"{where}[{place}]")]
    if not isinstance(model, Mapping):
        return []
    kind = model.get("type")
    keys = ["pretrained", *(["weights"] if getattr(kind, "__module__", "").startswith("torchvision.") else [])]
    places = [f"{where}.{key}={model[key]!r}" for key in keys if model.get(key)]
    places += [f"{where}.type=from_pretrained"] if getattr(kind, "__name__", "") == "from_pretrained" else []
    return places + [one for key, part in model.items() for one in brought(part, f"{where}.{key}")]


def without_weights(branch: Mapping[str, Any]) -> dict[str, Any]:
    from xkd.graph.weights import EMA, Random, Shared

    of_another = branch["weights"].get("type") in (EMA, Shared)
    return dict(branch) if of_another else {**branch, "weights": {"type": Random, "frozen": bool(branch.get("frozen"))}}


def seed_of(seed: int, name: str) -> int:
    return int(np.random.SeedSequence([seed, crc32(name.encode())]).generate_state(1)[0])
