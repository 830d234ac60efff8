"""Pixels that were not measured are not seen by any sensor, and nobody guesses which of several bands is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from xkd.data.check.files import thumbnail_of
from xkd.data.prepare.measure import complete, measure
from xkd.modalities import RGB, Depth, Multispectral, Thermal
from xkd.modality import Shot

WARM = np.linspace(10, 40, 24 * 32).reshape(24, 32)
LOST = np.zeros((24, 32), bool)
LOST[:3, :5] = True
CELSIUS = Thermal(unit="degC", scale=1.0, range=(0.0, 60.0))
COUNTS = Thermal(unit="counts", scale=1.0, range=(0.0, 65535.0))
COLOURS = np.random.default_rng(0).integers(1, 256, (24, 32, 3), dtype=np.uint8)
NAN = float("nan")


def tagged(path: Path, values: np.ndarray, nodata: str, **options: Any) -> Path:
    tifffile.imwrite(path, values, extratags=[(42113, "s", 0, nodata, True)], **options)
    return path


def unseen(sensor: Any, path: Path) -> np.ndarray:
    return np.isnan(sensor.read(Shot((path,)))).all(2)


@pytest.mark.parametrize(
    ("dtype", "value", "text"),
    [
        ("uint8", 0, "0"),
        ("uint8", 255, "255.0"),
        ("int16", -9999, "-9999.0"),
        ("int32", -32768, "-32768"),
        ("float16", -9999, "-9999"),
        ("float32", -10000, "-10000"),
        ("float32", -9999.9, "-9999.9"),
        ("float32", np.finfo(np.float32).min, "-3.40282346638529e+38"),
        ("float32", np.finfo(np.float32).min, "-1.7976931348623157e+308"),
        ("float32", NAN, "nan"),
        ("float64", np.inf, "-1"),
    ],
)
def test_a_files_own_no_data_value_is_not_seen(
    dtype: str, value: float, text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tagged(tmp_path / "t.tif", np.where(LOST, value, WARM).astype(dtype), text)
    read = CELSIUS.read(Shot((path,)))
    assert np.array_equal(np.isnan(read[..., 0]), LOST)
    assert read[~LOST] == pytest.approx(WARM.astype(dtype)[~LOST, None], abs=0.02)
    assert not caplog.records, "tifffile has an opinion on such texts too"
    found = measure("t", {"sensor": "thermal", "unit": "degC", "scale": 1.0, "range": [0.0, 60.0]}, [Shot((path,))])
    assert found.normalisation is not None
    assert found.normalisation.mean[0] == pytest.approx(WARM.astype(dtype)[~LOST].astype(float).mean(), abs=0.02)
    assert found.unseen.startswith("1.95% of the pixels in 1 rows of train were not measured")


def test_a_no_data_value_that_no_pixel_can_have_leaves_all(tmp_path: Path) -> None:
    assert not unseen(CELSIUS, tagged(tmp_path / "t.tif", WARM.astype(np.uint16), "-9999")).any()
    assert not unseen(CELSIUS, tagged(tmp_path / "t.tif", WARM.astype(np.uint8), "10.5")).any()
    assert not unseen(CELSIUS, tagged(tmp_path / "t.tif", WARM.astype(np.float32), " ")).any()
    with pytest.raises(ValueError, match=r"t\.tif: its no-data value \(GDAL_NODATA\) is 'none', which is no number"):
        unseen(CELSIUS, tagged(tmp_path / "t.tif", WARM.astype(np.float32), "none"))


def test_a_sensors_no_data_value_holds_beside_the_files(tmp_path: Path) -> None:
    values = np.where(LOST, -50, WARM).astype(np.float32)
    values[-1] = -1
    path = tagged(tmp_path / "t.tif", values, "-1")
    both = LOST.copy()
    both[-1] = True
    assert np.array_equal(unseen(Thermal(unit="degC", scale=1.0, range=(0.0, 60.0), nodata=-50.0), path), both)
    assert Thermal(nodata=NAN) == Thermal()
    assert isinstance(Thermal(nodata=0).nodata, float), "a TOML file has 0 for 0.0, which numpy's types and Python 3.11 tell apart"
    depth = np.where(LOST, 65535, 2000).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "d.png"), depth)
    assert np.array_equal(unseen(Depth(limits=(0.3, 99.0), nodata=65535.0), tmp_path / "d.png"), LOST)
    assert not unseen(Depth(limits=(0.3, 99.0)), tmp_path / "d.png").any()


def test_what_prepare_is_told_leaves_no_data_out(tmp_path: Path) -> None:
    path = tagged(tmp_path / "t.tif", np.where(LOST, -10000, WARM).astype(np.float32), "-10000")
    with pytest.raises(ValueError, match=r"98 % of them from 1\d\.\d+ to 39\.\d+ .*degrees Celsius"):
        complete("t", {"sensor": "thermal"}, [Shot((path,))])
    thumbnail = thumbnail_of(path.read_bytes(), path, (32, 24))
    assert thumbnail is not None
    assert 9 < thumbnail.min() < thumbnail.max() < 41


def test_a_file_of_nothing_says_so(tmp_path: Path) -> None:
    path = tagged(tmp_path / "t.tif", np.full((4, 5), 7, np.uint16), "7")
    cv2.imwrite(str(tmp_path / "c.png"), np.dstack([COLOURS, np.zeros((24, 32), np.uint8)]))
    for sensor, file in ((COUNTS, path), (RGB(), tmp_path / "c.png")):
        with pytest.raises(ValueError, match=rf"{file.name}: no pixel was measured: its no-data value, alpha channel or mask leaves none"):
            sensor.read(Shot((file,)))


def test_an_alpha_of_0_is_not_seen(tmp_path: Path) -> None:
    opaque = np.where(LOST, 0, 255)
    grey16 = np.dstack([WARM * 1000, opaque]).astype(np.uint16)
    (tmp_path / "la.png").write_bytes(imagecodecs.png_encode(grey16))
    tifffile.imwrite(tmp_path / "la.tif", grey16, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"])
    for name in ("la.png", "la.tif"):
        assert np.array_equal(unseen(COUNTS, tmp_path / name), LOST)
        assert np.array_equal(unseen(Depth(scale=0.001, limits=(0.3, 99.0)), tmp_path / name), LOST)
    tifffile.imwrite(tmp_path / "c.tif", np.dstack([COLOURS, opaque]).astype(np.uint8), photometric="rgb", extrasamples=["unassalpha"])
    Image.fromarray(np.dstack([COLOURS, opaque]).astype(np.uint8)).save(tmp_path / "c.webp", lossless=True)
    for name in ("c.tif", "c.webp"):
        read = RGB().read(Shot((tmp_path / name,)))
        assert np.array_equal(np.isnan(read).all(2), LOST)
        assert np.array_equal(read[~LOST], COLOURS[~LOST])


@pytest.mark.parametrize("mode", ["L", "I;16", "RGB", "P"])
def test_a_transparent_colour_is_not_seen(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "key.png"
    if mode == "RGB":
        Image.fromarray(np.where(LOST[..., None], 0, COLOURS)).save(path, transparency=(0, 0, 0))
    elif mode == "P":
        picture = Image.fromarray(np.where(LOST, 3, 5).astype(np.uint8)).convert("P")
        picture.save(path, transparency=3)
    else:
        counts = np.where(LOST, 7, WARM).astype(np.uint8 if mode == "L" else np.uint16)
        Image.fromarray(counts).save(path, transparency=7)
        assert np.array_equal(unseen(COUNTS, path), LOST)
    assert np.array_equal(unseen(RGB(white=65535.0) if mode == "I;16" else RGB(), path), LOST)


def test_a_mask_within_a_tiff_is_not_seen(tmp_path: Path) -> None:
    path = tmp_path / "masked.tif"
    with tifffile.TiffWriter(path) as file:
        file.write((WARM * 1000).astype(np.uint16))
        file.write((WARM[::2, ::2] * 1000).astype(np.uint16), subfiletype=1)  # an overview, and its mask
        file.write(~LOST, photometric="mask", subfiletype=4)
        file.write(~LOST[::2, ::2], photometric="mask", subfiletype=5)
    assert np.array_equal(unseen(COUNTS, path), LOST)


def test_black_as_no_data_hides_no_single_channel(tmp_path: Path) -> None:
    colours = np.where(LOST[..., None], 0, COLOURS)
    colours[20, 20, 0] = 0
    read = RGB().read(Shot((tagged(tmp_path / "c.tif", colours, "0", photometric="rgb"),)))
    assert np.array_equal(np.isnan(read).any(2), LOST)


def test_several_pages_or_bands_are_listed_until_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    tifffile.imwrite(path, np.stack([WARM, WARM + 5]).astype(np.float32), photometric="minisblack")
    with pytest.raises(ValueError, match=r"pages\.tif: holds 2 bands, 1: page 1, 2: page 2; a thermal image has one: .*: band = NUMBER"):
        CELSIUS.read(Shot((path,)))
    second = Thermal(unit="degC", scale=1.0, range=(0.0, 60.0), band=2)
    assert second.read(Shot((path,)))[..., 0] == pytest.approx(WARM + 5, abs=1e-3)
    with pytest.raises(ValueError, match=r"has no band 3; its bands are 1: page 1, 2: page 2"):
        Depth(band=3).read(Shot((path,)))
    with pytest.raises(ValueError, match=r"a depth image has one: say which in \[modalities\.depth\]: band = NUMBER"):
        Depth().read(Shot((path,)))
    metadata = '<GDALMetadata><Item name="DESCRIPTION" sample="1" role="description">LWIR</Item></GDALMetadata>'
    tags = [(42112, "s", 0, metadata, True)]
    tifffile.imwrite(path, np.dstack([WARM, WARM]), photometric="minisblack", planarconfig="contig", extratags=tags)
    with pytest.raises(ValueError, match=r"holds 2 bands, 1: sample 1, 2: LWIR"):
        CELSIUS.read(Shot((path,)))


def test_images_of_unlike_sizes_in_a_file_are_listed_until_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "both.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(COLOURS, photometric="rgb")
        file.write(WARM[::2, ::2].astype(np.float32))
    with pytest.raises(
        ValueError, match=r"both\.tif: holds 2 images .*3: image 1 blue \(uint8, 32x24\), 4: image 2 \(float32, 16x12\); say"
    ):
        CELSIUS.read(Shot((path,)))
    assert Thermal(unit="degC", scale=1.0, range=(0.0, 60.0), band=4).read(Shot((path,))).shape == (12, 16, 1)
    assert np.array_equal(RGB(bands=(1, 2, 3)).read(Shot((path,))), COLOURS)
    with pytest.raises(ValueError, match=r"its bands \[1, 2, 4\] are of unlike sizes"):
        RGB(bands=(1, 2, 4)).read(Shot((path,)))


def test_rgb_asks_which_bands_are_its_colours(tmp_path: Path) -> None:
    path = tmp_path / "four.tif"
    four = np.dstack([COLOURS[..., ::-1], COLOURS[..., :1]])
    tifffile.imwrite(path, four, photometric="minisblack", planarconfig="contig")
    with pytest.raises(ValueError, match=r"holds 4 bands, 1: sample 1, .*; say in \[modalities\.rgb\] which are .*: bands = \[1, 2, 3\]"):
        RGB().read(Shot((path,)))
    assert np.array_equal(RGB(bands=(3, 2, 1)).read(Shot((path,))), COLOURS)
    assert np.array_equal(RGB(bands=(4,)).read(Shot((path,))), np.repeat(COLOURS[..., :1], 3, 2))
    with pytest.raises(ValueError, match="bands are the numbers of red, green and blue, or one of grey; got"):
        RGB(bands=(1, 2))


def test_an_animation_is_refused(tmp_path: Path) -> None:
    pictures = [Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)]
    for name in ("a.png", "a.webp"):
        pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:])
        with pytest.raises(ValueError, match=rf"{name}: is an animation of 2 images"):
            RGB().read(Shot((tmp_path / name,)))


def test_black_and_white_is_a_picture_and_holds_no_counts(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "b.tif", WARM > 20, photometric="minisblack")
    tifffile.imwrite(tmp_path / "w.tif", WARM <= 20, photometric="miniswhite")
    Image.fromarray(WARM > 20).save(tmp_path / "b.png")
    for name in ("b.tif", "w.tif", "b.png"):
        assert np.array_equal(RGB().read(Shot((tmp_path / name,)))[..., 0], 255 * (WARM > 20))
        with pytest.raises(ValueError, match=r"is black and white, 1 bit per pixel"):
            CELSIUS.read(Shot((tmp_path / name,)))
        with pytest.raises(ValueError, match=r"a depth image has one channel of 16 bits or floats, this one is bool"):
            Depth().read(Shot((tmp_path / name,)))


def test_a_palette_stands_for_its_colours(tmp_path: Path) -> None:
    indices, grey = WARM.astype(np.uint8), np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))
    tifffile.imwrite(tmp_path / "p.tif", indices, photometric="palette", colormap=grey)
    assert np.array_equal(Thermal(unit="8-bit counts", scale=1.0, range=(0.0, 255.0)).read(Shot((tmp_path / "p.tif",)))[..., 0], indices)
    grey[0] = grey[0][::-1]
    tifffile.imwrite(tmp_path / "p.tif", indices, photometric="palette", colormap=grey)
    assert np.array_equal(RGB().read(Shot((tmp_path / "p.tif",))), np.dstack([255 - indices, indices, indices]))
    with pytest.raises(ValueError, match=r"p\.tif: a false-colour"):
        CELSIUS.read(Shot((tmp_path / "p.tif",)))


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (COLOURS[..., [0, 1, 2, 0]], {"photometric": "separated"}, "its colours are SEPARATED; write them as red, green and blue"),
        (WARM.astype(np.uint16), {"photometric": "miniswhite"}, "its uint16 counts are stored with white as zero"),
        (WARM.astype(np.complex64), {}, "holds complex64 numbers; whole or real ones are read"),
        (COLOURS.astype(np.float32), {"photometric": "rgb"}, "an rgb image holds whole counts from 0, this one is float32"),
    ],
)
def test_what_is_no_plain_image_is_refused_with_the_remedy(values: np.ndarray, options: dict[str, Any], words: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", values, **options)
    with pytest.raises(ValueError, match=rf"x\.tif: {words}"):
        RGB().read(Shot((tmp_path / "x.tif",)))


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd", "lerc", "jpegxl", "jpeg2000"])
def test_no_compression_costs_a_bit_of_16(compression: str, tmp_path: Path) -> None:
    counts = np.random.default_rng(0).integers(0, 65536, (24, 32), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "t.tif", counts, compression=compression, tile=(16, 16), bigtiff=True)
    assert np.array_equal(COUNTS.read(Shot((tmp_path / "t.tif",)))[..., 0], counts)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_compressed_floats_are_read(dtype: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "t.tif", WARM.astype(dtype), compression="zstd", predictor=dtype != "float16")
    assert np.array_equal(CELSIUS.read(Shot((tmp_path / "t.tif",)))[..., 0], WARM.astype(dtype).astype(np.float32))


def test_a_fourth_band_that_is_called_alpha_is_a_band_where_four_are_named(tmp_path: Path) -> None:
    four = np.dstack([COLOURS, np.where(LOST, 0, 9)]).astype(np.uint8)
    tifffile.imwrite(tmp_path / "m.tif", four, photometric="rgb", extrasamples=["unassalpha"])
    names = ("red", "green", "blue", "nir")
    read = Multispectral(bands=names, outputs=names, range=(0.0, 255.0)).read(Shot((tmp_path / "m.tif",)))
    assert np.array_equal(read, four)
    three = Multispectral(bands=names[:3], outputs=names[:3], range=(0.0, 255.0)).read(Shot((tmp_path / "m.tif",)))
    assert np.array_equal(np.isnan(three).all(2), LOST)


def test_tiles_that_are_left_out_are_not_seen(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    tiles = [np.full((16, 16), 20, np.int16), None, np.full((16, 16), 25, np.int16), np.full((16, 16), 30, np.int16)]
    options: dict[str, Any] = {"shape": (32, 32), "dtype": np.int16, "tile": (16, 16), "extratags": [(42113, "s", 0, "-9999.0", True)]}
    tifffile.imwrite(path, iter(tiles), **options)
    lost = np.zeros((32, 32), bool)
    lost[:16, 16:] = True
    assert np.array_equal(unseen(CELSIUS, path), lost)
