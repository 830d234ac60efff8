"""Whether a data set can give what a dataset asks of it; each error names the value and what is legal."""

from __future__ import annotations

from collections.abc import Sequence

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.gaps import Gaps
from xkd.data.manifest import Manifest
from xkd.data.rows import ANY, SPLITS, Row
from xkd.data.shots import is_made
from xkd.modality import Modality, Scans


def check_draws(views: Sequence[View], augment: Augment) -> None:
    """A draw has the proportions of the camera's frame: turned by it, a bird's-eye view would be sheared."""
    above = [view.name for view in views for sensor in view.sensors if isinstance(sensor, Scans) and sensor.above]
    if above and augment.rotate > 0:
        raise ValueError(
            f"view '{above[0]}' is a bird's-eye view, which the camera's rotation would shear: rotate must be 0, got {augment.rotate:g}"
        )


def check_windows(manifest: Manifest, sensors: Sequence[Modality]) -> None:
    """A window is a part of the camera's frame, in the pixels in which crops are given."""
    if above := [sensor.name for sensor in sensors if isinstance(sensor, Scans) and sensor.above]:
        raise ValueError(
            f"{manifest.root}: windows are parts of the camera's frame, and '{above[0]}' is seen from above, in a frame of its own: leave"
            " windows out, or set project = 'camera', with the rows' calibration, in manifest.toml"
        )
    if not manifest.pairs.same_size and manifest.pairs.size is None:
        raise ValueError(
            f"{manifest.root}: windows of images that differ in size need [pairs] size = [width, height] in manifest.toml, the frame in"
            " which they are drawn"
        )


def check_classes(manifest: Manifest) -> None:
    """Whatever is tested can be learned: no class has labels in val or test alone."""
    learned = {label for row in manifest.rows if row.split == "train" for label in row.labels or ()}
    for row in manifest.rows if learned else ():
        if unknown := [label for label in row.labels or () if label not in learned]:
            raise ValueError(
                f"{manifest.root / 'manifest.csv'}: class '{unknown[0]}' is in split '{row.split}' (row '{row.id}'), never in 'train'; "
                "move a group with it into train, or leave the class out"
            )


def check_boxed(manifest: Manifest, rows: Sequence[Row], augment: Augment) -> None:
    """Boxes are learned from `rows`, the training rows with the classes of their boxes as labels: some have any, and of every class."""
    if augment.rotate > 0:
        raise ValueError(f"target='boxes': a turned box has no upright one that fits it, so rotate must be 0, got {augment.rotate:g}")
    if not any(row.labels for row in rows):
        raise ValueError(
            f"{manifest.root / 'manifest.csv'}: no row of split 'train' has a box with a class, so a detector has nothing to learn from; an"
            " empty cell of column 'boxes' means that nobody drew any"
        )
    learned = {label for row in rows for label in row.labels or ()}
    for row in manifest.rows:
        if unknown := [name for _, name in row.boxes or () if name not in (ANY, *learned)]:
            raise ValueError(
                f"{manifest.root / 'manifest.csv'}: class '{unknown[0]}' has boxes in split '{row.split}' (row '{row.id}'), never in"
                " 'train'; move a group with it into train, or leave the class out"
            )


def check_choice(name: str, value: str, legal: Sequence[str]) -> None:
    if value not in legal:
        raise ValueError(f"{name} must be one of {list(legal)}, got '{value}'")


def check_views(manifest: Manifest, split: str, views: Sequence[View]) -> None:
    names = [view.name for view in views]
    if split not in SPLITS:
        raise ValueError(f"unknown split '{split}'; legal are {list(SPLITS)}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"views need different names, at least one; got {names}")
    for view in views:
        if unknown := [sensor.name for sensor in view.sensors if sensor.name not in manifest.modalities and not is_made(view)]:
            raise KeyError(f"{manifest.root}: view '{view.name}' wants modality '{unknown[0]}'; it has {sorted(manifest.modalities)}")


def check_fractions(split: str, **fractions: float) -> None:
    """`fractions` by whose they are, "labels" or "masks"."""
    for name, fraction in fractions.items():
        if fraction < 1 and split != "train":
            raise ValueError(f"{name}.fraction is below 1 only in split 'train'; got {fraction} in '{split}'")


def check_gaps(split: str, gaps: Gaps | None) -> None:
    if gaps and split != "train":
        raise ValueError(f"gaps are for split 'train', since rows that are tested keep what they have; got {gaps} in '{split}'")
