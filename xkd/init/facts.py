"""What a data set tells before any choice: rows and labels of its splits, the sizes of its frames, the channels of its sensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final, Literal

from xkd.data.frame import crop_of, frame_shape
from xkd.data.manifest import Manifest
from xkd.data.registration import read_registered
from xkd.data.rows import SPLITS, Row
from xkd.data.shots import shot_of
from xkd.data.windows import TYPICAL, Windows

TASKS: Final = ("classification", "segmentation")
Kind = Literal["classification", "segmentation"]
_LOOKED_AT: Final = 12  # files of a sensor, to know how large what it shows is


@dataclass(frozen=True)
class Facts:
    """`rows` and `labelled` by split count what the student can use; `masked` training rows have a mask, `paired` every sensor."""

    manifest: Manifest
    task: Kind
    rows: Mapping[str, int]
    labelled: Mapping[str, int]
    masked: int
    paired: int
    sizes: Mapping[str, tuple[int, int]]  # (height, width) of what a row shows, by sensor: the median
    channels: Mapping[str, int]
    clustered: bool  # groups hold more than one row

    @property
    def labelled_share(self) -> float:
        """Of the training rows."""
        return self.labelled["train"] / max(self.rows["train"], 1)


def gather(manifest: Manifest, student: str, teachers: Sequence[str], task: str = "") -> Facts:
    """`ValueError` or `KeyError` says what is missing for a first run, and the alternatives."""
    for name in (student, *teachers):
        if name not in manifest.modalities:
            raise KeyError(f"{manifest.root}: no sensor '{name}'; manifest.toml has {sorted(manifest.modalities)}")
    if not teachers or len(set(teachers)) < len(teachers):
        raise ValueError(f"name one teacher or several different ones of {sorted(manifest.modalities)}; got {list(teachers)}")
    kind = _task(manifest, task)
    usable = {split: [row for row in manifest.rows if row.split == split and student in row.files] for split in SPLITS}
    labelled = {split: sum(_is_labelled(row, kind) for row in rows) for split, rows in usable.items()}
    for split in SPLITS:
        if not labelled[split]:
            what = "mask" if kind == "segmentation" else "label"
            raise ValueError(
                f"{manifest.root}: no row of split '{split}' has {student} and a {what}: a run learns from train, chooses on val and is"
                f" tested on test. Rows with {student}: { {name: len(rows) for name, rows in usable.items()} }; prepare the data set anew"
                " (xkd prepare-dataset), which shares labelled rows out to all splits"
            )
    train = usable["train"]
    paired = [row for row in train if all(name in row.files for name in teachers)]
    if not paired:
        raise ValueError(f"{manifest.root}: no training row has {student} and {' and '.join(teachers)}, so nothing can be taught")
    groups = {row.group for row in manifest.rows}
    return Facts(
        manifest=manifest,
        task=kind,
        rows={split: len(rows) for split, rows in usable.items()},
        labelled=labelled,
        masked=sum(bool(row.mask) for row in train) if manifest.mask else 0,
        paired=len(paired),
        sizes={name: shown_size(manifest, paired, name) for name in {student, *teachers}},
        channels={name: manifest.modalities[name].channels for name in {student, *teachers}},
        clustered=len(groups) < len(manifest.rows),
    )


def _task(manifest: Manifest, task: str) -> Kind:
    """The named one, or classification where any row has a label, else segmentation where rows have masks."""
    has_labels = any(row.labels for row in manifest.rows)
    if task and task not in TASKS:
        raise ValueError(f"no task '{task}'; there are {list(TASKS)}")
    if manifest.numbers and task != "segmentation":
        names = [number.name for number in manifest.numbers]
        instead = " (--task segmentation learns from the masks instead)" if manifest.mask is not None else ""
        raise ValueError(
            f"{manifest.root}: rows are labelled with numbers {names}, for which no config is written yet: write one with the task"
            f" Regression{instead}"
        )
    if task == "classification" or (not task and has_labels):
        return "classification"
    if manifest.mask is not None:
        return "segmentation"
    raise ValueError(f"{manifest.root}: no row has a label, and manifest.toml has no [mask]: no task; xkd pretrain learns from pairs alone")


def _is_labelled(row: Row, task: Kind) -> bool:
    return bool(row.mask) if task == "segmentation" else row.labels is not None


def shown_size(manifest: Manifest, rows: Sequence[Row], name: str, windows: Windows | None = None) -> tuple[int, int]:
    """(height, width) of the part of the frame that rows are about, or that is the median of windows."""
    sensor, registration = manifest.modalities[name], manifest.registrations.get(name)
    seen = []
    for row in rows[:: max(1, len(rows) // _LOOKED_AT)][:_LOOKED_AT]:
        reading = read_registered(sensor, shot_of(manifest.root, row, sensor), registration)
        if windows:
            row = replace(row, crop=windows.box(TYPICAL, frame_shape(manifest, row, {name: reading})))
        crop = crop_of(manifest, row, reading.shape)
        seen.append((crop.y2 - crop.y1, crop.x2 - crop.x1))
    heights, widths = zip(*seen, strict=True)
    return round(median(heights)), round(median(widths))
