"""Sensors, views and settings of the data are equal to their copies, and hash alike, also where fields are compared one by one."""

from __future__ import annotations

import pickle
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.manifest import Mask
from xkd.data.mix import Mix
from xkd.data.registration import Registration
from xkd.data.rows import Pairs
from xkd.modalities import SENSORS, modality
from xkd.modality import Stack

# tables that name every kind of setting
TABLES: dict[str, dict[str, Any]] = {
    "rgb": {"white": 4095, "encoding": "linear", "mean": [1.0, 2.0, 3.0], "cast": 0.0},
    "thermal": {"unit": "K", "scale": 1, "range": [0, 1], "encoding": "percentile", "percentiles": [2, 98], "palette": "inferno"},
    "multispectral": {
        "bands": ["red", "nir"],
        "outputs": ["ndvi", "nir"],
        "gains": [1e-3, 2e-4],
        "offsets": [100, 100],
        "shifts": [[0, 0], [1.5, -2]],
        "saturated": 65535,
        "nodata": float("nan"),
        "range": [0, 1],
        "mean": [0, 0.2],
        "std": [0.5, 0.1],
    },
    "lidar": {"outputs": ["height", "valid"], "range": [0, 50], "project": "above", "area": [0, 4, -3, 3], "densify": 2, "size": [64, 48]},
    "depth": {"scale": 0.001, "limits": [0.5, 8], "inverse": True, "noise": 0},
}


def example(kind: str) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        return SENSORS[kind].example(Path(folder), (8, 8), np.random.default_rng(0))[0]


EYES = {f"{kind}-example": modality("eye", {"sensor": kind, **example(kind)}) for kind in sorted(SENSORS)}
EYES |= {f"{kind}-full": modality("eye", {"sensor": kind, **table}) for kind, table in TABLES.items()}
BESIDE = modality("beside", {"sensor": "rgb"})
IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
HASHED: dict[str, Any] = {
    **EYES,
    **{f"stack-{name}": Stack((BESIDE, eye)) for name, eye in EYES.items()},
    **{f"view-{name}": View("view", eye, (32, 48)) for name, eye in EYES.items()},
    "view-stack": View("view", Stack((BESIDE, EYES["multispectral-full"])), (32, 48)),
    "augment": Augment(rotate=10, scale=(0.8, 1.2)),
    "mix": Mix(4),
    "pairs": Pairs(),
    "registration": Registration("rgb", IDENTITY, (48, 32), (48, 32)),
}
SETTINGS: dict[str, Any] = {**HASHED, "mask": Mask({"leaf": 1, "lesion": 2}, ("lesion",))}


def assert_equal(one: Any, other: Any) -> None:
    """Field by field down to numbers: before Python 3.13 `==` of dataclasses, and always that of tuples, took a NaN for itself."""
    assert type(one) is type(other)
    if is_dataclass(one):
        for field in fields(one):
            assert_equal(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for parts in zip(one, other, strict=True):
            assert_equal(*parts)
    else:
        assert one == other


@pytest.mark.parametrize("name", SETTINGS)
def test_a_copy_is_equal(name: str) -> None:
    setting = SETTINGS[name]
    for copy in (replace(setting), deepcopy(setting), pickle.loads(pickle.dumps(setting))):
        assert copy == setting
        assert_equal(copy, setting)


@pytest.mark.parametrize("name", HASHED)
def test_a_copy_has_the_same_hash(name: str) -> None:
    setting = HASHED[name]
    for copy in (replace(setting), deepcopy(setting), pickle.loads(pickle.dumps(setting))):
        assert hash(copy) == hash(setting)
        assert {setting: "found"}[copy] == "found"


def _floats(value: Any) -> bool:
    return any(map(_floats, value)) if isinstance(value, tuple) else isinstance(value, float)


NUMBERS = [
    (name, field.name)
    for name in (*EYES, "augment", "mix")
    for field in fields(SETTINGS[name])
    if _floats(getattr(SETTINGS[name], field.name))
]


@pytest.mark.parametrize(("name", "field"), NUMBERS)
def test_a_number_that_equals_nothing_is_refused(name: str, field: str) -> None:
    value = getattr(SETTINGS[name], field)
    for wrong in (float("nan"), float("inf")):
        inner = tuple(wrong for _ in value) if isinstance(value, tuple) else wrong
        with pytest.raises(ValueError, match=rf"{field} must be finite, got"):
            replace(SETTINGS[name], **{field: inner})
