"""The paired dataset: one row, every wanted view of it, one geometric draw for all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from xkd.batch import Annotation, View
from xkd.data import choose
from xkd.data.annotations import Labels, Masks
from xkd.data.augment import Augment, draw_boxes, warp_boxes
from xkd.data.boxes import Boxes, box_target, check_boxes, no_boxes, room_of
from xkd.data.cache import Shards
from xkd.data.clips import check_clips
from xkd.data.draws import Draws
from xkd.data.exemplars import Exemplars
from xkd.data.flips import flipped
from xkd.data.fold import Fold
from xkd.data.frame import crop_of, frame_shape
from xkd.data.gaps import Gaps
from xkd.data.manifest import Manifest
from xkd.data.part import SplitPart
from xkd.data.recording import Files, Recordings
from xkd.data.region import positive_names, read_codes, region
from xkd.data.request import check_boxed, check_choice, check_classes, check_draws, check_fractions, check_gaps, check_views, check_windows
from xkd.data.rows import Row
from xkd.data.sample import NO_DRAW, Sample, as_tensor, unread
from xkd.data.shots import check_files, has, is_made
from xkd.data.shuffle import Shuffle
from xkd.data.supervisor import measured_by, nothing_seen, placed, seen_by, supervisor_of, view_named
from xkd.data.targets import NOTHING, annotation_of, check_target, labelled_by, pixel_target, targets_of, unknown_pixels
from xkd.data.windows import MIDDLE, Windows
from xkd.geometry import Box, Matrix
from xkd.modalities.raster import warp
from xkd.modality import Makes, filled


class PairedDataset(Dataset[Sample]):
    """Rows of one split as paired samples of the given views; files of other sensors are never touched.

    `dataset[index, draw]` is a pure function of (seed, row, draw): the geometry is drawn once per row and draw, the
    photometric jitter once more per view name, so a view that is added or left out changes nothing in the others.
    `dataset[index]` is the row without augmentation (draw -1).

    A row that has none of the views is left out and counted in `left_out` (reason -> number). `labels` says which labels are kept,
    `masks` what the region of interest is made of and which masks are kept, `shuffle` whose views stay together (None: all of a row),
    `gaps` which rows lack a sensor that they have.
    `target="mask"` makes the mask's classes the target, (H, W) at the first view's size, -1 where nobody knows; `target="boxes"` the boxes
    and their classes, (M, 5), as `boxes` says; `target="view:NAME"` what that view saw, without jitter, (C, H, W) in its units at the first
    view's size, NaN where it saw nothing; `target="nothing"` none, for images whose labels are of other classes. A row that has no such
    thing is unlabelled. `windows` puts windows of the frames, without labels, in the place of the rows. Where classes come in stages,
    `classes` leaves rows of those labels alone (hidden labels count, rows that nobody labelled are left out), beside `exemplars` of earlier
    ones; targets count the classes that are `known` so far, in that order (by default the manifest's), and rows of all of these are left
    where `classes` names none. `having` leaves rows that have all of these sensors, `without` takes a fold out of training, its groups as
    wholes. `subset` > 0 keeps that many rows, every class among them. `cache` keeps what was read in memory, once per process (for small
    data sets, and where rows are crops of shared images); without it a photograph is decoded at a fraction of its size where a draw sees no
    more of it, which rounds pixels otherwise. A row that cannot be read is an error, or with `on_broken="skip"` has no view, no label and
    no mask and says why.

    Raises `ValueError`, `KeyError` or `FileNotFoundError` naming the file, the row and what is legal, for wrong
    arguments and missing files here, for unreadable or mismatched images when they are read.
    """

    def __init__(  # noqa: PLR0913  # each is a key of a config; what belongs together is an object
        self,
        root: str | Manifest,
        split: str,
        views: Sequence[View],
        augment: Augment,
        *,
        seed: int = 0,
        target: str = "label",
        labels: Labels = Labels(),
        masks: Masks = Masks(),
        boxes: Boxes = Boxes(),
        shuffle: Shuffle | None = None,
        windows: Windows | None = None,
        gaps: Gaps | None = None,
        classes: Sequence[str] = (),
        known: Sequence[str] = (),
        having: Sequence[str] = (),
        exemplars: Exemplars | None = None,
        without: Fold | None = None,
        subset: int = 0,
        cache: bool = False,
        on_broken: Literal["stop", "skip"] = "stop",
    ) -> None:
        self.manifest = root if isinstance(root, Manifest) else Manifest.load(root)
        self.split, self.views, self.augment, self.seed, self.target = split, tuple(views), augment, seed, target
        self.labels, self.masks, self.boxes, self.shuffle, self.windows = labels, masks, boxes, shuffle, windows
        self.gaps, self.cache, self.on_broken, self.part = gaps, cache, on_broken, SplitPart(classes, known, having, exemplars, without)
        self._draws, self._supervisor = Draws(seed, augment), supervisor_of(target, self.views)
        self._check()
        self._positive = positive_names(self.manifest, masks.positive)
        usable, self.left_out = self._usable()
        self.rows = choose.subset(usable, self.classes, subset, seed) if subset else usable
        check_clips(self.manifest, self.rows, self.views)
        columns = {sensor.name for view in self.views for sensor in view.sensors}
        check_files(self.manifest.root, self.rows, columns, masks=masks.source == "mask")
        self.strata = choose.strata(self.rows, self.classes)
        self._room, self._flips = room_of(self.rows), self.manifest.flips if target == "label" else {}
        self.targets = targets_of(self.rows, self.annotation)
        own = np.arange(len(self.rows))
        self._strangers = shuffle.strangers(self.rows, self.manifest, seed, framed=windows is not None) if shuffle else own
        self._files, self._regions = Files(self.manifest, cache), masks.places(self.rows, split, seed)
        self._shards: Sequence[Shards] = ()
        self._unread: frozenset[str] = frozenset()  # views whose pixels nobody needs

    def _check(self) -> None:
        check_choice("on_broken", self.on_broken, ("stop", "skip"))
        check_draws(self.views, self.augment)
        check_views(self.manifest, self.split, self.views)
        if self.windows:
            check_windows(self.manifest, [sensor for view in self.views for sensor in view.sensors])
        check_fractions(self.split, labels=self.labels.fraction, masks=self.masks.fraction)
        check_gaps(self.split, self.gaps)
        self.part.check(self.manifest, self.split, self.target)
        if self.shuffle and self.shuffle.anchor not in (names := [view.name for view in self.views]):
            raise KeyError(f"shuffle.anchor names view '{self.shuffle.anchor}'; there are {names}")
        check_target(self.manifest, self.target, self.masks)
        if self.split == "train" and self.target == "label":
            check_classes(self.manifest)

    def _usable(self) -> tuple[list[Row], dict[str, int]]:
        """The split's rows that can be shown, with the labels and masks that are kept; and how many are left out, by reason."""
        rows = [row for row in self.manifest.rows if row.split == self.split]
        rows = self.gaps.left(rows, self.manifest) if self.gaps else rows
        rows = measured_by(rows, self._supervisor, self.manifest) if self._supervisor else labelled_by(rows, self.target)
        if self.target == "boxes" and self.split == "train":
            check_boxed(self.manifest, rows, self.augment)
        rows = self.masks.kept(self.labels.kept(rows, self.manifest.classes), self.manifest.classes)
        rows, left_out = self.part.left(rows, self.manifest)
        shown = [view for view in self.views if view.name != view_named(self.target) and not is_made(view)] or self.views
        wanted = [view for view in shown if self.shuffle is None or view.name == self.shuffle.anchor]
        usable = [row for row in rows if any(has(row, view) for view in wanted)]
        names = " and no ".join(sorted({view.modality.name for view in wanted}))
        if not usable:
            raise ValueError(f"{self.manifest.root}: no row to use: all {len(rows)} rows of split '{self.split}' have no {names}")
        left_out |= {f"no {names}": len(rows) - len(usable)} if len(usable) < len(rows) else {}
        return self.windows.rows(usable) if self.windows else usable, left_out

    def serve(self, shards: Sequence[Shards], unread: Collection[str]) -> None:
        """From now on samples carry the readings in `shards`, and the pixels of the views `unread` are left where they are."""
        self._shards, self._unread = tuple(shards), frozenset(unread)

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the labels, or of the pixels; none of numbers."""
        return () if self.annotation.numbers else self.annotation.names

    @property
    def annotation(self) -> Annotation:
        """What the targets say."""
        return self.part.annotation(annotation_of(self.manifest, self.target, self._supervisor))

    @property
    def num_masked(self) -> int:
        """Rows that say where their region of interest is."""
        return sum(map(self.masks.shows, self.rows))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        index, draw = key if isinstance(key, tuple) else (key, NO_DRAW)
        if not 0 <= index < len(self.rows):
            raise IndexError(f"no row {index}; the dataset has {len(self.rows)}")
        try:
            sample = self._sample(index, draw)
        except (ValueError, OSError) as error:
            if self.on_broken == "stop":
                raise
            target = self._unknown(index)
            sample = unread(self.views, self._unread, target, index, draw, dict(self.rows[index].meta), str(error))
        cached = {name: reading for shards in self._shards for name, reading in shards.read(index, draw).items()}
        return replace(sample, cached=cached, groups={view.name: self.source(index, view).group for view in self.views})

    def _unknown(self, index: int) -> Tensor:
        """The target of a row that cannot be read: its label stays known."""
        if self.target in ("label", NOTHING):
            return torch.from_numpy(self.targets[index : index + 1])[0]
        if self._supervisor is not None:
            return nothing_seen(self._supervisor)
        return unknown_pixels(self.views[0].size) if self.target == "mask" else no_boxes(self._room)

    def _sample(self, index: int, draw: int) -> Sample:
        if get_worker_info() is not None and cv2.getNumThreads() > 1:
            cv2.setNumThreads(0)  # OpenCV's thread pool does not survive the fork of a worker
        row = self.rows[index]
        if why := next(filter(None, (shards.broken(index, draw) for shards in self._shards)), ""):
            raise ValueError(why)  # the branch that would say so again is not asked
        teaches = [self._supervisor] if self._supervisor and row.labels is not None else []
        sources = {view.name: self.source(index, view) for view in (*self.views, *teaches)}
        seen = [view for view in self.views if view.name not in self._unread]
        if not any(has(sources[view.name], view) and not is_made(view) for view in seen):
            seen = list(self.views)  # the frame is known from what is read
        seen += teaches
        # evaluation decodes whole files, as `xkd predict` does
        recordings = self._files.read(sources, seen, self._draws.moment(row, draw), shrinks=draw != NO_DRAW)
        shape = frame_shape(self.manifest, row, {sensor: held for (view, sensor), held in recordings.items() if sources[view] is row})
        if self.windows:
            place = self._draws.window(row, draw)
            row, sources = replace(row, crop=self.windows.box(place, shape)), self.windows.shown(place, sources, recordings, self.manifest)
        crop = crop_of(self.manifest, row, shape)
        matrix = self._draws.geometry(row, draw, (crop.x2 - crop.x1) / (crop.y2 - crop.y1))
        recordings = self._files.decoded(recordings, sources, seen, matrix)
        mask, masked = self._region(index, row, shape, matrix)
        boxes, ignored = (np.array(those, np.float64).reshape(-1, 4) for those in ([box for box, _ in row.boxes or ()], row.ignored))
        return Sample(
            views={
                view.name: self._sample_view(view, recordings, sources[view.name], matrix, row, draw)
                for view in self.views
                if view.name not in self._unread
            },
            present={view.name: has(sources[view.name], view) for view in self.views},
            target=(target := self._target(index, row, shape, matrix, recordings)),
            labelled=row.labels is not None and not (teaches and bool(target.isnan().all())),
            mask=as_tensor(mask),
            masked=masked,
            index=index,
            draw=draw,
            boxes=torch.from_numpy(warp_boxes(boxes, matrix, crop)),
            meta=dict(row.meta),
            ignored=torch.from_numpy(warp_boxes(ignored, matrix, crop)),
        )

    def frame(self, index: int) -> Box:
        """What a row's views show where nothing is drawn: its crop or window, or the whole, in pixels of the full image. Reads the row."""
        row = self.rows[index]
        return self.windows.box(MIDDLE, self._shape(row)) if self.windows else crop_of(self.manifest, row, self._shape(row))

    def _shape(self, row: Row) -> tuple[int, int]:
        recordings = self._files.read({view.name: row for view in self.views}, self.views, self._draws.moment(row, NO_DRAW))
        return frame_shape(self.manifest, row, {sensor: held for (_, sensor), held in recordings.items()})

    def _target(self, index: int, row: Row, shape: tuple[int, int], matrix: Matrix, recordings: Recordings) -> Tensor:
        """The row's own; of pixels the class with the largest share, -1 where less than half of the pixel is known."""
        size = self.views[0].size
        if self.target == "label" or row.labels is None:
            return flipped(self._unknown(index), matrix, self._flips, self.classes)
        if self._supervisor is not None:
            return seen_by(self._supervisor, recordings, self.manifest, row, matrix)
        if self.target == "boxes":
            check_boxes(self.manifest.root / "manifest.csv", row, shape)
            return box_target(row, self.classes, matrix, crop_of(self.manifest, row, shape), size, self.boxes, self._room)
        assert self.manifest.mask is not None  # verified at the start
        codes = self._codes(row, shape)
        return pixel_target(codes, self.manifest.mask, matrix, size, crop_of(self.manifest, row, codes.shape))

    def source(self, index: int, view: View) -> Row:
        """The row that a view is read from: its own, or a stranger's in the negative control."""
        anchored = self.shuffle is None or view.name in (self.shuffle.anchor, self.target)  # what is learned stays too
        return self.rows[index if anchored else int(self._strangers[index])]

    def _sample_view(self, view: View, recordings: Recordings, source: Row, matrix: Matrix, row: Row, draw: int) -> Tensor:
        if not has(source, view):
            return torch.zeros((view.modality.channels, *view.size))
        if isinstance(made := view.modality, Makes):
            return as_tensor(made.make(view.size, self._draws.made(row, draw, view)))
        rng = self._draws.jitter(row, draw, view)
        images = []
        for sensor, image in placed(view, recordings, self.manifest, source, matrix):
            if rng is not None and rng.random() < self.augment.jitter:
                image = sensor.jitter(image, rng)
            images.append(as_tensor(filled(image, sensor)))
        return images[0] if len(images) == 1 else torch.cat([image.float() for image in images])

    def _region(self, index: int, row: Row, shape: tuple[int, int], matrix: Matrix) -> tuple[NDArray[np.float32], bool]:
        """The region of interest as area shares (H, W, 1), and whether the row says where it is."""
        size, stranger = self.views[0].size, self.rows[int(self._regions[index])]
        if not self.masks.shows(row):
            return np.zeros((*size, 1), np.float32), False
        row, shape = (row, shape) if stranger.id == row.id else (stranger, self._shape(stranger))
        if self.masks.source == "boxes":
            boxes = np.array([box for box, _ in row.boxes or ()], np.float64).reshape(-1, 4)
            return draw_boxes(boxes, matrix, crop_of(self.manifest, row, shape), size, row.scores), True
        codes = self._codes(row, shape)
        assert self.manifest.mask is not None  # verified with the header
        share = warp(region(codes, self.manifest.mask, self._positive), matrix, size, crop_of(self.manifest, row, codes.shape))
        if np.isnan(share).any():
            values, legal = np.unique(codes).tolist(), dict(self.manifest.mask.values)
            path = self.manifest.root / row.mask
            raise ValueError(f"{path}: row '{row.id}': mask codes {values}; manifest.toml has {legal}")
        return share, True

    def _codes(self, row: Row, shape: tuple[int, int]) -> NDArray[Any]:
        path = self.manifest.root / row.mask
        codes: NDArray[Any] = self._files.once(row, path, partial(read_codes, path))
        if self.manifest.pairs.same_size and codes.shape[:2] != shape:
            raise ValueError(f"{path}: row '{row.id}': mask {codes.shape[:2]} for an image of {shape}")
        return codes
