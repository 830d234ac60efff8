"""Files as they come from the field: grey, deep, turned, cut off, in false colours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from xkd.modalities import RGB, Thermal

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def test_rgb_is_red_first(tmp_path: Path) -> None:
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 2] = 200  # OpenCV writes BGR
    cv2.imwrite(str(tmp_path / "red.png"), red)
    assert RGB().read(tmp_path / "red.png")[0, 0].tolist() == [200, 0, 0]


def test_rgb_repeats_grey_and_drops_alpha(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), PICTURE[..., 0])
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([PICTURE, PICTURE[..., :1]]))
    assert np.array_equal(RGB().read(tmp_path / "grey.png"), np.repeat(PICTURE[..., :1], 3, axis=2))
    assert np.array_equal(RGB().read(tmp_path / "alpha.png"), PICTURE[..., ::-1])


def test_rgb_refuses_16_bits(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "deep.png"), PICTURE.astype(np.uint16) * 256)
    with pytest.raises(ValueError, match=r"deep\.png: .*uint16; convert"):
        RGB().read(tmp_path / "deep.png")


def test_exif_orientation_turns_the_image(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    cv2.imwrite(str(path), PICTURE)
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # one entry: orientation 6, a quarter turn
    segment = b"Exif\0\0" + tiff
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:])
    assert RGB().read(path).shape == (32, 24, 3)


@pytest.mark.parametrize("name", ["cut.jpg", "cut.png"])
@pytest.mark.parametrize("share", [0.3, 0.95])
def test_a_file_that_is_cut_off_is_an_error_not_half_an_image(tmp_path: Path, name: str, share: float) -> None:
    cv2.imwrite(str(tmp_path / name), PICTURE)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match=rf"{name}: the file is cut off"):
        RGB().read(tmp_path / name)


def test_not_an_image_and_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    for name in ("text.png", "empty.png"):
        with pytest.raises(ValueError, match=f"{name}: not an image"):
            RGB().read(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png"):
        RGB().read(tmp_path / "nowhere.png")


def test_thermal_counts_become_kelvin(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "t.png"), np.full((4, 5), 29815, np.uint16))
    assert Thermal().read(tmp_path / "t.png")[..., 0] == pytest.approx(np.full((4, 5), 298.15), abs=1e-3)
    celsius = Thermal(unit="degC", scale=0.01, offset=-273.15, range=(0.0, 40.0))
    assert celsius.read(tmp_path / "t.png")[0, 0, 0] == pytest.approx(25.0, abs=1e-3)


def test_thermal_takes_grey_stored_as_colour_and_refuses_a_palette(tmp_path: Path) -> None:
    rendered = Thermal(unit="8-bit counts", scale=1.0, range=(0.0, 255.0))
    grey = PICTURE[..., 0]
    cv2.imwrite(str(tmp_path / "grey.png"), np.dstack([grey] * 3))
    assert np.array_equal(rendered.read(tmp_path / "grey.png")[..., 0], grey)
    cv2.imwrite(str(tmp_path / "iron.png"), cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO))
    with pytest.raises(ValueError, match=r"iron\.png: a false-colour"):
        rendered.read(tmp_path / "iron.png")


def test_thermal_shows_a_fixed_range() -> None:
    sensor = Thermal(range=(290.0, 300.0))
    image = np.array([[[280.0], [290.0], [300.0], [320.0]]], np.float32)
    shown = sensor.show(image)[0].astype(int).sum(1)
    assert shown[0] == shown[1] < shown[2] == shown[3]
    assert (sensor.mean, sensor.std) == ((295.0,), (2.5,))
