from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from xkd.data.cache import Shards, TeacherCache

SHAPES = {"output": (10,), "deep": (3, 8, 6), "pooled": (5,)}


def make_readings(rows: int = 5) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: torch.randn(rows, *shape) for name, shape in SHAPES.items()}


def test_exact_readings_come_back_as_they_were() -> None:
    readings = {**make_readings(), "pooled": torch.randn(5, 5, dtype=torch.bfloat16)}
    cache = TeacherCache(draws=1)
    for name, reading in cache.restore(cache.compact(readings), SHAPES).items():
        assert reading.dtype == readings[name].dtype
        assert torch.equal(reading, readings[name])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_rounded_readings_take_half(dtype: Any) -> None:
    readings, cache = make_readings(), TeacherCache(draws=1, dtype=dtype)
    kept = cache.compact(readings)
    assert sum(tensor.nbytes for tensor in kept.values()) * 2 == sum(tensor.nbytes for tensor in readings.values())
    for name, reading in cache.restore(kept, SHAPES).items():
        torch.testing.assert_close(reading.float(), readings[name], atol=0.02, rtol=0.01)


def test_the_largest_scores_stay_and_the_others_share_what_probability_is_left() -> None:
    readings, cache = make_readings(), TeacherCache(draws=1, top_k=3)
    kept = cache.compact(readings)
    assert {name for name in kept if name.startswith("output")} == {"output.values", "output.index", "output.rest"}
    restored, exact = cache.restore(kept, SHAPES)["output"].softmax(1), readings["output"].softmax(1)
    largest = exact.topk(3, 1).indices
    torch.testing.assert_close(restored.gather(1, largest), exact.gather(1, largest))
    others = restored.scatter(1, largest, torch.nan)
    assert all(len(row[~row.isnan()].unique()) == 1 for row in others)
    assert "output" in TeacherCache(draws=1, top_k=10).compact(readings), "there are no others to share"


def test_maps_are_averaged_and_come_back_at_their_size() -> None:
    cache = TeacherCache(draws=1, grid=4)
    readings = {"deep": torch.arange(8.0)[:, None].expand(2, 3, 8, 6).contiguous()}
    kept = cache.compact(readings)
    assert kept["deep"].shape == (2, 3, 4, 4)
    assert kept["deep"][0, 0, :, 0].tolist() == [0.5, 2.5, 4.5, 6.5]
    restored = cache.restore(kept, {"deep": (3, 8, 6)})["deep"]
    assert restored.shape == (2, 3, 8, 6)
    torch.testing.assert_close(restored[0, 0, 1:7, 0], torch.arange(1.0, 7.0) + torch.tensor([0, 0, 0, 0, 0, 0.0]), atol=0.3, rtol=0)


@pytest.mark.parametrize(
    "options", [{"draws": 0}, {"draws": 1.5}, {"draws": 1, "dtype": "int8"}, {"draws": 1, "top_k": -1}, {"draws": 1, "grid": 0.5}]
)
def test_what_makes_no_cache(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="teacher_cache: "):
        TeacherCache(**options)


def make_shards(folder: Path, **options: Any) -> Shards:
    return Shards(folder, "thermal", TeacherCache(draws=2, **options), num_rows=5, size=2, shapes=SHAPES)


def test_shards_are_read_by_row_and_draw(tmp_path: Path) -> None:
    shards, by_draw = make_shards(tmp_path), [make_readings(), {name: -reading for name, reading in make_readings().items()}]
    assert shards.places == [(0, 0), (0, 2), (0, 4), (1, 0), (1, 2), (1, 4)]
    for draw, first in shards.places:
        assert not shards.holds(draw, first)
        rows = list(shards.rows(first))
        shards.write(draw, first, shards.cache.compact({name: reading[rows] for name, reading in by_draw[draw].items()}), {})
        assert shards.holds(draw, first)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".safetensors"] * 6
    for reader in (shards, pickle.loads(pickle.dumps(shards))):
        for index, draw in ((0, 0), (3, 1), (4, 0)):
            readings = reader.read(index, draw)
            assert list(readings) == ["thermal.output", "thermal.deep", "thermal.pooled"]
            assert all(torch.equal(reading, by_draw[draw][name.removeprefix("thermal.")][index]) for name, reading in readings.items())
    with pytest.raises(KeyError, match=r"no draw 2 in the teacher cache .*: it has 2, from 0 on"):
        shards.read(0, 2)


def test_a_shard_that_is_cut_off_or_of_other_rows_is_not_there(tmp_path: Path) -> None:
    shards = make_shards(tmp_path)
    shards.write(0, 0, shards.cache.compact(make_readings(2)), {})
    shards.write(0, 2, shards.cache.compact(make_readings(1)), {})
    path = shards.path(0, 0)
    assert shards.holds(0, 0)
    assert not shards.holds(0, 2)
    for content in (path.read_bytes()[:-5], b"", b"{}"):
        path.write_bytes(content)
        assert not shards.holds(0, 0)


def test_a_flipped_bit_is_seen(tmp_path: Path) -> None:
    shards = make_shards(tmp_path)
    shards.write(0, 0, shards.cache.compact(make_readings(2)), {})
    content = bytearray(shards.path(0, 0).read_bytes())
    content[-3] ^= 64
    shards.path(0, 0).write_bytes(content)
    assert not shards.holds(0, 0)


def test_rows_that_could_not_be_read_are_told_and_asked_again(tmp_path: Path) -> None:
    shards = make_shards(tmp_path)
    shards.write(0, 2, shards.cache.compact(make_readings(2)), {3: "the file is cut off"})
    assert not shards.holds(0, 2), "it may be whole by the next run"
    assert [shards.broken(index, 0) for index in (2, 3)] == ["", "the file is cut off"]
