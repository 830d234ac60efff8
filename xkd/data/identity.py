"""What a view's pixels depend on, as a digest: another one means other pixels."""

from __future__ import annotations

import hashlib
from pathlib import Path

from xkd.batch import View
from xkd.data.paired import PairedDataset
from xkd.data.rows import Row
from xkd.data.shots import shot_of
from xkd.packed import version_of


def identity(dataset: PairedDataset, view: View, boxes: bool = False) -> str:
    """Of every row and draw of the dataset: the header, the augmentation and its seed, and which files, of which size and age.

    All sensors' files count, since a row's frame is known from any of them; `boxes` adds those of the target, for what is cut by them.
    """
    root = dataset.manifest.root
    digest = hashlib.sha256((root / "manifest.toml").read_bytes())
    windows = (dataset.windows,) if dataset.windows else ()  # what was kept without them stays valid
    digest.update(repr((dataset.seed, dataset.augment, dataset.views, dataset.cache, view, *windows)).encode())
    if boxes:
        digest.update(repr((dataset.target, dataset.boxes, [(row.labels, row.boxes, row.ignored) for row in dataset.rows])).encode())
    for index, row in enumerate(dataset.rows):
        source = dataset.source(index, view)
        digest.update(repr([row.id, *(_held(root, of, dataset) for of in ((row,) if source is row else (row, source)))]).encode())
    return digest.hexdigest()


def _held(root: Path, row: Row, dataset: PairedDataset) -> list[object]:
    sensors = {sensor.name: sensor for view in dataset.views for sensor in view.sensors}
    shots = [shot_of(root, row, sensor) for name, sensor in sensors.items() if name in row.files]
    files = sorted({path for shot in shots for path in (*shot.paths, *([shot.calibration] if shot.calibration else []))})
    versions = [(str(path.relative_to(root)), *version_of(path)) for path in files]
    return [row.crop, [sorted(shot.values.items()) for shot in shots], versions]
