"""The converter of nuScenes, and the made-up street as its source."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import nuscenes_street as street
import pytest


@pytest.fixture(scope="session")
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("nuscenes")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Five scenes of one street: what is annotated stands before a car that turns while the scanner does."""
    folder, rng = tmp_path / "source", np.random.default_rng(0)
    (folder / "v1.0-mini").mkdir(parents=True)
    xyz = street.SCANNER.back(street.EGO_LATER.back(np.concatenate([street.planted(), street.EGO(street.WALL), street.EGO(street.BEHIND)])))
    sweep = np.column_stack([xyz, rng.uniform(0, 255, len(xyz)), rng.integers(0, 32, len(xyz))]).astype(np.float32)
    for name, records in (tables := street.all_tables()).items():
        (folder / f"v1.0-mini/{name}.json").write_text(json.dumps(records))
    for record in tables["sample_data"]:
        path = folder / record["filename"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".jpg":
            cv2.imwrite(str(path), rng.integers(0, 255, (street.SIZE[1], street.SIZE[0], 3), dtype=np.uint8))
        else:
            sweep.tofile(path)
    return folder
