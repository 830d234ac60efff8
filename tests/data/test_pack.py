"""A packed data set is the loose one bit for bit, in each setting; a broken shard is named with the file and the row."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_pairs import make, parts

from xkd.batch import View
from xkd.data.annotations import Masks
from xkd.data.check import check_pairs
from xkd.data.identity import identity
from xkd.data.images import find_images, read_sample
from xkd.data.manifest import Manifest, sensor
from xkd.data.pack import pack, unpack
from xkd.data.redraw import with_boxes
from xkd.data.shuffle import Shuffle
from xkd.geometry import Box
from xkd.packed import INDEX

SHARD = 60_000  # bytes: several shards
SETTINGS: dict[str, dict[str, Any]] = {
    "train": {"split": "train"},
    "pixels, kept in memory": {"target": "mask", "cache": True},
    "boxes": {"masks": Masks("boxes")},
    "strangers": {"shuffle": Shuffle("rgb", within="class")},
}


@pytest.fixture
def shards(tiny_dataset: Path, tmp_path: Path) -> Path:
    pack(Manifest.load(tiny_dataset), tmp_path / "packed", shard=SHARD)
    return tmp_path / "packed"


@pytest.fixture(scope="module")
def kept(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for tests that leave it as it is."""
    out = tmp_path_factory.mktemp("pack") / "packed"
    pack(Manifest.load(tiny_dataset), out, shard=SHARD)
    return out


@pytest.mark.parametrize("name", SETTINGS)
def test_samples_are_those_of_the_loose_files(name: str, tiny_dataset: Path, kept: Path) -> None:
    loose, packed = make(tiny_dataset, **SETTINGS[name]), make(kept, **SETTINGS[name])
    assert len(list(kept.glob("shard_*.bin"))) > 2
    assert not list(kept.rglob("*.png"))
    assert [row.id for row in packed.rows] == [row.id for row in loose.rows]
    packed = pickle.loads(pickle.dumps(packed))
    for index in range(len(loose)):
        for draw in (-1, 1):
            assert parts(packed[index, draw]) == parts(loose[index, draw])


def test_what_is_unpacked_is_what_was_packed(tiny_dataset: Path, kept: Path, tmp_path: Path) -> None:
    ticks: list[int] = []
    count = unpack(Manifest.load(kept), tmp_path / "loose", lambda: ticks.append(1))
    files = [path for path in (tmp_path / "loose").rglob("*") if path.is_file()]
    assert all(path.read_bytes() == (tiny_dataset / path.relative_to(tmp_path / "loose")).read_bytes() for path in files)
    assert len(ticks) == count == len(files) - 2
    assert parts(make(tmp_path / "loose")[0]) == parts(make(kept)[0])


def test_a_file_larger_than_a_shard_stays_loose(copy: Path, tmp_path: Path) -> None:
    large = copy / "rgb" / "24.png"
    large.write_bytes(large.read_bytes() + bytes(SHARD))
    done = pack(Manifest.load(copy), tmp_path / "packed", shard=SHARD)
    assert [path.relative_to(tmp_path / "packed").as_posix() for path in (tmp_path / "packed").rglob("*.png")] == ["rgb/24.png"]
    assert done.loose == ("rgb/24.png",)
    again = pack(Manifest.load(tmp_path / "packed"), tmp_path / "again")
    assert (again.files, again.shards, again.loose) == (done.files + 1, 1, ()), "a packed set can be packed again"
    assert parts(make(tmp_path / "again")[0]) == parts(make(tmp_path / "packed")[0]) == parts(make(copy)[0])


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)


def test_a_shard_that_is_missing_or_cut_off_is_named_before_the_first_step(shards: Path) -> None:
    first = shards / "shard_00000.bin"
    whole = first.read_bytes()
    for fault, why in ((Path.unlink, "which is missing"), (_cut, f"which has {len(whole) - 9} bytes in the place of {len(whole)}")):
        fault(first)
        with pytest.raises(ValueError, match=rf"row 'train-0': \S+rgb/00\.png: is in the shard \S+shard_00000\.bin, {why}; copy it again"):
            make(shards, split="train")
        make(shards)  # rows of val are elsewhere
        first.write_bytes(whole)
    make(shards, split="train")


@pytest.mark.parametrize(
    ("fault", "error", "why"),
    [
        (_change, ValueError, "in which bytes of it have changed"),
        (Path.unlink, FileNotFoundError, "which is missing"),
        (lambda path: path.write_bytes(b""), ValueError, "which is cut off after 0 bytes"),
    ],
)
def test_a_shard_that_breaks_later_is_named_with_the_row(
    fault: Callable[[Path], None], error: type[Exception], why: str, shards: Path
) -> None:
    dataset, skips = make(shards, split="train"), make(shards, split="train", on_broken="skip")
    fault(shards / "shard_00000.bin")
    with pytest.raises(error, match=rf"row 'train-0': \S+rgb/00\.png: is in the shard \S+shard_00000\.bin, {why}"):
        dataset[0]
    assert why in skips[0].broken
    assert skips[len(skips) - 1].broken == ""


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda data: data[:-1], "is cut off, or bytes of it have changed"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "is cut off, or bytes of it have changed"),
        (lambda data: data.replace(b"pack 1", b"pack 9"), r"its format is 'xkd pack 9', this xkd reads 'xkd pack 1'"),
        (lambda data: b"", "is no index of packed files"),
        (lambda data: b'{"format": "xkd pack 1"}\n', "is no index of packed files"),
    ],
)
def test_a_broken_index_is_named(damage: Callable[[bytes], bytes], why: str, shards: Path) -> None:
    (shards / INDEX).write_bytes(damage((shards / INDEX).read_bytes()))
    with pytest.raises(ValueError, match=rf"packed/pack\.index: .*{why}"):
        make(shards)


def test_a_file_that_is_missing_at_packing_is_named_and_nothing_is_left(copy: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(copy)
    (copy / "mask" / "01.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"mask/01\.png: no such file; row 'train-1'"):
        pack(manifest, tmp_path / "out")
    (copy / "mask" / "01.png").mkdir()  # which is found, and cannot be read
    with pytest.raises(OSError, match=r"mask/01\.png"):
        pack(manifest, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
    with pytest.raises(FileExistsError, match="is there already"):
        pack(manifest, copy)


def test_check_pairs_finds_the_same_and_names_what_is_broken(tiny_dataset: Path, shards: Path) -> None:
    def check(root: Path) -> Any:
        return check_pairs(Manifest.load(root), 6, 0, 2.0, lambda *done: None)

    first, second = check(tiny_dataset), check(shards)
    assert repr(replace(second, root=first.root)) == repr(first)
    _change(shards / "shard_00000.bin")
    broken = check(shards)
    assert broken.errors == 1
    assert "rgb/00.png (is in the shard" in broken.findings[0].text
    (shards / "shard_00000.bin").unlink()
    assert "shard_00000.bin, which is missing" in check(shards).findings[0].text


def test_a_packed_file_that_lies_on_the_disk_too_is_refused(tiny_dataset: Path, shards: Path) -> None:
    (shards / "rgb").mkdir()
    (shards / "rgb" / "00.png").write_bytes((tiny_dataset / "rgb" / "01.png").read_bytes())  # as a person would mend it
    with pytest.raises(ValueError, match=r"row 'train-0': \S+rgb/00\.png: is packed, and lies on the disk too, where it is not read"):
        make(shards, split="train")
    found = check_pairs(Manifest.load(shards), 6, 0, 2.0, lambda *done: None)
    assert found.errors == 1
    assert "rgb/00.png (is packed, and lies on the disk too" in found.findings[0].text


def test_other_boxes_stand_beside_the_same_shards(kept: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(kept)
    out = with_boxes(manifest, {"val-1": [(Box(1, 2, 30, 20), 0.5)]}, tmp_path / "boxed")
    assert (out / "shard_00000.bin").samefile(kept / "shard_00000.bin")
    assert parts(make(out)[0].views) == parts(make(kept)[0].views)


def test_images_of_a_packed_folder_are_found(tiny_dataset: Path, kept: Path) -> None:
    view = View("rgb", sensor(str(kept), "rgb"), (16, 24))
    packed = find_images([str(kept / "rgb")], view)
    named = {path for row in Manifest.load(kept).rows for path in row.files.get("rgb", ())}
    assert [f"rgb/{name}" for name in packed.values()] == sorted(named)
    assert parts(read_sample(kept / "rgb/24.png", view)) == parts(read_sample(tiny_dataset / "rgb/24.png", view))


def test_answers_of_a_teacher_are_for_these_bytes(copy: Path, kept: Path, tmp_path: Path) -> None:
    def identity_of(root: Path) -> str:
        dataset = make(root)
        return identity(dataset, dataset.views[0])

    _change(copy / "rgb" / "30.png")
    pack(Manifest.load(copy), tmp_path / "changed", shard=SHARD)
    assert identity_of(kept) == identity_of(kept) != identity_of(tmp_path / "changed")
