"""From files to recordings: each read once for all views, and a photograph at a fraction of its size where a draw sees no more of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from xkd.batch import View
from xkd.data.clips import Moment, drawn_shot
from xkd.data.frame import crop_of
from xkd.data.manifest import Manifest
from xkd.data.registration import read_registered
from xkd.data.rows import Row
from xkd.data.shots import Reader, has, is_made, named
from xkd.geometry import Box, Matrix
from xkd.modalities.clip import Clip
from xkd.modalities.raster import shrink_of
from xkd.modality import Modality, Shot, Shrinks

Key = tuple[Modality, Shot]


@dataclass(frozen=True)
class Recording:
    """What a row's files hold of a sensor. `shape` begins with (height, width) of the frame, `shrink` times those of the content.

    The content is None while a photograph's header alone has been read.
    """

    row: Row
    key: Key
    shape: tuple[int, ...]
    content: Any
    shrink: int = 1

    def inside(self, crop: Box) -> Box:
        """A crop of the frame in pixels of the content."""
        return crop if self.shrink == 1 else Box(*(edge / self.shrink for edge in crop))


Recordings = dict[tuple[str, str], Recording]  # by view and sensor


class Files:
    """Reads for a dataset; `cache` keeps what is read in memory."""

    def __init__(self, manifest: Manifest, cache: bool) -> None:
        self.manifest, self.cache, self.once = manifest, cache, Reader(cache)

    def read(self, sources: Mapping[str, Row], views: Sequence[View], moment: Moment, shrinks: bool = False) -> Recordings:
        """Every sensor of the views that its row has, of a clip the frames of the moment; with `shrinks` photographs wait for `decoded`."""
        recordings: Recordings = {}
        read: dict[Key, Recording] = {}
        for view in views:
            row = sources[view.name]
            for sensor in view.sensors if has(row, view) and not is_made(view) else ():
                key = (sensor, drawn_shot(self.manifest.root, row, sensor, moment))  # two views of one sensor share a read
                if key not in read:
                    read[key] = self._recording(row, key, shrinks and not self.cache)
                recordings[view.name, sensor.name] = read[key]
        return recordings

    def decoded(self, recordings: Recordings, sources: Mapping[str, Row], views: Sequence[View], matrix: Matrix) -> Recordings:
        """All of them with content; a photograph at the fraction that its view asks for, so that no view changes another."""
        made: dict[tuple[Key, int], Recording] = {}
        whole = dict(recordings)
        for view in views:
            for sensor in view.sensors:
                place = (view.name, sensor.name)
                if place in recordings and recordings[place].content is None:
                    recording = recordings[place]
                    by = shrink_of(matrix, view.size, crop_of(self.manifest, sources[view.name], recording.shape))
                    if (recording.key, by) not in made:
                        made[recording.key, by] = self._shrunk(recording, by)
                    whole[place] = made[recording.key, by]
        return whole

    def _recording(self, row: Row, key: Key, shrinks: bool) -> Recording:
        sensor, shot = key
        registration = self.manifest.registrations.get(sensor.name)
        if shrinks and registration is None and isinstance(sensor, Shrinks) and (frame := sensor.frame(shot)) is not None:
            return Recording(row, key, frame, None)
        content = self._whole(row, key)
        return Recording(row, key, content.shape, content)

    def _whole(self, row: Row, key: Key) -> Any:
        """Of clips each frame is kept, not each draw of them."""
        sensor, shot = key
        if isinstance(sensor, Clip):
            contents = {part: self._whole(row, (sensor.sensor, part)) for part in sensor.parts(shot)}
            with named(row):
                return sensor.joined(shot, contents)
        return self.once(row, key, partial(read_registered, sensor, shot, self.manifest.registrations.get(sensor.name)))

    def _shrunk(self, recording: Recording, by: int) -> Recording:
        sensor, shot = recording.key
        small = replace(shot, shrink=by)
        content = self.once(recording.row, (sensor, small), partial(sensor.read, small))
        expected = tuple(-(-side // by) for side in recording.shape)
        if content.shape[:2] != expected:
            at = f"row '{recording.row.id}': {shot.paths[0]}: its header says {recording.shape}"
            raise ValueError(f"{at}, which is {expected} at a fraction of 1/{by}; it was decoded as {content.shape[:2]}")
        return replace(recording, content=content, shrink=by)
