"""A scan that claims more than its file holds is refused before room is made for it."""

from __future__ import annotations

import struct
from pathlib import Path

import laspy
import numpy as np
import plyfile
import pytest

from xkd.modalities.scans import read_scan

POINTS = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
XYZ = "property float x\nproperty float y\nproperty double z\n"


@pytest.mark.parametrize(("at", "claims"), [(100, "records"), (243, "extended records"), (107, "points")])
def test_a_scan_that_claims_more_than_it_holds_is_refused(at: int, claims: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "claims.las"
    header = laspy.LasHeader(version="1.4", point_format=0)
    cloud = laspy.LasData(header)
    cloud.x, cloud.y, cloud.z = POINTS[:, :3].astype(np.float64).T
    cloud.write(path)
    assert len(read_scan(path, 4).points) == len(POINTS)
    data = bytearray(path.read_bytes())
    data[at : at + 4] = struct.pack("<I", 2**31)
    path.write_bytes(data)
    monkeypatch.setattr(laspy, "read", lambda *_: pytest.fail("its records were made"))
    with pytest.raises(
        ValueError, match=rf"claims\.las: cannot be read: its header claims records of \d+ bytes at least, the file has {len(data)}"
    ):
        read_scan(path, 4)


def test_an_array_that_claims_more_than_it_holds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "claims.npy"
    np.save(path, POINTS)
    data = path.read_bytes()
    monkeypatch.setattr(np, "fromfile", lambda *_, **__: pytest.fail("room was made"))
    assert len(read_scan(path, 4).points) == 30
    for claim in (b"(31, 4), }", b"(9999999999, 4), }", b"(2305843009213693952, 4), }"):
        path.write_bytes(data.replace(b"(30, 4), }".ljust(len(claim)), claim))
        with pytest.raises(ValueError, match=r"claims\.npy: cannot be read: "):
            read_scan(path, 4)
    np.savez(tmp_path / "several.npz", points=POINTS)
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    with pytest.raises(ValueError, match=r"several\.npy: holds several arrays"):
        read_scan(tmp_path / "several.npy", 4)


def ply(kind: str, rows: int, more: str, held: bytes) -> bytes:
    return f"ply\nformat {kind} 1.0\nelement vertex {rows}\n{XYZ}{more}end_header\n".encode() + held


FACES = "element face {}\nproperty list uchar int vertex_indices\n"
BINARY, TEXT = "binary_little_endian", "ascii"
ROW = struct.pack("<ffd", 1, 2, 3)
CLAIMS = {
    "points": ply(BINARY, 2**31, "", 2 * ROW),
    "points in text": ply(TEXT, 2**31, "", b"1 2 3\n"),
    "faces": ply(BINARY, 2, FACES.format(10**9), 2 * ROW + b"\0"),
    "faces in text": ply(TEXT, 1, FACES.format(10**9), b"1 2 3\n0\n"),
    "rows of nothing": ply(BINARY, 2, "element nothing 99999999999\n", 2 * ROW),
}


@pytest.mark.parametrize("claims", CLAIMS)
def test_a_mesh_that_claims_more_than_it_holds_is_refused(claims: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "claims.ply"
    path.write_bytes(CLAIMS[claims])
    monkeypatch.setattr(plyfile.PlyData, "read", lambda *_: pytest.fail("its records were made"))
    with pytest.raises(ValueError, match=r"claims\.ply: cannot be read: its header claims records of \d+ bytes at least, the file has \d+"):
        read_scan(path, 4)


def test_a_mesh_without_an_end_to_its_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "long.ply").write_bytes(b"ply\nformat ascii 1.0\n" + b"comment x\n" * 500)
    with pytest.raises(ValueError, match=r"long\.ply: cannot be read: its header has no end within 5021 bytes"):
        read_scan(tmp_path / "long.ply", 4)


@pytest.mark.parametrize(
    "whole",
    [
        ply(BINARY, 2, "", 2 * ROW),
        ply(BINARY, 2, FACES.format(3), 2 * ROW + bytes(3)),
        ply(TEXT, 2, FACES.format(1), b"1 2 3\n1 2 3\n1 0"),
        ply(TEXT, 2, "", b"1 2 3\n1 2 3").replace(b"\n", b"\r\n"),
    ],
)
def test_a_mesh_that_holds_just_what_it_claims_is_read(whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "whole.ply").write_bytes(whole)
    assert read_scan(tmp_path / "whole.ply", 4).points[:, :3].tolist() == [[1, 2, 3]] * 2
