"""A network that knows other classes than the task: which of its outputs mean which class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class ClassMap:
    """`own` are the network's classes in the order of its outputs, `to` says which of the task's classes each of them is.

    A class of the same name needs no entry; one that means none of the task's classes is left out, and the others' probabilities grow
    in proportion. Where several mean one class their probabilities add up (logsumexp of their logits). One that means several of the
    task's classes, a specialist's "rest", is a tuple of them: its probability is divided evenly.
    """

    own: tuple[str, ...]
    to: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "own", tuple(self.own))
        if len(set(self.own)) < len(self.own):
            raise ValueError(f"a network's own classes must be different, got {list(self.own)}")
        if unknown := sorted(set(self.to) - set(self.own)):
            raise ValueError(f"ClassMap maps '{unknown[0]}', which is not among the network's own classes {list(self.own)}")

    def columns(self, classes: Sequence[str]) -> list[list[int]]:
        """For each of the task's classes the outputs that mean it; `ValueError` where there are none, or where `to` names no such class."""
        if wrong := sorted({one for name in self.own for one in self._means(name) if name in self.to} - set(classes)):
            raise ValueError(f"ClassMap maps to '{wrong[0]}', the task has {list(classes)}")
        places_of = {of: [place for place, name in enumerate(self.own) if of in self._means(name)] for of in classes}
        if missing := [name for name, places in places_of.items() if not places]:
            raise ValueError(f"none of the network's classes {list(self.own)} means '{missing[0]}': add it to ClassMap(to=...)")
        return list(places_of.values())

    def _means(self, name: str) -> tuple[str, ...]:
        means = self.to.get(name, name)
        return (means,) if isinstance(means, str) else tuple(means)

    def __call__(self, logits: Float[Tensor, "b own ..."], classes: Sequence[str]) -> Float[Tensor, "b k ..."]:
        if logits.ndim < 2 or logits.shape[1] != len(self.own):
            raise ValueError(f"the network gives {tuple(logits.shape)}, ClassMap names {len(self.own)} classes {list(self.own)}")
        columns = self.columns(classes)
        if any(len(self._means(name)) > 1 for name in self.own):
            parts = torch.tensor([len(self._means(name)) for name in self.own], device=logits.device, dtype=logits.dtype)
            logits = logits - parts.log().reshape(-1, *[1] * (logits.ndim - 2))
        if all(len(places) == 1 for places in columns):
            return logits[:, [place for (place,) in columns]]
        return torch.stack([logits[:, places].logsumexp(1) for places in columns], dim=1)
