"""A radiometric JPEG as a FLIR camera writes it, by https://exiftool.org/TagNames/FLIR.html."""

from __future__ import annotations

import struct

import cv2
import numpy as np

R1, R2, B, F, ADDED = 16951.8, 0.014294867, 1435.1, 1.0, -7142  # of Planck's law as FLIR calibrates it, an AX8's
_PIECE = 3000  # bytes of a segment, so that there are several


def counts_of(celsius: np.ndarray) -> np.ndarray:
    """What the detector counts of black bodies at no distance."""
    return np.rint(R1 / (R2 * (np.exp(B / (celsius + 273.15)) - F)) - ADDED).astype("<u2")


def segment(marker: int, content: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + (len(content) + 2).to_bytes(2, "big") + content


def jpeg_with(segments: bytes, picture: np.ndarray) -> bytes:
    data = cv2.imencode(".jpg", picture)[1].tobytes()
    return data[:2] + segments + data[2:]


def camera_info(emissivity: float) -> bytes:
    info = bytearray(900)
    # emissivity, distance, then temperatures in kelvin: reflected, of the air, of the window; the window lets all through
    struct.pack_into("<6f", info, 32, emissivity, 0.0, 293.15, 293.15, 293.15, 1.0)
    struct.pack_into("<f", info, 60, 0.5)
    struct.pack_into("<3f", info, 88, R1, B, F)
    struct.pack_into("<5f", info, 112, 0.006569, 0.01262, -0.002276, -0.00667, 1.9)
    struct.pack_into("<if", info, 776, ADDED, R2)
    return bytes(info)


def records(kinds: dict[int, bytes]) -> bytes:
    """FLIR's file of records; the directory ends with two entries of none."""
    start = 64 + 32 * (len(kinds) + 2)
    directory, behind = b"", b""
    for kind, content in kinds.items():
        directory += struct.pack(">HHIIII", kind, 1, 100, 1, start + len(behind), len(content)).ljust(32, b"\0")
        behind += content
    header = b"FFF\0" + bytes(16) + struct.pack(">III", 100, 64, len(kinds) + 2)
    return header.ljust(64, b"\0") + directory + bytes(64) + behind


def flir_segments(whole: bytes) -> bytes:
    pieces = [whole[at : at + _PIECE] for at in range(0, len(whole), _PIECE)]
    return b"".join(segment(0xE1, b"FLIR\0\1" + bytes([at, len(pieces) - 1]) + piece) for at, piece in enumerate(pieces))


def flir_jpeg(celsius: np.ndarray, emissivity: float = 1.0) -> bytes:
    """(H, W) degrees Celsius below a picture of twice the size in false colours."""
    height, width = celsius.shape
    raw = struct.pack("<HHH", 2, width, height).ljust(32, b"\0") + counts_of(celsius).tobytes()
    grey = cv2.resize(cv2.normalize(celsius, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8), (2 * width, 2 * height))
    return jpeg_with(flir_segments(records({1: raw, 32: camera_info(emissivity)})), cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO))


def dji_jpeg(picture: np.ndarray) -> bytes:
    xmp = b'http://ns.adobe.com/xap/1.0/\0<rdf:Description xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/"/>'
    return jpeg_with(segment(0xE1, xmp) + segment(0xE3, bytes(5000)) + segment(0xE4, bytes(200)) + segment(0xE5, bytes(50)), picture)
