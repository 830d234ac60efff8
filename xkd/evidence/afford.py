"""Who takes part in a search: what the graph can take and the budget allows, and why the others are left out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from xkd.engine.config import load_config
from xkd.engine.progress import Display
from xkd.evidence.candidates import MISFITS, Candidate, built, candidates_of
from xkd.evidence.timings import Budget, Latency, first_line, here, known, over, read_timings, timed_here, write_bench, write_candidate
from xkd.files import write_atomically

TIMINGS: Final = "timings.json"
FOLDER: Final = "candidates"


@dataclass(frozen=True)
class Field:
    """`fits` take part, the fastest first; the others' reasons are in `left_out`. Parameters are known of those that were tried."""

    every: Sequence[Candidate]
    fits: Sequence[Candidate]
    parameters: Mapping[str, int]
    timings: Mapping[str, Latency]
    left_out: Mapping[str, str]


def afford(path: Path, options: Mapping[str, Any], candidates: Sequence[Candidate], budget: Budget, root: Path, display: Display) -> Field:
    """Take the timings, make those that are missing, drop what costs too much, try the others in the graph.

    Timings of this machine are kept in `root`. `ValueError` where nobody is left.
    """
    say, kept = partial(display.console.print, highlight=False), root / TIMINGS
    told, tries = _kept(kept, budget), dict[str, tuple[int, str]]()
    for one in [one for one in candidates if one.folder not in told]:
        tries[one.name] = tried(path, options, one, root / FOLDER, "" if budget.on else budget.precision)
    legal = [one for one in candidates if not tries.get(one.name, (0, ""))[1]]
    if not budget.on and (untimed := [one for one in legal if one.folder not in told]):
        told |= timed_here(untimed, root / FOLDER, budget.threads, say)
        write_atomically(kept, json.dumps(told, indent=1).encode())
    timings, left_out = known(told, legal, budget)
    left_out |= over(timings, budget)
    for one in [one for one in legal if one.name not in left_out.keys() | tries.keys()]:
        tries[one.name] = tried(path, options, one, root / FOLDER)
    left_out |= {name: why for name, (_, why) in tries.items() if why}
    for name, why in left_out.items():
        say(f"{name} is left out: {why}")
    fits = sorted((one for one in candidates if one.name not in left_out), key=lambda one: timings[one.name].milliseconds)
    if not fits:
        raise ValueError(f"{path}: no candidate is left: " + "; ".join(f"{name}: {why}" for name, why in left_out.items()))
    return Field(candidates, fits, {name: count for name, (count, why) in tries.items() if not why}, timings, left_out)


def _kept(path: Path, budget: Budget) -> dict[str, Any]:
    """The device's timings, or those that this processor has made with the same runtime, precision and threads."""
    if budget.on:
        return read_timings(Path(budget.on))
    told = read_timings(path) if path.is_file() else {}
    return {name: of for name, of in told.items() if all(of.get(key) == value for key, value in here(budget).items())}


def tried(path: Path, options: Mapping[str, Any], candidate: Candidate, folder: Path, precision: str = "") -> tuple[int, str]:
    """Its parameters, and why it cannot take part; with a `precision` it is exported to be timed."""
    try:
        distiller = built(load_config(path, {**options, **candidate.change}))
    except MISFITS as error:
        return 0, f"the graph cannot take it: {first_line(error)}"
    count = sum(p.numel() for p in distiller.student.model.parameters())
    return count, write_candidate(distiller, candidate, folder, precision) if precision else ""


def write_candidates(config: str | Path, folder: str | Path, precision: str, options: Mapping[str, Any], display: Display) -> list[str]:
    """Each candidate as a folder to be timed elsewhere, and `bench.py` beside them; their names. Those that cannot take part are said.

    `ValueError` where none can.
    """
    path, written = Path(config), list[str]()
    for one in candidates_of(load_config(path, options)):
        _, why = tried(path, options, one, Path(folder), precision)
        display.console.print(f"{one.name}: {f'left out: {why}' if why else one.folder}", highlight=False)
        written += [] if why else [one.name]
    if not written:
        raise ValueError(f"{path}: no candidate can be exported in {precision}, for the reasons above, so there is nothing to time")
    write_bench(Path(folder))
    return written
