"""`import xkd`: what a person types is there, typed, and costs nothing before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import xkd
from xkd import losses, modalities, projectors

HEAVY = ("torch", "timm", "mmengine", "cv2", "numpy", "matplotlib", "onnxruntime")


@pytest.mark.parametrize("name", xkd.__all__)
def test_every_offered_name_is_there(name: str) -> None:
    assert getattr(xkd, name) is not None


def test_every_loss_projector_and_sensor_is_offered_by_name() -> None:
    sensors = {sensor.__name__ for sensor in modalities.SENSORS.values()}
    assert {*losses.__all__, *projectors.__all__, *sensors} <= set(xkd.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Distller"):
        _ = xkd.Distller


def test_the_import_itself_pulls_in_nothing_heavy() -> None:
    program = f"import sys, xkd; xkd.__version__; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "xkd", "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "xkd COMMAND --help" in done.stdout + done.stderr
