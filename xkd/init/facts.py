"""What a data set tells before any choice: rows and labels of its splits, the sizes of its frames, the channels of its sensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from xkd.data.clips import seen_alone
from xkd.data.frame import crop_of, frame_shape
from xkd.data.manifest import Manifest
from xkd.data.registration import read_registered
from xkd.data.rows import SPLITS, Row
from xkd.data.shots import shot_of
from xkd.data.targets import labelled_by
from xkd.data.windows import TYPICAL, Windows
from xkd.init.clips import Taken, check_clips, taken
from xkd.init.measured import way_of_sensor
from xkd.init.ways import Kind, Way, kind_of, other_tasks, way_of

_LOOKED_AT: Final = 12  # files of a sensor, to know how large what it shows is


@dataclass(frozen=True)
class Facts:
    """`rows` and `labelled` by split count what the student can use; `masked` training rows have a mask, `paired` every sensor."""

    manifest: Manifest
    task: Kind
    way: Way
    others: str  # which tasks the data could have beside it, "" where nobody asks
    rows: Mapping[str, int]
    labelled: Mapping[str, int]
    masked: int
    paired: int
    sizes: Mapping[str, tuple[int, int]]  # (height, width) of what a row shows, by sensor: the median
    channels: Mapping[str, int]  # of a clip those of a frame
    clips: Mapping[str, Taken]  # of sensors whose rows hold clips
    clustered: bool  # groups hold more than one row

    @property
    def labelled_share(self) -> float:
        """Of the training rows."""
        return self.labelled["train"] / max(self.rows["train"], 1)


def gather(manifest: Manifest, student: str, teachers: Sequence[str], task: str = "", target: str = "") -> Facts:
    """`ValueError` or `KeyError` says what is missing for a first run, and the alternatives."""
    for name in (student, *teachers, *([target] if target else [])):
        if name not in manifest.modalities:
            raise KeyError(f"{manifest.root}: no sensor '{name}'; manifest.toml has {sorted(manifest.modalities)}")
    if not teachers or len(set(teachers)) < len(teachers):
        raise ValueError(f"name one teacher or several different ones of {sorted(manifest.modalities)}; got {list(teachers)}")
    kind = kind_of(manifest, task, target)
    way = way_of_sensor(manifest, target, student, teachers) if target else way_of(manifest, kind, student)
    usable = {split: [row for row in manifest.rows if row.split == split and student in row.files] for split in SPLITS}
    known = {split: _labelled(rows, way) for split, rows in usable.items()}
    for split in SPLITS:
        # images without any object measure no detector
        if not (any(row.labels for row in known[split]) if way.target == "boxes" else known[split]):
            raise ValueError(
                f"{manifest.root}: no row of split '{split}' has {student} and a {way.lacking}: a run learns from train, chooses on val and"
                f" is tested on test. Rows with {student}: { {name: len(rows) for name, rows in usable.items()} }; prepare the data set"
                " anew (xkd prepare-dataset), which shares labelled rows out to all splits"
            )
    train = usable["train"]
    paired = [row for row in train if all(name in row.files for name in teachers)]
    if not paired:
        raise ValueError(f"{manifest.root}: no training row has {student} and {' and '.join(teachers)}, so nothing can be taught")
    groups = {row.group for row in manifest.rows}
    clips = taken(paired, sorted({student, *teachers, *([target] if target else [])}), str(manifest.root))
    check_clips(clips, way.task.pictured, kind, str(manifest.root))
    return Facts(
        manifest=manifest,
        task=kind,
        way=way,
        others=other_tasks(manifest, kind if target else task),
        rows={split: len(rows) for split, rows in usable.items()},
        labelled={split: len(rows) for split, rows in known.items()},
        masked=sum(bool(row.mask) for row in train) if manifest.mask else 0,
        paired=len(paired),
        sizes={name: shown_size(manifest, paired, name) for name in {student, *teachers}},
        channels={name: manifest.modalities[name].channels for name in {student, *teachers}},
        clips=clips,
        clustered=len(groups) < len(manifest.rows),
    )


def _labelled(rows: Sequence[Row], way: Way) -> list[Row]:
    if way.sensor:
        return [row for row in rows if way.sensor in row.files]
    return [row for row in labelled_by(rows, way.target) if row.labels is not None]


def shown_size(manifest: Manifest, rows: Sequence[Row], name: str, windows: Windows | None = None) -> tuple[int, int]:
    """(height, width) of the part of the frame that rows are about, or that is the median of windows."""
    sensor, registration = manifest.modalities[name], manifest.registrations.get(name)
    seen = []
    for row in rows[:: max(1, len(rows) // _LOOKED_AT)][:_LOOKED_AT]:
        looked = seen_alone(row, sensor)
        reading = read_registered(looked, shot_of(manifest.root, row, looked), registration)
        if windows:
            row = replace(row, crop=windows.box(TYPICAL, frame_shape(manifest, row, {name: reading})))
        crop = crop_of(manifest, row, reading.shape)
        seen.append((crop.y2 - crop.y1, crop.x2 - crop.x1))
    heights, widths = zip(*seen, strict=True)
    return round(median(heights)), round(median(widths))
