"""Images from anywhere, as a student's view: no manifest, no other sensor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from xkd.batch import View
from xkd.data.sample import Sample
from xkd.geometry import IDENTITY, Box
from xkd.modality import Shot, filled


def find_images(places: list[str], view: View) -> dict[Path, Path]:
    """Files as given, folders searched, each with its name below the folder that it was found in.

    `FileNotFoundError` for a place that is not there or holds nothing that the view's sensor could have made.
    """
    suffixes = sorted({suffix for sensor in view.sensors for suffix in sensor.suffixes})
    images: dict[Path, Path] = {}
    for place in map(Path, places):
        if not place.exists():
            raise FileNotFoundError(f"no file or folder {place}")
        files = sorted(path for path in place.rglob("*") if path.suffix.lower() in suffixes) if place.is_dir() else [place]
        if not files:
            raise FileNotFoundError(f"no image in {place}; looked for {', '.join(suffixes)}")
        images.update({path: path.relative_to(place) if place.is_dir() else Path(path.name) for path in files})
    return images


def read_sample(path: Path, view: View) -> Sample:
    """One image, resized to the view as in evaluation; unlabelled. Errors name the file."""
    if len(view.sensors) > 1:
        raise ValueError(
            f"{path}: this network sees {view.modality.name} together, one file cannot hold them: use a data set and `xkd test`"
        )
    [sensor] = view.sensors
    content = sensor.read(Shot((path,)))
    pixels = sensor.place(content, IDENTITY, view.size, Box(0, 0, content.shape[1], content.shape[0]))
    return Sample(
        views={view.name: torch.from_numpy(np.ascontiguousarray(filled(pixels, sensor))).permute(2, 0, 1)},
        present={view.name: True},
        target=torch.tensor(-1),
        labelled=False,
        mask=torch.zeros(1, *view.size),
        masked=False,
        index=0,
        draw=-1,
        boxes=torch.zeros(0, 4),
        meta={"id": path.name},
    )
