"""What whoever feeds files to a student must know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from xkd.batch import View
from xkd.data.manifest import Manifest
from xkd.data.registration import Registration
from xkd.engine.student import registered
from xkd.modality import Stack


def test_a_sensor_that_was_read_into_another_frame_is_told(tiny_dataset: Path) -> None:
    manifest = Manifest.load(tiny_dataset)
    rgb, thermal = manifest.modalities["rgb"], manifest.modalities["thermal"]
    both = View("both", Stack((rgb, thermal)), (16, 16))
    assert registered(manifest, both) == ()
    one = Registration("rgb", ((1.0, 0.0, 5.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), (32, 32), (32, 32))
    manifest = replace(manifest, registrations={"thermal": one})
    assert registered(manifest, View("rgb", rgb, (16, 16))) == ()
    (caveat,) = registered(manifest, both)
    assert caveat.startswith("thermal was read into the frame of rgb by [registration.thermal] of ")
    assert "warped by the same matrix" in caveat
