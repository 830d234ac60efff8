"""`xkd distill DATA --teacher SENSOR --student SENSOR`: from a data set to a student, a page and an answer."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence

from xkd.commands.graph_arguments import add_graph_arguments, wishes_of
from xkd.evidence.distill import distill


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="xkd distill",
        description="Check the data, write a config, train teacher and students, compare them, export the distilled one; resumable.",
    )
    add_graph_arguments(parser)
    parser.add_argument("--config", default="", help="use this config in place of one that is written")
    parser.add_argument("--seeds", type=int, default=1, help="three or more for an answer to rest on (%(default)s)")
    parser.add_argument("--jobs", type=int, default=0, help="runs beside each other (as many as cores and memory allow)")
    parser.add_argument("--work-dir", default="", help="where everything goes (work_dirs/NAME-OF-DATA_STUDENT)")
    a = parser.parse_args(arguments)
    wishes = wishes_of(a)
    distill(
        a.dataset,
        student=wishes.student,
        teacher=wishes.teachers,
        config=a.config,
        networks=wishes.networks,
        pretrained=wishes.pretrained,
        weights=wishes.weights,
        task=a.task,
        target=wishes.target,
        epochs=wishes.epochs,
        quick=wishes.quick,
        seeds=a.seeds,
        jobs=a.jobs,
        work_dir=a.work_dir,
        command=shlex.join(["xkd", "distill", *arguments]),
    )
    return 0
