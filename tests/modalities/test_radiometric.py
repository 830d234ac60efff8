"""JPEGs that hold temperatures are read as such, or the error says what reads them."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from flir_file import camera_info, dji_jpeg, flir_jpeg, flir_segments, jpeg_with, records

from xkd.data.prepare.guess import guess
from xkd.data.prepare.measure import complete
from xkd.modalities import RGB, Thermal
from xkd.modalities.radiometric import maker_of
from xkd.modality import Shot

WARM = np.linspace(15.0, 35.0, 24 * 32, dtype=np.float32).reshape(24, 32)
CELSIUS = Thermal(unit="degC", scale=1.0, range=(10.0, 40.0))


@pytest.fixture
def warm(tmp_path: Path) -> Path:
    pytest.importorskip("flyr", reason="the extra 'flir' is not installed")
    path = tmp_path / "IR_0001.jpg"
    path.write_bytes(flir_jpeg(WARM))
    return path


def test_temperatures_come_in_the_unit_whatever_the_scale(warm: Path) -> None:
    read = CELSIUS.read(Shot((warm,)))
    assert read.shape == (24, 32, 1)
    assert read.dtype == np.float32
    assert read[..., 0] == pytest.approx(WARM, abs=0.01)
    assert Thermal().read(Shot((warm,)))[..., 0] == pytest.approx(WARM + 273.15, abs=0.01)
    assert Thermal(encoding="percentile").read(Shot((warm,))).max() == 1.0
    with pytest.raises(ValueError, match=r"IR_0001\.jpg: holds temperatures; \[modalities\.thermal\] unit 'degF': .* 'K' or 'degC'"):
        Thermal(unit="degF", scale=1.0, range=(50.0, 100.0)).read(Shot((warm,)))
    with pytest.raises(ValueError, match=r"IR_0001\.jpg: its mean is 25 degC, far outside range .* it holds temperatures"):
        Thermal(unit="degC", scale=1.0, range=(-90.0, -80.0)).read(Shot((warm,)))


def test_the_picture_is_read_where_somebody_says_so(warm: Path) -> None:
    palette = Thermal(unit="8-bit counts", scale=1.0, range=(0.0, 255.0), palette="inferno")
    assert palette.read(Shot((warm,))).shape == (48, 64, 1)
    with pytest.raises(ValueError, match="false-colour"):
        Thermal(unit="8-bit counts", scale=1.0, range=(0.0, 255.0)).read(Shot((warm,)))
    assert RGB().read(Shot((warm,))).shape == (48, 64, 3)


def test_its_unit_is_known_and_range_and_emissivity_are_told(warm: Path) -> None:
    warm.write_bytes(flir_jpeg(WARM, 0.95))
    table, told = complete("ir", {"sensor": "thermal"}, [Shot((warm,))] * 2)
    assert (table["unit"], table["scale"]) == ("degC", 1.0)
    assert table["range"][0] == pytest.approx(15, abs=1.1)
    assert "radiometric JPEGs, 14.7 to 35.7 degC (2 files read), taken with emissivity 0.95" in told
    assert complete("ir", {"sensor": "thermal", "unit": "K"}, [Shot((warm,))])[0]["range"][0] == pytest.approx(288, abs=1.1)
    whole = {"sensor": "thermal", "unit": "degC", "scale": 0.01, "range": [10.0, 40.0]}
    assert complete("ir", whole, [Shot((warm,))]) == (whole, complete("ir", whole, [Shot((warm,))])[1])
    assert "scale and offset, meant for counts, do not apply" in complete("ir", whole, [Shot((warm,))])[1]
    assert guess("a", (warm.parent,))[0] == "thermal"
    with pytest.raises(ValueError, match=r"'rgb' is a name for sensor 'rgb', which does not make radiometric JPEGs"):
        guess("rgb", (warm.parent,))


def test_without_the_library_the_extra_is_named(warm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flyr", None)
    with pytest.raises(ValueError, match=r"IR_0001\.jpg: .* as FLIR stores them; to read them: pip install 'xkd\[flir\]'"):
        CELSIUS.read(Shot((warm,)))


def test_djis_are_known_and_the_tool_is_named(tmp_path: Path) -> None:
    path = tmp_path / "DJI_0001_T.JPG"
    grey = np.random.default_rng(0).integers(100, 150, (24, 32), dtype=np.uint8)
    path.write_bytes(dji_jpeg(grey))
    with pytest.raises(ValueError, match=r"DJI_0001_T\.JPG: .* Thermal SDK .*dji_irp -s DJI_0001_T\.JPG -a measure -o DJI_0001_T\.raw"):
        CELSIUS.read(Shot((path,)))
    with pytest.raises(ValueError, match="Thermal SDK"):
        complete("thermal", {"sensor": "thermal"}, [Shot((path,))])
    counts = {"sensor": "thermal", "unit": "8-bit counts"}
    table, _ = complete("thermal", counts, [Shot((path,))])
    assert (table["scale"], table["range"]) == (1.0, [0.0, 255.0])


def test_other_jpegs_hold_counts(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(100, 150, (24, 32), dtype=np.uint8)
    plain, beside = tmp_path / "plain.jpg", tmp_path / "beside.jpg"
    cv2.imwrite(str(plain), grey)
    beside.write_bytes(jpeg_with(flir_segments(records({32: camera_info(1.0)})), grey))  # the photograph that some cameras add
    for path in (plain, beside):
        assert maker_of(path) == ""
        assert Thermal(unit="8-bit counts", scale=1.0, range=(0.0, 255.0)).read(Shot((path,))).mean() == pytest.approx(grey.mean(), abs=1)


@pytest.mark.parametrize(("at", "patch"), [(0x1C, b"\xff\xff\xff\xff"), (0x18, b"\xff\xff\xff\x00"), (0x40 + 12, b"\xff" * 4)])
def test_a_broken_directory_is_refused_before_it_is_walked(at: int, patch: bytes, warm: Path) -> None:
    data = bytearray(flir_jpeg(WARM))
    start = data.index(b"FFF\0")
    data[start + at : start + at + len(patch)] = patch
    warm.write_bytes(data)
    with pytest.raises(ValueError, match=r"IR_0001\.jpg: FLIR's records in it are (broken|cut off)"):
        CELSIUS.read(Shot((warm,)))
