"""The choices as a config: one short file, commented, that a person reads and edits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import timm
from jinja2 import Environment, PackageLoader, StrictUndefined

from xkd.init.choices import STRIDE_INDEX, Choices, Node
from xkd.init.facts import Facts
from xkd.init.starts import Start, camera_of
from xkd.taps import stage_names

_LEAST_GRID: Final = 4  # positions along the shorter side of an attention map, below which it shows and steers next to nothing
_ROTATE: Final = 10.0  # degrees
_WARM: Final = (0.1, 2)  # share of the epochs, at most so many


def render(facts: Facts, choices: Choices, starts: Mapping[str, Start], root: str, file: str, command: str) -> str:
    """The text of the config; `starts` by branch, `root` is where it finds the data, `command` what it was written by."""
    segmentation, several = facts.task == "segmentation", facts.manifest.multilabel and facts.task == "classification"
    nodes = [*choices.teachers, choices.student]
    views = [node for node in nodes if node.own_view]
    shown = [choices.student.view, *(node.view for node in choices.teachers if node.own_view)]
    classes = facts.manifest.mask.classes if segmentation and facts.manifest.mask else facts.manifest.classes
    camera = camera_of(facts, nodes) if any(start.on_pairs for start in starts.values()) else None
    loader = PackageLoader("xkd.init", ".")
    environment = Environment(loader=loader, trim_blocks=True, undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.get_template("config.jinja").render(
        camera=camera,
        attention={node.name: _attention(node, segmentation) for node in nodes},
        best="mean_iou" if segmentation else "macro_f1",
        c=choices,
        classes="(" + " ".join(f"{json.dumps(name, ensure_ascii=False)}," for name in classes) + ")",
        command=in_docstring(command),
        file=file,
        imports=_imports(facts, choices, starts, segmentation, several),
        manifest=facts.manifest,
        network=lambda node: _network(node, len(classes), segmentation),
        nodes=nodes,
        root=json.dumps(root, ensure_ascii=False),
        rotate=0.0 if _seen_from_above(facts, choices) else _ROTATE,
        segmentation=segmentation,
        several=several,
        starts=starts,
        student_first=", ".join(shown),
        taps={} if segmentation else {node.name: _tap(node) for node in nodes},
        teacher_names=" and ".join(f"a teacher on {node.column}" for node in choices.teachers),
        views=views,
        warm=max(1, min(_WARM[1], round(_WARM[0] * choices.epochs.value))),
        weak_colour=type(facts.manifest.modalities[choices.student.column]).__name__ == "RGB",
    )


def _imports(facts: Facts, choices: Choices, starts: Mapping[str, Start], segmentation: bool, several: bool) -> list[str]:
    names = {"Augment", "BF16OptimWrapper", "Branch", "Distiller", "PairedDataset", "Term", "Trained", "View", "sensor"}
    names |= {"Segmentation", "PixelHead"} if segmentation else {"Classification", "Tap"}
    names |= {"BinaryCrossEntropy", "SigmoidKD"} if several else {"CrossEntropy", "KD"}
    names |= {"Pretrained"} if choices.weights.value else {"Random"}
    names |= {"PretrainedOnPairs"} if any(start.on_pairs for start in starts.values()) else set()
    names |= {"MaskEnergy"} if choices.mask_term.value else set()
    return sorted(names)


def network_of(node: Node, num_classes: int) -> str:
    """timm's network as a config makes it; a transformer has positions for images of one size, and is told which."""
    network: Any = timm.create_model(node.network)
    size = f", img_size={node.size}" if getattr(getattr(network, "patch_embed", None), "img_size", None) else ""
    return f'dict(type=timm.create_model, model_name="{node.network}"{size}, in_chans={node.channels}, num_classes={num_classes})'


def _network(node: Node, num_classes: int, segmentation: bool) -> str:
    if not segmentation:
        return network_of(node, num_classes)
    maps = f"features_only=True, out_indices=({STRIDE_INDEX},), in_chans={node.channels}"
    backbone = f'dict(type=timm.create_model, model_name="{node.network}", {maps})'
    return f"dict(\n    type=PixelHead,\n    backbone={backbone},\n    num_classes={num_classes},\n)"


def _attention(node: Node, segmentation: bool) -> str:
    """Which map shows where a branch looks; `ValueError` where a network has no maps to put a head for pixels on."""
    if not segmentation:
        return "tap:attention"
    try:
        model = timm.create_model(node.network, features_only=True, out_indices=(STRIDE_INDEX,), in_chans=node.channels)
    except (RuntimeError, IndexError) as error:
        raise ValueError(f"'{node.network}' gives no feature maps for segmentation ({error}); a CNN such as resnet18 does") from error
    information: Any = model.feature_info
    return f"grad_cam:backbone.{information.module_name()[0]}"


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
