"""A classifier that grows: rows that tell classes are taken from a file by the classes' names, new classes begin afresh."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from xkd.graph.timm_weights import classifiers, inside


def class_rows(model: nn.Module, state: Mapping[str, Tensor], num_classes: int, source: str) -> list[str]:
    """Names of the file's tensors that have a row for each of its classes: the weights and biases of what timm calls the classifier."""
    part = inside(model)
    prefix = next(f"{name}." if name else "" for name, module in model.named_modules() if module is part)
    names = [f"{prefix}{name}." for name in classifiers(getattr(part, "pretrained_cfg", None) or {})]
    rows = [name for name, tensor in state.items() if name.startswith(tuple(names)) and tensor.shape[:1] == (num_classes,)]
    if not names or not rows:
        said = f"the classifier {names} has no row for each of the {num_classes} classes" if names else "no network of timm's says which"
        raise ValueError(f"{source}: grows=True takes the classifier's rows, and in {type(model).__name__} {said}; use may_miss=[...]")
    return rows


def grow(model: nn.Module, rows: Mapping[str, Tensor], old: Sequence[str], new: Sequence[str], forgets: Sequence[str], source: str) -> None:
    """Copy each of the `rows`, whose classes are `old`, to the place that its class has in `new`; others stay as they are.

    `ValueError` where the file has a class that `new` lacks and that is not among `forgets`, or where the network's rows are not `new`'s.
    """
    if unknown := [name for name in forgets if name not in old]:
        raise ValueError(f"{source}: forgets names class '{unknown[0]}'; the file has {list(old)}")
    if lost := [name for name in old if name not in new and name not in forgets]:
        raise ValueError(
            f"{source} knows class '{lost[0]}', and the task's classes are {list(new)}: add it, or drop what the network knows of it,"
            f" forgets={tuple(lost)}"
        )
    own = dict(model.state_dict())
    for name, tensor in rows.items():
        if name not in own:
            raise ValueError(
                f"{source}: '{name}' tells its classes and is not in {type(model).__name__}, whose changes are others than the file's: give"
                " the branch those of the file"
            )
        if own[name].shape != (len(new), *tensor.shape[1:]):
            raise ValueError(
                f"{source}: '{name}' is {tuple(tensor.shape)} for {len(old)} classes, the model's is {tuple(own[name].shape)} for"
                f" {len(new)}: make the network with num_classes={len(new)}"
            )
    kept = [name for name in new if name in old and name not in forgets]
    with torch.no_grad():
        for name, tensor in rows.items():
            there, here = [old.index(of) for of in kept], [new.index(of) for of in kept]
            own[name][here] = tensor[there].to(own[name])
    fresh = [name for name in new if name not in kept]
    logging.getLogger("xkd").info(
        f"{source}: scores of {kept} by name; {fresh} are new" if fresh else f"{source}: scores of {kept} by name"
    )
