"""At which stages two networks' features may be compared place by place, as far as the pairs are aligned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any, Final, TypeVar

import timm

from xkd.data.check.frames import read_frame
from xkd.data.check.residual import Residual
from xkd.data.check.strides import least_cell
from xkd.data.manifest import Manifest
from xkd.data.rows import Row
from xkd.data.windows import Windows
from xkd.init.choices import Choice, Node
from xkd.init.facts import shown_size
from xkd.init.ways import STRIDE_INDEX
from xkd.taps import stage_names

Place = TypeVar("Place", str, tuple[str, str])
_TAPS: Final = 2  # stages from the last on
_LEAST_GRID: Final = 2  # positions along a side; one alone is no place


def stage_taps(nodes: Sequence[Node]) -> dict[str, list[int]]:
    """The last stages, with the stride that each network has there; `ValueError` for a network without stages."""
    strides = [_strides(node.network) for node in nodes]
    return {f"stage:{-number}": [of[-number] for of in strides] for number in range(_TAPS, 0, -1)}


def map_taps(nodes: Sequence[Node]) -> dict[tuple[str, str], list[int]]:
    """The one map of networks for pixels, below their wrapper's name, of (learner, teacher)."""
    maps: list[Any] = [timm.create_model(node.network, features_only=True, out_indices=(STRIDE_INDEX,)).feature_info for node in nodes]
    ours, theirs = (f"backbone.{info.module_name()[0]}" for info in maps)
    return {(ours, theirs): [int(info.reduction()[0]) for info in maps]}


def choose_taps(
    nodes: Sequence[Node], taps: Mapping[Place, Sequence[int]], height: float, residual: Residual | None, trusted: bool
) -> Choice[tuple[Place, ...]]:
    """Those of `taps` whose positions cover more than the pairs are apart; none where no tap does, or nobody can tell.

    `taps` have a stride for each of `nodes`; what counts is the finer grid. `height` is what a row shows, in pixels of the residual's
    unit. A network whose map has less than two positions along a side has no places at that tap.
    """
    grids = {tap: min(min(node.size) // stride for node, stride in zip(nodes, strides, strict=True)) for tap, strides in taps.items()}
    legal = [tap for tap in taps if grids[tap] >= _LEAST_GRID]
    if not legal:
        sizes = " and ".join(f"{node.column} {node.size}" for node in nodes)
        return Choice((), f"images of {sizes} pixels leave less than {_LEAST_GRID} positions along a side of every map")
    if residual is None or not residual.is_measurable:
        share = "no pair has" if residual is None else f"{residual.paired.measurable} of {residual.paired.pairs} pairs have"
        why = f"how the pairs are aligned is not measurable, {share} edges in common"
        return Choice(tuple(legal), f"the last ones; {why}, and is trusted") if trusted else Choice((), why)
    cells = {tap: height * min(stride / node.size[0] for node, stride in zip(nodes, taps[tap], strict=True)) for tap in legal}
    fitting = [tap for tap in legal if cells[tap] >= least_cell(residual)]
    why = f"edges lie up to {residual.paired.p95:.1f} pixels of {residual.unit} apart (95 %)"
    if not fitting:
        why += f", and a position of the coarsest map covers {cells[legal[-1]]:.1f} pixels, less than twice as many"
        return Choice((legal[-1],), f"{why}; trusted all the same") if trusted else Choice((), why)
    why += f", a position of {fitting[0]} covers {cells[fitting[0]]:.1f}"
    return Choice(tuple(fitting), why if len(fitting) == len(legal) else f"{why}; {legal[0]} covers {cells[legal[0]]:.1f} and is left out")


def height_shown(manifest: Manifest, rows: Sequence[Row], residual: Residual | None, windows: Windows | None = None) -> float:
    """What rows, or windows of their frames, show along the vertical, in pixels of the residual's sensor; 0 where there is none."""
    if residual is None:
        return 0.0
    height = float(shown_size(manifest, rows, residual.unit, windows)[0])
    if residual.unit not in manifest.registrations:
        return height
    frame = read_frame(manifest, rows[0])  # read into another's frame, which has other pixels
    (wide, high), (own_wide, own_high) = frame.size(residual.unit), frame.resolution(residual.unit)
    return height * sqrt(own_wide * own_high / (wide * high))


def _strides(network: str) -> list[int]:
    model: Any = timm.create_model(network)
    named = len(stage_names(model))
    stages = [int(one["reduction"]) for one in model.feature_info][-named:] if named else []
    if len(stages) < _TAPS:
        raise ValueError(
            f"{network} has {len(stages)} stages that timm names, at least {_TAPS} are needed: features are taught stage by stage. Most"
            " CNNs and transformers of timm have them (xkd inspect-taps NAME); for another network write the config by hand, with taps"
            " that name modules"
        )
    return stages
