"""Weights and statistics for a sensor with another number of channels, or in another unit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from core_models import CNN, RGB, RGB_VIEW, THERMAL, THERMAL_VIEW, Sensor

from xkd.batch import View
from xkd.graph.branch import Branch
from xkd.graph.channels import of_range
from xkd.graph.weights import Checkpoint
from xkd.modality import Stack


@pytest.fixture
def outside(tmp_path: Path) -> str:
    """A plain state dict of a network for three channels."""
    torch.manual_seed(1)
    torch.save(CNN(3).state_dict(), tmp_path / "outside.pth")
    return str(tmp_path / "outside.pth")


def view_of(channels: int) -> View:
    return View("many", Sensor("many", channels, "counts", (0.0, 10.0), (5.0,) * channels, (2.0,) * channels), (16, 16))


@pytest.mark.parametrize(("channels", "policy"), [(1, "average"), (2, "average"), (4, "average"), (4, "inflate"), (6, "inflate")])
def test_a_checkpoint_answers_a_constant_image_alike_whatever_the_channels(outside: str, channels: int, policy: Any) -> None:
    three, many = CNN(3).eval(), CNN(channels).eval()
    Checkpoint(outside).load(three, RGB_VIEW)
    Checkpoint(outside, channels=policy).load(many, view_of(channels))
    with torch.no_grad():
        torch.testing.assert_close(many(torch.full((1, channels, 16, 16), 0.7)), three(torch.full((1, 3, 16, 16), 0.7)))


def test_without_a_policy_it_is_refused(outside: str) -> None:
    with pytest.raises(ValueError, match=r"the weights expect 3 channels, the sensor has 1; use channels='average' or 'inflate'"):
        Checkpoint(outside).load(CNN(1), THERMAL_VIEW)


@pytest.mark.parametrize(
    ("mean", "std", "unit", "expected"),
    [
        ((100.0, 110.0, 120.0), (50.0, 60.0, 70.0), "sensor", ((100.0, 110.0, 120.0), (50.0, 60.0, 70.0))),
        ((0.5,), (0.25,), "0..1", ((127.5,) * 3, (63.75,) * 3)),
        ([0.0, 0.5, 1.0], [0.2, 0.2, 0.2], "0..1", ((0.0, 127.5, 255.0), (51.0,) * 3)),
        ((0.0,), (1.0,), "sensor", ((0.0,) * 3, (1.0,) * 3)),
    ],
)
def test_statistics_that_are_said_are_taken(
    outside: str, mean: Sequence[float], std: Sequence[float], unit: Any, expected: Any, caplog: pytest.LogCaptureFixture
) -> None:
    statistics = Checkpoint(outside, mean=mean, std=std, unit=unit).load(CNN(), RGB_VIEW)
    assert [pytest.approx(of) for of in statistics] == list(expected)
    assert not caplog.messages


def test_without_them_the_data_sets_are_taken_and_a_warning_says_what_to_do(outside: str, caplog: pytest.LogCaptureFixture) -> None:
    assert Checkpoint(outside).load(CNN(), RGB_VIEW) == (RGB.mean, RGB.std)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "outside.pth does not say how its images were normalised: those of view 'rgb' are by the data set's mean (" in record.message
    assert "use Checkpoint(path, mean=..., std=...), with unit='0..1'" in record.message


def test_statistics_of_another_number_of_channels_are_refused_and_spread_where_channels_are(outside: str) -> None:
    with pytest.raises(ValueError, match=r"the weights normalise 3 channels, view 'thermal' has 1"):
        Branch(CNN(1), THERMAL_VIEW, Checkpoint(one_channel(outside), mean=(1.0, 2.0, 3.0), std=(1.0,) * 3))
    mean, _ = Checkpoint(outside, mean=(1.0, 2.0, 3.0), std=(1.0,) * 3, channels="average").load(CNN(1), THERMAL_VIEW)
    assert mean == (2.0,)


def one_channel(outside: str) -> str:
    path = outside.replace("outside", "one")
    torch.save(CNN(1).state_dict(), path)
    return path


def test_statistics_of_0_to_1_for_a_sensor_that_is_not_are_refused(outside: str) -> None:
    with pytest.raises(ValueError, match=r"look like those of images between 0 and 1, and view 'rgb' is in .*, 0 to 255: use unit='0..1'"):
        Checkpoint(outside, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)).load(CNN(), RGB_VIEW)
    narrow = View("narrow", Sensor("ndvi", 3, "index", (-1.0, 1.0), (0.0,) * 3, (1.0,) * 3), (16, 16))
    assert Checkpoint(outside, mean=(0.4,) * 3, std=(0.2,) * 3).load(CNN(), narrow) == ((0.4,) * 3, (0.2,) * 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mean": (1.0,)}, "as many values"),
        ({"mean": (1.0,), "std": (0.0,)}, "std above 0"),
        ({"unit": "0..1"}, "unit is 'sensor' or '0..1', and that of mean and std"),
        ({"mean": (1.0,), "std": (1.0,), "unit": "counts"}, "unit is 'sensor' or '0..1'.* got 'counts'"),
    ],
)
def test_statistics_that_say_nothing_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Checkpoint("a.pth", **settings)


def test_each_sensor_of_a_stack_has_its_own_range() -> None:
    view = View("both", Stack((RGB, THERMAL)), (16, 16))
    low, high = THERMAL.range
    mean, std = of_range([0.5], [0.25], view, 4)
    assert mean == pytest.approx((127.5,) * 3 + (low + 0.5 * (high - low),))
    assert std == pytest.approx((63.75,) * 3 + (0.25 * (high - low),))
