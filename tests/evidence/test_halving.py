"""Successive halving as plain arithmetic: who goes on, for how long, what it costs, and schedules that end with each rung."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from xkd.engine.sections import check_schedule
from xkd.evidence import halving
from xkd.evidence.halving import Ran, Rung, epochs_of_rungs, front, halve, kendall, rung_options


def ran(score: float, seconds: float = 1.0, filling: float = 0.0) -> Ran:
    return Ran(Path(), score, seconds, filling, "term ce is not finite" if math.isnan(score) else "")


@pytest.mark.parametrize(
    ("candidates", "epochs", "eta", "given", "rungs"),
    [
        (9, 18, 3, (), (2, 6, 18)),
        (20, 54, 3, (), (2, 6, 18, 54)),
        (20, 16, 3, (), (2, 5, 16)),  # a rung of less than two epochs tells nothing
        (8, 16, 2, (), (2, 4, 8, 16)),
        (2, 16, 3, (), (5, 16)),
        (1, 16, 3, (), (16,)),
        (9, 3, 3, (), (3,)),
        (9, 16, 3, (4, 8), (4, 8, 16)),
    ],
)
def test_the_rungs(candidates: int, epochs: int, eta: int, given: tuple[int, ...], rungs: tuple[int, ...]) -> None:
    assert epochs_of_rungs(candidates, epochs, eta, given) == rungs


@pytest.mark.parametrize(
    ("eta", "given", "message"),
    [(1, (), "search.eta"), (2.5, (), "search.eta"), *((3, bad, "search.rungs") for bad in ((1,), (16,), (8, 4), (4, 4), (4.0,)))],
)
def test_what_is_no_ladder_is_refused(eta: int, given: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        epochs_of_rungs(9, 16, eta, given)


def test_the_best_is_found_wherever_it_stands_when_rungs_agree_and_each_rung_has_its_share() -> None:
    for eta, higher in itertools.product((2, 3), (True, False)):
        for order in itertools.permutations(range(6)):
            scores, asked = dict(zip("abcdef", map(float, order), strict=True)), list[tuple[int, int]]()

            def run(
                names: Sequence[str], epochs: int, scores: Mapping[str, float] = scores, asked: list[tuple[int, int]] = asked
            ) -> dict[str, Ran]:
                asked.append((len(names), epochs))
                return {name: ran(scores[name]) for name in reversed(names)}

            rungs = halve("abcdef", (2, 4, 8), eta, higher, run)
            assert rungs[-1].best == (max if higher else min)(scores, key=lambda name: scores[name])
            assert asked == [(6, 2), (6 // eta, 4), (max(6 // eta // eta, 1), 8)]
            assert all(next(iter(later.runs)) in earlier.runs for earlier, later in itertools.pairwise(rungs))


def test_of_equal_ones_the_first_goes_on_and_what_is_no_number_goes_last() -> None:
    scores = {"slow": math.nan, "fast": 0.5, "mid": 0.5}
    for higher in (True, False):
        [rung] = halve(["slow", "fast", "mid"], (2,), 3, higher, lambda names, epochs: {name: ran(scores[name]) for name in names})
        assert list(rung.runs) == ["fast", "mid", "slow"]
    late = {"fast": 0.5, "mid": 0.6, "slow": 0.1}  # the fastest is second, then equal
    rungs = halve(list(late), (2, 4), 1, True, lambda names, epochs: {name: ran(late[name] if epochs == 2 else 0.7) for name in names})
    assert rungs[-1].best == "fast"


def test_a_later_rung_may_judge_otherwise() -> None:
    late = {"a": (0.9, 0.1), "b": (0.8, 0.7), "c": (0.2, 1.0)}
    rungs = halve(list(late), (2, 8), 2, True, lambda names, epochs: {name: ran(late[name][epochs == 8]) for name in names})
    assert [rung.best for rung in rungs] == ["a", "a"]  # one of three goes on, and c would have been the best
    assert kendall(rungs[0], {name: of[1] for name, of in late.items()}) == -1.0
    assert math.isnan(kendall(rungs[1], {"a": 0.1}))


def test_the_front_has_what_no_cheaper_one_beats() -> None:
    points = {
        "slow": (9.0, 0.9),
        "beaten": (5.0, 0.6),
        "fast": (1.0, 0.5),
        "mid": (3.0, 0.7),
        "same": (1.0, 0.4),
        "broken": (0.5, math.nan),
    }
    assert front(points, higher=True) == ["fast", "mid", "slow"]
    assert front(points, higher=False) == ["same"]


def test_the_next_takes_the_place_of_what_diverges_until_nobody_is_left() -> None:
    scores = {2: {"a": math.nan, "b": 0.1, "c": 0.3, "d": 0.2}, 8: {"c": math.nan, "d": 0.4}}
    first, last = halve("abcd", (2, 8), 3, True, lambda names, epochs: {name: ran(scores[epochs][name]) for name in names})
    assert (list(first.runs), list(last.runs)) == (["c", "d", "b", "a"], ["d", "c"])
    scores[8] = dict.fromkeys("abcd", math.nan)
    with pytest.raises(FloatingPointError, match=r"rung of 8 epochs training diverged in all: c: term ce is not finite; d: .*; b: "):
        halve("abcd", (2, 8), 3, True, lambda names, epochs: {name: ran(scores[epochs][name]) for name in names})
    assert halving.spent_to_the_end([first, last]) == 4 * 1.0 + 1.0 + 1.0 + 1.0, "what diverged would end as early again"


def test_costs_leave_the_teachers_answers_out_of_what_each_would_pay_again() -> None:
    rungs = [
        Rung(2, {"a": ran(0.9, 30.0, filling=20.0), "b": ran(0.8, 10.0), "c": ran(0.7, 20.0)}),
        Rung(8, {"a": ran(0.9, 40.0)}),
    ]
    assert halving.spent(rungs) == 100.0
    assert halving.spent_to_the_end(rungs) == 20.0 + 40.0 + 4 * 10.0 + 4 * 20.0
    assert halving.epochs_spent(rungs) == pytest.approx((3 * 2 + 8) / 24)


@pytest.mark.parametrize("epochs", range(2, 17))
def test_a_rungs_schedule_ends_with_it_and_warms_up_in_proportion(epochs: int) -> None:
    schedule = [
        {"begin": 0, "end": 4},
        {"begin": 4, "T_max": 16},
        {"milestones": [8, 12], "end": 99},
        {"by_epoch": False, "begin": 0, "end": 200},
    ]
    options = rung_options({"max_epochs": 16, "val_begin": 5}, schedule, epochs)
    if epochs == 16:
        assert options == {}
        return
    warm, cosine, steps, by_step = options["param_scheduler"]
    assert options["train_cfg.max_epochs"] == epochs
    assert options["train_cfg.val_begin"] == min(5, epochs)
    assert warm["begin"] == 0
    assert 1 <= warm["end"] == cosine["begin"] < epochs
    assert warm["end"] == pytest.approx(epochs / 4, abs=0.51)
    assert cosine["T_max"] == steps["end"] == epochs
    assert np.all(np.array(steps["milestones"]) < epochs)
    assert by_step == {"by_epoch": False, "begin": 0, "end": round(200 * epochs / 16)}
    check_schedule(options["param_scheduler"], epochs, "here")
