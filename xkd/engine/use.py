"""A trained student in use: tested on a split, asked about images from anywhere, exported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch
from mmengine.config import Config

from xkd.builder import build
from xkd.data.clips import rates
from xkd.data.images import find_images, read_crops, read_framed
from xkd.data.loader import collate
from xkd.data.paired import PairedDataset
from xkd.data.sample import Sample
from xkd.deploy.card import CardNotes
from xkd.deploy.export import ExportReport, export_onnx
from xkd.deploy.folder import check_place, write_folder
from xkd.engine.checks import check_annotation
from xkd.engine.config import as_plain, load_config
from xkd.engine.int8 import Int8, in_int8, with_exact_inputs
from xkd.engine.loaders import build_loader
from xkd.engine.student import Student, load_student, registered
from xkd.evaluate import Predictions, measure, predict as predict_rows
from xkd.files import write_atomically
from xkd.geometry import Box
from xkd.tasks import Reply, Task

BATCH_SIZE: Final = 64  # images
_NOWHERE: Final = Box(0, 0, 0, 0)


@dataclass(frozen=True)
class Tested:
    """A student on a split: its metrics by name, its predictions, the rows that it was tested on."""

    metrics: Mapping[str, float]
    predictions: Predictions
    dataset: PairedDataset
    student: Student


@dataclass(frozen=True)
class Prediction:
    """One image: what the network says of it, or why it says nothing.

    `answer.values` are by name: each class's probability, of pixels its share, a number; `answer.chosen` the classes that it was given.
    """

    file: Path
    answer: Reply
    error: str = ""
    crop: Box | None = None  # the part of the image, where it was one
    frame: Box = _NOWHERE  # what was seen of the image, in its pixels
    size: tuple[int, int] = (0, 0)  # (width, height) of the image
    names: tuple[str, ...] = ()  # of the classes of boxes

    @property
    def boxes(self) -> list[tuple[str, float, Box]]:
        """Class, score and corners in pixels of the image, of a detector's answer."""
        found = [] if self.answer.boxes is None else self.answer.boxes.tolist()
        left, top, across, down = self.frame.x1, self.frame.y1, self.frame.x2 - self.frame.x1, self.frame.y2 - self.frame.y1
        return [
            (self.names[int(k)], score, Box(left + x1 * across, top + y1 * down, left + x2 * across, top + y2 * down))
            for x1, y1, x2, y2, score, k in found
        ]


def configured(config: Config | str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """The config of a file, or the one that is given."""
    if not isinstance(config, Config):
        return load_config(config, options)
    if options:
        raise ValueError("options go with a config's file; set the keys of a Config yourself")
    return config


def test(config: Config | str | Path, checkpoint: str | Path, *, split: str = "test", options: Mapping[str, Any] | None = None) -> Tested:
    """Measure a checkpoint's student on its own view alone; files of other sensors are not opened."""
    config = configured(config, options)
    check_answers(config, "tested")
    student = load_student(config, str(checkpoint))
    loader = build_loader(config[f"{split}_dataloader"], seed=0, views=[student.branch.view])
    check_annotation(student.task, {split: loader})
    predictions = predict_rows(student.branch, student.task, loader)
    dataset: PairedDataset = loader.dataset  # type: ignore[assignment]  # DataLoader forgets the type
    return Tested(measure(student.task, predictions), predictions, dataset, student)


def predict(
    student: Student,
    images: Sequence[str | Path] = (),
    *,
    crops: str | Path = "",
    whole_images: bool = False,
    masks: str | Path = "",
    seen: Callable[[int], None] = lambda number: None,
) -> list[Prediction]:
    """Of image files, and of all images in folders, from the student's sensor alone; `seen` is called with the number of images done.

    `crops` is a table of parts of images in their place (see `read_crops`). A student that learned from crops is asked about whole
    images with `whole_images` alone. `masks` is a folder for a file per image that says what each pixel is, at the view's size: a PNG of
    class numbers, or a TIFF of numbers in their units.
    """
    if not student.task.names:
        raise ValueError(
            "this network's task knows no classes, so it predicts none: train one with a task on top of it, weights=Checkpoint(path)"
        )
    if masks and not student.task.suffix:
        raise ValueError(f"masks are for a task that answers pixel by pixel; this config's task is {type(student.task).__name__}")
    if crops and (images or masks):
        raise ValueError("crops are parts of the images that their table names: leave out the images and the masks")
    if student.of_crops and not crops and not whole_images:
        raise ValueError(
            f"the student learned and was measured on crops of images ({student.crops:.0%} of its rows), and says little of whole ones:"
            " name the crops by --crops TABLE.csv, with columns file, left, top, right, bottom, and with as much around each object as in"
            " training; if your images are such crops, add --whole-images"
        )
    named = {} if crops else find_images([str(place) for place in images], student.branch.view)
    files = mask_files(named, Path(masks), student.task.suffix) if masks else {}
    every: list[tuple[Path, Box | None]] = [*read_crops(Path(crops))] if crops else [(path, None) for path in named]
    predictions: list[Prediction] = []
    for start in range(0, len(every), BATCH_SIZE):
        places = every[start : start + BATCH_SIZE]
        predictions.extend(_predictions(student, places, files))
        seen(len(places))
    return predictions


def check_answers(config: Config, done: str) -> None:
    """`ValueError` where the network says nothing of an image."""
    task: Task = build(as_plain(config.distiller.task), "distiller.task")
    if not task.names:
        raise ValueError(
            f"{config.filename}: its task is {type(task).__name__}, which knows no classes, so no answer can be {done}. Train a network"
            " with a task on top of it, weights=Checkpoint(path); the folder for timm that xkd pretrain writes has the network as it is"
        )


def mask_files(images: Mapping[Path, Path], folder: Path, suffix: str = ".png") -> dict[Path, Path]:
    """Of each image the file for its pixels; `ValueError` names two images that would share one."""
    owners: dict[Path, Path] = {}
    for path, name in images.items():
        if (other := owners.setdefault(folder / name.with_suffix(suffix), path)) != path:
            raise ValueError(f"--masks: {other} and {path} would both be {folder / name.with_suffix(suffix)}; predict them apart")
    return {path: file for file, path in owners.items()}


def _predictions(
    student: Student, places: Sequence[tuple[Path, Box | None]], masks: Mapping[Path, Path] = MappingProxyType({})
) -> Iterator[Prediction]:
    samples: dict[int, Sample] = {}
    frames: dict[int, tuple[Box, tuple[int, int]]] = {}
    errors: dict[int, str] = {}
    for number, (path, crop) in enumerate(places):
        try:
            samples[number], frame, size = read_framed(path, student.branch.view, crop)
            frames[number] = (frame, size)
        except (ValueError, OSError) as error:
            errors[number] = str(error)
    predictions: dict[int, torch.Tensor] = {}
    if samples:
        batch = collate(list(samples.values())).to(student.branch.mean.device)
        with torch.no_grad():
            output = student.branch.run(batch.views[student.branch.view.name], batch, student.task)["output"]
        predictions = dict(zip(samples, student.task.predict(output).cpu(), strict=True))
    for number, (path, crop) in enumerate(places):
        if number in errors:
            yield Prediction(path, Reply(), errors[number], crop)
            continue
        answer = student.task.answer(predictions[number])
        if (file := masks.get(path)) is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, student.task.pixel_file(predictions[number]))
        yield Prediction(path, answer, "", crop, *frames[number], student.task.names)


def export(
    config: Config | str | Path,
    checkpoint: str | Path,
    out: str | Path = "student.onnx",
    *,
    with_test: bool = True,
    int8: Int8 | None = None,
    options: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> ExportReport:
    """The student as ONNX with its normalisation inside, compared with PyTorch before it is kept, and its model card.

    `out` is a file .onnx, or a folder (a name without a suffix), which then holds a runner too; see `write_folder`.
    `with_test` measures it on the test split for the card; without it the data may be elsewhere. `int8` rounds it, measured beside the
    float one, which `say` is told; see `Int8` for what is refused.
    """
    config = configured(config, options)
    check_answers(config, "exported")
    if int8 and not with_test:
        raise ValueError("int8 is calibrated on training rows and measured on val and test: it needs the data, so leave out --no-test")
    if not (in_a_file := Path(out).suffix == ".onnx"):
        check_place(Path(out))
    tested = test(config, checkpoint) if with_test else None
    student = load_student(config, str(checkpoint)) if tested is None else tested.student
    notes = notes_of(config, student, tested)
    change = in_int8(config, student, int8, say) if int8 else lambda network: network
    branch = with_exact_inputs(student.branch) if int8 else student.branch
    return (export_onnx if in_a_file else write_folder)(branch, student.task, Path(out), notes, change)


def notes_of(config: Config, student: Student, tested: Tested | None) -> CardNotes:
    """For the card, of what was tested, if anything; `ValueError` where some rows could not be read."""
    name = Path(config.filename).name
    who = f"the student '{student.name}' of {name}"
    if tested is None:
        return CardNotes(Path(name).stem, who, crops=student.of_crops)
    view = student.branch.view
    rows, manifest = tested.predictions, tested.dataset.manifest
    if rows.broken:
        raise ValueError(f"the card would be of {len(rows)} rows alone: {rows.broken[0]}; mend it, or use --no-test")
    data = f"{manifest.name}, test split, measured on {int(rows.labelled.sum())} labelled rows of {len(tested.dataset)}"
    clips = rates(manifest.rows, view)
    return CardNotes(Path(name).stem, who, data, tested.metrics, registered(manifest, view), student.of_crops, clips)
