"""Files as they come from the field: grey, deep, turned, cut off, in false colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from xkd.geometry import IDENTITY, Box
from xkd.modalities import RGB, Multispectral, Thermal
from xkd.modality import Shot

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)

# what OpenCV makes of each orientation
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).T,
    8: np.rot90,
}


def test_rgb_is_red_first(tmp_path: Path) -> None:
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 2] = 200  # OpenCV writes BGR
    cv2.imwrite(str(tmp_path / "red.png"), red)
    assert RGB().read(Shot((tmp_path / "red.png",)))[0, 0].tolist() == [200, 0, 0]


def test_rgb_repeats_grey_and_does_not_see_what_is_transparent(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), PICTURE[..., 0])
    assert np.array_equal(RGB().read(Shot((tmp_path / "grey.png",))), np.dstack([PICTURE[..., 0]] * 3))
    alpha = np.full((24, 32, 1), 255, np.uint8)
    cv2.imwrite(str(tmp_path / "whole.png"), np.dstack([PICTURE, alpha]))
    assert np.array_equal(RGB().read(Shot((tmp_path / "whole.png",))), PICTURE[..., ::-1])
    alpha[:, :8], alpha[:, 8:16] = 0, 1
    cv2.imwrite(str(tmp_path / "alpha.png"), np.dstack([PICTURE, alpha]))
    read = RGB().read(Shot((tmp_path / "alpha.png",)))
    assert np.isnan(read[:, :8]).all()
    assert np.array_equal(read[:, 8:], PICTURE[:, 8:, ::-1])
    placed = RGB(mean=(1.0, 2.0, 3.0)).place(read, IDENTITY, (24, 32), Box(0, 0, 32, 24))
    assert placed.dtype == np.uint8
    assert (placed[:, :8] == (1, 2, 3)).all()
    assert np.array_equal(placed[:, 8:], PICTURE[:, 8:, ::-1])


def test_rgb_refuses_16_bits_until_it_is_told_what_they_mean(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "deep.png"), PICTURE.astype(np.uint16) * 257)
    shot = Shot((tmp_path / "deep.png",))
    with pytest.raises(ValueError, match=r"deep\.png: is uint16; state in manifest.toml .* white \(65535"):
        RGB().read(shot)
    assert np.array_equal(RGB(white=65535.0).read(shot), PICTURE[..., ::-1])


def test_linear_counts_become_srgb(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "linear.png"), np.array([[0, 8, 819, 4095, 9000]], np.uint16))
    image = RGB(white=4095.0, encoding="linear").read(Shot((tmp_path / "linear.png",)))
    # 0.2 of full light is 0.4845 of full sRGB; 8 / 4095 lies on the straight part; above white stays white
    assert image[0, :, 0].tolist() == [0, 6, 124, 255, 255]
    with pytest.raises(ValueError, match="encoding is 'srgb' or 'linear'"):
        RGB(white=0.0)


def test_one_file_per_row_unless_the_sensor_has_several(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one file per row, the row names 2: \['a.png', 'b.png'\]"):
        RGB().read(Shot((tmp_path / "a.png", tmp_path / "b.png")))


def test_exif_orientation_turns_the_image(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    cv2.imwrite(str(path), PICTURE)
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # one entry: orientation 6, a quarter turn
    segment = b"Exif\0\0" + tiff
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + data[2:])
    assert RGB().read(Shot((path,))).shape == (32, 24, 3)


@pytest.mark.parametrize("name", ["cut.jpg", "cut.png"])
@pytest.mark.parametrize("share", [0.3, 0.95])
def test_a_file_that_is_cut_off_is_an_error_not_half_an_image(tmp_path: Path, name: str, share: float) -> None:
    cv2.imwrite(str(tmp_path / name), PICTURE)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match=rf"{name}: the file is cut off"):
        RGB().read(Shot((tmp_path / name,)))


def test_not_an_image_and_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").touch()
    for name in ("text.png", "empty.png"):
        with pytest.raises(ValueError, match=f"{name}: not an image"):
            RGB().read(Shot((tmp_path / name,)))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png"):
        RGB().read(Shot((tmp_path / "nowhere.png",)))


def test_thermal_counts_become_kelvin(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "t.png"), np.full((4, 5), 29815, np.uint16))
    assert Thermal().read(Shot((tmp_path / "t.png",)))[..., 0] == pytest.approx(np.full((4, 5), 298.15), abs=1e-3)
    celsius = Thermal(unit="degC", scale=0.01, offset=-273.15, range=(0.0, 40.0))
    assert celsius.read(Shot((tmp_path / "t.png",)))[0, 0, 0] == pytest.approx(25.0, abs=1e-3)


def test_thermal_takes_grey_stored_as_colour_and_refuses_a_palette(tmp_path: Path) -> None:
    rendered = Thermal(unit="8-bit counts", scale=1.0, range=(0.0, 255.0))
    grey = PICTURE[..., 0]
    cv2.imwrite(str(tmp_path / "grey.png"), np.dstack([grey] * 3))
    assert np.array_equal(rendered.read(Shot((tmp_path / "grey.png",)))[..., 0], grey)
    cv2.imwrite(str(tmp_path / "iron.png"), cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO))
    with pytest.raises(ValueError, match=r"iron\.png: a false-colour"):
        rendered.read(Shot((tmp_path / "iron.png",)))


def test_a_row_may_state_its_own_scale_and_offset(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "t.png"), np.full((4, 5), 1000, np.uint16))
    shot = Shot((tmp_path / "t.png",), values={"scale": 0.1, "offset": 200.0})
    assert Thermal().read(shot)[0, 0, 0] == pytest.approx(300.0)


def test_counts_in_another_unit_are_not_taken_for_kelvin(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "t.png"), np.full((4, 5), 30000, np.uint16))
    with pytest.raises(ValueError, match=r"t\.png: its mean is 3000 K, far outside range .* scale = 0\.1 and offset = 0 right for uint16"):
        Thermal(scale=0.1).read(Shot((tmp_path / "t.png",)))
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((4, 5), 120, np.uint8))
    with pytest.raises(ValueError, match=r"grey\.png: its mean is 1\.2 K"):
        Thermal().read(Shot((tmp_path / "grey.png",)))


def test_a_white_that_the_file_cannot_hold_is_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), PICTURE)
    with pytest.raises(ValueError, match=r"a\.png: is uint8 and cannot hold white = 4095"):
        RGB(white=4095.0).read(Shot((tmp_path / "a.png",)))


@pytest.mark.parametrize("suffix", ["jpg", "tif", "png"])
def test_bands_that_are_stored_turned_are_turned_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"turned.{suffix}"
    for orientation, back in TURNS.items():
        stored = np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)]) if suffix == "png" else PICTURE
        if suffix == "tif":
            tifffile.imwrite(path, stored, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
        else:
            exif = Image.Exif()
            exif[274] = orientation
            Image.fromarray(stored).save(path, exif=exif, quality=100, subsampling=0)
        sensor = Multispectral(bands=("red", "green", "nir"), outputs=("red",), range=(0.0, 255.0))
        read = sensor.read(Shot((path,)))[..., 0]
        assert read.shape == back(PICTURE[..., 0]).shape
        assert read == pytest.approx(back(PICTURE[..., 0]).astype(np.float32), abs=4 if suffix == "jpg" else 0), orientation


def test_percentile_encoding_is_automatic_gain_and_says_so(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "t.png"), np.linspace(29000, 31000, 101, dtype=np.uint16)[None])
    sensor = Thermal(encoding="percentile", percentiles=(10.0, 90.0))
    image = sensor.read(Shot((tmp_path / "t.png",)))[0, :, 0]
    assert (image[:11] == 0).all()
    assert image[50] == pytest.approx(0.5, abs=1e-3)
    assert (image[90:] > 0.999).all()
    assert "automatic gain" in sensor.unit
    assert (sensor.range, sensor.mean) == ((0.0, 1.0), (0.5,))
    cv2.imwrite(str(tmp_path / "flat.png"), np.full((4, 5), 30000, np.uint16))
    assert (sensor.read(Shot((tmp_path / "flat.png",))) == 0).all()


@pytest.mark.parametrize(("suffix", "away"), [("png", 0), ("jpg", 12)])
def test_a_named_palette_is_turned_back_into_counts(tmp_path: Path, suffix: str, away: int) -> None:
    counts = cv2.resize(PICTURE[:8, :8, 0], (96, 72), interpolation=cv2.INTER_CUBIC)
    path = tmp_path / f"iron.{suffix}"
    cv2.imwrite(str(path), cv2.applyColorMap(counts, cv2.COLORMAP_INFERNO))
    sensor = Thermal(unit="8-bit counts", scale=1.0, range=(0.0, 255.0), palette="inferno")
    turned = sensor.read(Shot((path,)))[..., 0]
    assert np.abs(turned - counts).mean() <= away
    with pytest.raises(ValueError, match=rf"iron\.{suffix}: a tenth of its colours lie \d+ counts and more from palette 'ocean'"):
        replace(sensor, palette="ocean").read(Shot((path,)))
    with pytest.raises(ValueError, match=r"unknown palette 'irno'; OpenCV has .*'inferno'"):
        replace(sensor, palette="irno").read(Shot((path,)))


def test_non_uniformity_is_one_offset_per_column() -> None:
    sensor = Thermal(range=(280.0, 320.0), gain=0.0, drift=0.0, noise=0.0, nonuniformity=0.02)
    image, spreads = np.full((30, 400, 1), 300.0, np.float32), []
    for seed in range(20):
        changed = sensor.jitter(image, np.random.default_rng(seed))[..., 0]
        assert np.ptp(changed, axis=0).max() == 0, "the same along a column"
        spreads.append(float(changed.std()))
    assert 0.6 < max(spreads) < 0.9, "at most 2 % of 40 K"
    assert (replace(sensor, nonuniformity=0.0).jitter(np.full((3, 4, 1), 300.0, np.float32), np.random.default_rng(0)) == 300).all()


def test_thermal_shows_a_fixed_range() -> None:
    sensor = Thermal(range=(290.0, 300.0))
    image = np.array([[[280.0], [290.0], [300.0], [320.0]]], np.float32)
    shown = sensor.show(image)[0].astype(int).sum(1)
    assert shown[0] == shown[1] < shown[2] == shown[3]
    assert (sensor.mean, sensor.std) == ((295.0,), (2.5,))
