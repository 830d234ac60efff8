"""Images that a trained generator makes, as a data set that a person can look at and another run can learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from mmengine.config import Config
from numpy.typing import NDArray

from xkd.batch import Annotation, View
from xkd.builder import build
from xkd.data.blank import Blank
from xkd.data.loader import collate
from xkd.data.made import write_made
from xkd.data.shots import is_made
from xkd.data.write import new_dataset
from xkd.engine.config import as_plain
from xkd.engine.student import Student, load_student
from xkd.graph.inputs import Eats
from xkd.graph.reading import Reading
from xkd.graph.state_dicts import load_file
from xkd.graph.weights import Shared
from xkd.tasks import Reply
from xkd.visualise.panels import Panel, PanelRow, draw_rows

DRAWN: Final = "drawn"  # the tap of a class-conditional generator that tells which class was asked for
SHEET: Final = "contact_sheet.png"
_ROWS: Final = 50  # images made at once
_SHOWN: Final = 10  # images of each class on the contact sheet


@dataclass(frozen=True)
class Judge:
    """A network that eats what is made, and has an opinion on its class."""

    name: str
    student: Student


@dataclass(frozen=True)
class Image:
    """(H, W, C) in the sensor's unit, which class was asked for ("" for none), and what the judge says (None without one)."""

    pixels: NDArray[np.float32]
    asked: str
    reply: Reply | None

    @property
    def label(self) -> str:
        return self.asked or (";".join(self.reply.chosen) if self.reply else "")


def synthesize(config: Config, checkpoint: str, out: str | Path, *, num: int = 100, branch: str = "", seed: int = 0) -> Path:
    """Write `num` images of a run's generator into a new folder, with a manifest that xkd reads and a contact sheet; the sheet's path.

    `branch` is the generator, needed where several make images. Column `label` is the class that was asked for, else the judge's answer;
    `asked`, `prediction` and each class's probability stand beside it. The images are a function of `seed`.
    """
    if num < 1:
        raise ValueError(f"--num is how many images are made, 1 or more; got {num}")
    section = as_plain(config.distiller)
    name = maker_of(section["branches"], branch)
    maker, judge = load_student(config, checkpoint, name), judge_of(config, checkpoint, name)
    view = seen_of(section["branches"], name)
    if not is_made(maker.branch.view):
        raise ValueError(
            f"branch '{name}' makes images of view '{maker.branch.view.name}' of {maker.branch.view.modality.name}, not of noise: it needs"
            " a data set, and there is none here"
        )
    names = judge.student.task.names if judge and judge.student.task.of_classes else ()
    images = [image for start in range(0, num, _ROWS) for image in _made(maker, judge, range(start, min(start + _ROWS, num)), seed)]
    header = _header(view, judge, names, f"branch '{name}' of {checkpoint}, seed {seed}")
    with new_dataset(Path(out)) as draft:
        write_made(draft, view, [image.pixels for image in images], [_columns(image, judge, names) for image in images], header)
        draw_rows(_sheet(images, view, names), draft / SHEET)
    return Path(out) / SHEET


def maker_of(branches: Mapping[str, Any], branch: str = "") -> str:
    """The branch whose output others eat; `ValueError` or `KeyError` where there is none, or where several are and none is named."""
    eaten = [Reading.parse(of["eats"]["reading"]) for of in branches.values() if issubclass((of.get("eats") or {}).get("type", int), Eats)]
    makers = sorted({of.branch for of in eaten if of.name == "output"})
    if branch and branch not in makers:
        raise KeyError(f"no branch eats the output of '{branch}'; makers of images are {makers}")
    if not makers:
        raise ValueError(f"no branch of {list(branches)} eats another one's output, so nobody makes images here")
    if not branch and len(makers) > 1:
        raise ValueError(f"several branches make images, {makers}: name one by --branch")
    return branch or makers[0]


def seen_of(branches: Mapping[str, Any], maker: str) -> View:
    """The view of which the maker's images are, as those see them who eat them."""
    view: View = build(next(of["view"] for of in branches.values() if (of.get("eats") or {}).get("reading") == f"{maker}.output"))
    return view


def judge_of(config: Config, checkpoint: str, maker: str) -> Judge | None:
    """The first frozen network that eats the maker's images, from where the run had it; None where there is none, or its file is gone."""
    branches = as_plain(config.distiller.branches)
    had = load_file(checkpoint).get("meta", {}).get("xkd", {}).get("teachers", {})
    for name, of in branches.items():
        source = of["weights"]["of"] if issubclass(of["weights"]["type"], Shared) else name
        if (of.get("eats") or {}).get("reading") == f"{maker}.output" and branches[source].get("frozen"):
            path = had.get(source) or branches[source]["weights"].get("path", "")
            if path and Path(path).is_file():
                return Judge(name, load_student(config, path, source))
    return None


def _made(maker: Student, judge: Judge | None, numbers: range, seed: int) -> list[Image]:
    data = Blank(numbers.stop, [maker.branch.view], seed=seed)
    batch = collate([data[number] for number in numbers]).to(maker.branch.mean.device)
    with torch.no_grad():
        capture = maker.branch.eval()(batch, maker.task)
        images = capture["output"].float()
        replies: list[Reply | None] = [None] * len(numbers)
        names: Sequence[str] = ()
        if judge:
            task, names = judge.student.task, judge.student.task.names
            output = judge.student.branch.eval().run(images, batch, task)["output"]
            replies = [task.answer(one) for one in task.predict(output).cpu()]
    asked = capture[DRAWN].nonzero()[:, 1].tolist() if DRAWN in capture and names else []
    pixels = images.permute(0, 2, 3, 1).cpu().numpy()
    return [Image(pixels[at], names[asked[at]] if asked else "", replies[at]) for at in range(len(numbers))]


def _columns(image: Image, judge: Judge | None, names: Sequence[str]) -> dict[str, str]:
    answers = dict(zip(judge.student.task.columns, image.reply.cells, strict=True)) if judge and image.reply else {}
    return {"label": image.label, "asked": image.asked, **{f"p_{key}" if key in names else key: value for key, value in answers.items()}}


def _header(view: View, judge: Judge | None, names: Sequence[str], source: str) -> dict[str, Any]:
    several = judge is not None and judge.student.task.annotation == Annotation("labels", tuple(names))
    return {
        "name": f"made by a generator for {view.modality.name}",
        "source": source,
        "licence": "that of the data that the judge has learned from",
        "labels": "multi" if several else "single",
        "classes": list(names),
    }


def _sheet(images: Sequence[Image], view: View, names: Sequence[str]) -> list[PanelRow]:
    """A row for each class, its first images, each with what the judge says."""
    by_label = {label: [image for image in images if image.label == label] for label in sorted({image.label for image in images})}
    order = [name for name in names if name in by_label] + [label for label in by_label if label not in names]
    rows = []
    for label in order:
        shown = by_label[label][:_SHOWN]
        panels = [
            Panel(str(place + 1), view.sensors[0].show(image.pixels), caption=image.reply.caption if image.reply else "")
            for place, image in enumerate(shown)
        ]
        rows.append(PanelRow(label or "images", "", tuple(panels)))
    return rows
