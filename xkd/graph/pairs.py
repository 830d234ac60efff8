"""Weights that a network has from paired recordings alone: a network on another sensor teaches it, before anybody has labelled a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from xkd.batch import View
from xkd.graph.branch import Branch
from xkd.graph.channels import Statistics
from xkd.graph.weights import Random, Weights


@dataclass(frozen=True)
class PretrainedOnPairs:
    """A run of its own that is done first, on all pairs, labelled or not: the network imitates the stages of `teacher`, which is frozen.

    Gupta, Hoffman, Malik, "Cross Modal Distillation for Supervision Transfer", CVPR 2016, arXiv:1507.00448. `teacher` is a branch on the
    sensor for which pretrained weights exist, the camera; neither labels nor its classifier are asked. Each of `taps`, a place in both
    networks ("stage:-1" of timm's) or a pair of places (this network's, the teacher's), becomes a `FitNet` term, "hint1" and so on, through
    a 1x1 convolution, which stays behind. The checkpoint is the one with the least loss on the pairs of val.

    `xkd train`, `xkd compare` and `xkd distill` train it where it is not there yet, and put its `Checkpoint` in this place. The network
    begins with `start`; `epochs` (0: the config's), `augment` and `options` are for that run alone, as in `Trained`
    (`{"distiller.terms.hint1.weight": 2.0}`).
    """

    teacher: Branch
    start: Weights = field(default_factory=Random)
    taps: Sequence[str | tuple[str, str]] = ("stage:-2", "stage:-1")
    epochs: int = 0
    augment: Mapping[str, Any] = field(default_factory=dict, hash=False)
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def load(self, model: nn.Module, view: View) -> Statistics:
        raise ValueError(
            f"the branch on view '{view.name}' has weights=PretrainedOnPairs(): xkd train, compare and distill train it first; in a loop of"
            " your own name the result, weights=Checkpoint(path)"
        )
