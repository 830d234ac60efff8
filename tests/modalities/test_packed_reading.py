"""Files of special kinds are read from a shard as from the disk: samples of shards of whole data sets are in tests/data/test_pack.py."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from flir_file import flir_jpeg
from packed_files import packed
from PIL import Image

from xkd import packed as packs
from xkd.modalities import RGB, Thermal
from xkd.modality import Modality, Shot

KELVIN = Thermal(unit="K", range=(280.0, 320.0))


def _write(path: Path) -> Modality:
    rng = np.random.default_rng(0)
    if path.suffix == ".tif":
        tifffile.imwrite(path, rng.integers(0, 255, (16, 24, 3), dtype=np.uint8), compression="deflate")
    elif path.stem == "flir":
        pytest.importorskip("flyr", reason="the extra 'flir' is not installed")
        path.write_bytes(flir_jpeg(rng.uniform(10, 30, (8, 12)).astype(np.float32)))
        return KELVIN
    else:
        turned = Image.Exif()
        turned[0x0112] = 6
        Image.fromarray(rng.integers(0, 255, (16, 24, 3), dtype=np.uint8)).save(path, exif=turned)
    return RGB()


@pytest.mark.parametrize("name", ["bands.tif", "flir.jpg", "turned.jpg"])
def test_it_is_read_as_from_the_disk(name: str, tmp_path: Path) -> None:
    sensor = _write(tmp_path / name)
    shots = [Shot((tmp_path / name,)), Shot((packed([tmp_path / name], tmp_path / "packed")[0],))]
    loose, other = (sensor.read(shot) for shot in shots)
    assert loose.dtype == other.dtype
    assert np.array_equal(loose, other)
    if isinstance(sensor, RGB):
        frames = [sensor.frame(shot) for shot in shots]
        assert frames == [(24, 16) if name == "turned.jpg" else None] * 2


def test_a_look_at_the_header_ends_where_the_file_does(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abcdef")
    (tmp_path / "b").write_bytes(b"ghi")
    first, second = packed([tmp_path / "a", tmp_path / "b"], tmp_path / "packed")
    with packs.opened(first) as file:
        assert (file.read(2), file.seek(-1, 2), file.read(9), file.read(1)) == (b"ab", 5, b"f", b"")
        assert (file.seek(1), file.read()) == (1, b"bcdef")
    assert packs.content(second) == b"ghi"
    assert (packs.size_of(first), packs.is_there(first), packs.is_there(tmp_path / "packed" / "c")) == (6, True, False)


def test_a_mistaken_name_is_no_file(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4), np.uint8))
    [path] = packed([tmp_path / "a.png"], tmp_path / "packed")
    with pytest.raises(FileNotFoundError, match=r"b\.png"):
        RGB().read(Shot((path.with_name("b.png"),)))
