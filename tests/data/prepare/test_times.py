"""Pairs by the nearest time, with columns that say when, from names to a sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from prepare_calls import Prepare, first_sample, two_sensors, write_image

from xkd.data.manifest import Manifest

REGEX = ("--time-regex", r"(?P<seconds>\d+\.\d+)")


def record(root: Path, times: dict[str, np.ndarray]) -> None:
    for sensor, when in times.items():
        for number, seconds in enumerate(when):
            write_image(root / sensor / f"{sensor[0]}{seconds:.6f}.png", number, "thermal" if sensor == "thermal" else "rgb", (8, 8))


def test_each_frame_gets_its_nearest_partner(tmp_path: Path, prepare: Prepare) -> None:
    rgb = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    record(tmp_path, {"rgb": rgb, "thermal": np.array([0.91, 1.99, 2.01, 3.5, 3.92, 4.92, 5.93, 7.0])})
    words = ("times", *two_sensors(tmp_path), *REGEX, "--tolerance", "0.05", "--offset", "thermal=0.08", "--classes", "rust")
    answer = prepare(*words, "--out", tmp_path / "out")
    assert answer.code == 0, answer.error
    assert "no thermal: 2 of 6 rows" in answer.out
    assert "left out: 4 x 'thermal' that is no frame's nearest within 0.05 s" in answer.out
    manifest, sample = first_sample(tmp_path / "out")
    assert manifest.pairs.max_time_offset == 0.05
    rows = {row.id: row for row in manifest.rows}
    assert {name for name, row in rows.items() if "thermal" not in row.files} == {"r2.000000", "r3.000000"}
    assert rows["r4.000000"].files["thermal"] == ("thermal/t3.920000.png",)
    assert rows["r4.000000"].values == {"rgb": {"time": 4.0}, "thermal": {"time": pytest.approx(4.0)}}
    assert rows["r2.000000"].values == {"rgb": {"time": 2.0}}
    assert sample.present["rgb"]


def test_an_offset_is_estimated_and_told(tmp_path: Path, prepare: Prepare) -> None:
    rng = np.random.default_rng(0)
    rgb = np.cumsum(rng.uniform(0.05, 0.15, 40))
    record(tmp_path, {"rgb": rgb, "thermal": rgb + 10 - 0.37 + rng.normal(0, 0.003, 40)})
    words = ("times", *two_sensors(tmp_path), *REGEX, "--tolerance", "0.03", "--classes", "rust", "--estimate-offset", "--max-offset", "1")
    answer = prepare(*words, "--offset", "thermal=-10", "--out", tmp_path / "out")
    assert answer.code == 0, answer.error
    assert "note: offset of 'thermal': -9.6" in answer.out
    assert "(40 matches, median residual" in answer.out
    assert "the second best answer is" in answer.out
    assert len(Manifest.load(tmp_path / "out").rows) == 40


def test_an_ambiguous_offset_is_refused(tmp_path: Path, prepare: Prepare) -> None:
    record(tmp_path, {"rgb": np.arange(30) / 10, "thermal": np.arange(30) / 10 + 0.03})
    words = ("times", *two_sensors(tmp_path), *REGEX, "--tolerance", "0.03", "--classes", "rust", "--estimate-offset")
    answer = prepare(*words, "--out", tmp_path / "out")
    assert answer.code == 2
    assert "'thermal' against 'rgb': the offset is ambiguous" in answer.error
    assert not (tmp_path / "out").exists()


def test_three_sensors_of_a_row_are_no_further_apart_than_two(tmp_path: Path, prepare: Prepare) -> None:
    record(tmp_path, {"rgb": np.array([1.0, 2.0]), "thermal": np.array([0.96, 1.99]), "near": np.array([1.03, 2.01])})
    words = ("times", *two_sensors(tmp_path), "--sensor", f"near={tmp_path / 'near'}:rgb", *REGEX, "--classes", "rust")
    answer = prepare(*words, "--tolerance", "0.05", "--split", "train=1", "--out", tmp_path / "out")
    assert answer.code == 0, answer.error
    assert "left out: 1 x 'thermal' too far from another sensor of its row" in answer.out
    rows = {row.id: set(row.files) for row in Manifest.load(tmp_path / "out").rows}
    assert rows == {"r1.000000": {"rgb", "near"}, "r2.000000": {"rgb", "thermal", "near"}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--offset", "lidar=1"), "no sensor 'lidar' to give a clock to; sensors are ['rgb', 'thermal']"),
        (("--offset", "rgb=1"), "'rgb' is the first sensor"),
        (("--offset", "thermal=soon"), "write NAME=NUMBER"),
        (("--offset", "thermal=100"), "no frame of ['thermal'] lies within 0.1 s of one of 'rgb'"),
        (("--tolerance", "0"), "are seconds above 0"),
    ],
)
def test_a_planted_fault_is_named(tmp_path: Path, prepare: Prepare, words: tuple[str, ...], message: str) -> None:
    record(tmp_path, {"rgb": np.array([1.0, 2.0]), "thermal": np.array([1.0, 2.0])})
    answer = prepare("times", *two_sensors(tmp_path), *REGEX, "--tolerance", "0.1", "--classes", "rust", "--out", tmp_path / "out", *words)
    assert answer.code == 2
    assert message in answer.error
    assert not (tmp_path / "out").exists()
