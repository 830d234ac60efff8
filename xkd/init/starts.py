"""What each network of a first config begins with: nothing, pretrained weights, or what the camera's network teaches it on pairs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xkd.data.check.residual import Residual
from xkd.init.alignment import choose_taps, height_shown, map_taps, stage_taps
from xkd.init.choices import Choice, Choices, Node, Wishes
from xkd.init.facts import Facts
from xkd.modalities import RGB

Residuals = Mapping[str, Residual | None]  # of each sensor and the camera


@dataclass(frozen=True)
class Start:
    """The text of a branch's weights, and why they are these."""

    weights: str
    why: str
    on_pairs: bool = False
    instead: str = ""  # the weights without pairs


def camera_of(facts: Facts, nodes: Sequence[Node]) -> Node | None:
    """The branch for whose sensor pretrained weights exist."""
    return next((node for node in nodes if isinstance(facts.manifest.modalities[node.column], RGB)), None)


def starts_of(facts: Facts, choices: Choices, wishes: Wishes, residuals: Residuals) -> dict[str, Start]:
    """By branch; `residuals` say how each other sensor is aligned with the camera, where pretrained weights are asked for."""
    nodes = [*choices.teachers, choices.student]
    if not choices.weights.value:
        return {node.name: Start("dict(type=Random)", choices.weights.why) for node in nodes}
    camera = camera_of(facts, nodes)
    return {node.name: _start(facts, choices, wishes, node, camera, residuals) for node in nodes}


def _start(facts: Facts, choices: Choices, wishes: Wishes, node: Node, camera: Node | None, residuals: Residuals) -> Start:
    file = f", file={json.dumps(wishes.weights, ensure_ascii=False)}" if wishes.weights else ""
    if isinstance(facts.manifest.modalities[node.column], RGB):
        return Start(f"dict(type=Pretrained{file})", choices.weights.why)
    summed = f'dict(type=Pretrained{file}, channels="average")'
    if camera is None:
        return Start(summed, f"{choices.weights.why}; no RGB camera is there that could teach {node.column} on pairs")
    taps = _taps(facts, node, camera, residuals.get(node.column))
    if not taps.value:
        return Start(summed, f"{choices.weights.why}; not by pairs with {camera.column}: {taps.why}")
    text = f"dict(type=PretrainedOnPairs, teacher=camera, start={summed}, taps={taps.value!r})"
    return Start(
        text,
        f"the pretrained network on {camera.column} teaches it on all pairs, without labels; {taps.why}",
        on_pairs=True,
        instead=summed,
    )


def without_pairs(starts: Mapping[str, Start], against: Mapping[str, str]) -> dict[str, Start]:
    """The same, with other weights for the branches for which there is a reason against pairs."""
    return {name: Start(start.instead, f"not by pairs: {against[name]}") if name in against else start for name, start in starts.items()}


def _taps(facts: Facts, node: Node, camera: Node, residual: Residual | None) -> Choice[tuple[Any, ...]]:
    """Places in both networks; of networks for pixels the one map that each has."""
    paired = [row for row in facts.manifest.rows if row.split == "train" and {node.column, camera.column} <= set(row.files)]
    height = height_shown(facts.manifest, paired, residual)
    if facts.way.task.pictured and not (facts.way.task.grid and facts.way.task.of_classes):
        return Choice((), f"no linear probe could tell whether that helps {facts.task}")
    try:
        if facts.way.task.grid:
            return choose_taps([node, camera], map_taps([node, camera]), height, residual, trusted=False)
        return choose_taps([node, camera], stage_taps([node, camera]), height, residual, trusted=False)
    except ValueError as error:
        return Choice((), str(error))
