"""Whether boxes and crops lie in their frame: those that leave it were drawn on another image, or on another size of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from xkd.data.check.files import Facts
from xkd.data.check.finding import Finding, Severity, listed
from xkd.data.manifest import Manifest
from xkd.data.rows import Row
from xkd.geometry import Box

_ROUNDING: Final = 1.0  # pixels by which a box may leave its frame
_HALF: Final = 0.5  # of a crop: the square about an object at the edge reaches beyond


def object_findings(manifest: Manifest, facts: Facts) -> list[Finding]:
    """Boxes beyond their frame's edges, and crops of which half or more lies beyond them."""
    boxes, crops, num_boxes, num_crops = [], [], 0, 0
    for row, size in _framed(manifest, facts):
        where = f"row '{row.id}' ({size[0]}x{size[1]})"
        num_crops += row.crop is not None
        num_boxes += len(row.boxes or ())
        crops += [where] if row.crop is not None and _inside(row.crop, size) < _HALF else []
        boxes += [where for box, _ in row.boxes or () if _leaves(box, size)]
    findings = []
    for what, odd, count in (
        ("boxes leave their frame", boxes, num_boxes),
        ("crops lie half or more outside their frame", crops, num_crops),
    ):
        if odd:
            severity: Severity = "error" if 2 * len(odd) > count else "warning"
            text = (
                f"{len(odd)} of {count} {what}: {listed(list(dict.fromkeys(odd)))}; were they drawn on another sensor's images, on images"
            )
            findings.append(Finding(severity, "labels", f"{text} of another size, or on turned ones ([pairs] size of manifest.toml)?"))
    return findings


def _framed(manifest: Manifest, facts: Facts) -> Iterator[tuple[Row, tuple[int, int]]]:
    """Rows with boxes or a crop, and the (width, height) of the frame that these are given in, where a header says it."""
    for row in manifest.rows:
        if row.crop is None and not row.boxes:
            continue
        size = None if manifest.pairs.same_size else manifest.pairs.size
        if size is None:
            name, paths = next(iter(row.files.items()), ("", ("",)))
            registered = manifest.registrations.get(name)
            size = registered.size if registered else facts[name, paths[0]].size if name else (0, 0)
        if min(size) > 0:
            yield row, size


def _leaves(box: Box, size: tuple[int, int]) -> bool:
    return min(box.x1, box.y1) < -_ROUNDING or box.x2 > size[0] + _ROUNDING or box.y2 > size[1] + _ROUNDING


def _inside(box: Box, size: tuple[int, int]) -> float:
    """The share of its area that lies in the frame."""
    width = min(box.x2, size[0]) - max(box.x1, 0)
    height = min(box.y2, size[1]) - max(box.y1, 0)
    return max(width, 0) * max(height, 0) / ((box.x2 - box.x1) * (box.y2 - box.y1))
