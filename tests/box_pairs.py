"""The tiny data set with nothing but boxes: no row has a label, no row a mask."""

from __future__ import annotations

import csv
import os
from pathlib import Path


def write_boxes(tiny: Path, out: Path) -> Path:
    """Blank pictures say that nothing is there, the boxes of the others their class."""
    out.mkdir(parents=True)
    for folder in tiny.iterdir():
        if folder.is_dir():
            os.symlink(folder, out / folder.name)
    (out / "manifest.toml").write_text((tiny / "manifest.toml").read_text("utf-8").partition("[mask]")[0], "utf-8")
    with (tiny / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [{key: cell for key, cell in row.items() if key not in ("label", "mask")} for row in csv.DictReader(file)]
    with (out / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return out
