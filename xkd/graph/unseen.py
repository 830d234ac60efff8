"""Out of fold: which sources of an ensemble have not learned from the rows of a batch, by what their weights remember."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from xkd.graph.branch import Branch
from xkd.graph.reading import Reading, Readings
from xkd.graph.weights import Remembers

UNSEEN = "unseen"  # an ensemble's need


def groups_seen(name: str, of: Sequence[str], branches: Mapping[str, Branch]) -> tuple[frozenset[str], ...]:
    """For each source of the ensemble `name` the groups whose labels have taught it; `ValueError` where nobody knows."""
    return tuple(_seen(f"ensemble '{name}' has need='{UNSEEN}'", source, branches) for source in of)


def _seen(where: str, source: str, branches: Mapping[str, Branch]) -> frozenset[str]:
    node = Reading.parse(source).branch
    if node not in branches or not branches[node].frozen or not branches[node].eats.of_view:
        legal = [one for one, branch in branches.items() if branch.frozen and branch.eats.of_view]
        raise ValueError(f"{where}: its sources are readings of frozen branches on a view of their own, {legal}, got '{source}'")
    weights = branches[node].weights
    if not isinstance(weights, Remembers):
        raise ValueError(
            f"{where}: what has taught branch '{node}' is not known of {type(weights).__name__}(); use Trained() or Checkpoint()"
        )
    try:
        return weights.seen()
    except ValueError as error:
        raise ValueError(f"{where}, branch '{node}': {error}") from error


def unseen(of: Sequence[str], seen: Sequence[frozenset[str]], readings: Readings) -> Bool[Tensor, "n b"]:
    """Whether a source has not learned from the group of the row that its view shows. On the CPU."""
    groups = readings.batch.groups
    views = [readings.views[Reading.parse(source).branch] for source in of]
    if missing := [view for view in views if view not in groups]:
        raise ValueError(
            f"need='{UNSEEN}' goes by the group of the row that a view shows, and this batch has none of view '{missing[0]}', as where rows"
            f" are mixed or made; it has {sorted(groups)}"
        )
    return torch.tensor([[group not in held for group in groups[view]] for held, view in zip(seen, views, strict=True)])
