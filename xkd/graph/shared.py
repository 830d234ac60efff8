"""Branches with one set of weights: the same tensors in both networks, on whatever device and in whatever copy."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from xkd.graph.branch import Branch
from xkd.graph.weights import EMA, Shared


def share(branches: Mapping[str, Branch]) -> None:
    """Tie each branch with `Shared` weights to the one that it names. `KeyError` or `ValueError` where that cannot be."""
    for name, branch in branches.items():
        if isinstance(branch.weights, Shared):
            source = _source(name, branch.weights, branches)
            _check_frozen(name, branch, source)
            _check_alike(f"branch '{name}' shares the weights of '{branch.weights.of}'", branch.model, source.model)
            _tie(name, branch.model, source.model, branch.weights)
            if branch.view.modality == source.view.modality:
                branch.mean.copy_(source.mean)
                branch.std.copy_(source.std)
            if source.frozen:
                branch.frozen = True
                branch.requires_grad_(False)
                branch.train(branch.training)


def origin(name: str, branches: Mapping[str, Branch]) -> Branch:
    """The branch that brings the weights of this one: itself, or the one that shares them."""
    weights = branches[name].weights
    return branches[weights.of if isinstance(weights, Shared) else name]


def follows(name: str, branches: Mapping[str, Branch]) -> bool:
    """Whether a branch has weights that change though it is frozen: an average, or those of one."""
    return isinstance(origin(name, branches).weights, EMA)


def twice(branches: Mapping[str, Branch]) -> dict[str, nn.Module]:
    """Of each branch with `Shared` weights the network that holds them too."""
    return {name: branches[branch.weights.of].model for name, branch in branches.items() if isinstance(branch.weights, Shared)}


def shared_keys(branches: Mapping[str, Branch]) -> set[str]:
    """Tensors that a distiller's state dict has twice, as "branches.NAME.model.layer.weight" of the branch that was given them."""
    keys = set()
    for name, model in twice(branches).items():
        of, held = branches[name].model.state_dict(keep_vars=True), model.state_dict(keep_vars=True)
        keys |= {f"branches.{name}.model.{key}" for key, value in of.items() if value is held.get(key)}
    return keys


def own_parameters(branch: Branch, model: nn.Module | None) -> int:
    """How many numbers a branch learns or holds that are not in `model`, with which it shares the others."""
    there = set() if model is None else set(map(id, model.parameters()))
    return sum(parameter.numel() for parameter in branch.parameters() if id(parameter) not in there)


def _source(name: str, weights: Shared, branches: Mapping[str, Branch]) -> Branch:
    legal = [other for other, branch in branches.items() if other != name and not isinstance(branch.weights, Shared)]
    if weights.of not in branches or weights.of == name:
        raise KeyError(f"branch '{name}' shares the weights of '{weights.of}'; it can share those of {legal}")
    source = branches[weights.of]
    if isinstance(source.weights, Shared):
        raise ValueError(
            f"branch '{name}' shares the weights of '{weights.of}', which has those of '{source.weights.of}' itself: name the branch that"
            f" brings them, one of {legal}"
        )
    return source


def _check_frozen(name: str, branch: Branch, source: Branch) -> None:
    assert isinstance(branch.weights, Shared)
    of = branch.weights.of
    if branch.frozen and not source.frozen:
        raise ValueError(
            f"branch '{name}' is frozen and shares the weights of '{of}', which learns: leave out frozen=True; if '{name}' is to teach and"
            f" not to learn, use EMA(of='{of}', decay=0.0), whose weights are those of the last step"
        )
    if source.frozen and branch.weights.norms == "own":
        raise ValueError(f"branch '{name}' shares the weights of '{of}', which is frozen: its own norm layers would never learn")


def _check_alike(who: str, model: nn.Module, source: nn.Module) -> None:
    own, of = model.state_dict(), source.state_dict()
    for key in (*own, *of):
        shapes = [tuple(state[key].shape) if key in state else "absent" for state in (own, of)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{who}, whose network is another: '{key}' is {shapes[0]} here and {shapes[1]} there; both need the same architecture,"
                " changes, number of channels and classes"
            )
    if recurrent := [key for key, module in model.named_modules() if isinstance(module, nn.RNNBase)]:
        raise ValueError(f"{who}: '{recurrent[0]}' keeps its weights in a second place, so it cannot share them")


def _tie(name: str, model: nn.Module, source: nn.Module, weights: Shared) -> None:
    norms = 0
    for key, module in model.named_modules():
        of = source.get_submodule(key)
        if weights.norms == "own" and _is_norm(module):
            norms += 1
            with torch.no_grad():
                for mine, theirs in zip(_tensors(module), _tensors(of), strict=True):
                    mine.copy_(theirs)
            continue
        # the very dicts: what moves, casts or copies one network by its module then does so for both
        module._parameters = of._parameters
        if not module._non_persistent_buffers_set:  # what a network computes for the size that it sees is its own
            module._buffers = of._buffers
        elif len(module._non_persistent_buffers_set) < len(module._buffers):
            raise ValueError(f"branch '{name}': '{key}' has buffers of two kinds, so it cannot share them")
    if weights.norms == "own" and not norms:
        raise ValueError(f"branch '{name}' asks for norm layers of its own, and its {type(model).__name__} has none: leave out norms='own'")


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


def _is_norm(module: nn.Module) -> bool:
    """A layer with weights or statistics that calls itself one, as all of torch's and timm's do."""
    return "norm" in type(module).__name__.lower() and bool(_tensors(module))
