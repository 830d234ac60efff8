"""Successive halving: every candidate trains for a little, the best of each rung for longer, the last for the whole schedule.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS 2016, arXiv:1502.07943; the share
that goes on is 1 of `eta` (there 2), as in Li et al., "Hyperband", JMLR 2018, arXiv:1603.06560. There a candidate goes on with its run;
here each rung is a run of its own from the start, whose schedule ends with it, since a run that stops in the middle of a schedule is
judged before its learning rate has fallen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scipy.stats import kendalltau

LEAST_EPOCHS: Final = 2  # of a rung: a warm-up of one, and one more
_PLACES: Final = ("begin", "end", "T_max", "step_size", "total_steps")  # of schedules, in epochs or steps


@dataclass(frozen=True)
class Ran:
    """A candidate's run of a rung: its best `score` on val, the `seconds` it took, those that filled the teacher cache among them.

    `diverged` says why training ended early, where it did; the score is then not a number.
    """

    folder: Path
    score: float
    seconds: float
    filling: float = 0.0
    diverged: str = ""


@dataclass(frozen=True)
class Rung:
    """`runs` stand by rank, the best first; one whose score is not a number is the last."""

    epochs: int
    runs: Mapping[str, Ran]

    @property
    def best(self) -> str:
        return next(iter(self.runs))


Run = Callable[[Sequence[str], int], Mapping[str, Ran]]  # trains the named candidates for so many epochs


def epochs_of_rungs(candidates: int, epochs: int, eta: int, given: Sequence[int] = ()) -> tuple[int, ...]:
    """The epochs of each rung, the last one `epochs`: an `eta`-th before it, and so on while several candidates and 2 epochs are left.

    `given` are those before the last, where somebody knows better. `ValueError` for what is no ladder.
    """
    if type(eta) is not int or eta < 2:
        raise ValueError(f"search.eta: one of so many goes on, a whole number from 2 on; got {eta!r}")
    if given:
        ladder = [*given, epochs]
        if any(type(one) is not int or one < LEAST_EPOCHS for one in given) or ladder != sorted(set(ladder)):
            raise ValueError(
                f"search.rungs are the epochs of the rungs before the last, rising, from {LEAST_EPOCHS} to below train_cfg.max_epochs"
                f" ({epochs}); got {list(given)}"
            )
        return tuple(ladder)
    rungs, left, share = [epochs], candidates, eta
    while left > 1 and LEAST_EPOCHS <= (rung := round(epochs / share)) < rungs[0]:
        rungs.insert(0, rung)
        left, share = left // eta, share * eta
    return tuple(rungs)


def halve(names: Sequence[str], rungs: Sequence[int], eta: int, higher: bool, run: Run) -> tuple[Rung, ...]:
    """The rungs; the best of the last is what was searched for. In every rung the one that `names` has first goes on of equal scores.

    One whose training diverges goes on no more; where all of a rung do, the next of the rung before takes their place.
    `FloatingPointError` where nobody is left.
    """
    left, after, made = list(names), list[str](), list[Rung]()
    for epochs in rungs:
        runs = dict(run(left, epochs))
        while all(ran.diverged for ran in runs.values()):
            if not after:
                whys = "; ".join(f"{name}: {ran.diverged}" for name, ran in runs.items())
                raise FloatingPointError(f"no candidate is left, in the rung of {epochs} epochs training diverged in all: {whys}")
            runs |= run([after.pop(0)], epochs)
        order = ranked({name: runs[name].score for name in names if name in runs}, higher)
        made.append(Rung(epochs, {name: runs[name] for name in order}))
        whole = [name for name in order if not runs[name].diverged]
        share = max(1, len(left) // eta)
        left, after = [name for name in names if name in whole[:share]], whole[share:]
    return tuple(made)


def ranked(scores: Mapping[str, float], higher: bool) -> list[str]:
    return sorted(scores, key=lambda name: (math.isnan(scores[name]), -scores[name] if higher else scores[name]))


def front(points: Mapping[str, tuple[float, float]], higher: bool) -> list[str]:
    """Those of (cost, score) that no other beats in score at the same cost or less, by rising cost."""
    best, kept = math.nan, list[str]()
    for name in sorted(points, key=lambda name: (points[name][0], -points[name][1] if higher else points[name][1])):
        score = points[name][1]
        if math.isnan(best) or (score > best if higher else score < best):
            best = score
            kept += [] if math.isnan(score) else [name]
    return kept


def spent(rungs: Sequence[Rung]) -> float:
    """Seconds of all runs."""
    return sum(ran.seconds for rung in rungs for ran in rung.runs.values())


def spent_to_the_end(rungs: Sequence[Rung]) -> float:
    """Seconds that it would take to train all for the whole schedule, by what an epoch of each one's longest run took.

    The teacher's answers are computed once for all. A run that diverged would end as early again.
    """
    longest = {name: (rung.epochs, ran) for rung in rungs for name, ran in rung.runs.items()}
    filling = sum(ran.filling for rung in rungs for ran in rung.runs.values())
    longer = {name: 1.0 if ran.diverged else rungs[-1].epochs / epochs for name, (epochs, ran) in longest.items()}
    return filling + sum((ran.seconds - ran.filling) * longer[name] for name, (_, ran) in longest.items())


def epochs_spent(rungs: Sequence[Rung]) -> float:
    """Epochs of all runs as a share of those that train all candidates for the whole schedule."""
    return sum(rung.epochs * len(rung.runs) for rung in rungs) / (rungs[-1].epochs * len(rungs[0].runs))


def kendall(rung: Rung, final: Mapping[str, float]) -> float:
    """Kendall's tau-b between a rung's scores and the `final` ones of the same candidates; not a number for fewer than two."""
    names = [name for name, ran in rung.runs.items() if not math.isnan(ran.score + final[name])]
    if len(names) < 2:
        return math.nan
    return float(kendalltau([rung.runs[name].score for name in names], [final[name] for name in names]).statistic)


def rung_options(loop: Mapping[str, Any], schedulers: Sequence[Mapping[str, Any]], epochs: int) -> dict[str, Any]:
    """What a run of `epochs` has other than the whole one, by dotted key: its length, and schedules that are shorter in proportion."""
    whole: int = loop["max_epochs"]
    if epochs == whole:
        return {}

    def epoch_of(epoch: int) -> int:
        epoch = min(epoch, whole)
        return round(epoch * epochs / whole) if epoch in (0, whole) else min(max(round(epoch * epochs / whole), 1), epochs - 1)

    def step_of(step: int) -> int:
        return max(round(step * epochs / whole), min(step, 1))

    def shorter(schedule: Mapping[str, Any]) -> dict[str, Any]:
        place = epoch_of if schedule.get("by_epoch", True) else step_of
        moved: dict[str, Any] = {key: place(schedule[key]) for key in _PLACES if key in schedule}
        moved |= {"milestones": [place(one) for one in schedule["milestones"]]} if "milestones" in schedule else {}
        return {**schedule, **moved}

    options: dict[str, Any] = {"train_cfg.max_epochs": epochs, "param_scheduler": [shorter(one) for one in schedulers]}
    return options | ({"train_cfg.val_begin": min(loop["val_begin"], epochs)} if "val_begin" in loop else {})
