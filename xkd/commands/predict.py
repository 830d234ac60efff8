"""`xkd predict CONFIG CHECKPOINT IMAGES`: the student's answers for a folder of images from anywhere, as a CSV."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import torch
from PIL import Image

from xkd.commands.images import find_images, read_sample
from xkd.data.loader import collate
from xkd.data.manifest import Manifest, data_root
from xkd.data.sample import Sample
from xkd.engine.config import load_config, parse_options
from xkd.engine.progress import progress_display
from xkd.engine.screen import Screen
from xkd.engine.student import Student, load_student, registered
from xkd.files import write_atomically
from xkd.tasks import Segmentation

BATCH_SIZE = 64


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="xkd predict", description="Classify images with a trained student, from its sensor alone.")
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    parser.add_argument("images", nargs="+", help="image files or folders (searched for images)")
    parser.add_argument("--out", default="predictions.csv", help="(%(default)s, in the working folder)")
    parser.add_argument("--masks", default="", help="folder for a PNG of class numbers per image, at the view's size (segmentation)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")
    a = parser.parse_args(arguments)
    config = load_config(a.config, parse_options(a.cfg_options))
    student = load_student(config, a.checkpoint)
    if a.masks and not isinstance(student.task, Segmentation):
        raise ValueError(f"--masks is for segmentation; this config's task is {type(student.task).__name__}")
    images = find_images(a.images, student.branch.view)
    paths, masks = list(images), mask_files(images, Path(a.masks)) if a.masks else {}
    console = Screen()
    root = config.test_dataloader.dataset.root
    if (data_root(root) / "manifest.toml").is_file():  # the data may be elsewhere by now
        for caveat in registered(Manifest.load(root), student.branch.view):
            console.print(f"[yellow]beware: {caveat}[/]")
    rows: list[list[str]] = []
    with progress_display(console) as progress:
        bar = progress.add_task("images", total=len(paths))
        for start in range(0, len(paths), BATCH_SIZE):
            rows.extend(answers(student, paths[start : start + BATCH_SIZE], masks))
            progress.advance(bar, len(paths[start : start + BATCH_SIZE]))
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["file", "prediction", *student.task.classes, "error"])
    writer.writerows(rows)
    write_atomically(Path(a.out), table.getvalue().encode())
    failed = [row for row in rows if row[-1]]
    console.print(f"{len(rows) - len(failed)} images answered: {a.out}")
    if failed:
        console.print(f"{len(failed)} images could not be read, the first: {failed[0][-1]}")
    return 1 if failed else 0


def mask_files(images: Mapping[Path, Path], folder: Path) -> dict[Path, Path]:
    """Of each image the file for its classes; `ValueError` names two images that would share one."""
    owners: dict[Path, Path] = {}
    for path, name in images.items():
        if (other := owners.setdefault(folder / name.with_suffix(".png"), path)) != path:
            raise ValueError(f"--masks: {other} and {path} would both be {folder / name.with_suffix('.png')}; predict them apart")
    return {path: file for file, path in owners.items()}


def answers(student: Student, paths: Sequence[Path], masks: Mapping[Path, Path] = MappingProxyType({})) -> list[list[str]]:
    """A row per image: file, prediction (all classes above one half for multi-label), probabilities, error.

    Of pixels: the class of most of them, and the share of each class.
    """
    samples: dict[Path, Sample] = {}
    errors: dict[Path, str] = {}
    for path in paths:
        try:
            samples[path] = read_sample(path, student.branch.view)
        except (ValueError, OSError) as error:
            errors[path] = str(error)
    predictions: dict[Path, torch.Tensor] = {}
    if samples:
        batch = collate(list(samples.values())).to(student.branch.mean.device)
        with torch.no_grad():
            output = student.branch.run(batch.views[student.branch.view.name], batch, student.task)["output"]
        predictions = dict(zip(samples, student.task.predict(output).cpu(), strict=True))
    if isinstance(student.task, Segmentation):
        predictions = {path: _pixel_shares(probabilities, masks.get(path)) for path, probabilities in predictions.items()}
    classes = student.task.classes
    rows = []
    for path in paths:
        if path in errors:
            rows.append([str(path), "", *[""] * len(classes), errors[path]])
            continue
        values = predictions[path].tolist()
        several = getattr(student.task, "multilabel", False)
        chosen = (
            [name for name, value in zip(classes, values, strict=True) if value > 0.5] if several else [classes[values.index(max(values))]]
        )
        rows.append([str(path), ";".join(chosen), *(f"{value:.4f}" for value in values), ""])
    return rows


def _pixel_shares(probabilities: torch.Tensor, file: Path | None) -> torch.Tensor:
    """(K,) shares of the image's pixels; the class of each goes into a PNG where one is named."""
    classes = probabilities.argmax(0)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        png = io.BytesIO()
        Image.fromarray(classes.to(torch.uint8).numpy()).save(png, "PNG")
        write_atomically(file, png.getvalue())
    return torch.bincount(classes.flatten(), minlength=len(probabilities)) / classes.numel()
