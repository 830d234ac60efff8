"""Read a scanner's points from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xkd.modalities.claims import check_las, check_ply

SCANS: Final = (".bin", ".npy", ".pcd", ".ply", ".las", ".laz")  # suffixes of what is read here
_EXTRA: Final = "pip install 'xkd[lidar]'"


def read_scan(path: Path, columns: int) -> NDArray[np.float64]:
    """(N, 4) `float64`, for coordinates on a map: x, y, z in metres and intensity as the file has it, 0 where it has none.

    `.bin` is raw float32 of `columns` numbers per point (KITTI 4, nuScenes 5), `.npy` an array (N, 3 or more); `.pcd`, `.ply` and
    `.las`/`.laz` name their fields. In an organised `.pcd` a point that is not a number is a ray without return, and is left out;
    anywhere else it is an error. Raises `ValueError` and `FileNotFoundError`, which name the file.
    """
    suffix = path.suffix.lower()
    if suffix not in SCANS:
        raise ValueError(f"{path}: a scan is one of {list(SCANS)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if suffix == ".bin":
        points = _read_bin(path, columns)
    elif suffix == ".npy":
        points = _read_npy(path)
    else:
        reader = {".pcd": _read_pcd, ".ply": _read_ply}.get(suffix, _read_las)
        try:
            points = reader(path)
        except ImportError as error:
            raise ValueError(f"{path}: reading {suffix} needs the package '{error.name}': {_EXTRA}") from error
        except Exception as error:  # what the libraries raise for a damaged file is of every kind
            raise ValueError(f"{path}: cannot be read: {error}") from error
    if not len(points):
        raise ValueError(f"{path}: holds no points")
    if (wrong := ~np.isfinite(points).all(1)).any():
        raise ValueError(f"{path}: {int(wrong.sum())} of {len(points)} points are not finite, the first is number {int(wrong.argmax())}")
    return points


def _read_bin(path: Path, columns: int) -> NDArray[np.float64]:
    numbers = np.fromfile(path, np.float32)
    if len(numbers) % columns:
        raise ValueError(
            f"{path}: {len(numbers)} numbers are not rows of {columns}; is the file cut off, or `columns` wrong (KITTI 4, nuScenes 5)?"
        )
    points = numbers.reshape(-1, columns)
    return _with_intensity(points[:, :3], points[:, 3] if columns > 3 else None)


def _read_npy(path: Path) -> NDArray[np.float64]:
    try:
        points = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: else room is made for all that the header claims
    except Exception as error:  # for a damaged header also what Python's own parser raises
        raise ValueError(f"{path}: cannot be read: {error}") from error
    if not isinstance(points, np.ndarray):
        raise ValueError(f"{path}: holds several arrays (.npz); a scan is one")
    if points.ndim != 2 or points.shape[1] < 3 or points.dtype.kind not in "fiu":
        raise ValueError(f"{path}: points are (N, 3 or more) numbers, this is {points.shape} of {points.dtype}")
    return _with_intensity(points[:, :3], points[:, 3] if points.shape[1] > 3 else None)


def _read_pcd(path: Path) -> NDArray[np.float64]:
    from pypcd4.pypcd4 import PointCloud

    cloud = PointCloud.from_path(path)
    intensity = cloud.numpy(("intensity",))[:, 0] if "intensity" in cloud.fields else None
    points = _with_intensity(cloud.numpy(("x", "y", "z")), intensity)
    return points[np.isfinite(points[:, :3]).all(1)] if cloud.metadata.height > 1 else points


def _read_ply(path: Path) -> NDArray[np.float64]:
    from plyfile import PlyData

    check_ply(path)
    vertex = PlyData.read(path)["vertex"]
    names = [entry.name for entry in vertex.properties]
    intensity = next((vertex[name] for name in ("intensity", "scalar_intensity", "reflectance") if name in names), None)
    return _with_intensity(np.stack([vertex["x"], vertex["y"], vertex["z"]], 1), intensity)


def _read_las(path: Path) -> NDArray[np.float64]:
    import laspy

    check_las(path)
    cloud = laspy.read(path)
    return _with_intensity(np.asarray(cloud.xyz), np.asarray(cloud.intensity))


def _with_intensity(xyz: NDArray[Any], intensity: NDArray[Any] | None) -> NDArray[np.float64]:
    last = np.zeros(len(xyz)) if intensity is None else intensity
    return np.column_stack([xyz, last]).astype(np.float64)
