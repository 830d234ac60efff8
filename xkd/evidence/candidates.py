"""The students that a search chooses among: timm's networks and sizes of images, each a change of one config."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import timm
from mmengine.config import Config

from xkd.builder import build
from xkd.engine.config import as_names, as_plain
from xkd.engine.loaders import build_distiller
from xkd.engine.outline import Outline
from xkd.engine.sections import check_keys
from xkd.evidence.controls import ARMS
from xkd.graph.distiller import Distiller
from xkd.tasks import Task

KEYS: Final = ("candidates", "eta", "rungs", "sizes")
DEFAULT: Final = (
    "mobilenetv2_050",
    "mobilenetv2_100",
    "mobilenetv3_small_050",
    "mobilenetv3_small_100",
    "mobilenetv3_large_100",
    "mobilenetv4_conv_small_050",
    "mobilenetv4_conv_small",
    "efficientnet_lite0",
    "mnasnet_small",
    "lcnet_050",
    "lcnet_100",
    "ghostnet_100",
    "tinynet_e",
    "fbnetc_100",
    "regnetx_002",
    "regnety_002",
    "resnet10t",
    "convnext_atto",
    "edgenext_xx_small",
    "repvit_m0_9",
)  # small networks of many families, for processors of edge devices
_NAME: Final = "model_name"
_KEPT: Final = ("type", "num_classes", "in_chans", "features_only", "out_indices")  # of the config's network: the question, not the answer
_TIMED: Final = ("model", "view", "changes", "class_map", "eats", "task")  # of the student's branch: what its file is made of
_SPLITS: Final = ("train", "val", "test")
# what a network, a tap or a term says of shapes that it cannot take; timm asserts sizes
MISFITS: Final = (ValueError, TypeError, LookupError, RuntimeError, AssertionError)


@dataclass(frozen=True)
class Candidate:
    """`change` makes it of the config, by dotted key, as `compare.variants` has it; `key` is another one for another file to be timed."""

    name: str
    network: str
    size: tuple[int, int]
    change: Mapping[str, Any]
    key: str

    @property
    def folder(self) -> str:
        return f"{self.name}_{self.key}"


def candidates_of(config: Config) -> list[Candidate]:
    """Those of the config's `search` section, or `DEFAULT`, at each of its `sizes` or at that of the student's view.

    `ValueError` for a network that timm does not have, a name twice or of an arm, and what cannot be changed in this config.
    """
    section = as_plain(config.get("search") or {})
    check_keys(section, KEYS, "search")
    outline = Outline.of(config)
    own = tuple(outline.view_of(outline.student)["size"])
    place, network = _network(outline)
    made: list[Candidate] = []
    for entry in section.get("candidates", DEFAULT):
        for size in _sizes(entry, section.get("sizes", (own,))):
            made.append(_candidate(config, outline, place, network, entry, size))
            if made[-1].name in ARMS or made[-1].name.startswith(("teacher_", "same_sensor_")):
                raise ValueError(f"search.candidates cannot have '{made[-1].name}', the name of an arm of comparisons: give it another")
            if made[-1].name in [one.name for one in made[:-1]]:
                raise ValueError(f"search.candidates names {made[-1].name} twice")
    if not made:
        raise ValueError("search.candidates names no network")
    return made


def _sizes(entry: Any, sizes: Sequence[Any]) -> list[tuple[int, int]]:
    if not isinstance(entry, str) and (not isinstance(entry, Mapping) or not isinstance(entry.get(_NAME), str)):
        raise ValueError(
            f"search.candidates are names of timm's, or dict({_NAME}=..., name=..., size=(H, W), and its arguments); got {entry!r}"
        )
    chosen = [entry["size"]] if isinstance(entry, Mapping) and "size" in entry else sizes
    for size in chosen:
        if not isinstance(size, list | tuple) or len(size) != 2 or any(type(side) is not int or side < 1 for side in size):
            raise ValueError(f"search: a size is (height, width) in pixels; got {size!r}")
    return [(size[0], size[1]) for size in chosen]


def _network(outline: Outline) -> tuple[str, Mapping[str, Any]]:
    """Where the student's timm network is in its section, and what it is now; a wrapper may be around it."""
    places = list(_named(outline.branches[outline.student]["model"], f"distiller.branches.{outline.student}.model"))
    if len(places) != 1:
        raise ValueError(
            f"a search changes the one network of timm's in the student's model, dict(type=timm.create_model, {_NAME}=...);"
            f" branch '{outline.student}' has {len(places)} of them"
        )
    return places[0]


def _named(node: Any, place: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(node, Mapping):
        if _NAME in node:
            yield place, node
        for key, value in node.items():
            yield from _named(value, f"{place}.{key}")


def _replaced(node: Any, section: Mapping[str, Any]) -> Any:
    """The student's model with another network of timm's."""
    if not isinstance(node, Mapping):
        return node
    return section if _NAME in node else {key: _replaced(value, section) for key, value in node.items()}


def _candidate(config: Config, outline: Outline, place: str, network: Mapping[str, Any], entry: Any, size: tuple[int, int]) -> Candidate:
    own = {_NAME: entry} if isinstance(entry, str) else {key: value for key, value in entry.items() if key not in ("name", "size")}
    if not timm.is_model(own[_NAME]):
        near = difflib.get_close_matches(own[_NAME], timm.list_models(), n=5)
        raise ValueError(f"search.candidates: timm has no network '{own[_NAME]}'; near it: {near}")
    section = {**{key: network[key] for key in _KEPT if key in network}, **own}
    more = [f"{key}{_flat(value)}" for key, value in own.items() if key != _NAME]
    called = [entry["name"]] if isinstance(entry, Mapping) and "name" in entry else [own[_NAME], *more]
    other = [] if size == tuple(outline.view_of(outline.student)["size"]) else [f"{size[0]}x{size[1]}"]
    name = "_".join(_plain(str(part)) for part in (*called, *other))
    branch = {key: _replaced(of, section) for key, of in outline.branches[outline.student].items() if key in _TIMED}
    told = json.dumps(as_names([branch, size, as_plain(config.distiller.task)]), sort_keys=True, default=repr)
    change = {place: as_names(section), **_resized(config, outline, size)}
    return Candidate(name, own[_NAME], size, change, hashlib.sha256(told.encode()).hexdigest()[:6])


def _flat(value: Any) -> str:
    return "-".join(map(_flat, value)) if isinstance(value, list | tuple) else str(value)


def _plain(text: str) -> str:
    """As a folder may be called."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)


def _resized(config: Config, outline: Outline, size: tuple[int, int]) -> dict[str, Any]:
    """The student's view of another size, wherever the config has it."""
    view = outline.view_of(outline.student)
    if tuple(view["size"]) == size:
        return {}
    task: Task = build(as_plain(config.distiller.task), "distiller.task")
    if task.grid:
        raise ValueError(
            f"search: answers for each pixel are measured at their own size, {tuple(view['size'])}; candidates of {size} are not comparable"
        )
    others = [name for name, of in outline.branches.items() if name != outline.student and of["view"]["name"] == view["name"]]
    if others:
        raise ValueError(
            f"search: branch '{others[0]}' sees the student's view '{view['name']}' too: give the student a view of its own name"
        )
    places = {f"distiller.branches.{outline.student}.view.size": size}
    for split in _SPLITS:
        for at, one in enumerate(as_plain(config[f"{split}_dataloader"].dataset.views)):
            if one["name"] == view["name"]:
                places[f"{split}_dataloader.dataset.views.{at}.size"] = size
    return places


def built(config: Config) -> Distiller:
    """The graph with random weights, tried once; raises one of `MISFITS` where it cannot be."""
    return build_distiller(config.distiller, seed=0, smoke=True)
