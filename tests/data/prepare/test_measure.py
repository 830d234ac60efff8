"""Mean, standard deviation and ordinary values are those of what a sensor saw, and of nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from xkd.data.prepare.measure import complete, measure
from xkd.modality import Shot


@pytest.fixture
def depth(tmp_path: Path) -> Shot:
    """Counts of 1000 and 3000 in equal parts, and as many holes."""
    counts = np.zeros((30, 20), np.uint16)
    counts[:10], counts[10:20] = 1000, 3000
    cv2.imwrite(str(tmp_path / "depth.png"), counts)
    return Shot((tmp_path / "depth.png",))


def test_holes_do_not_count(depth: Shot) -> None:
    found = measure("depth", {"sensor": "depth", "scale": 0.001, "limits": [0.1, 9.0]}, [depth, depth])
    normalisation = found.normalisation
    assert normalisation is not None
    assert (normalisation.mean, normalisation.std, normalisation.num_rows, found.sizes) == ((2.0,), (1.0,), 2, ((20, 30), (20, 30)))
    assert found.unseen.startswith("33.33% of the pixels in 2 rows of train were not measured")


def test_a_table_with_a_mean_is_not_measured(depth: Shot) -> None:
    assert measure("depth", {"sensor": "depth", "scale": 0.001, "limits": [0.1, 9.0], "mean": [5.0]}, [depth]).normalisation is None


def test_limits_are_asked_for_with_what_was_measured(depth: Shot) -> None:
    with pytest.raises(ValueError, match=r"needs \['limits'\].* from 1,000 to 3,000 .*0\.001 metres each: --set 'depth.limits=\[1, 3\]'"):
        complete("depth", {"sensor": "depth", "scale": 0.001}, [depth])


def test_scales_of_depth_are_offered_where_they_make_distances(depth: Shot) -> None:
    with pytest.raises(ValueError, match=r"needs \['scale', 'limits'\]") as error:
        complete("depth", {"sensor": "depth"}, [depth])
    assert "if these are millimetres: --set depth.scale=0.001 'depth.limits=[1, 3]'; if" in str(error.value)
    assert "1/256 of a metre: --set depth.scale=0.00390625 'depth.limits=[3.9, 11.8]'" in str(error.value)
    assert "these are metres: " not in str(error.value), "three kilometres are no depth"


def test_the_range_of_a_scanner_is_its_distances(tmp_path: Path) -> None:
    distance = np.linspace(5, 25, 500)
    angle = np.linspace(-0.7, 0.7, 500)
    points = np.column_stack([distance * np.cos(angle), distance * np.sin(angle), np.full(500, 70.0), np.ones(500)])
    points[:, 2] = 0
    points.astype(np.float32).tofile(tmp_path / "scan.bin")
    table, note = complete("lidar", {"sensor": "lidar"}, [Shot((tmp_path / "scan.bin",))])
    assert table == {"sensor": "lidar", "project": "above", "outputs": ("range", "valid"), "range": [0.0, 25.0]}
    assert note == (
        'lidar: the files hold no intensity; found in its files: project = "above", outputs = ["range", "valid"], range = [0.0, 25.0];'
        " --set lidar.KEY=VALUE overrides this"
    )


def test_limits_of_depth_are_above_nothing(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.linspace(60, 20000, 600).reshape(20, 30).astype(np.uint16))
    with pytest.raises(ValueError, match=r"if these are millimetres: --set depth.scale=0.001 'depth.limits=\[0.259, 20\]'"):
        complete("depth", {"sensor": "depth"}, [Shot((tmp_path / "a.png",))])


@pytest.mark.parametrize(
    ("low", "high", "meanings"),
    [
        (28900, 31240, ["hundredths of a kelvin"]),
        (18500, 20000, ["1/64 of a kelvin"]),
        (2930, 3100, ["tenths of a kelvin", "hundredths of a degree Celsius"]),
        (150, 380, ["tenths of a degree Celsius", "hundredths of a degree Celsius"]),
        (7000, 8200, ["hundredths of a degree Celsius"]),
        (50000, 60000, []),
    ],
)
def test_units_of_a_thermal_camera_are_offered_where_they_make_temperatures(
    low: int, high: int, meanings: list[str], tmp_path: Path
) -> None:
    counts = np.linspace(low, high, 600).reshape(20, 30).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), counts)
    with pytest.raises(ValueError, match=r"needs \['unit', 'scale', 'range'\]") as error:
        complete("thermal", {"sensor": "thermal"}, [Shot((tmp_path / "a.png",))])
    message = str(error.value)
    offered = re.findall(r"if these are ([^:]+): --set thermal.unit=\S+ thermal.scale=\S+ 'thermal.range=\[[-\d., ]+\]'", message)
    assert offered == [*meanings, "counts of no known unit"], message


def test_fractions_are_temperatures_as_they_are(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.tif"), np.linspace(22, 35, 600, dtype=np.float32).reshape(20, 30))
    with pytest.raises(ValueError, match=r"they hold float32 values, 98 % of them from 22.13 to 34.87 \(1 file read\)") as error:
        complete("thermal", {"sensor": "thermal"}, [Shot((tmp_path / "a.tif",))])
    message = str(error.value)
    assert re.findall(r"if these are ([^:]+): --set thermal.unit=\S+ thermal.scale=1 ", message) == [
        "degrees Celsius",
        "counts of no known unit",
    ]


def test_what_is_set_already_is_not_asked_for(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.linspace(29000, 31000, 600).reshape(20, 30).astype(np.uint16))
    shots = [Shot((tmp_path / "a.png",))]
    with pytest.raises(ValueError, match=r"needs \['scale', 'range'\].*kelvin: --set thermal.scale=0.01 'thermal.range=\[290, 310\]'$"):
        complete("thermal", {"sensor": "thermal", "unit": "K"}, shots)
    with pytest.raises(ValueError, match=r"needs \['range'\].*if these are 0.02 F each: --set 'thermal.range=\[580, 620\]'$"):
        complete("thermal", {"sensor": "thermal", "unit": "F", "scale": 0.02}, shots)
    assert complete("thermal", {"sensor": "thermal", "encoding": "percentile"}, shots)[1] == ""


def test_a_rendered_thermal_picture_has_counts(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.arange(240, dtype=np.uint8).reshape(12, 20))
    table, note = complete("thermal", {"sensor": "thermal"}, [Shot((tmp_path / "a.png",))])
    assert table == {"sensor": "thermal", "unit": "8-bit counts", "scale": 1.0, "range": [0.0, 255.0]}
    assert 'thermal: found in its files: unit = "8-bit counts", scale = 1.0' in note
    with pytest.raises(ValueError, match=r"needs \['unit', 'range'\].*8-bit counts"):
        complete("thermal", {"sensor": "thermal", "scale": 0.5}, [Shot((tmp_path / "a.png",))])


def test_a_palette_is_asked_for_with_those_that_fit(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.jpg"), cv2.applyColorMap(cv2.GaussianBlur(grey, (0, 0), 3), cv2.COLORMAP_INFERNO))
    shots = [Shot((tmp_path / "a.jpg",))]
    with pytest.raises(
        ValueError, match=r"needs \['palette'\].*false colours; if these are the palette inferno: --set thermal.palette=inferno"
    ):
        complete("thermal", {"sensor": "thermal"}, shots)
    assert complete("thermal", {"sensor": "thermal", "palette": "inferno"}, shots)[0]["unit"] == "8-bit counts"
    cv2.imwrite(str(tmp_path / "b.png"), np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    table, _ = complete("thermal", {"sensor": "thermal"}, [Shot((tmp_path / "b.png",))])
    with pytest.raises(ValueError, match=r"b\.png: a false-colour \(palette\) thermal picture"):
        measure("thermal", table, [Shot((tmp_path / "b.png",))])


def test_deep_colours_are_asked_for_their_white(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 4000, (9, 7, 3), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    with pytest.raises(
        ValueError, match=r"needs \['white'\].*if these are counts of 12 bits: --set rgb.white=4095; if .* 14 bits"
    ) as error:
        complete("rgb", {"sensor": "rgb"}, [Shot((tmp_path / "a.png",))])
    assert "10 bits" not in str(error.value)
    assert complete("rgb", {"sensor": "rgb", "white": 4095.0}, [Shot((tmp_path / "a.png",))])[1] == ""


def test_bands_are_counted_and_called_like_their_folders(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", np.random.default_rng(0).integers(0, 60000, (6, 20, 30), dtype=np.uint16), photometric="minisblack"
    )
    with pytest.raises(
        ValueError, match=r"\['bands', 'outputs'\].* hold 6 bands without names \(.*a\.tif has 1: page 1, .*\); .*\"band6\"\]' 'ms.o"
    ):
        complete("ms", {"sensor": "multispectral"}, [Shot((tmp_path / "a.tif",))])
    for band in ("red", "nir", "blue"):
        (tmp_path / band).mkdir()
        cv2.imwrite(str(tmp_path / band / "1.png"), np.arange(200, 800, dtype=np.uint16).reshape(20, 30))
    shot = Shot((tmp_path / "red/1.png", tmp_path / "nir/1.png"))
    assert complete("ms", {"sensor": "multispectral"}, [shot])[0] == {
        "sensor": "multispectral",
        "bands": ("red", "nir"),
        "outputs": ("ndvi",),
    }
    blue = Shot((tmp_path / "red/1.png", tmp_path / "blue/1.png"))
    table, _ = complete("ms", {"sensor": "multispectral", "gains": [0.001, 0.001]}, [blue])
    assert (table["bands"], table["outputs"], table["range"]) == (("red", "blue"), ("red", "blue"), [0.2, 0.8])


def test_files_that_cannot_be_read_tell_nothing_and_others_do(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"nothing")
    cv2.imwrite(str(tmp_path / "a.png"), np.arange(240, dtype=np.uint8).reshape(12, 20))
    shots = [Shot((tmp_path / name,)) for name in ("broken.png", "a.png")]
    assert complete("thermal", {"sensor": "thermal"}, shots)[0]["unit"] == "8-bit counts"
    with pytest.raises(ValueError, match=r"broken\.png"):
        complete("thermal", {"sensor": "thermal"}, shots[:1])


def test_a_sensor_that_saw_nothing_but_one_value_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((8, 8, 3), 90, np.uint8))
    with pytest.raises(ValueError, match="are the same"):
        measure("rgb", {"sensor": "rgb"}, [Shot((tmp_path / "grey.png",))])


def test_colours_against_numpy(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    normalisation = measure("rgb", {"sensor": "rgb"}, [Shot((tmp_path / "a.png",))]).normalisation
    assert normalisation is not None
    assert np.allclose(normalisation.mean, image.mean((0, 1)), rtol=1e-4)
    assert np.allclose(normalisation.std, image.std((0, 1)), rtol=1e-4)


def test_images_of_unlike_sizes_count_alike(tmp_path: Path) -> None:
    shots = []
    for name, size, level in (("small", 4, 10), ("large", 40, 30)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((size, size, 3), level, np.uint8))
        shots.append(Shot((tmp_path / f"{name}.png",)))
    normalisation = measure("rgb", {"sensor": "rgb"}, shots).normalisation
    assert normalisation is not None
    assert (normalisation.mean, normalisation.std) == ((20.0,) * 3, (10.0,) * 3)
