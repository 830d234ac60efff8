"""What a search found, and all of it as plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from xkd.evidence.candidates import Candidate
from xkd.evidence.halving import Ran, Rung, epochs_spent, kendall, ranked, spent, spent_to_the_end
from xkd.evidence.timings import Budget, Latency
from xkd.statistics import Comparison, Estimate, Measure


@dataclass(frozen=True)
class Finalist:
    """A network that was trained for the whole schedule, and as what: `title` is "chosen", or that of a control."""

    title: str
    name: str
    ran: Ran


@dataclass(frozen=True)
class Full:
    """All candidates that fit, trained for the whole schedule: by name what came of each on val, and on test in its measure.

    Those that diverged have no `test`.
    """

    runs: Mapping[str, Ran]
    test: Mapping[str, float]


@dataclass(frozen=True)
class Found:
    """`rungs` is the search, `by_labels` the same by cross-entropy alone, () where nobody asked; `tests` are the finals' by title.

    `dropped` says why a control that was asked for is none of the finals: its training diverged.
    """

    candidates: Sequence[Candidate]
    parameters: Mapping[str, int]
    timings: Mapping[str, Latency]
    left_out: Mapping[str, str]  # by name, and why
    rungs: Sequence[Rung]
    by_labels: Sequence[Rung]
    finals: Sequence[Finalist]
    tests: Comparison
    measure: Measure  # of the test
    save_best: str
    higher: bool  # is better, of save_best
    teachers: Mapping[str, float]  # seconds of each
    full: Full | None = None
    dropped: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def diverged(self) -> dict[str, str]:
        """Why, by candidate and run, and by control."""
        rungs = [*((rung, "") for rung in self.rungs), *((rung, ", labels alone") for rung in self.by_labels)]
        rungs += [(Rung(self.rungs[-1].epochs, self.full.runs), "")] if self.full else []
        whys = {f"{name}, {rung.epochs} epochs{how}": ran.diverged for rung, how in rungs for name, ran in rung.runs.items()}
        return {name: f"training diverged: {why}" for name, why in {**whys, **self.dropped}.items() if why}

    @property
    def chosen(self) -> str:
        return self.rungs[-1].best

    def test(self, title: str) -> Estimate:
        return self.tests.estimate(title, self.measure.statistic)

    def less(self, title: str) -> Estimate:
        """The chosen network's test score without a control's."""
        return self.tests.difference(self.finals[0].title, title, self.measure.statistic)

    @property
    def cost(self) -> dict[str, Any]:
        """Seconds of the search and of training all that fit to the end, measured where that was done, and the share; of epochs too."""
        filling = sum(ran.filling for rung in self.rungs for ran in rung.runs.values())
        whole = spent_to_the_end(self.rungs)
        if self.full:
            whole = filling + sum(ran.seconds - ran.filling for ran in self.full.runs.values())
        return {
            "seconds": spent(self.rungs),
            "of_these_filling_the_teacher_cache": filling,
            "all_to_the_end_seconds": whole,
            "all_to_the_end_is": "measured" if self.full else "estimated from the seconds of an epoch",
            "share": spent(self.rungs) / whole,
            "share_of_epochs": epochs_spent(self.rungs),
            "teachers_seconds": dict(self.teachers),
            "by_labels_seconds": spent(self.by_labels),
        }

    def regret(self, scores: Mapping[str, float], higher: bool) -> tuple[str, float]:
        """The best of all, and how much better it is than the chosen one; 0 for itself."""
        best = ranked(scores, higher)[0]
        return best, abs(scores[best] - scores[self.chosen])


def as_json(found: Found, budget: Budget) -> dict[str, Any]:
    limits = {key: value for key, value in asdict(budget).items() if value not in ("", math.inf)}
    return {
        "chosen": found.chosen,
        "budget": {**limits, **({"on": str(budget.on)} if budget.on else {})},
        **found.facts,
        "save_best": found.save_best,
        "candidates": {one.name: _candidate(one, found) for one in found.candidates},
        "rungs": [_rung(rung) for rung in found.rungs],
        "by_labels": [_rung(rung) for rung in found.by_labels],
        **({"diverged": found.diverged} if found.diverged else {}),
        "finals": {of.title: _final(of, found) for of in found.finals},
        "measure": found.measure.name,
        "cost": found.cost,
        **({"full": _full(found.full, found)} if found.full else {}),
    }


def _candidate(one: Candidate, found: Found) -> dict[str, Any]:
    return {
        "network": one.network,
        "size": list(one.size),
        "parameters": found.parameters.get(one.name),
        **(asdict(found.timings[one.name]) if one.name in found.timings else {}),
        **({"left_out": found.left_out[one.name]} if one.name in found.left_out else {}),
    }


def _rung(rung: Rung) -> dict[str, Any]:
    runs = {name: {"score": _number(ran.score), "seconds": ran.seconds, "filling": ran.filling} for name, ran in rung.runs.items()}
    return {"epochs": rung.epochs, "seconds": spent([rung]), "runs": runs}


def _final(of: Finalist, found: Found) -> dict[str, Any]:
    test = {key: _number(value) for key, value in asdict(found.test(of.title)).items()}
    return {"network": of.name, "val": _number(of.ran.score), "test": test, "checkpoint": str(of.ran.folder / "best.pth")}


def _full(full: Full, found: Found) -> dict[str, Any]:
    val = {name: ran.score for name, ran in full.runs.items()}
    (best_val, regret_val), (best_test, regret_test) = (
        found.regret(scores, higher) for scores, higher in ((val, found.higher), (full.test, found.measure.higher))
    )
    return {
        "runs": {
            name: {"val": _number(val[name]), "test": _number(full.test.get(name, math.nan)), "seconds": full.runs[name].seconds}
            for name in val
        },
        "regret_val": {"best": best_val, "regret": _number(regret_val)},
        "regret_test": {"best": best_test, "regret": _number(regret_test)},
        "kendall": [
            {"epochs": rung.epochs, "tau": _number(kendall(rung, val))} for rung in found.rungs if rung.epochs < found.rungs[-1].epochs
        ],
    }


def _number(value: float) -> float | None:
    """JSON has no word for what is not a number."""
    return None if isinstance(value, float) and math.isnan(value) else value
