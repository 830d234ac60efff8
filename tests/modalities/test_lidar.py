"""Scans: read from every format, projected, drawn with the nearest point in front, moved by a draw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from packed_files import packed

from xkd.geometry import IDENTITY, Box, to_output
from xkd.modalities import LiDAR
from xkd.modalities.calibration import Camera, write_calibration
from xkd.modalities.points import Points, densify, splat, unoccluded
from xkd.modalities.scans import read_scan
from xkd.modalities.strides import find_columns
from xkd.modality import Shot, filled

SIZE = (60, 100)  # height, width of the camera's image
WHOLE = Box(0, 0, SIZE[1], SIZE[0])
K = np.array([[80.0, 0.0, 49.5, 0.0], [0.0, 80.0, 29.5, 0.0], [0.0, 0.0, 1.0, 0.0]])
AXES = np.array([[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
SENSOR = LiDAR(outputs=("range", "height", "intensity", "density", "valid"), range=(0.5, 60.0))


def _cloud(count: int = 3000) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform((3, -15, -6, 0), (50, 15, 6, 1), (count, 4)).astype(np.float32)


def _shot(folder: Path, cloud: np.ndarray, name: str = "a.bin") -> Shot:
    write_calibration(folder / "c.json", Camera(K, AXES, (), (SIZE[1], SIZE[0])))
    cloud.astype(np.float32).tofile(folder / name)
    return Shot((folder / name,), folder / "c.json")


def _draw() -> np.ndarray:
    turn = np.deg2rad(-15)
    matrix = np.eye(3)
    matrix[:2, :2] = 0.8 * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix[:2, 2] = (0.52, 0.47) - matrix[:2, :2] @ (0.5, 0.5)
    return matrix


def _slowly(points: Points, matrix: np.ndarray, size: tuple[int, int], crop: Box) -> tuple[np.ndarray, np.ndarray]:
    """A z-buffer point by point."""
    depth, values = np.full(size, np.inf), np.zeros((*size, points.values.shape[1]), np.float32)
    for pixel, z, value in zip(to_output(points.pixels, matrix, crop) * size[::-1], points.depth, points.values, strict=True):
        column, row = np.floor(pixel).astype(int)
        if 0 <= row < size[0] and 0 <= column < size[1] and z < depth[row, column]:
            depth[row, column], values[row, column] = z, value
    return depth, values


@pytest.mark.parametrize(("matrix", "crop"), [(IDENTITY, WHOLE), (_draw(), WHOLE), (_draw(), Box(-5, 10.5, 60, 47))])
def test_the_z_buffer_is_that_of_a_loop_over_points(tmp_path: Path, matrix: np.ndarray, crop: Box) -> None:
    points = SENSOR.read(_shot(tmp_path, _cloud()))
    depth, values = _slowly(points, matrix, (45, 70), crop)
    drawn = splat(points, matrix, (45, 70), crop)
    same = (drawn.values == values).all(2)
    assert np.array_equal(drawn.count > 0, np.isfinite(depth))
    assert same.mean() > 0.998, "float32 may put a point on a pixel's edge into its neighbour"


def test_channels_are_range_height_intensity_density_and_valid(tmp_path: Path) -> None:
    cloud = np.array(
        [[10.0, 0.0, 0.0, 0.5], [20.0, 0.0, 0.0, 0.9], [10.0, 2.0, 1.0, 0.25], [55.0, 0, 0, 0], [70.0, 1, 0, 0], [-5.0, 0, 0, 0]]
    )
    cloud = np.concatenate([cloud, np.tile([5.0, -1.5, -1.0, 0.1], (8, 1))])
    image = SENSOR.place(SENSOR.read(_shot(tmp_path, cloud)), IDENTITY, SIZE, WHOLE)
    assert image[30, 50] == pytest.approx((10.0, 0.0, 0.5, np.log(4), 1.0)), "the nearest of the three in a row"
    assert image[22, 34] == pytest.approx((np.sqrt(105), 1.0, 0.25, np.log(2), 1.0))
    assert image[46, 74] == pytest.approx((np.sqrt(28.25 - 0.0), -1.0, 0.1, np.log(9), 1.0), abs=0.1)
    assert np.array_equal(image[0, 0], (np.nan, np.nan, np.nan, 0, 0), equal_nan=True)
    assert (image[..., 4] > 0).sum() == 3


def test_intensity_is_scaled_to_one(tmp_path: Path) -> None:
    cloud = np.tile([10.0, 0.0, 0.0, 51.0], (20, 1))
    sensor = LiDAR(outputs=("intensity", "valid"), intensity_scale=1 / 255)
    image = sensor.place(sensor.read(_shot(tmp_path, cloud)), IDENTITY, SIZE, WHOLE)
    assert image[30, 50, 0] == pytest.approx(0.2)


def test_a_draw_moves_points_so_that_edges_stay_sharp(tmp_path: Path) -> None:
    """A wall 5 m ahead before one at 40 m: no pixel between them at any size or angle."""
    y, z = np.meshgrid(np.linspace(-20, 20, 400), np.linspace(-12, 12, 300))
    far = np.stack([np.full(y.size, 40.0), y.ravel(), z.ravel(), np.zeros(y.size)], 1)
    near = np.stack([np.full(y.size, 5.0), y.ravel() / 20, z.ravel() / 20, np.zeros(y.size)], 1)
    sensor = replace(SENSOR, outputs=("range", "valid"), mean=(), std=(), densify=3)
    reading = sensor.read(_shot(tmp_path, np.concatenate([far, near])))
    image = sensor.place(reading, _draw(), (90, 150), WHOLE)
    seen = image[..., 0][image[..., 1] > 0]
    assert ((seen < 6) | (seen > 39)).all()
    assert (seen < 6).mean() > 0.02
    assert (seen > 39).mean() > 0.5


def test_points_behind_others_are_dropped_on_request(tmp_path: Path) -> None:
    grid = np.stack(np.meshgrid(np.arange(0.25, 40, 2.0), np.arange(0.25, 40, 2.0)), 2).reshape(-1, 2).astype(np.float32)
    behind = grid + 1.0  # seen between the points of a near surface
    depth = np.concatenate([np.full(len(grid), 5.0), np.full(len(grid), 30.0)]).astype(np.float32)
    points = Points(np.concatenate([grid, behind]), depth, depth[:, None], (41, 41))
    assert (unoccluded(points, 1, 0.1).depth == 5.0).all()
    slope = replace(points, depth=np.linspace(5.0, 5.3, len(depth)).astype(np.float32))
    assert len(unoccluded(slope, 1, 0.1).depth) == len(depth), "a surface that recedes hides nothing"
    sensor = replace(SENSOR, occlusion=5)
    shot = _shot(tmp_path, _cloud())
    assert len(sensor.read(shot).depth) < len(SENSOR.read(shot).depth)


def test_a_point_a_hair_inside_the_edge_is_not_rounded_out_of_the_frame(tmp_path: Path) -> None:
    """A position of 100 - 1e-6 is inside, but 100 as float32: no index of a raster that is 100 wide."""
    there = np.array([1000.0, -1000.0 * (100 - 50 - 1e-6) / 80.0, 0.0])  # metres, in float64
    camera = Camera(K, AXES, (), (SIZE[1], SIZE[0]))
    (x, _), _ = (part[0] for part in camera.project(there[None]))
    assert x < 100
    assert np.float32(x) == 100
    turned = AXES.copy()
    turned[:3, 3] = AXES[:3, :3] @ there  # the scanner stands there, so that the position survives the file's float32
    write_calibration(tmp_path / "c.json", Camera(K, turned, (), (SIZE[1], SIZE[0])))
    cloud = np.concatenate([np.array([[0.0, 0.0, 0.0, 0.5]]), _cloud(200) - (1000, -600, 0, 0)]).astype(np.float32)
    cloud.tofile(tmp_path / "a.bin")
    sensor = replace(SENSOR, range=(0.0, 2000.0), occlusion=3)
    points = sensor.read(Shot((tmp_path / "a.bin",), tmp_path / "c.json"))
    assert points.pixels[:, 0].max() < SIZE[1]


def test_densifying_takes_the_nearest_return_within_reach() -> None:
    points = Points(np.array([[2.5, 2.5], [12.5, 2.5]], np.float32), np.ones(2, np.float32), np.array([[1.0], [2.0]], np.float32), (6, 20))
    drawn = splat(points, IDENTITY, (6, 20), Box(0, 0, 20, 6))
    valid = densify(drawn, 3)
    assert drawn.values[2, 5, 0] == 1.0
    assert drawn.values[2, 9, 0] == 2.0
    assert not valid[2, 7]
    assert valid[:, 16:].sum() == 0
    assert drawn.count.sum() == 2, "density counts returns, not what was filled in"


def test_birds_eye_view_shows_the_highest_point_ahead_at_the_top(tmp_path: Path) -> None:
    sensor = LiDAR(outputs=("height", "valid"), project="above", area=(0.0, 20.0, -10.0, 10.0), cell=0.5, range=(0.0, 60.0))
    cloud = np.concatenate([np.array([[15.1, 3.1, -1.0, 0], [15.1, 3.1, 2.0, 0]]), np.tile([1.0, -8.0, 0.0, 0.0], (10, 1))])
    np.save(tmp_path / "a.npy", cloud)
    reading = sensor.read(Shot((tmp_path / "a.npy",)))
    assert reading.shape == (40, 40)
    image = sensor.place(reading, IDENTITY, (40, 40), Box(0, 0, 40, 40))
    assert image[9, 13].tolist() == [2.0, 1.0]
    assert image[38, 36].tolist() == [0.0, 1.0]
    assert sensor.show(filled(image, sensor))[0, 0].tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="a bird's-eye view has no crop"):
        sensor.place(reading, IDENTITY, (40, 40), Box(0, 0, 20, 40))


def test_jitter_drops_returns_and_shifts_ranges(tmp_path: Path) -> None:
    sensor = LiDAR(outputs=("range", "valid"), range=(0.5, 60.0), dropout=1.0, noise=0.1)
    image = sensor.place(sensor.read(_shot(tmp_path, _cloud())), IDENTITY, SIZE, WHOLE)
    changed = sensor.jitter(image, np.random.default_rng(3))
    there, left = image[..., 1] > 0, changed[..., 1] > 0
    assert not (left & ~there).any(), "no return out of nothing"
    assert 0.1 < left.sum() / there.sum() < 0.95
    assert np.isnan(changed[~left][:, 0]).all()
    assert (changed[~left][:, 1] == 0).all()
    assert (changed - image)[left][:, 0].std() == pytest.approx(0.1, rel=0.1)


def _write(path: Path, cloud: np.ndarray) -> None:
    if path.suffix == ".bin":
        cloud.tofile(path)
    elif path.suffix == ".npy":
        np.save(path, cloud)
    elif path.suffix == ".pcd":
        pypcd4 = pytest.importorskip("pypcd4", reason="the extra 'lidar' is not installed")
        pypcd4.PointCloud.from_xyzi_points(cloud).save(path)
    elif path.suffix == ".ply":
        plyfile = pytest.importorskip("plyfile", reason="the extra 'lidar' is not installed")
        fields = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("intensity", "f4")]
        vertex = np.array([tuple(row) for row in cloud], fields)
        plyfile.PlyData([plyfile.PlyElement.describe(vertex, "vertex")]).write(path)
    else:
        laspy = pytest.importorskip("laspy", reason="the extra 'lidar' is not installed")
        las = laspy.LasData(laspy.LasHeader(point_format=0, version="1.2"))
        las.header.scales = np.array([1e-4] * 3)
        las.x, las.y, las.z = cloud[:, :3].T.astype(np.float64)
        las.intensity = cloud[:, 3].astype(np.uint16)
        las.write(path)


@pytest.mark.parametrize("suffix", [".bin", ".npy", ".pcd", ".ply", ".las"])
def test_every_format_gives_the_same_points(tmp_path: Path, suffix: str) -> None:
    cloud = _cloud(50)
    cloud[:, 3] = np.arange(50)
    _write(tmp_path / f"a{suffix}", cloud)
    scan = read_scan(tmp_path / f"a{suffix}", 4)
    assert scan.points == pytest.approx(cloud, abs=1e-4)
    assert np.array_equal(read_scan(packed([tmp_path / f"a{suffix}"], tmp_path / "packed")[0], 4).points, scan.points)


def test_coordinates_on_a_map_keep_their_millimetres(tmp_path: Path) -> None:
    laspy = pytest.importorskip("laspy", reason="the extra 'lidar' is not installed")
    las = laspy.LasData(laspy.LasHeader(point_format=0, version="1.2"))
    las.header.scales, las.header.offsets = np.array([1e-3] * 3), np.array([5e5, 5.4e6, 0.0])
    las.x, las.y, las.z = np.full(8, 500_123.4), 5_412_345 + 0.05 * np.arange(8), np.zeros(8)
    las.write(tmp_path / "map.las")
    assert np.diff(read_scan(tmp_path / "map.las", 4).points[:, 1]) == pytest.approx(np.full(7, 0.05), abs=1e-6)


def test_three_columns_have_no_intensity(tmp_path: Path) -> None:
    _cloud(20)[:, :3].tofile(tmp_path / "a.bin")
    scan = read_scan(tmp_path / "a.bin", 3)
    assert not scan.intensity
    assert (scan.points[:, 3] == 0).all()
    with pytest.raises(ValueError, match=r"a\.bin: has no intensity under a known name.*\['x', 'y', 'z'\]: set intensity_field"):
        LiDAR(project="above", columns=3).read(Shot((tmp_path / "a.bin",)))


def test_nuscenes_bins_have_five_columns(tmp_path: Path) -> None:
    cloud = _cloud(40)
    np.column_stack([cloud, np.arange(40, dtype=np.float32)]).tofile(tmp_path / "a.pcd.bin")
    assert np.array_equal(read_scan(tmp_path / "a.pcd.bin", 5).points, cloud)


def _sweep(columns: int, count: int = 2000) -> np.ndarray:
    """x, y, z, intensity, ring, time and two more of a scanner of 32 beams, as many as asked for."""
    rng = np.random.default_rng(0)
    ring = np.arange(count) % 32
    xyz = rng.uniform((-50, -50, -2), (50, 50, 4), (count, 3))
    more = [rng.integers(0, 255, count), ring, np.linspace(0, 0.1, count), rng.integers(0, 9, count), np.full(count, 2)]
    return np.column_stack([xyz, *more]).astype(np.float32)[:, :columns]


def test_numbers_of_64_bits_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    _sweep(4).astype(np.float64).tofile(path)
    with pytest.raises(ValueError, match=r"a.bin: holds numbers of 64 bits, not of 32; save it as float32"):
        find_columns([path])
    with pytest.raises(ValueError, match="64 bits"):
        LiDAR(project="above").read(Shot((path,)))


@pytest.mark.parametrize("columns", [3, 4, 5, 6, 7, 8])
def test_the_numbers_of_a_point_are_found_and_another_count_is_refused(tmp_path: Path, columns: int) -> None:
    """2,000 points are whole rows of 4, 5 and 8 numbers whatever they are, so their count says nothing."""
    path = tmp_path / "a.bin"
    _sweep(columns).tofile(path)
    assert find_columns([path]) == columns
    assert len(read_scan(path, columns).points) == 2000
    for wrong in (4, 5, 8):
        if wrong % columns == 0:  # two points to a row fit as well, and whoever writes that must mean it
            continue
        with pytest.raises(ValueError, match=rf"a\.bin: its points have {columns} numbers each, not {wrong}; set columns = {columns}"):
            read_scan(path, wrong)
    found = LiDAR.clues({"project": "above", "outputs": ["range"], "range": [0.0, 80.0]}, [Shot((path,))]).settings
    assert found == ({} if columns == 4 else {"columns": columns}), "also where the required settings are given"


def test_files_of_two_widths_are_no_one_sensor(tmp_path: Path) -> None:
    for columns in (4, 5):
        _sweep(columns).tofile(tmp_path / f"{columns}.bin")
    with pytest.raises(ValueError, match=r"4\.bin has 4 numbers per point and .*5\.bin has 5"):
        find_columns([tmp_path / "4.bin", tmp_path / "5.bin"])
    np.zeros(400, np.float32).tofile(tmp_path / "few.bin")
    assert find_columns([tmp_path / "few.bin"]) == 0, "too few numbers to tell"


def _named(path: Path, field: str) -> Shot:
    """As `.npy` with fields: what every format that names them is read by."""
    cloud = np.zeros(500, [(name, "f4") for name in ("X", "Y", "Z", field)])
    for name in ("X", "Y", "Z"):
        cloud[name] = np.random.default_rng(0).uniform(1, 9, 500)
    cloud[field] = np.arange(500)
    np.save(path, cloud)
    return Shot((path,))


@pytest.mark.parametrize("field", ["intensity", "Intensity", "reflectivity", "scalar_Intensity", "remission", "Amplitude"])
def test_an_intensity_is_known_by_the_names_that_drivers_give_it(tmp_path: Path, field: str) -> None:
    shot = _named(tmp_path / "a.npy", field)
    scan = read_scan(shot.only, 4)
    assert (scan.intensity, scan.points[-1, 3]) == (field, 499)
    known = LiDAR.clues({}, [shot]).settings
    assert known["outputs"] == ("range", "intensity", "valid")
    assert known.get("intensity_field", "intensity").lower() == field.lower()


def test_an_intensity_under_another_name_is_asked_for(tmp_path: Path) -> None:
    shot = _named(tmp_path / "a.npy", "echo")
    clue = LiDAR.clues({}, [shot])
    assert clue.settings["outputs"] == ("range", "valid")
    assert clue.told == "no intensity under a known name among ['X', 'Y', 'Z', 'echo']: set intensity_field"
    sensor = LiDAR(project="above", outputs=("intensity",))
    with pytest.raises(ValueError, match=r"a\.npy: has no intensity under a known name.*\['X', 'Y', 'Z', 'echo'\]: set intensity_field"):
        sensor.read(shot)
    assert replace(sensor, intensity_field="Echo").read(shot).values[:, 2].max() == 499
    with pytest.raises(ValueError, match=r"a\.npy: has no field 'pulse' for the intensity; it has \['X'"):
        replace(sensor, intensity_field="pulse").read(shot)


def test_files_of_two_drivers_are_not_mixed_in_silence(tmp_path: Path) -> None:
    shots = [_named(tmp_path / f"{field}.npy", field) for field in ("intensity", "reflectivity")]
    with pytest.raises(ValueError, match=r"more than one name.*intensity\.npy has 'intensity' among.*reflectivity\.npy has 'reflectivity'"):
        LiDAR.clues({}, shots)
    assert "intensity_field" not in LiDAR.clues({"intensity_field": ""}, shots).settings


def test_a_ray_without_return_is_left_out_of_an_organised_cloud_and_an_error_elsewhere(tmp_path: Path) -> None:
    cloud = _cloud(50)
    cloud[7] = np.nan
    _write(tmp_path / "a.bin", cloud)
    with pytest.raises(ValueError, match=r"a\.bin: 1 of 50 points are not finite, the first is number 7"):
        read_scan(tmp_path / "a.bin", 4)
    pypcd4 = pytest.importorskip("pypcd4", reason="the extra 'lidar' is not installed")
    scan = pypcd4.PointCloud.from_xyzi_points(cloud)
    scan.metadata.width, scan.metadata.height = 10, 5
    scan.save(tmp_path / "a.pcd")
    assert len(read_scan(tmp_path / "a.pcd", 4).points) == 49


def test_scans_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    shot = _shot(tmp_path, _cloud())
    (tmp_path / "cut.bin").write_bytes(shot.only.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"cut\.bin: 11999 numbers are not rows of 4; is the file cut off, or `columns` wrong"):
        SENSOR.read(replace(shot, paths=(tmp_path / "cut.bin",)))
    (tmp_path / "empty.bin").touch()
    with pytest.raises(ValueError, match=r"empty\.bin: holds no points"):
        SENSOR.read(replace(shot, paths=(tmp_path / "empty.bin",)))
    with pytest.raises(FileNotFoundError, match=r"none\.bin"):
        SENSOR.read(replace(shot, paths=(tmp_path / "none.bin",)))
    with pytest.raises(ValueError, match=r"a\.txt: a scan is one of \['.bin'"):
        SENSOR.read(replace(shot, paths=(tmp_path / "a.txt",)))
    np.save(tmp_path / "flat.npy", np.zeros(5))
    with pytest.raises(ValueError, match=r"flat\.npy: points are \(N, 3 or more\) numbers, this is \(5,\)"):
        SENSOR.read(replace(shot, paths=(tmp_path / "flat.npy",)))
    with pytest.raises(ValueError, match=r"a\.bin: project='camera' needs the row's calibration"):
        SENSOR.read(replace(shot, calibration=None))
    behind = _shot(tmp_path, _cloud() * np.float32((-1, 1, 1, 1)), "behind.bin")
    with pytest.raises(ValueError, match=r"behind\.bin: 0 of 3000 points fall into the 100x60 frame .* do the calibration .*c\.json"):
        SENSOR.read(behind)
    write_calibration(tmp_path / "c.json", Camera(K, AXES))
    with pytest.raises(ValueError, match=r"c\.json: does not state the image's size; set size = \[width, height\]"):
        SENSOR.read(shot)
    assert replace(SENSOR, size=(100, 60)).read(shot).shape == SIZE


def test_impossible_settings_are_named() -> None:
    for changes, message in (
        ({"outputs": ("reach",)}, r"outputs are some of \['range', 'height'"),
        ({"project": "front"}, "project is 'camera' or 'above'"),
        ({"range": (5.0, 5.0)}, "range and area must rise"),
        ({"densify": -1}, "occlusion, densify and noise are 0 or more"),
        ({"mean": (1.0,)}, "mean and std need 5 values each"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(SENSOR, **changes)
