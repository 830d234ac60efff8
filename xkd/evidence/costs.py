"""What an arm costs: the time and memory of its training, the size of its network, its time for one image."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch

from xkd.engine.student import load_student
from xkd.evidence.arm import Arm, ArmRun
from xkd.graph.branch import Branch
from xkd.graph.distiller import count_flops
from xkd.graph.example import example_batch
from xkd.tasks import Task

_TIMED, _WARM = 15, 3


@dataclass(frozen=True)
class Cost:
    """Of one arm; training is the mean of its seeds in time and the most of them in memory."""

    seconds: float
    peak_memory: int  # bytes; 0 where an earlier version, which did not count it, has trained
    parameters: int
    flops: int  # for one image
    latency: float  # milliseconds for one image


def cost_of(arm: Arm, runs: list[ArmRun]) -> Cost:
    config, branch = arm.tested()
    student = load_student(config, str(runs[0].checkpoint), branch)
    return Cost(
        seconds=statistics.mean(run.seconds for run in runs),
        peak_memory=max(run.peak_memory for run in runs) if all(run.peak_memory for run in runs) else 0,
        parameters=sum(p.numel() for p in student.branch.model.parameters()),
        flops=count_flops(student.branch, student.task),
        latency=latency(student.branch, student.task),
    )


def latency(branch: Branch, task: Task) -> float:
    """Milliseconds for one image, as the median of some, on the device and with the threads that torch has here."""
    batch, seconds = example_batch([branch.view], task, 1, branch.mean.device), []
    training = branch.training
    branch.eval()
    with torch.no_grad():
        for _ in range(_WARM + _TIMED):
            began = time.perf_counter()
            branch(batch, task)["output"].cpu()
            seconds.append(time.perf_counter() - began)
    branch.train(training)
    return 1000 * statistics.median(seconds[_WARM:])
