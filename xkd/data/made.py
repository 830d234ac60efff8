"""Writing images that a network made as a data set, in files that their sensor reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xkd.batch import View
from xkd.data.prepare.toml import to_toml
from xkd.data.write import write_rows
from xkd.modalities import RGB, SENSORS
from xkd.modality import Shot


def write_made(
    folder: Path, view: View, images: Sequence[NDArray[np.float32]], columns: Sequence[Mapping[str, str]], header: Mapping[str, Any]
) -> None:
    """Images (H, W, C) in the sensor's unit, a row with its `columns` for each, and the manifest's `header`: its keys but for the sensor.

    All rows are of split train. `ValueError` where the sensor's files cannot hold such images.
    """
    if len(view.sensors) != 1:
        raise ValueError(f"view '{view.name}' is a stack of {view.modality.name}, whose images no one file holds")
    sensor: Any = view.sensors[0]
    kinds = [kind for kind, of in SENSORS.items() if type(sensor) is of]
    if not kinds:
        raise ValueError(f"images of {type(sensor).__name__} cannot be written as a data set; sensors of manifests are {sorted(SENSORS)}")
    suffix, rows = ".png" if isinstance(sensor, RGB) else ".tiff", []
    (folder / sensor.name).mkdir()
    for number, (image, more) in enumerate(zip(images, columns, strict=True)):
        name, path = f"{number:05}", Path(sensor.name) / f"{number:05}{suffix}"
        written = np.round(image).clip(0, 255).astype(np.uint8)[..., ::-1] if suffix == ".png" else image
        if not cv2.imwrite(str(folder / path), written):
            raise OSError(f"{folder / path} cannot be written")
        if not number:
            _check_read(sensor, folder / path, image)
        rows.append({"id": name, "split": "train", "group": name, sensor.name: path.as_posix(), **more})
    write_rows(folder, rows)
    settings = {of.name: getattr(sensor, of.name) for of in fields(sensor) if of.name != "name"}
    stated = {key: value for key, value in settings.items() if value is not None and value != getattr(type(sensor), key, None)}
    table = {**header, "modalities": {sensor.name: {"sensor": kinds[0], **stated}}}
    (folder / "manifest.toml").write_text(to_toml(table, {}), "utf-8")


def _check_read(sensor: Any, path: Path, image: NDArray[np.float32]) -> None:
    """What is written is what the sensor reads of it, but for rounding to counts."""
    read = np.asarray(sensor.read(Shot((path,))), np.float32)
    if read.shape != image.shape or not np.allclose(read, image, atol=0.51 if path.suffix == ".png" else 1e-3):
        raise ValueError(
            f"images of {type(sensor).__name__} '{sensor.name}' with these settings are not read as they were written ({path.suffix}): its"
            " files hold something else, such as counts; RGB of 8 bits, and sensors that read numbers in their unit, can be written"
        )
