"""Where an image stops early, and which images are handed on to a larger model: this file stands beside run.py and the ONNX files."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_ROUNDS: Final = 5  # other programs may disturb some


def confidence(probabilities: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """(...) the largest probability that the same logits have at this temperature, of (..., classes) at temperature 1."""
    shares = probabilities.astype(np.float64) / probabilities.max(-1, keepdims=True)
    return np.asarray(1 / (shares ** (1 / temperature)).sum(-1))


def stops(part: Mapping[str, Any], answer: NDArray[Any]) -> bool:
    """Whether the exit of this part of plan.json is sure enough; a threshold above 1 (or null) is never met, 0 is met by every image."""
    threshold = part.get("threshold")
    if threshold is not None and (isinstance(threshold, bool) or not isinstance(threshold, int | float)):
        raise ValueError(f"plan.json: the threshold of exit '{part['exit']}' is a number from 0 to 1, or null for never; got {threshold!r}")
    return threshold is not None and bool(confidence(answer, part["temperature"]) >= threshold)


def timings(model: Any, image: NDArray[Any], warm_up: int, repeats: int) -> dict[str, Any]:
    """Milliseconds until each exit has answered and was judged: medians, of five rounds the least; and their mean for an image,

    in the shares of the test split that stopped there.
    """
    parts = [part for part, _ in model.parts]
    rounds = []
    for _ in range(_ROUNDS):
        every = []
        for _ in range(warm_up + repeats):
            times = [time.perf_counter()]
            for part, answer in model.steps(image):
                stops(part, answer)
                times.append(time.perf_counter())
            every.append(np.array(times[1:]) - times[0])
        rounds.append(1000 * np.median(every[warm_up:], 0))
    least = np.min(rounds, 0)
    mean = sum(part["share_on_test"] * until for part, until in zip(parts, least, strict=True))
    exits = {part["exit"]: round(float(until), 4) for part, until in zip(parts, least, strict=True)}
    return {"exits_ms": exits, "mean_ms_at_the_shares_of_test": round(float(mean), 4)}


class Watched:
    """A model of whose images it is noted where they stop, and that hands on those of which it is not sure."""

    def __init__(self, model: Any, below: float, other: Any = None) -> None:
        self.model, self.below, self.other = model, below, other
        self.plan, self.read = model.plan, model.read
        self.stopped: Counter[str] = Counter()
        self.handed_on: list[str] = []

    def lines(self, name: str, image: Any, mask: Path | None = None) -> list[list[str]]:
        """Of the table, by the model that answers last."""
        lines: list[list[str]] = self.model.lines(name, image, mask)
        part, answer = self.model.last
        self.stopped[part.get("exit", "")] += 1
        if confidence(answer, part.get("temperature", 1.0)) < self.below:
            self.handed_on.append(name)
            if self.other:
                lines = self.other.lines(name, image, mask)
        return lines

    def told(self, to: str) -> list[str]:
        """How many images stopped at each exit, and how many were handed on."""
        seen = max(sum(self.stopped.values()), 1)

        def of_all(number: int) -> str:
            return f"{number} of {sum(self.stopped.values())} images ({number / seen:.0%})"

        names = [part["exit"] for part in self.plan["segments"] if "exit" in part]
        exits = [f"stopped at {name}: {of_all(self.stopped[name])}" for name in names]
        return exits + ([f"handed on to {to}: {of_all(len(self.handed_on))}"] if to else [])


def with_options(parser: argparse.ArgumentParser, table: Callable[..., int], kind: Any) -> Callable[..., int]:
    """Adds options to run.py's; the table that minds them, of a `kind` of model."""
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--ask", type=Path, metavar="FOLDER", help="another exported folder, asked about images of which this one is not sure")
    one.add_argument("--hand-on", type=Path, metavar="FILE", help="write the names of such images to this file instead, for a server")
    parser.add_argument(
        "--below", type=float, metavar="CONFIDENCE", help="what is not sure, 0 to 1; by default as chosen on val, if it was"
    )

    def asking(model: Any, a: argparse.Namespace) -> int:
        watched = Watched(model, _below(model.plan, a), _other(model, kind(a.threads, a.ask)) if a.ask else None)
        if a.hand_on and a.camera is not None:
            raise ValueError("--hand-on lists files; a camera's images are not kept: use --ask")
        for part in model.plan["segments"]:
            stops(part, np.ones(1))  # a threshold that is no number
        code = table(watched, a)
        if a.hand_on:
            _write(a.hand_on, "".join(f"{name}\n" for name in watched.handed_on))
        for line in watched.told(str(a.ask or a.hand_on or "")):
            print(line, file=sys.stderr)
        return code

    return asking


def _below(plan: Mapping[str, Any], a: argparse.Namespace) -> float:
    """0, of which nothing is less sure, where nothing is handed on."""
    asks = a.ask or a.hand_on
    if a.below is not None and (not asks or not 0 <= a.below <= 1):
        raise ValueError(f"--below is a confidence from 0 to 1, for --ask or --hand-on; got {a.below}{'' if asks else ' without them'}")
    if not asks:
        return 0.0
    if (chosen := plan.get("hand_on_below") if a.below is None else a.below) is None:
        raise ValueError("no confidence was chosen on val for what is handed on (xkd exits --hand-on SHARE does): name one, --below 0.6")
    return float(chosen)


def _other(model: Any, other: Any) -> Any:
    """`ValueError` for a model that sees or says something else."""

    def like(plan: Mapping[str, Any]) -> list[Any]:
        return [{**plan["image"], "outside": ""}, plan["crops"], plan["answer"]]

    for what, own, theirs in zip(("reads", "of crops", "answers"), like(model.plan), like(other.plan), strict=True):
        if own != theirs:
            raise ValueError(f"the model of --ask differs in what plan.json says of '{what}': {theirs}, here {own}; export one that agrees")
    return other


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, "utf-8")
    os.replace(temporary, path)
