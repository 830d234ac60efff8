"""The exits of a trained student: how good each of its heads is by itself, and what it saves to stop where one is sure enough.

Teerapittayanon et al., "BranchyNet", ICPR 2016, arXiv:1709.01686; Zhang et al., "Be Your Own Teacher", ICCV 2019, arXiv:1905.08094,
section 4.3: an image leaves at the first exit whose likeliest class has a probability of at least the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from mmengine.config import Config
from numpy.typing import NDArray
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from xkd.engine.loaders import build_loader
from xkd.engine.student import Student, load_with_heads
from xkd.evaluate import Predictions, predict
from xkd.graph.branch import Branch
from xkd.graph.example import example_batch
from xkd.taps import find_module
from xkd.tasks import Task

DEEPEST = "output"


@dataclass(frozen=True)
class Exit:
    """One of them: what an image has cost that stops there, the exits before it counted in; `right` is not a number where none stops."""

    name: str
    flops: int
    accuracy_val: float
    accuracy: float  # of all test rows
    stops: float  # share of the test rows that stop here
    right: float  # share of those that are answered rightly


@dataclass(frozen=True)
class Exits:
    """From the first to the deepest. `threshold` was chosen on val; infinite: none saves anything at the accuracy that may be lost."""

    exits: tuple[Exit, ...]
    threshold: float
    flops: float  # for one test image, the mean
    flops_without: int  # of the network without exits
    accuracy_val: float
    accuracy: float  # on test, each row by the exit that it stops at


def measure_exits(config: Config, checkpoint: str, lose_at_most: float) -> Exits:
    """Each head of the student, and its output, on val and test; `ValueError` where it has no head, or an image has no one class.

    The threshold is one for all exits: of those that lose at most `lose_at_most` of accuracy on val against the deepest exit the one of
    least cost there.
    """
    if not 0 <= lose_at_most < 1:
        raise ValueError(f"what may be lost is a share of the rows, from 0 to below 1; got {lose_at_most}")
    student = load_with_heads(config, checkpoint)
    if not student.branch.heads:
        raise ValueError(
            f"the student '{student.name}' has no exit: an exit is a head on a tap, heads=dict(first=dict(type=Head, tap=..., module=...)),"
            " with a term for its labels"
        )
    if not student.task.one_class:
        raise ValueError(f"an image stops at an exit that is sure of its class; this config's task is {student.task}")
    flops, without = flops_of_exits(student.branch, student.task)
    cost = np.array(list(flops.values()), dtype=np.float64)
    sure_val, right_val = _answers(config, student, "val", list(flops))
    sure, right = _answers(config, student, "test", list(flops))
    threshold = choose_threshold(sure_val, right_val, cost, lose_at_most)
    stops, stops_val = stopping(sure, threshold), stopping(sure_val, threshold)
    final, final_val = _taken(right, stops), _taken(right_val, stops_val)
    exits = [
        Exit(
            name,
            flops[name],
            float(right_val[k].mean()),
            float(right[k].mean()),
            float((stops == k).mean()),
            float(right[k][stops == k].mean()) if (stops == k).any() else math.nan,
        )
        for k, name in enumerate(flops)
    ]
    return Exits(tuple(exits), threshold, float(cost[stops].mean()), without, float(final_val.mean()), float(final.mean()))


def stopping(sure: Float[NDArray[Any], "k n"], threshold: float) -> Int[NDArray[Any], " n"]:
    """The exit at which each row stops: the first that is at least as sure as the threshold, else the last."""
    enough = sure >= threshold
    enough[-1] = True
    first: NDArray[Any] = enough.argmax(0)
    return first


def choose_threshold(
    sure: Float[NDArray[Any], "k n"], right: Bool[NDArray[Any], "k n"], cost: Float[NDArray[Any], " k"], lose_at_most: float
) -> float:
    """Of the thresholds that answer nearly as well as the last exit the one of least mean cost, the highest of equals."""
    best, least = math.inf, float(cost[-1])
    for threshold in np.unique(sure[:-1])[::-1]:
        stops = stopping(sure, threshold)
        if _taken(right, stops).mean() >= right[-1].mean() - lose_at_most - 1e-12 and cost[stops].mean() < least:
            best, least = float(threshold), float(cost[stops].mean())
    return best


def flops_of_exits(branch: Branch, task: Task) -> tuple[dict[str, int], int]:
    """Floating-point operations for one image until each exit, in the order in which the network reaches them, and those without exits.

    Counted as `count_flops` does. An image that goes on has paid for the exits that it passed.
    """
    batch = example_batch([branch.view], task, 1, branch.mean.device)
    until: dict[str, int] = {}
    heads: dict[str, int] = {}
    with torch.no_grad():
        branch.eval()(batch, task)  # the first pass of all also checks the taps, which costs more passes
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:

            def seen(name: str, *_: Any) -> None:
                until[name] = int(counter.get_total_flops())

            hooks = [_module(branch, name).register_forward_hook(partial(seen, name)) for name in branch.heads]
            capture = branch(batch, task)
            total = int(counter.get_total_flops())
        for hook in hooks:
            hook.remove()
        for name, head in branch.heads.items():
            with FlopCounterMode(display=False) as counter:
                head(capture[branch.head_taps[name]])
            heads[name] = int(counter.get_total_flops())
    without = total - sum(heads.values())
    order = sorted(branch.heads, key=lambda name: until[name])
    paid = {name: until[name] + sum(heads[passed] for passed in order[: place + 1]) for place, name in enumerate(order)}
    return {**paid, DEEPEST: total}, without


def _module(branch: Branch, head: str) -> torch.nn.Module:
    return find_module(branch.model, branch.taps.taps[branch.head_taps[head]].path)


def _answers(
    config: Config, student: Student, split: str, names: Sequence[str]
) -> tuple[Float[NDArray[Any], "k n"], Bool[NDArray[Any], "k n"]]:
    """Of each exit and labelled row the probability of the likeliest class, and whether it is the right one."""
    loader = build_loader(config[f"{split}_dataloader"], seed=0, views=[student.branch.view])
    told: Mapping[str, Predictions] = {name: predict(student.branch, student.task, loader, reading=name) for name in names}
    rows = told[DEEPEST].labelled
    if not rows.any():
        raise ValueError(f"no row of split '{split}' is labelled, so nothing can be measured")
    best = [told[name].values[rows].max(1) for name in names]
    target = told[DEEPEST].target[rows]
    return np.stack([of.values.numpy() for of in best]), np.stack([(of.indices == target).numpy() for of in best])


def _taken(right: Bool[NDArray[Any], "k n"], stops: Int[NDArray[Any], " n"]) -> Bool[NDArray[Any], " n"]:
    chosen: NDArray[Any] = right[stops, np.arange(right.shape[1])]
    return chosen
