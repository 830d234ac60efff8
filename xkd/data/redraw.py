"""A data set with other boxes: the same files, the same rows, boxes and their scores as somebody found them."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from xkd.data.manifest import Manifest
from xkd.data.rows import ANY, NONE
from xkd.files import write_together
from xkd.geometry import Box

Detections = Sequence[tuple[Box, float]]
_THINNEST = 0.05  # pixels: what is thinner would be no box when it is written down


def check_empty(out: Path) -> None:
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty; name another folder")


def with_boxes(manifest: Manifest, found: Mapping[str, Detections], out: Path, more: Mapping[str, bytes] = MappingProxyType({})) -> Path:
    """Write `out`, where the rows of `found` have these boxes (class `*`) and no other row is changed; files are linked, else copied.

    `more` are further files by name. `FileExistsError` where `out` holds something.
    """
    check_empty(out)
    with (manifest.root / "manifest.csv").open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(file))
    columns = list(dict.fromkeys([*lines[0], "boxes", "box_scores"]))
    for line in lines:
        line.setdefault("boxes", "")
        line.setdefault("box_scores", "")
        if line["id"] in found:
            boxes = [(box, score) for box, score in found[line["id"]] if min(box.x2 - box.x1, box.y2 - box.y1) >= _THINNEST]
            line["boxes"] = ";".join(" ".join(f"{edge:.2f}" for edge in box) + f" {ANY}" for box, _ in boxes) or NONE
            line["box_scores"] = ";".join(f"{score:.3f}" for _, score in boxes)
    for name in sorted({path for row in manifest.rows for paths in row.files.values() for path in paths} | _others(manifest)):
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link((manifest.root / name).resolve(), target)
        except OSError:  # another disk
            shutil.copyfile(manifest.root / name, target)
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(lines)
    toml = (manifest.root / "manifest.toml").read_bytes()
    further = {out / name: content for name, content in more.items()}
    write_together({**further, out / "manifest.toml": toml, out / "manifest.csv": text.getvalue().encode()})
    return out


def _others(manifest: Manifest) -> set[str]:
    return {path for row in manifest.rows for path in (row.mask, row.calibration) if path}
