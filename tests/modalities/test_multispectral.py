"""Vegetation indices: the formula, what was not seen, bands that lie apart, and every way in which files hold bands."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from xkd.data.manifest import sensor
from xkd.geometry import IDENTITY, Box
from xkd.modalities import Multispectral, clues, modality
from xkd.modalities.raster import warp_seen
from xkd.modality import Shot

SIZE = (24, 32)
WHOLE = Box(0, 0, SIZE[1], SIZE[0])


def _bands(folder: Path, *bands: np.ndarray) -> Shot:
    paths = []
    for number, band in enumerate(bands):
        paths.append(folder / f"{number}.png")
        cv2.imwrite(str(paths[-1]), band)
    return Shot(tuple(paths))


def _random(seed: int, dtype: type = np.uint16) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, np.iinfo(dtype).max, SIZE, dtype=dtype)


def test_ndvi_is_nir_minus_red_over_their_sum(tmp_path: Path) -> None:
    red, nir = _random(0), _random(1)
    ndvi = Multispectral().read(_bands(tmp_path, red, nir))[..., 0]
    assert ndvi == pytest.approx((nir.astype(float) - red) / (nir.astype(float) + red), abs=1e-6)


def test_gains_and_offsets_make_reflectance_before_the_index(tmp_path: Path) -> None:
    red, nir = np.full(SIZE, 1100, np.uint16), np.full(SIZE, 2100, np.uint16)
    sensor = Multispectral(outputs=("ndvi", "nir"), gains=(1e-3, 2e-4), offsets=(100.0, 100.0), mean=(0.0, 0.2), std=(0.5, 0.1))
    image = sensor.read(_bands(tmp_path, red, nir))
    assert image[0, 0] == pytest.approx(((0.4 - 1.0) / 1.4, 0.4))
    assert sensor.unit == "ndvi, nir reflectance"


def test_green_and_red_edge_have_indices_of_their_own(tmp_path: Path) -> None:
    bands = [np.full(SIZE, value, np.uint8) for value in (10, 20, 30, 90)]
    sensor = Multispectral(bands=("green", "red", "rededge", "nir"), outputs=("gndvi", "ndvi", "ndre"))
    assert sensor.read(_bands(tmp_path, *bands))[0, 0] == pytest.approx((0.8, 7 / 11, 0.5))
    with pytest.raises(ValueError, match=r"outputs are some of \['ndvi', 'red', 'nir'\], each once; got \['ndre'\]"):
        Multispectral(outputs=("ndre",))


def test_what_was_not_seen_stays_so_and_does_not_bleed(tmp_path: Path) -> None:
    red, nir = np.full(SIZE, 50, np.uint8), np.full(SIZE, 150, np.uint8)
    red[:, 16:] = nir[:, 16:] = 0  # nothing: the index is 0 / 0
    nir[:8, :8] = 255  # saturated
    sensor = Multispectral(saturated=255.0)
    reading = sensor.read(_bands(tmp_path, red, nir))[..., 0]
    assert np.isnan(reading[:8, :8]).all()
    assert np.isnan(reading[:, 16:]).all()
    assert (reading[8:, :16] == 0.5).all()
    placed = sensor.place(reading[..., None], IDENTITY, (17, 23), WHOLE)[..., 0]
    assert np.isnan(placed).any()
    assert set(np.unique(placed[np.isfinite(placed)].round(5)).tolist()) == {0.5}, "values of seen pixels alone"


def test_a_stated_no_data_value_is_not_seen(tmp_path: Path) -> None:
    red, nir = np.full(SIZE, 50, np.uint16), np.full(SIZE, 150, np.uint16)
    red[4, 5] = 9999
    ndvi = Multispectral(nodata=9999.0).read(_bands(tmp_path, red, nir))[..., 0]
    assert np.argwhere(np.isnan(ndvi)).tolist() == [[4, 5]]
    assert not np.isnan(Multispectral().read(_bands(tmp_path, red, nir))).any()


def test_a_band_that_lies_apart_is_moved_onto_the_first(tmp_path: Path) -> None:
    scene = cv2.GaussianBlur(np.random.default_rng(0).uniform(20, 200, (48, 48)).astype(np.float32), (0, 0), 3)
    red = scene[8:32, 8:40].astype(np.uint8)
    nir = scene[6:30, 5:37].astype(np.uint8)  # what red has at (x, y), nir has at (x + 3, y + 2)
    apart = Multispectral().read(_bands(tmp_path, red, nir))[..., 0]
    together = Multispectral(shifts=((0.0, 0.0), (3.0, 2.0))).read(_bands(tmp_path, red, nir))[..., 0]
    assert np.nanmax(np.abs(together)) < 1e-6 < 0.02 < np.abs(apart).max()
    assert np.isnan(together[:, -3:]).all(), "beyond the second band's edge nothing was seen"


def test_jitter_is_the_index_of_changed_bands(tmp_path: Path) -> None:
    red, nir = _random(0).astype(float), _random(1).astype(float)
    image = ((nir - red) / (nir + red)).astype(np.float32)[..., None]
    sensor = Multispectral(gain=0.2)
    gains = 1 + 0.2 * np.random.default_rng(5).uniform(-1, 1, 2)
    expected = (gains[1] * nir - gains[0] * red) / (gains[1] * nir + gains[0] * red)
    assert sensor.jitter(image, np.random.default_rng(5))[..., 0] == pytest.approx(expected, abs=1e-5)
    assert (sensor.jitter(np.zeros_like(image), np.random.default_rng(5)) != 0).all(), "an index of 0 is as good as any other"
    unchanged = Multispectral(gain=0.0, light=0.9).jitter(image, np.random.default_rng(5))
    assert unchanged == pytest.approx(image, abs=1e-6), "an index does not feel the light"


@pytest.mark.parametrize("planar", [True, False])
def test_one_tiff_with_all_bands(tmp_path: Path, planar: bool) -> None:
    bands = np.stack([_random(seed) for seed in range(5)])
    path = tmp_path / "all.tif"
    options = {"planarconfig": "separate"} if planar else {"planarconfig": "contig"}
    tifffile.imwrite(path, bands if planar else np.moveaxis(bands, 0, 2), photometric="minisblack", **options)
    names = ("blue", "green", "red", "rededge", "nir")
    sensor = Multispectral(bands=names, outputs=names, mean=(0.0,) * 5, std=(1.0,) * 5, range=(0.0, 65535.0))
    assert np.array_equal(sensor.read(Shot((path,))), np.moveaxis(bands, 0, 2).astype(np.float32))


def test_a_geotiffs_own_no_data_value_is_not_seen(tmp_path: Path) -> None:
    red, nir = _random(0), _random(1)
    red[3, 4] = 65535
    for name, band in (("red", red), ("nir", nir)):
        tifffile.imwrite(tmp_path / f"{name}.tif", band, extratags=[(42113, "s", 0, "65535", True)])
    reading = Multispectral().read(Shot((tmp_path / "red.tif", tmp_path / "nir.tif")))
    assert np.argwhere(np.isnan(reading[..., 0])).tolist() == [[3, 4]]


def test_more_than_four_bands_are_placed_like_few(tmp_path: Path) -> None:
    bands = np.stack([_random(seed) for seed in range(6)], 2)
    tifffile.imwrite(tmp_path / "all.tif", bands, photometric="minisblack", planarconfig="contig")
    names = ("a", "b", "c", "d", "e", "f")
    six = Multispectral(bands=names, outputs=names, mean=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0), std=(1.0,) * 6, range=(0.0, 65535.0))
    reading = six.read(Shot((tmp_path / "all.tif",)))
    turn = np.array([[0.6, -0.5, 0.3], [0.5, 0.6, 0.1], [0.0, 0.0, 1.0]])
    for matrix in (IDENTITY, turn):
        placed = six.place(reading, matrix, (9, 11), WHOLE)
        for channel in range(6):
            alone = warp_seen(reading[..., channel : channel + 1], matrix, (9, 11), WHOLE)
            assert placed[..., channel] == pytest.approx(alone[..., 0], abs=1500, nan_ok=True), (
                "OpenCV rounds places to 1/32 pixel where there are two channels"
            )


def test_bands_that_do_not_fit_are_named(tmp_path: Path) -> None:
    red = _random(0)
    with pytest.raises(ValueError, match=r"0\.png: 1 bands where \[modalities\.ndvi\] names \['red', 'nir'\]: 0\.png has 1"):
        Multispectral().read(_bands(tmp_path, red))
    with pytest.raises(ValueError, match=r"0\.png: the bands' sizes differ: \[\(20, 32\), \(24, 32\)\]"):
        Multispectral().read(_bands(tmp_path, red, red[:20]))
    with pytest.raises(ValueError, match=r"0\.png: no pixel is usable"):
        Multispectral(saturated=1.0).read(_bands(tmp_path, red, red))
    (tmp_path / "cut.tif").write_bytes(b"II*\0")
    with pytest.raises(ValueError, match=r"cut\.tif: "):
        Multispectral().read(Shot((tmp_path / "cut.tif",)))


def test_a_nodata_of_nan_is_none(tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").write_text(
        'name = "field"\nclasses = ["crop"]\n[modalities.ndvi]\nsensor = "multispectral"\n'
        'bands = ["red", "nir"]\noutputs = ["ndvi"]\nnodata = nan\n',
        "utf-8",
    )
    ndvi = sensor(str(tmp_path), "ndvi")
    assert ndvi == sensor(str(tmp_path), "ndvi") == Multispectral()
    assert Multispectral(nodata=float("nan")).nodata is None
    assert np.isfinite(ndvi.read(_bands(tmp_path, _random(0), _random(1)))).all()
    assert sensor(str(tmp_path), "ndvi", {"nodata": -9999}) == Multispectral(nodata=-9999.0)
    with pytest.raises(ValueError, match=r"\[modalities\.ndvi\]: nodata must be a number, got 'none'"):
        sensor(str(tmp_path), "ndvi", {"nodata": "none"})


def test_a_photo_and_a_near_infrared_picture_give_ndvi(tmp_path: Path) -> None:
    colours = np.random.default_rng(3).integers(1, 256, (24, 32, 3), dtype=np.uint8)
    nir = np.random.default_rng(4).integers(1, 256, (24, 32), dtype=np.uint8)
    for folder in ("rgb", "nir"):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / "rgb/a.png"), colours[..., ::-1])
    cv2.imwrite(str(tmp_path / "nir/a.png"), np.dstack([nir] * 3))  # as cameras store grey
    for order, bands in ((("rgb", "nir"), "red green blue nir - -"), (("nir", "rgb"), "nir - - red green blue")):
        shot = Shot(tuple(tmp_path / folder / "a.png" for folder in order))
        found = clues("ndvi", {"sensor": "multispectral"}, [shot])
        assert found.meanings == (("a photo and a near-infrared picture", {"bands": bands.split(), "outputs": ["ndvi"]}),)
        read = Multispectral(bands=tuple(bands.split())).read(shot)[..., 0]
        red = colours[..., 0].astype(float)
        assert read == pytest.approx((nir - red) / (nir + red), abs=1e-6)
    with pytest.raises(ValueError, match=r"names \['nir', 'red'\]: a\.png has 3: .*; a band that is not used is called '-'"):
        Multispectral(bands=("nir", "red")).read(shot)
    with pytest.raises(ValueError, match=r"outputs are some of \['ndvi', 'red', 'nir'\]"):
        Multispectral(bands=("red", "nir", "-", "-"), outputs=("-",))


def test_an_index_that_is_ready_is_read_or_refused_with_the_remedy(tmp_path: Path) -> None:
    index = np.linspace(-1, 1, 24 * 32, dtype=np.float32).reshape(24, 32)
    ready = Multispectral(bands=("ndvi",))
    tifffile.imwrite(tmp_path / "i.tif", index)
    read = ready.read(Shot((tmp_path / "i.tif",)))
    assert np.array_equal(read[..., 0], index)
    assert np.abs(ready.jitter(read, np.random.default_rng(0))).max() <= 1
    assert not np.array_equal(ready.jitter(read, np.random.default_rng(0)), read)
    counts = np.rint((index + 1) * 127.5).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "i.png"), counts)
    with pytest.raises(ValueError, match=r"i\.png: ndvi lies within -1 to 1, this one from 0 to 255: state offsets and gains"):
        ready.read(Shot((tmp_path / "i.png",)))
    scaled = clues("ndvi", {"sensor": "multispectral"}, [Shot((tmp_path / "i.png",))]).meanings[0][1]
    read = modality("ndvi", {"sensor": "multispectral", **scaled}).read(Shot((tmp_path / "i.png",)))
    assert read[..., 0] == pytest.approx(index, abs=0.005)
    cv2.imwrite(str(tmp_path / "c.png"), cv2.applyColorMap(counts, cv2.COLORMAP_SUMMER))
    with pytest.raises(ValueError, match=r"c\.png: 3 bands .* a picture in false colours does not tell its index: export that as numbers"):
        ready.read(Shot((tmp_path / "c.png",)))
    assert "in false colours, as it seems" in clues("ndvi", {"sensor": "multispectral"}, [Shot((tmp_path / "c.png",))]).content
