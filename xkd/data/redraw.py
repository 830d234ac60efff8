"""A data set with other boxes: the same files, the same rows, boxes and their scores as somebody found them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from xkd.data.manifest import Manifest
from xkd.data.rows import ANY, NONE
from xkd.data.write import link_files, new_dataset, read_table, write_rows
from xkd.geometry import Box

Detections = Sequence[tuple[Box, float]]
_THINNEST = 0.05  # pixels: what is thinner would be no box when it is written down


def with_boxes(
    manifest: Manifest, detections: Mapping[str, Detections], out: Path, more: Mapping[str, bytes] = MappingProxyType({})
) -> Path:
    """Write `out`, where the rows of `found` have these boxes (class `*`) and no other row is changed; files are linked, else copied.

    `more` are further files by name. `FileExistsError` where `out` is there.
    """
    lines = read_table(manifest.root / "manifest.csv")
    columns = list(dict.fromkeys([*lines[0], "boxes", "box_scores"]))
    for line in lines:
        line.setdefault("boxes", "")
        line.setdefault("box_scores", "")
        if line["id"] in detections:
            boxes = [(box, score) for box, score in detections[line["id"]] if min(box.x2 - box.x1, box.y2 - box.y1) >= _THINNEST]
            line["boxes"] = ";".join(" ".join(f"{edge:.2f}" for edge in box) + f" {ANY}" for box, _ in boxes) or NONE
            line["box_scores"] = ";".join(f"{score:.3f}" for _, score in boxes)
    with new_dataset(out) as draft:
        link_files(manifest, draft)
        for name, content in {**more, "manifest.toml": (manifest.root / "manifest.toml").read_bytes()}.items():
            (draft / name).write_bytes(content)
        write_rows(draft, [{column: line[column] for column in columns} for line in lines])
    return out
