"""What does an ensemble of cached teachers cost? A student's steps with the answers of three teachers at hand, by each way to combine them.

    python tools/benchmark.py ensembles
    python tools/benchmark.py ensembles --student resnet50 --size 224 --batch 64  # on a GPU

Every side has the same student, images and optimiser, cross-entropy and soft targets, and the answers of all three teachers in its batch,
as a `TeacherCache` brings them. "sources alone" learns from the first of them, "a term each" from each by a term of its own, the others
from an ensemble. They take turns, one step each, in an order that rotates; what a side costs beyond the sources is the median over the
turns of its time against that of the same turn. On a CPU the time is the process's own, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import timm
import torch
from rich.table import Table
from torch import nn
from training_job import CLASSES, RATE, TAU, moment

from xkd.batch import Batch, View
from xkd.engine.screen import Screen
from xkd.ensembles import Confidence, Entropy, Mean, MinLogit, Specialists
from xkd.graph.bfloat16 import bfloat16_pays
from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.ensemble import Ensemble
from xkd.graph.example import example_batch
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import KD, CrossEntropy
from xkd.modalities import RGB
from xkd.tasks import Classification

SOURCES, EACH = "sources alone", "a term each"
TEACHERS = ("teacher0", "teacher1", "teacher2")
ANSWERS = tuple(f"{name}.output" for name in TEACHERS)
TASK = Classification(tuple(f"class{number}" for number in range(CLASSES)))


class Absent(nn.Module):
    """A teacher whose answers are cached: after the dry run nobody asks it."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)[:, :CLASSES]


@dataclass(frozen=True)
class Side:
    """One way to learn from the three, and how long its steps took."""

    distiller: Distiller
    optimizer: torch.optim.Optimizer
    seconds: list[float]


def ways() -> dict[str, nn.Module]:
    halves = (TASK.classes[:3], TASK.classes[3:6])
    made = (Mean(TAU), Entropy(TAU), Confidence(TAU), MinLogit(), Specialists(halves, (1.0, 1.0)))
    return {f"an ensemble, {type(way).__name__}": way for way in made}


def side(student: str, view: View, taught: Mapping[str, str], way: nn.Module | None, device: torch.device) -> Side:
    torch.manual_seed(0)
    branches = {name: Branch(Absent(), view, Random(frozen=True), frozen=True) for name in TEACHERS}
    branches["student"] = Branch(timm.create_model(student, num_classes=CLASSES), view, Random())
    terms = {"ce": Term(CrossEntropy(), "student.output", "batch.target")}
    terms |= {name: Term(KD(TAU), "student.output", teacher) for name, teacher in taught.items()}
    ensembles = {"team": Ensemble(ANSWERS, way)} if way else {}
    distiller = Distiller(branches, terms, "student", TASK, ensembles).to(device).train()
    distiller.bind()
    parameters = [parameter for parameter in distiller.parameters() if parameter.requires_grad]
    return Side(distiller, torch.optim.AdamW(parameters, lr=RATE, fused=True), [])


def sides(student: str, view: View, device: torch.device) -> dict[str, Side]:
    first, team = {"kd": ANSWERS[0]}, {"kd": "team.output"}
    made = {
        SOURCES: side(student, view, first, None, device),
        EACH: side(student, view, dict(zip(TEACHERS, ANSWERS, strict=True)), None, device),
    }
    return {**made, **{name: side(student, view, team, way, device) for name, way in ways().items()}}


def now(device: torch.device) -> float:
    return moment() if device.type == "cuda" else time.process_time()


def step(of: Side, batch: Batch, device: torch.device) -> None:
    begun = now(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16_pays()):
        loss: Any = of.distiller(batch).loss
    of.optimizer.zero_grad()
    loss.backward()
    of.optimizer.step()
    of.seconds.append(now(device) - begun)


def combining(of: Side, batch: Batch, turns: int, device: torch.device) -> float:
    """Seconds of the ensemble's own part of a step, the median."""
    with torch.no_grad():
        readings = of.distiller.read(batch)
    marks = [now(device)]
    for _ in range(turns):
        of.distiller.ensembles["team"].join("again", readings)
        marks.append(now(device))
    return statistics.median(after - before for before, after in pairwise(marks))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="resnet10t", help="timm's name (%(default)s)")
    parser.add_argument("--size", type=int, default=96, help="pixels a side (%(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="images per step (%(default)s)")
    parser.add_argument("--turns", type=int, default=60, help="that count (%(default)s)")
    parser.add_argument("--warm", type=int, default=5, help="turns before them (%(default)s)")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    view = View("rgb", RGB(), (options.size, options.size))
    batch = example_batch([view], TASK, options.batch, device)
    batch.cached = {name: torch.randn((options.batch, CLASSES), device=device) for name in ANSWERS}
    running = sides(options.student, view, device)
    for turn in range(options.warm + options.turns):
        names = list(running)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            step(running[name], batch, device)
    counted = {name: of.seconds[options.warm :] for name, of in running.items()}
    table = Table("three cached teachers", "ms per step, median", "beyond the sources", "to combine, ms", "share of the step")
    table.title = f"{options.student}, {options.size} px, batch {options.batch}, {options.turns} turns"
    step_alone = statistics.median(counted[SOURCES])
    for name, seconds in counted.items():
        beyond = statistics.median(own / base for own, base in zip(seconds, counted[SOURCES], strict=True)) - 1
        own = combining(running[name], batch, 10 * options.turns, device) if running[name].distiller.ensembles else 0.0
        part = (f"{1000 * own:.2f}", f"{own / step_alone:.2%}") if own else ("", "")
        table.add_row(name, f"{1000 * statistics.median(seconds):.1f}", f"{beyond:+.1%}" if name != SOURCES else "", *part)
    Screen(110).print(table)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads, the process's own time"
    print(f"{where}, torch {torch.__version__}, {'bfloat16' if bfloat16_pays() else 'float32'}")


if __name__ == "__main__":
    main()
