"""Boxes that a student found, as files that other tools read: a CSV with a line for each, and COCO's JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from xkd.data.images import CROP
from xkd.engine.use import Prediction


def as_box_table(predictions: Sequence[Prediction]) -> str:
    """Columns file, left, top, right, bottom (pixels of the image), class, score, error; an image without a box has one empty line.

    `xkd prepare-dataset boxes` and `xkd predict --crops` read it.
    """
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["file", *CROP, "class", "score", "error"])
    for one in predictions:
        lines = [[*(f"{edge:.2f}" for edge in box), name, f"{score:.4f}"] for name, score, box in one.boxes] or [[""] * 6]
        writer.writerows([one.file, *line, one.error] for line in lines)
    return table.getvalue()


def as_coco(predictions: Sequence[Prediction], names: Sequence[str]) -> str:
    """Images, annotations with their scores, categories from 1 on; crops of one image are one image."""
    images: dict[str, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    for one in predictions:
        if one.error:
            continue
        width, height = one.size
        entry = {"id": len(images) + 1, "file_name": str(one.file), "width": width, "height": height}
        image = images.setdefault(str(one.file), entry)
        for name, score, box in one.boxes:
            across, down = box.x2 - box.x1, box.y2 - box.y1
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": names.index(name) + 1,
                    "bbox": [round(edge, 2) for edge in (box.x1, box.y1, across, down)],
                    "area": round(across * down, 2),
                    "iscrowd": 0,
                    "score": round(score, 4),
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
    return json.dumps({"images": list(images.values()), "annotations": annotations, "categories": categories}, indent=1) + "\n"
