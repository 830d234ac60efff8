"""Every sensor under its contract, found by its line in `SENSORS`; and what a manifest may say of one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sensor_contract import CHECKS, example

from xkd.modalities import SENSORS, modality


@pytest.mark.parametrize("kind", sorted(SENSORS))
@pytest.mark.parametrize("check", CHECKS, ids=[check.__name__ for check in CHECKS])
def test_contract(check: Callable[[str, Path], None], kind: str, tmp_path: Path) -> None:
    check(kind, tmp_path)


def test_no_two_sensors_are_called_alike() -> None:
    names = [name for kind, sensor in SENSORS.items() for name in {kind, *sensor.names}]
    assert len(set(names)) == len(names)
    assert all(name == name.lower() for name in names)


def test_unknown_sensor_key_and_missing_key_name_the_legal_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown sensor 'sonar'; sensors are \['depth', 'lidar', 'multispectral', 'rgb', 'thermal'\]"):
        modality("x", {"sensor": "sonar"})
    with pytest.raises(ValueError, match=r"unknown key 'scael'; sensor 'thermal' takes \['unit', 'scale'"):
        modality("x", {"sensor": "thermal", "scael": 1.0})
    with pytest.raises(ValueError, match="sensor 'thermal' needs 'range'"):
        modality("x", {"sensor": "thermal", "unit": "K", "scale": 0.01})
    with pytest.raises(ValueError, match="mean and std need three values"):
        modality("x", {"sensor": "rgb", "mean": [1.0]})
    assert modality("x", {"sensor": "thermal", "encoding": "percentile"}).range == (0.0, 1.0), "each image has a scale of its own"
    with pytest.raises(ValueError, match="sensor 'multispectral' needs 'range'"):
        modality("x", {"sensor": "multispectral", "bands": ["red", "nir"], "outputs": ["ndvi", "red"]})


@pytest.mark.parametrize(
    ("kind", "key", "value", "wanted"),
    [
        ("thermal", "scale", "0.01", "a number"),
        ("thermal", "scale", True, "a number"),
        ("thermal", "range", [0.0], "2 numbers"),
        ("thermal", "encoding", "absolute", r"one of \['fixed', 'percentile'\]"),
        ("rgb", "mean", ["a"], "numbers"),
        ("multispectral", "bands", "red", "texts"),
        ("multispectral", "shifts", [1.0, 2.0], "lists of 2 numbers"),
        ("depth", "inverse", 1, "true or false"),
        ("lidar", "densify", 1.5, "a whole number"),
    ],
)
def test_a_value_of_the_wrong_type_names_the_right_one(kind: str, key: str, value: object, wanted: str, tmp_path: Path) -> None:
    table, _, _ = example(kind, tmp_path)
    with pytest.raises(ValueError, match=rf"\[modalities.eye\]: {key} must be {wanted}, got"):
        modality("eye", {**table, key: value})
