"""What every sensor owes the rest, each a check of one kind in `SENSORS` by its own example."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from packed_files import packed

from xkd.geometry import IDENTITY, Box
from xkd.modalities import SENSORS, clues, modality
from xkd.modality import Modality, Scans, Shot, filled

SIZE = (20, 30)
FRAME, BESIDE = Box(0, 0, 30, 20), Box(30, 0, 60, 20)


def example(kind: str, folder: Path) -> tuple[dict[str, object], Modality, Shot]:
    table, shot = SENSORS[kind].example(folder, SIZE, np.random.default_rng(0))
    return {"sensor": kind, **table}, modality("eye", {"sensor": kind, **table}), shot


def counted_in(sensor: Modality) -> np.ndarray:
    return np.array(sensor.counted if isinstance(sensor, Scans) else (False,) * sensor.channels)


def check_reading(kind: str, folder: Path) -> None:
    """Shape, channels, unit, range and a picture for people."""
    table, sensor, shot = example(kind, folder)
    assert isinstance(sensor, Modality)
    assert sensor.name == "eye"
    assert hash(sensor) == hash(modality("eye", table)), "a data set keeps what it read by sensor and shot"
    assert len(sensor.mean) == len(sensor.std) == len(sensor.outside) == sensor.channels
    assert {path.suffix for path in shot.paths} <= set(sensor.suffixes)
    reading = sensor.read(shot)
    assert tuple(reading.shape[:2]) == SIZE
    image = filled(sensor.place(reading, IDENTITY, SIZE, FRAME), sensor)
    assert image.shape == (*SIZE, sensor.channels)
    assert image.dtype in (np.uint8, np.float32)
    assert np.isfinite(image).all()
    low, high = sensor.range
    assert low <= image[..., 0].min() <= image[..., 0].max() <= high
    shown = sensor.show(image)
    assert shown.shape == (*SIZE, 3)
    assert shown.dtype == np.uint8


def check_outside(kind: str, folder: Path) -> None:
    """What lies beside the frame is what the sensor says, and so is a hole in a reading, which does not bleed."""
    _, sensor, shot = example(kind, folder)
    reading = sensor.read(shot)
    beside = filled(sensor.place(reading, IDENTITY, SIZE, BESIDE), sensor)
    outside = np.array(sensor.outside)
    assert (beside == (np.rint(outside) if beside.dtype == np.uint8 else outside.astype(np.float32))).all()
    if isinstance(sensor, Scans) or reading.dtype.kind in "ui":
        return
    holed = reading.copy()
    holed[:, :10] = np.nan
    placed = filled(sensor.place(holed, IDENTITY, (40, 60), FRAME), sensor)
    assert (placed[:, :20] == outside.astype(np.float32)).all()
    assert np.allclose(placed[::2, 20], 0.75 * reading[:, 10] + 0.25 * np.vstack([reading[:1, 10], reading[:-1, 10]]), rtol=1e-3, atol=1e-3)


def check_jitter(kind: str, folder: Path) -> None:
    """A jitter changes every image, moves no pixel, is a function of its generator, and writes nothing into its input."""
    _, sensor, shot = example(kind, folder)
    counted = counted_in(sensor)
    low, high = sensor.range
    image = np.full((21, 21, sensor.channels), low + (high - low) * 0.4)
    image[8:13, 4:7] = high - (high - low) * 0.1
    image[..., counted] = 1.0
    image = image.astype(sensor.place(sensor.read(shot), IDENTITY, SIZE, FRAME).dtype)
    kept = image.copy()
    expected = np.zeros((21, 21), bool)
    expected[8:13, 4:7] = True
    for seed in range(20):
        changed = sensor.jitter(image, np.random.default_rng(seed))
        assert changed.shape == image.shape
        assert changed.dtype == image.dtype
        level = changed[..., ~counted].mean(2)
        seen = ~np.isnan(level)  # the others were dropped, which moves nothing
        base, block = np.median(level[seen]), np.median(level[8:13, 4:7][seen[8:13, 4:7]])
        assert np.array_equal((level > (base + block) / 2)[seen], expected[seen])
        assert seen.mean() > 0.6
        assert np.array_equal(changed, sensor.jitter(image, np.random.default_rng(seed)), equal_nan=True)
        assert not np.array_equal(changed, image), "a jitter that changes nothing"
    if image.dtype != np.uint8:
        image[3:5] = np.nan
        assert np.isnan(sensor.jitter(image, np.random.default_rng(0))[3:5][..., ~counted]).all(), "a reading out of nothing"
        image[3:5] = kept[3:5]
    assert np.array_equal(image, kept), "jitter must not write into its input"


def check_telling(kind: str, folder: Path) -> None:
    """What its files tell of an empty table, and what they are said to mean perhaps, makes a sensor that reads them."""
    table, _, shot = example(kind, folder)
    whole = clues("eye", table, [shot, shot])
    assert (whole.settings, whole.content, whole.meanings) == ({}, "", ()), "nothing is missing"
    ways = [{"sensor": kind}]
    for _ in SENSORS[kind].requires(table):  # an answer may raise the next question
        answers = [(way, clues("eye", way, [shot, shot])) for way in ways]
        ways = [{**way, **answer.settings, **meaning} for way, answer in answers for _, meaning in answer.meanings or [("", {})]]
    for way in ways:
        modality("eye", way).read(shot)
    if SENSORS[kind].requires({}):
        for key in SENSORS[kind].requires({}):
            less = clues("eye", {name: value for name, value in table.items() if name != key}, [shot])
            assert key in less.settings or all(key in meaning for _, meaning in less.meanings), f"nobody tells {key}"


def check_packing(kind: str, folder: Path) -> None:
    """Files in a shard are read as those on the disk are."""
    _, sensor, shot = example(kind, folder)
    files = [*shot.paths, *([shot.calibration] if shot.calibration else [])]
    there = dict(zip(files, packed(files, folder / "packed"), strict=True))
    other = replace(shot, paths=tuple(map(there.__getitem__, shot.paths)), calibration=there.get(shot.calibration))
    images = [sensor.place(sensor.read(one), IDENTITY, SIZE, FRAME) for one in (shot, other)]
    assert np.array_equal(*images, equal_nan=images[0].dtype.kind == "f")
    assert not other.paths[0].exists()


CHECKS = (check_reading, check_outside, check_jitter, check_telling, check_packing)
