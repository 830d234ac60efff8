"""The tasks that a first config can have: what rows must be labelled with, and what the config says of each, a way per task."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from xkd.data.manifest import Manifest
from xkd.data.targets import labelled_by
from xkd.tasks import Classification, Detection, Regression, Segmentation, Task

Kind = Literal["classification", "segmentation", "regression", "detection", "dense"]
TASKS: Final[tuple[Kind, ...]] = ("classification", "segmentation", "regression", "detection", "dense")
STRIDE_INDEX: Final = 2  # of a network's feature maps, the one that is read for pixels: a grid of one eighth
_LEVELS: Final = (2, 3, 4)  # of a detector: grids of one eighth and coarser
_ERROR: Final = 0.5  # of what half of the labels are off the median: about what a network that learned something errs


@dataclass(frozen=True)
class Way:
    """What is written for one task; losses as the config says them, `label_loss` from labels, `teacher_loss` from a teacher's output."""

    task: Task
    lacking: str  # what a row without a label lacks
    target: str  # of a PairedDataset
    written: str
    label_loss: str
    teacher_loss: str
    names: frozenset[str]  # that the config imports for this way
    best: str  # the measure by which the checkpoint is chosen
    outputs: int  # of a network
    share: float = 1.0  # of the teachers, all together
    wrapper: str = ""  # a network on a backbone's maps; without one timm's own
    levels: tuple[int, ...] = ()  # of these maps
    counted: str = "num_classes"  # what the wrapper calls `outputs`
    magnified: int = 1  # times the side of a view
    error: float = 0.0  # "error" in the losses; 0 where they have none
    error_why: str = ""
    sensor: str = ""  # whose view is the target, "" where somebody has labelled
    changes: str = ""  # of that sensor
    about: str = ""  # the target
    zoomed: bool = True  # whether training may enlarge images


def possible(manifest: Manifest) -> dict[Kind, str]:
    """The tasks that rows are labelled for, with what they have, in the order in which they are taken unasked."""
    found: dict[Kind, str] = {}
    if manifest.numbers and any(row.numbers for row in manifest.rows):
        found["regression"] = f"numbers {[number.name for number in manifest.numbers]}"
    if any(row.labels for row in manifest.rows):
        found["classification"] = "labels"
    if any(row.mask for row in manifest.rows):
        found["segmentation"] = "masks"
    if any(row.boxes and labelled_by([row], "boxes")[0].labels for row in manifest.rows):
        found["detection"] = "boxes"
    return found


def kind_of(manifest: Manifest, task: str, target: str = "") -> Kind:
    """The named one, or the first that rows are labelled for; `ValueError` for one that they are not. A sensor as `target` is dense."""
    found = possible(manifest)
    named = next((kind for kind in TASKS if kind == task), None)
    if task and named is None:
        raise ValueError(f"no task '{task}'; there are {list(TASKS)}")
    if (target and named not in (None, "dense")) or (named == "dense" and not target):
        asked = f"task '{task}'" + (f" and target '{target}'" if target else " without a target")
        raise ValueError(
            f"{asked}: a sensor is the target of task 'dense' alone, and that one needs it, --task dense --target SENSOR, one of"
            f" {sorted(manifest.modalities)}"
        )
    if target:
        return "dense"
    if not found:
        raise ValueError(
            f"{manifest.root}: no row has a label, a mask or a box with a class that somebody drew: no task. With --task dense --target"
            f" SENSOR, one of {sorted(manifest.modalities)}, a sensor is the label; xkd pretrain learns from pairs alone"
        )
    if named is None:
        return next(iter(found))
    if named not in found:
        has = ", ".join(f"{what} (--task {kind})" for kind, what in found.items())
        raise ValueError(f"{manifest.root}: rows have nothing to learn {named} from; they have {has}")
    return named


def other_tasks(manifest: Manifest, task: str = "") -> str:
    """Which other tasks the data could have and how to ask for one; "" where one is named, or there is no other."""
    found = possible(manifest)
    if task or len(found) < 2:
        return ""
    (chosen, what), *others = found.items()
    return f"{chosen}, since rows have {what}; they also have " + ", ".join(f"{has} (--task {kind})" for kind, has in others)


def way_of(manifest: Manifest, kind: Kind, student: str) -> Way:
    """Of labels; `ValueError` where the task cannot be made of what the manifest says. `measured.way_of_sensor` is of a sensor."""
    return {
        "classification": _classification,
        "segmentation": _segmentation,
        "regression": lambda manifest: _regression(manifest, student),
        "detection": _detection,
    }[kind](manifest)


def identifier(column: str) -> str:
    """A sensor's column as a name in Python."""
    name = "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in column)
    return f"sensor_{name}" if not name or name[0].isdigit() else name


def one_digit(error: float) -> float:
    """Of what labels are typically off their median, the share in which losses count errors."""
    return float(f"{_ERROR * error:.1g}")


def classes_of(names: Sequence[str]) -> str:
    """A tuple of names as Python."""
    return "(" + " ".join(f"{json.dumps(name, ensure_ascii=False)}," for name in names) + ")"


def _classification(manifest: Manifest) -> Way:
    several = manifest.multilabel
    return Way(
        task=Classification(manifest.classes, multilabel=several),
        lacking="label",
        target="label",
        written=f"dict(type=Classification, classes=classes{', multilabel=True' if several else ''})",
        label_loss=f"dict(type={'BinaryCrossEntropy' if several else 'CrossEntropy'})",
        teacher_loss="dict(type=SigmoidKD)" if several else "dict(type=KD, tau=4.0)",
        names=frozenset({"Classification"} | ({"BinaryCrossEntropy", "SigmoidKD"} if several else {"CrossEntropy", "KD"})),
        best="macro_f1",
        outputs=len(manifest.classes),
    )


def _segmentation(manifest: Manifest) -> Way:
    classes = manifest.mask.classes if manifest.mask else ()
    return Way(
        task=Segmentation(classes),
        lacking="mask",
        target="mask",
        written="dict(type=Segmentation, classes=classes)",
        label_loss="dict(type=CrossEntropy)",
        teacher_loss="dict(type=KD, tau=4.0)",
        names=frozenset({"Segmentation", "CrossEntropy", "KD", "PixelHead"}),
        best="mean_iou",
        outputs=len(classes),
        wrapper="PixelHead",
        levels=(STRIDE_INDEX,),
    )


def _detection(manifest: Manifest) -> Way:
    return Way(
        task=Detection(manifest.classes),
        lacking="box with a class",
        target="boxes",
        written="dict(type=Detection, classes=classes)",
        label_loss="dict(type=FCOS)",
        teacher_loss="dict(type=BCKD)",
        names=frozenset({"Detection", "FCOS", "BCKD", "DenseDetector"}),
        best="ap50",
        outputs=len(manifest.classes),
        wrapper="DenseDetector",
        levels=_LEVELS,
        magnified=2,
    )


def _regression(manifest: Manifest, student: str) -> Way:
    """Numbers of unlike units have no error in common: each one's variance is learned, and its errors count in shares of that."""
    units = sorted({number.unit for number in manifest.numbers})
    error = _error(manifest, student) if len(units) == 1 else 0.0
    label, teacher, scale = ("GaussianNLL", "VarianceKD", "") if not error else ("SmoothL1", "L1", ", scale=error")
    return Way(
        task=Regression(manifest.numbers),
        lacking="number",
        target="label",
        written="dict(type=Regression, numbers=dict(type=numbers, root=data))",
        label_loss=f"dict(type={label}{scale})",
        teacher_loss=f"dict(type={teacher}{scale})",
        names=frozenset({"Regression", "numbers", label, teacher}),
        best="mae",
        outputs=len(manifest.numbers) * (1 if error else 2),
        share=0.5,
        error=error,
        error_why=f"{units[0] + '; ' if units[0] else ''}losses count errors in it: half of what labels are typically off their median",
    )


def _error(manifest: Manifest, student: str) -> float:
    """A share of the typical distance from the median of the training labels, with one digit; `ValueError` where all are the same."""
    values = np.array([row.numbers for row in manifest.rows if row.split == "train" and student in row.files and row.numbers])
    if not len(values):
        return 1.0  # said by whoever counts the rows
    off = np.abs(values - np.median(values, axis=0))
    typical = float(np.median(off)) or float(off.mean())  # most labels may be the same, such as 0
    if not typical:
        raise ValueError(f"{manifest.root}: all training rows have the same numbers, {values[0].tolist()}: nothing to learn")
    return one_digit(typical)
