"""The choices as a config: one short file, commented, that a person reads and edits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import timm
from jinja2 import Environment, PackageLoader, StrictUndefined

from xkd.data.supervisor import VIEW
from xkd.init.choices import Choices, Node
from xkd.init.clips import written_network, written_view
from xkd.init.facts import Facts
from xkd.init.starts import Start, camera_of
from xkd.init.ways import Way, classes_of
from xkd.taps import stage_names

_LEAST_GRID: Final = 4  # positions along the shorter side of an attention map, below which it shows and steers next to nothing
_ROTATE: Final = 10.0  # degrees
_WARM: Final = (0.1, 2)  # share of the epochs, at most so many


def render(facts: Facts, choices: Choices, starts: Mapping[str, Start], root: str, file: str, command: str) -> str:
    """The text of the config; `starts` by branch, `root` is where it finds the data, `command` what it was written by."""
    way = facts.way
    nodes = [*choices.teachers, choices.student]
    views = [node for node in nodes if node.own_view]
    shown = [choices.student.view, *(node.view for node in choices.teachers if node.own_view)]
    camera = camera_of(facts, nodes) if any(start.on_pairs for start in starts.values()) else None
    loader = PackageLoader("xkd.init", ".")
    environment = Environment(loader=loader, trim_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.get_template("config.jinja").render(
        camera=camera,
        attention={node.name: where for node in nodes if (where := _attention(node, way))},
        c=choices,
        described=", ".join(way.task.described),
        classes=classes_of(way.task.names) if way.task.noun == "classes" else "",
        command=in_docstring(command),
        file=file,
        imports=_imports(facts, choices, starts),
        manifest=facts.manifest,
        modality=lambda node: _modality(node, facts),
        network=lambda node: written_network(_network(node, way), node.network, facts.clips.get(node.column)),
        nodes=nodes,
        others=facts.others,
        root=json.dumps(root, ensure_ascii=False),
        rotate=0.0 if _seen_from_above(facts, choices) else _ROTATE,
        starts=starts,
        student_first=", ".join(shown),
        taps={} if way.task.pictured else {node.name: _tap(node) for node in nodes},
        teacher_names=" and ".join(f"a teacher on {node.column}" for node in choices.teachers),
        target=way.target.removeprefix(VIEW) if way.sensor else "",
        views=views,
        warm=max(1, min(_WARM[1], round(_WARM[0] * choices.epochs.value))),
        way=way,
        weak_colour=type(facts.manifest.modalities[choices.student.column]).__name__ == "RGB",
    )


def _imports(facts: Facts, choices: Choices, starts: Mapping[str, Start]) -> list[str]:
    names = {"Augment", "BF16OptimWrapper", "Branch", "Distiller", "PairedDataset", "Term", "Trained", "View", "sensor", *facts.way.names}
    names |= set() if facts.way.task.pictured else {"Tap"}
    names |= {"Pretrained"} if choices.weights.value else {"Random"}
    names |= {"PretrainedOnPairs"} if any(start.on_pairs for start in starts.values()) else set()
    names |= {"MaskEnergy"} if choices.mask_term.value else set()
    names |= {"Clip", "Frames"} if facts.clips else set()
    return sorted(names)


def _modality(node: Node, facts: Facts) -> str:
    return written_view(f'dict(type=sensor, root=data, column="{node.column}")', facts.clips.get(node.column))


def network_of(node: Node, num_classes: int) -> str:
    """timm's network as a config makes it; a transformer has positions for images of one size, and is told which."""
    network: Any = timm.create_model(node.network)
    size = f", img_size={node.size}" if getattr(getattr(network, "patch_embed", None), "img_size", None) else ""
    return f'dict(type=timm.create_model, model_name="{node.network}"{size}, in_chans={node.channels}, num_classes={num_classes})'


def _network(node: Node, way: Way) -> str:
    if not way.wrapper:
        return network_of(node, way.outputs)
    maps = f"features_only=True, out_indices={way.levels}, in_chans={node.channels}"
    backbone = f'dict(type=timm.create_model, model_name="{node.network}", {maps})'
    return f"dict(\n    type={way.wrapper},\n    backbone={backbone},\n    {way.counted}={way.outputs},\n)"


def _attention(node: Node, way: Way) -> str:
    """Which map shows where a branch looks, "" of a detector and of numbers for pixels.

    `ValueError` where a network has no maps to put the task's head on.
    """
    if not way.wrapper:
        return "tap:attention"
    try:
        model = timm.create_model(node.network, features_only=True, out_indices=way.levels, in_chans=node.channels)
    except (RuntimeError, IndexError, AssertionError) as error:
        task = type(way.task).__name__.lower()
        raise ValueError(
            f"'{node.network}' gives no feature maps {way.levels} for {task} ({error}); a CNN such as resnet18 does"
        ) from error
    information: Any = model.feature_info
    if way.task.grid and not way.task.of_classes:
        return ""  # numbers of pixels have no score that a map could explain
    if way.task.grid:
        return f"grad_cam:backbone.{information.module_name()[0]}"
    if len(set(strides := information.reduction())) < len(strides):
        raise ValueError(
            f"'{node.network}' gives maps of strides {list(strides)}, detection needs finer and coarser ones, as resnet18 gives"
        )
    return ""


def _tap(node: Node) -> str:
    """The deepest stage whose grid is not too coarse for this image size."""
    model = timm.create_model(node.network, in_chans=node.channels)
    count, information = len(stage_names(model)), getattr(model, "feature_info", None) or []
    strides = [one["reduction"] for one in information][-count:]
    fine = [at for at, stride in enumerate(strides, -len(strides)) if min(node.size) // stride >= _LEAST_GRID]
    return f"stage:{fine[-1] if fine else -1}"


def _seen_from_above(facts: Facts, choices: Choices) -> bool:
    """A bird's-eye view of a scan would be sheared by the camera's rotation."""
    return any(getattr(facts.manifest.modalities[node.column], "project", "") == "above" for node in [*choices.teachers, choices.student])


def in_docstring(text: str) -> str:
    """What may hold a path of Windows, so that the file still says what it says."""
    return text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')


def place(text: str, out: Path) -> bool:
    """Write the file; False where it is there already and says the same. `FileExistsError` where it says something else."""
    if out.exists():
        if out.read_text("utf-8") == text:
            return False
        raise FileExistsError(f"{out} is there and says something else: it may be edited. Name another --out, or use it: xkd train {out}")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, "utf-8")
    return True
