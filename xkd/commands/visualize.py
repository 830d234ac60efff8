"""`xkd visualize CONFIG CHECKPOINT`: panels of where the student looks, on a split or on images from anywhere."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from xkd.batch import View
from xkd.commands.checkpoint_argument import add_arm, checkpoint_of
from xkd.data.images import find_images, read_sample
from xkd.engine.config import load_config, parse_options
from xkd.engine.panels import Looker, panel_rows, picture_method, teachers, test_samples
from xkd.engine.screen import Screen
from xkd.engine.student import load_student
from xkd.visualise import draw_folder


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="xkd visualize", description="Draw what the student saw and where it looked.")
    parser.add_argument("config")
    parser.add_argument("checkpoint", help="the trained (distilled) student")
    parser.add_argument("--before", help="checkpoint of the student alone, to compare with")
    parser.add_argument("--image", nargs="+", default=[], help="images or folders from outside any data set; the student's sensor alone")
    parser.add_argument("--split", choices=["val", "test"], default="test")
    parser.add_argument("--num", type=int, default=12)
    parser.add_argument(
        "--method",
        help="tap:NAME, attention:PATH, rollout, grad_cam:PATH such as grad_cam:stage:-1, a relative such as layer_cam:PATH, or classes of"
        " pixels (the config's choice)",
    )
    parser.add_argument("--no-teachers", action="store_true", help="leave out the teachers' attention (their checkpoints may be gone)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--out", default="", help="folder for one PNG per sample and contact_sheet.png (panels/ beside the checkpoint)")
    add_arm(parser)
    a = parser.parse_args(arguments)
    checkpoint = checkpoint_of(a)
    if a.num < 1:
        raise ValueError(f"--num must be at least 1, got {a.num}")
    config = load_config(a.config, parse_options(a.cfg_options))
    student = load_student(config, checkpoint)
    method = a.method or picture_method(config, student.name)
    lookers = [Looker("student", student, method)]
    if a.before:
        lookers = [Looker("student alone", load_student(config, a.before), method), Looker("distilled", student, method)]
    if a.image:
        view = student.branch.view
        samples = [read_sample(path, view) for path in find_images(a.image, view)]
        views: tuple[View, ...] = (view,)
    else:
        samples, views = test_samples(config, a.split, a.num)
        if not a.no_teachers:
            lookers = [*teachers(config, checkpoint), *lookers]
    rows = panel_rows(samples, views, lookers)
    sheet = draw_folder(rows, Path(a.out) if a.out else Path(checkpoint).parent / "panels", student.task.names)
    Screen().print(f"{len(rows)} panels and {sheet.name} in {sheet.parent}")
    return 0
