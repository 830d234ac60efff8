"""`xkd predict CONFIG CHECKPOINT IMAGES`: the student's answers for images from anywhere, as a CSV; boxes as COCO's JSON too."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from xkd.commands.checkpoint_argument import add_arm, checkpoint_of
from xkd.data.images import CROP, find_images
from xkd.data.manifest import Manifest, data_root
from xkd.engine.box_files import as_box_table, as_coco
from xkd.engine.config import load_config, parse_options
from xkd.engine.progress import progress_display
from xkd.engine.screen import Screen
from xkd.engine.student import Student, load_student, registered
from xkd.engine.use import Prediction, predict
from xkd.files import write_atomically, write_together
from xkd.modalities.clip import Clip
from xkd.tasks import Task

UNLIKE: Final = 1.5  # times as wide or as high: people and leaves look otherwise


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="xkd predict", description="Ask a trained student about images, from its sensor alone.")
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    parser.add_argument("images", nargs="*", help="image files or folders (searched for images)")
    crops = "in place of images: a CSV with columns file, left, top, right, bottom (pixels; files from the table's folder)"
    parser.add_argument("--crops", default="", metavar="TABLE", help=crops)
    parser.add_argument("--whole-images", action="store_true", help="ask a student that learned from crops about images as they are")
    parser.add_argument("--out", default="predictions.csv", help="(%(default)s, in the working folder)")
    parser.add_argument("--masks", default="", help="folder for a file per image of what each pixel is: classes as PNG, numbers as TIFF")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")
    add_arm(parser)
    a = parser.parse_args(arguments)
    checkpoint = checkpoint_of(a)
    if not a.images and not a.crops:
        raise ValueError("name images or folders, or parts of images by --crops TABLE")
    if Path(a.out).suffix == ".json":
        raise ValueError(f"--out {a.out}: answers are a CSV, and what a detector finds is in a .json beside it too: name a .csv")
    config = load_config(a.config, parse_options(a.cfg_options))
    student = load_student(config, checkpoint)
    console = Screen()
    root = config.test_dataloader.dataset.root
    if (data_root(root) / "manifest.toml").is_file():  # the data may be elsewhere by now
        for caveat in registered(Manifest.load(root), student.branch.view):
            console.print(f"beware: {caveat}", style="yellow")
    with progress_display(console) as progress:
        bar = progress.add_task("images", total=None if a.crops else len(find_images(a.images, student.branch.view)))
        predictions = predict(
            student,
            a.images,
            crops=a.crops,
            whole_images=a.whole_images,
            masks=a.masks,
            seen=lambda number: progress.advance(bar, number),
        )
    written = write_answers(Path(a.out), predictions, student.task)
    failed = [one for one in predictions if one.error]
    console.print(f"predicted {len(predictions) - len(failed)} {'crops' if a.crops else 'images'}: {' and '.join(map(str, written))}")
    if odd := [] if a.crops else stretched(student, predictions):
        console.print(
            f"beware: {len(odd)} of {len(predictions)} images have other proportions than what the network sees, and were stretched to it;"
            f" the first: {odd[0].file}, {odd[0].size[0]}x{odd[0].size[1]}",
            style="yellow",
        )
    if failed:
        console.print(f"{len(failed)} images could not be read, the first: {failed[0].error}")
    return 1 if failed else 0


def stretched(student: Student, predictions: Sequence[Prediction]) -> list[Prediction]:
    """Whole images of which a side is half as long again, against the other, as in the student's view; none of one that knows crops."""
    height, width = student.branch.view.size
    if student.of_crops or isinstance(student.branch.view.modality, Clip):
        return []
    shapes = [(one, one.size[0] / one.size[1] * height / width) for one in predictions if not one.error]
    return [one for one, ratio in shapes if not 1 / UNLIKE < ratio < UNLIKE]


def write_answers(out: Path, predictions: Sequence[Prediction], task: Task) -> list[Path]:
    """The files that hold them: a CSV, and of boxes COCO's JSON beside it."""
    if not any(one.answer.boxes is not None for one in predictions):
        write_atomically(out, as_csv(predictions, task.columns).encode())
        return [out]
    coco = out.with_suffix(".json")
    write_together({out: as_box_table(predictions).encode(), coco: as_coco(predictions, task.names).encode()})
    return [out, coco]


def as_csv(predictions: Sequence[Prediction], columns: Sequence[str]) -> str:
    """A line per image or crop: file, the task's columns, error, and of crops left, top, right, bottom."""
    table = io.StringIO()
    writer = csv.writer(table)
    cut = any(one.crop for one in predictions)
    writer.writerow(["file", *columns, "error", *(CROP if cut else ())])
    for one in predictions:
        cells = one.answer.cells or [""] * len(columns)
        writer.writerow([one.file, *cells, one.error, *(f"{edge:g}" for edge in one.crop or ())])
    return table.getvalue()
