"""A row per object: the square about its box is its crop, its class the label."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from xkd.data.prepare.records import Record
from xkd.geometry import overlap, square

_MARGIN: Final = 1.15  # side of a crop over the longest side of its box


def crops_of(record: Record) -> list[Record]:
    """Of all its boxes, each with what else lies in its crop, and the frame's id as column `frame`."""
    rows = []
    for number, (box, name) in enumerate(record.boxes or ()):
        crop = square(box, _MARGIN)
        inside = tuple((other, kind) for other, kind in record.boxes or () if overlap(other, crop))
        ignored = tuple(region for region in record.ignored if overlap(region, crop))
        more = {**record.extra, "frame": record.id}
        rows.append(replace(record, id=f"{record.id}-{number:02d}", crop=crop, labels=(name,), boxes=inside, ignored=ignored, extra=more))
    return rows
