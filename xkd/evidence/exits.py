"""The exits of a trained student: how good each of its heads is by itself, and what it saves to stop where one is sure enough.

Teerapittayanon et al., "BranchyNet", ICPR 2016, arXiv:1709.01686; Zhang et al., "Be Your Own Teacher", ICCV 2019, arXiv:1905.08094,
section 4.3: an image leaves at the first exit whose likeliest class has a probability of at least the exit's threshold. Here the
probability is calibrated by a temperature, chosen on val as the thresholds are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from mmengine.config import Config
from numpy.typing import NDArray
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from xkd.deploy.exits import confidence
from xkd.deploy.segments import DEEPEST, Times
from xkd.engine.loaders import build_loader
from xkd.engine.student import Student, load_with_heads
from xkd.engine.use import Tested
from xkd.evaluate import Predictions, measure, predict
from xkd.evidence.thresholds import cheapest, hand_on_below, stopping, temperature_of, trials
from xkd.graph.branch import Branch
from xkd.graph.example import example_batch
from xkd.taps import find_module
from xkd.tasks import Task

LOSSES: Final = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 1.0)  # of the curve: shares of the rows; 1 lets all stop at the first exit


@dataclass(frozen=True)
class Exit:
    """One of them: what an image has cost that stops there, the exits before it counted in; `right` is not a number where none stops."""

    name: str
    flops: int
    milliseconds: float
    temperature: float
    accuracy_val: float
    accuracy: float  # of all test rows
    stops: float  # share of the test rows that stop here
    right: float  # share of those that are answered rightly


@dataclass(frozen=True)
class Spot:
    """Of a split whose rows stop early: their accuracy, and what one costs in the mean."""

    accuracy: float
    flops: float
    milliseconds: float


@dataclass(frozen=True)
class Point:
    """Of the curve: the thresholds that save most on val where so much of accuracy may be lost there; infinite where none stops."""

    lose_at_most: float
    thresholds: tuple[float, ...]
    val: Spot
    test: Spot


@dataclass(frozen=True)
class HandedOn:
    """Images that go on to a larger model: those of which the exit that answers is less sure than `below`, chosen on val."""

    below: float
    val: float  # share of the rows
    test: float
    accuracy_val: float  # of the others
    accuracy: float


@dataclass(frozen=True)
class Exits:
    """From the first to the deepest. `chosen` is for what may be lost, `curve` for less and more."""

    exits: tuple[Exit, ...]
    chosen: Point
    curve: tuple[Point, ...]
    flops_without: int  # of the network without exits
    milliseconds_without: float
    tested: Tested  # the test split, each row by the exit that it stops at
    handed_on: HandedOn | None = None

    @property
    def saves(self) -> bool:
        return any(math.isfinite(threshold) for threshold in self.chosen.thresholds)


def load_exits(config: Config, checkpoint: str, heads: Sequence[str] = ()) -> Student:
    """The student with its heads, or these of them. `ValueError` where it has none, where one answers something else than the output, and

    where an image has no one class; `KeyError` for a head that it has not.
    """
    student = load_with_heads(config, checkpoint, heads)
    branch = student.branch
    if not branch.heads:
        raise ValueError(
            f"the student '{student.name}' has no exit: an exit is a head on a tap, heads=dict(first=dict(type=Head, tap=..., module=...)),"
            " with a term for its labels"
        )
    if not student.task.one_class:
        raise ValueError(f"an image stops at an exit that is sure of its class; this config's task is {student.task}")
    if odd := [name for name in branch.heads if branch.shapes[name] != branch.shapes[DEEPEST]]:
        raise ValueError(
            f"head '{odd[0]}' of '{student.name}' gives {tuple(branch.shapes[odd[0]])}, no answer as the output's"
            f" {tuple(branch.shapes[DEEPEST])}: name those that are exits, --heads"
        )
    return student


def measure_exits(config: Config, student: Student, times: Times, lose_at_most: float, hand_on: float | None = None) -> Exits:
    """Each head of the student, and its output, on val and test, and what the thresholds save that val allows.

    Of thresholds that lose at most `lose_at_most` of accuracy on val against the deepest exit, those of the fewest FLOPs there: times
    differ from run to run. `hand_on` is the share of val's rows that a larger model may be asked about. The test split chooses nothing.
    """
    for what, share in (("be lost", lose_at_most), ("be handed on", 0.0 if hand_on is None else hand_on)):
        if not 0 <= share < 1:
            raise ValueError(f"what may {what} is a share of the rows, from 0 to below 1; got {share}")
    flops, without = flops_of_exits(student.branch, student.task)
    val, test = (_split(config, student, split, list(flops)) for split in ("val", "test"))
    temperatures = [temperature_of(of, val.target) for of in val.probabilities]
    sure_val, sure = (_sure(of, temperatures) for of in (val, test))
    costs = np.array([list(flops.values()), times.exits], np.float64)
    every, best = trials(sure_val, val.right, costs[0]), float(val.right[-1].mean())

    def point(lose: float) -> Point:
        thresholds = cheapest(every, best - lose).thresholds
        spots = [_spot(of.right, stopping(at, thresholds), costs) for of, at in ((val, sure_val), (test, sure))]
        return Point(lose, thresholds, *spots)

    chosen = point(lose_at_most)
    stops_val, stops = (stopping(of, chosen.thresholds) for of in (sure_val, sure))
    exits = [
        Exit(
            name,
            flops[name],
            times.exits[k],
            temperatures[k],
            float(val.right[k].mean()),
            float(test.right[k].mean()),
            float((stops == k).mean()),
            float(test.right[k][stops == k].mean()) if (stops == k).any() else math.nan,
        )
        for k, name in enumerate(flops)
    ]
    curve = tuple(point(lose) for lose in sorted({*LOSSES, lose_at_most}))
    both = (sure_val, val.right, stops_val), (sure, test.right, stops)
    handed = None if hand_on is None else _handed_on(hand_on, *both)
    tested = test.tested(student, stops)
    return Exits(tuple(exits), chosen, curve, without, times.alone, tested, handed)


@dataclass(frozen=True)
class _Split:
    """Labelled rows of a split, of each exit."""

    probabilities: Float[NDArray[Any], "k n c"]
    target: Int[NDArray[Any], " n"]
    deepest: Predictions
    dataset: Any

    @property
    def right(self) -> Bool[NDArray[Any], "k n"]:
        return np.asarray(self.probabilities.argmax(2) == self.target)

    def tested(self, student: Student, stops: Int[NDArray[Any], " n"]) -> Tested:
        taken = torch.from_numpy(self.probabilities[stops, np.arange(len(stops))])
        of = replace(self.deepest, values=taken, target=torch.from_numpy(self.target), labelled=torch.ones(len(stops), dtype=torch.bool))
        return Tested(measure(student.task, of), of, self.dataset, student)


def _split(config: Config, student: Student, split: str, names: Sequence[str]) -> _Split:
    loader = build_loader(config[f"{split}_dataloader"], seed=0, views=[student.branch.view])
    told: Mapping[str, Predictions] = {name: predict(student.branch, student.task, loader, reading=name) for name in names}
    deepest = told[DEEPEST]
    rows = deepest.labelled
    if not rows.any():
        raise ValueError(f"no row of split '{split}' is labelled, so nothing can be measured")
    values = np.stack([told[name].values[rows].numpy() for name in names])
    return _Split(values, deepest.target[rows].numpy(), deepest, loader.dataset)


def _sure(of: _Split, temperatures: Sequence[float]) -> Float[NDArray[Any], "k n"]:
    return np.stack([confidence(one, temperature) for one, temperature in zip(of.probabilities, temperatures, strict=True)])


def _spot(right: Bool[NDArray[Any], "k n"], stops: Int[NDArray[Any], " n"], costs: Float[NDArray[Any], "2 k"]) -> Spot:
    flops, milliseconds = costs[:, stops].mean(1).tolist()
    return Spot(float(right[stops, np.arange(len(stops))].mean()), flops, milliseconds)


def _handed_on(share: float, *splits: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]) -> HandedOn:
    """Of val and test, each in the order of sure, right and stops."""
    taken = [(sure[stops, np.arange(len(stops))], right[stops, np.arange(len(stops))]) for sure, right, stops in splits]
    below = hand_on_below(taken[0][0], share)
    shares = [float((sure < below).mean()) for sure, _ in taken]
    scores = [float(right[sure >= below].mean()) if (sure >= below).any() else math.nan for sure, right in taken]
    return HandedOn(below, *shares, *scores)


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
