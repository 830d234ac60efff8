"""What is done to a branch's network after its weights are loaded, and the file of a network that was changed before it was saved."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import FunctionType
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xkd.batch import View
from xkd.changes.rounded import unseen
from xkd.graph.channels import Statistics
from xkd.graph.weights import EMA, Checkpoint, Random, Shared, Weights


@runtime_checkable
class Change(Protocol):
    """Alters a network in place, in eval mode; `example` is a normalised batch. It returns what it did, its `str` says which it is."""

    def __call__(self, model: nn.Module, example: Float[Tensor, "b c h w"]) -> str: ...


def name_of(change: Change) -> str:
    """Which change it is, in the log and in checkpoints; of a function its name, as its `str` says where it is in memory.

    `ValueError` for another one whose `str` says that: no later process could load the checkpoint.
    """
    told = change.__qualname__ if isinstance(change, FunctionType) else str(change)
    if " at 0x" in told:
        raise ValueError(
            f"changes: {told} does not say which change it is, and a checkpoint must: make it a function or a dataclass, or give it __str__"
        )
    return told


def load_changed(model: nn.Module, view: View, weights: Weights, changes: Sequence[Change], size: tuple[int, int]) -> Statistics:
    """Load the weights and change the network; a file of a network that was changed is loaded after the same changes.

    `ValueError` where the file's changes are others than the branch's.
    """
    had = weights.changes() if isinstance(weights, Checkpoint) else ()
    named = tuple(map(name_of, changes))
    if had and had != named:
        raise ValueError(
            f"{weights} holds a network that was changed, changes=[{', '.join(had)}], and the branch on view '{view.name}' has"
            f" changes=[{', '.join(named)}]: give it the same"
        )
    if had:
        _change(model, view, changes, size)
        return weights.load(model, view)
    statistics = weights.load(model, view)
    _change(model, view, changes, size)
    return statistics


def _change(model: nn.Module, view: View, changes: Sequence[Change], size: tuple[int, int]) -> None:
    if not changes:
        return
    like = next(model.parameters(), torch.zeros(()))
    noise = torch.randn((2, view.modality.channels, *size), generator=torch.Generator().manual_seed(0)).to(like)
    training = model.training
    model.eval()
    for change in changes:
        try:
            done = change(model, noise)
        except (AssertionError, RuntimeError, TypeError) as error:  # the network's own words
            raise ValueError(
                f"view '{view.name}' gives {tuple(noise.shape[1:])}, and {name_of(change)} cannot run {type(model).__name__} on it: {error}"
            ) from error
        logging.getLogger("xkd").info(f"branch on view '{view.name}', {name_of(change)}: {done}")
    model.train(training)


def check_seen(model: nn.Module, weights: Weights, view: View) -> None:
    """`ValueError` for a frozen rounded network that no training pass has shown its ranges: its activations would never be rounded."""
    if not isinstance(weights, EMA | Random | Shared) and (without := unseen(model)):
        raise ValueError(
            f"the frozen branch on view '{view.name}' is rounded, and no training pass has shown the ranges of its activations"
            f" ('{without[0]}'): load the checkpoint of a run that trained it with these changes, or leave Rounded out"
        )
