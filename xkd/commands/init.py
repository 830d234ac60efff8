"""`xkd init DATA --teacher SENSOR --student SENSOR`: a first config, each choice with its reason in a comment."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from xkd.commands.graph_arguments import add_graph_arguments, wishes_of
from xkd.data.manifest import Manifest, find_dataset
from xkd.engine.screen import Screen
from xkd.evidence.first import first_config
from xkd.init.ways import other_tasks


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="xkd init", description="Write a first config for a data set: one file, short and commented.")
    add_graph_arguments(parser)
    parser.add_argument("--out", default="", help="the file (NAME-OF-DATA_STUDENT.py, in the working folder); never overwritten")
    a = parser.parse_args(arguments)
    root = find_dataset(a.dataset)
    manifest = Manifest.load(root)
    out = Path(a.out or f"{manifest.name}_{a.student}.py")
    command = shlex.join(["xkd", "init", *arguments])
    is_new = first_config(manifest, root, wishes_of(a), out, command, a.task)
    console = Screen()
    if others := other_tasks(manifest, a.task or a.target):
        console.print(others, highlight=False)
    console.print(f"{out} {'is written' if is_new else 'was there already, the same'}; next: xkd train {out}, or xkd compare {out}")
    return 0
