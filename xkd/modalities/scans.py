"""Read a scanner's points from a file."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xkd.modalities.claims import check_las, check_ply
from xkd.modalities.strides import check_columns, read_numbers
from xkd.packed import is_there, source

SCANS: Final = (".bin", ".npy", ".pcd", ".ply", ".las", ".laz")  # suffixes of what is read here
# the intensity's names in lower case: Ouster has `reflectivity`, CloudCompare `scalar_Intensity`, RIEGL `amplitude`
INTENSITIES: Final = (
    "intensity",
    "scalar_intensity",
    "reflectance",
    "scalar_reflectance",
    "reflectivity",
    "scalar_reflectivity",
    "remission",
    "scalar_remission",
    "intensities",
    "amplitude",
    "i",
)
_EXTRA: Final = "pip install 'xkd[lidar]'"


@dataclass(frozen=True)
class Scan:
    """`points` (N, 4) `float64`, for coordinates on a map: x, y, z in metres and intensity as the file has it.

    `intensity` is the name of the field that it was read from, empty where the file has none: then it is 0. `fields` are the file's own.
    """

    points: NDArray[np.float64]
    intensity: str
    fields: tuple[str, ...] = ()


def read_scan(path: Path, columns: int, field: str = "") -> Scan:
    """`.bin` is raw float32 of `columns` numbers per point (KITTI 4, nuScenes 5), `.npy` an array (N, 3 or more) or one with fields.

    `.pcd`, `.ply` and `.las`/`.laz` name their fields; `field` is that of the intensity, one of `INTENSITIES` in this order if it is empty.
    Case does not count. In an organised `.pcd` a point that is not a number is a ray without return, and is left out;
    anywhere else it is an error. Raises `ValueError` and `FileNotFoundError`, which name the file.
    """
    suffix = path.suffix.lower()
    if suffix not in SCANS:
        raise ValueError(f"{path}: a scan is one of {list(SCANS)}")
    if not is_there(path):
        raise FileNotFoundError(f"{path}: no such file")
    if suffix == ".bin":
        scan = _read_bin(path, columns)
    elif suffix == ".npy":
        scan = _read_npy(path, field)
    else:
        held = source(path)
        reader = {".pcd": _read_pcd, ".ply": _read_ply}.get(suffix, _read_las)
        try:
            scan = reader(path, held, field)
        except ImportError as error:
            raise ValueError(f"{path}: reading {suffix} needs the package '{error.name}': {_EXTRA}") from error
        except Exception as error:  # what the libraries raise for a damaged file is of every kind
            raise ValueError(f"{path}: cannot be read: {error}") from error
    points = scan.points
    if field and not scan.intensity:
        raise ValueError(f"{path}: has no field '{field}' for the intensity; it has {list(scan.fields)}")
    if not len(points):
        raise ValueError(f"{path}: holds no points")
    if (wrong := ~np.isfinite(points).all(1)).any():
        raise ValueError(f"{path}: {int(wrong.sum())} of {len(points)} points are not finite, the first is number {int(wrong.argmax())}")
    return scan


def _read_bin(path: Path, columns: int) -> Scan:
    numbers = read_numbers(path)
    check_columns(path, numbers, columns)
    return _of_rows(numbers.reshape(-1, columns))


def _read_npy(path: Path, field: str) -> Scan:
    held = source(path)
    try:
        # mapped where it is a file: else room is made for all that the header claims
        points = np.load(held, mmap_mode="r" if isinstance(held, Path) else None, allow_pickle=False)
    except Exception as error:  # for a damaged header also what Python's own parser raises
        raise ValueError(f"{path}: cannot be read: {error}") from error
    if not isinstance(points, np.ndarray):
        raise ValueError(f"{path}: holds several arrays (.npz); a scan is one")
    if points.dtype.names and points.ndim == 1:
        return _of_fields(path, points.dtype.names, lambda name: points[name], field)
    if points.ndim != 2 or points.shape[1] < 3 or points.dtype.kind not in "fiu":
        raise ValueError(f"{path}: points are (N, 3 or more) numbers, this is {points.shape} of {points.dtype}")
    return _of_rows(points)


def _read_pcd(path: Path, held: Path | io.BytesIO, field: str) -> Scan:
    from pypcd4.pypcd4 import PointCloud

    cloud = PointCloud.from_path(held) if isinstance(held, Path) else PointCloud.from_fileobj(io.BufferedReader(held))
    scan = _of_fields(path, cloud.fields, lambda name: cloud.numpy((name,))[:, 0], field)
    if cloud.metadata.height == 1:
        return scan
    return replace(scan, points=scan.points[np.isfinite(scan.points[:, :3]).all(1)])


def _read_ply(path: Path, held: Path | io.BytesIO, field: str) -> Scan:
    from plyfile import PlyData

    check_ply(path)
    vertex = PlyData.read(held)["vertex"]
    return _of_fields(path, [entry.name for entry in vertex.properties], lambda name: vertex[name], field)


def _read_las(path: Path, held: Path | io.BytesIO, field: str) -> Scan:
    import laspy

    check_las(path)
    cloud = laspy.read(held)
    names = ["x", "y", "z", *(name for name in cloud.point_format.dimension_names if name not in "XYZ")]
    return _of_fields(path, names, lambda name: np.asarray(cloud[name]), field)


def _of_rows(points: NDArray[Any]) -> Scan:
    has_intensity = points.shape[1] > 3
    return Scan(_columns(points[:, :3], points[:, 3] if has_intensity else None), "column 4" if has_intensity else "")


def _of_fields(path: Path, names: Sequence[str], get: Callable[[str], Any], field: str) -> Scan:
    by_name = {name.lower(): name for name in names}
    if missing := [axis for axis in "xyz" if axis not in by_name]:
        raise ValueError(f"{path}: has no field '{missing[0]}'; it has {list(names)}")
    wanted = (field.lower(),) if field else INTENSITIES
    intensity = next((by_name[name] for name in wanted if name in by_name), "")
    xyz = np.stack([np.asarray(get(by_name[axis])) for axis in "xyz"], 1)
    return Scan(_columns(xyz, np.asarray(get(intensity)) if intensity else None), intensity, tuple(names))


def _columns(xyz: NDArray[Any], intensity: NDArray[Any] | None) -> NDArray[np.float64]:
    last = np.zeros(len(xyz)) if intensity is None else intensity
    return np.column_stack([xyz, last]).astype(np.float64)
