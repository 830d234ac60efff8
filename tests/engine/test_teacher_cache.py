"""A run whose teacher answers from the disk is, bit for bit, the one whose teacher runs; nothing stale is ever read."""

from __future__ import annotations

import errno
import importlib
import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engine_runs as runs
import pytest
import timm
import torch
from rich.console import Console
from rich.progress import Progress

from xkd.data.cache import Shards
from xkd.data.manifest import Manifest
from xkd.engine import broken_rows, teacher_cache
from xkd.engine.loaders import build_distiller, build_loader
from xkd.graph.distiller import Distiller
from xkd.modalities.thermal import Thermal

CACHED = f"""{runs.GRAPH}
from xkd.data.cache import TeacherCache
from xkd.data.mix import Mix
from xkd.losses import AttentionCosine

distiller["branches"]["rgb"].update(taps=dict(look=dict(type=Tap, path="deep", kind="attention")))
distiller["branches"]["thermal"].update(taps=dict(look=dict(type=Tap, path="deep", kind="attention")))
distiller["terms"].update(look=dict(type=Term, loss=dict(type=AttentionCosine), student="rgb.look", teacher="thermal.look"))
train_cfg.update(max_epochs=3, val_interval=3)
teacher_cache = dict(type=TeacherCache, draws=2, folder="FOLDER")
"""
LIVE = {"teacher_cache": None, "train_dataloader.sampler.num_draws": 2}

Spied = list[int]


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Spied:
    """How many rows frozen branches answered, batch by batch, for the cache."""
    rows: Spied = []
    answers = Distiller.answers

    def spy(distiller: Distiller, name: str, batch: Any) -> Any:
        rows.append(len(batch))
        return answers(distiller, name, batch)

    monkeypatch.setattr(Distiller, "answers", spy)
    return rows


def config(tmp_path: Path, options: dict[str, Any] | None = None) -> Any:
    return runs.config_of(tmp_path, CACHED.replace("FOLDER", str(tmp_path / "cache")), options)


def output_of(config: Any, work_dir: Path, **settings: Any) -> str:
    page = io.StringIO()
    runs.run_training(config, work_dir, Console(file=page, width=400), **settings)
    return page.getvalue()


@pytest.fixture(autouse=True)
def in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some processors answer a row in the last bit otherwise at another place of its batch; of float64 training makes nothing of that."""
    monkeypatch.setattr("xkd.engine.train.build_distiller", runs.double)


@pytest.fixture(scope="module")
def cache(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run has left in its cache; read-only."""
    folder = tmp_path_factory.mktemp("cached")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xkd.engine.train.build_distiller", runs.double)
        runs.run_training(config(folder), folder / "run")
    return folder / "cache"


@pytest.fixture
def filled(cache: Path, tmp_path: Path) -> None:
    """A copy, where `config` has it."""
    shutil.copytree(cache, tmp_path / "cache")


def unlike(first: Path, second: Path) -> list[str]:
    """Names of weights that differ after the last epoch."""
    one, other = (runs.read(folder / "epoch_3.pth")["state_dict"] for folder in (first, second))
    assert list(one) == list(other)
    return [name for name in one if not torch.allclose(one[name], other[name], rtol=1e-9, atol=1e-9)]


BATCHES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "workers": {"train_dataloader.num_workers": 2},
    "whole batches": {"train_dataloader.drop_last": True, "train_dataloader.batch_size": 5},
    "labelled rows drawn again": {"train_dataloader.sampler.labelled_share": 0.9},
}


@pytest.mark.parametrize("options", BATCHES.values(), ids=list(BATCHES))
def test_an_exact_cache_gives_the_weights_of_the_live_run(options: dict[str, Any], tmp_path: Path) -> None:
    runs.run_training(config(tmp_path, {**LIVE, **options}), tmp_path / "live")
    text = output_of(config(tmp_path, options), tmp_path / "cached")
    assert unlike(tmp_path / "live", tmp_path / "cached") == []
    assert "thermal.output, thermal.look of 2" in text
    assert "in 2 draws" in text
    assert "teacher cache: branch 'average' stays live" in text


def test_a_teacher_with_convolutions_of_one_pixel_is_cached(tmp_path: Path, computed: Spied) -> None:
    """Channels last, their weights have strides that cannot be seen as bytes."""
    pointwise = {
        "distiller.branches.thermal.model": {"type": timm.create_model, "model_name": "test_resnet", "in_chans": 1, "num_classes": 3},
        "distiller.branches.thermal.taps.look.path": "stage:1",
        "train_cfg.max_epochs": 1,
    }
    runs.run_training(config(tmp_path, pointwise), tmp_path / "run")
    assert computed


def test_in_bfloat16_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xkd.engine.train.build_distiller", build_distiller)
    monkeypatch.setattr("xkd.engine.precision.bfloat16_pays", lambda: True)
    runs.run_training(config(tmp_path, LIVE), tmp_path / "live", amp=True)
    runs.run_training(config(tmp_path), tmp_path / "cached", amp=True)
    assert unlike(tmp_path / "live", tmp_path / "cached") == []


def test_a_second_run_computes_nothing_and_reads_no_pixel_of_the_teacher(
    tmp_path: Path, computed: Spied, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.run_training(config(tmp_path), tmp_path / "first")
    count = len(computed)
    assert count > 4
    read: list[Path] = []
    reading = Thermal.read
    monkeypatch.setattr(Thermal, "read", lambda sensor, shot: (read.append(shot.only), reading(sensor, shot))[1])
    text = output_of(config(tmp_path), tmp_path / "second")
    assert "; 0 of " in text
    assert computed[count:] == [6], "one batch, which says how much the answers take"
    rows = sum(row.split == "train" and "rgb" in row.files for row in Manifest.load("tiny").rows)
    assert len(read) < 2 * rows, "that batch, the rows of val, and training rows without the student's sensor; a live run has three epochs"
    assert unlike(tmp_path / "first", tmp_path / "second") == []


CHANGES: dict[str, dict[str, Any]] = {
    "another seed, so other draws and weights": {},
    "another augmentation": {"train_dataloader.dataset.augment.flip": 0.25},
    "less exact": {"teacher_cache.dtype": "float16"},
    "other batches": {"train_dataloader.batch_size": 7},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
@pytest.mark.usefixtures("filled")
def test_what_is_stale_is_not_read(change: dict[str, Any], tmp_path: Path, computed: Spied) -> None:
    text = output_of(config(tmp_path, change), tmp_path / "second", seed=0 if change else 1)
    assert len(computed) > 1
    assert "; 0 of " not in text
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize("of", ["neither", "file", "code"])
@pytest.mark.usefixtures("filled")
def test_another_file_or_code_is_another_cache(
    of: str, tmp_path: Path, data_root: Path, computed: Spied, monkeypatch: pytest.MonkeyPatch
) -> None:
    if of == "file":
        root = tmp_path / "data" / "tiny"
        shutil.copytree(data_root, root)
        os.utime(sorted((root / "thermal").iterdir())[0])  # written anew
        monkeypatch.setenv("XKD_DATA_ROOT", str(root.parent))
    elif of == "code":
        own = tmp_path / "network.py"
        own.write_text("changed")
        monkeypatch.setattr(teacher_cache, "sources", lambda branch, section: [own])
    runs.run_training(config(tmp_path), tmp_path / "second")
    assert (len(computed) > 1) == (of != "neither"), "one batch says how much the answers take"


def test_another_task_is_another_cache(tmp_path: Path) -> None:
    """The range of numbers of pixels is the task's: another one makes other numbers of the same network."""
    made = config(tmp_path)
    distiller, dataset = build_distiller(made.distiller, 0), build_loader(made.train_dataloader, 0).dataset
    folders = set()
    for multilabel in (False, False, True):
        made.distiller.task.multilabel = multilabel
        with torch.no_grad():
            folders.add(teacher_cache.Answers("thermal", teacher_cache.cache_of(made), distiller, dataset, made).shards.folder)
    assert len(folders) == 2


NETWORK = """
from torch import nn

class Scale(nn.Module):
    def forward(self, answer):
        return answer * FACTOR

def make():
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3), Scale())
"""


@pytest.mark.parametrize("part", ["FACTOR", "Conv2d(1, 8, 3)"], ids=["a module within", "what makes the network"])
def test_ones_own_code_counts_wherever_it_is(part: str, tmp_path: Path, computed: Spied, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    source = CACHED.replace("FOLDER", str(tmp_path / "cache")) + (
        "from own_network import make\n"
        'distiller["branches"]["thermal"].update(model=dict(type=make), taps={})\ndistiller["terms"].pop("look")\n'
    )
    for changed in ("1.0", "1.0", "5.0"):
        content = NETWORK.replace("FACTOR", changed) if part == "FACTOR" else f"{NETWORK.replace('FACTOR', '1.0')}# {changed}\n"
        (tmp_path / "own_network.py").write_text(content, "utf-8")
        sys.modules.pop("own_network", None)
        importlib.invalidate_caches()
        count = len(computed)
        runs.run_training(runs.config_of(tmp_path, source), tmp_path / f"run{count}")
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert len(computed) > count + 1


def test_other_pixels_under_the_same_time_of_writing_are_another_cache(tmp_path: Path, data_root: Path, computed: Spied) -> None:
    root = tmp_path / "data" / "tiny"
    shutil.copytree(data_root, root)
    options = {f"{split}_dataloader.dataset.root": str(root) for split in ("train", "val")}
    runs.run_training(config(tmp_path, options), tmp_path / "first")
    path = sorted((root / "thermal").iterdir())[0]
    before = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    count = len(computed)
    runs.run_training(config(tmp_path, options), tmp_path / "second")
    assert len(computed) > count + 1


def test_a_row_that_the_teacher_could_not_read_is_left_out_as_in_a_live_run(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broken_rows, "MOST_BROKEN", 0.5)
    root = tmp_path / "data" / "tiny"
    shutil.copytree(data_root, root)
    monkeypatch.setenv("XKD_DATA_ROOT", str(root.parent))
    manifest = Manifest.load(str(root))
    row = next(row for row in manifest.rows if row.split == "train" and {"rgb", "thermal"} <= set(row.files))
    path = root / row.files["thermal"][0]
    content, skip = path.read_bytes(), {"train_dataloader.dataset.on_broken": "skip"}
    path.write_bytes(content[:20])
    texts = {name: output_of(config(tmp_path, {**skip, **more}), tmp_path / name) for name, more in {"live": LIVE, "cached": {}}.items()}
    assert unlike(tmp_path / "live", tmp_path / "cached") == []
    for text in texts.values():
        assert text.count(f"left out: row '{row.id}'") == 1
        assert "1 rows could not be read and were left out" in text
    with pytest.raises(ValueError, match=f"row '{row.id}'.*cut off"):
        runs.run_training(config(tmp_path), tmp_path / "stop")
    path.write_bytes(content)
    assert "left out: row" not in output_of(config(tmp_path, skip), tmp_path / "healed")


def test_processes_that_look_at_different_times_compute_every_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one finds what the first has written, and still knows which places are its own."""
    monkeypatch.setattr(teacher_cache, "_BATCHES", 1)
    monkeypatch.setattr(teacher_cache, "get_world_size", lambda: 2)
    made = config(tmp_path)
    distiller, dataset = build_distiller(made.distiller, 0), build_loader(made.train_dataloader, 0).dataset
    quiet = Console(quiet=True)
    for rank in (0, 1):
        monkeypatch.setattr(teacher_cache, "get_rank", lambda rank=rank: rank)
        with torch.no_grad():
            answers = teacher_cache.Answers("thermal", teacher_cache.cache_of(made), distiller, dataset, made)
            answers.fill(Progress(console=quiet, disable=True))
    assert all(answers.shards.holds(*place) for place in answers.shards.places)
    assert len(answers.shards.places) > 4


def test_a_kill_loses_one_shard(tmp_path: Path, computed: Spied, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher_cache, "_BATCHES", 1)
    write: Callable[..., None] = Shards.write
    written: list[Path] = []

    def fail(shards: Shards, draw: int, first: int, readings: Any, broken: Any) -> None:
        if len(written) == 3:
            raise InterruptedError("killed")
        write(shards, draw, first, readings, broken)
        written.append(shards.path(draw, first))

    with monkeypatch.context() as patch:
        patch.setattr(Shards, "write", fail)
        with pytest.raises(InterruptedError):
            runs.run_training(config(tmp_path), tmp_path / "first")
    written[1].write_bytes(written[1].read_bytes()[:-1])
    count = len(computed)
    text = output_of(config(tmp_path), tmp_path / "second", resume=True)
    shards = len(list(written[0].parent.iterdir()))
    assert f"; {shards - 2} of {shards} shards to compute" in text
    assert len(computed) - count == 1 + shards - 2
    runs.run_training(config(tmp_path, LIVE), tmp_path / "live")
    assert unlike(tmp_path / "live", tmp_path / "second") == []


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EROFS], ids=["full", "read-only"])
def test_a_disk_that_takes_no_more_ends_the_run_and_keeps_the_shards(
    reason: int, tmp_path: Path, computed: Spied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher_cache, "_BATCHES", 1)
    synced, sync = [0], os.fsync

    def refuse(descriptor: int) -> None:
        synced[0] += 1
        if synced[0] > 3:
            raise OSError(reason, os.strerror(reason))
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match=rf"cannot write .*draw_0_row_18.safetensors: {os.strerror(reason)}; what was there is untouched"):
            runs.run_training(config(tmp_path), tmp_path / "first")
    files = sorted(path.name for path in (tmp_path / "cache").rglob("*"))
    assert [name for name in files if "draw" in name] == [f"draw_0_row_{first}.safetensors" for first in (0, 12, 6)]
    count = len(computed)
    runs.run_training(config(tmp_path), tmp_path / "second")
    assert len(computed) - count == 1 + 8 - 3, "the example, and what was missing"


def test_a_disk_too_small_for_all_teachers_takes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = """
distiller["branches"].update(second=dict(type=Branch, model=dict(type=CNN, channels=1, width=20), view=thermal,
                                         weights=dict(type=Random, frozen=True), frozen=True))
distiller["terms"].update(again=dict(type=Term, loss=dict(type=KD), student="rgb.output", teacher="second.output"))
"""
    room = teacher_cache._SPARE + 2 * 5200  # for the first one, which has a map too
    usage = shutil.disk_usage(tmp_path)._replace(free=room)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    source = CACHED.replace("FOLDER", str(tmp_path / "cache"))
    with pytest.raises(OSError, match="nothing was written"):
        runs.run_training(runs.config_of(tmp_path, source + second), tmp_path / "run")
    assert not (tmp_path / "cache").exists()
    runs.run_training(runs.config_of(tmp_path, source), tmp_path / "one")


def test_a_small_disk_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=65 * 2**20)
    monkeypatch.setattr(teacher_cache, "_SPARE", 65 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match=r"needs \d.* kB, the disk has 68.2 MB free; fewer draws, .*; nothing was written"):
        runs.run_training(config(tmp_path), tmp_path / "run")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"train_dataloader.mix": "dict(type=Mix, num_classes=3)"}, r"train_dataloader.mix and teacher_cache: .*; take one out"),
        ({"train_dataloader.sampler.num_draws": 3}, r"num_draws is 3, teacher_cache.draws 2: set it in teacher_cache alone"),
        ({"train_dataloader.sampler.shuffle": False}, r"train_dataloader.sampler needs shuffle=True"),
    ],
)
def test_what_cannot_be_cached_is_told_at_once(options: dict[str, Any], text: str, tmp_path: Path) -> None:
    source = CACHED
    if "train_dataloader.mix" in options:
        options, source = {}, f"{CACHED}\ntrain_dataloader.update(mix=dict(type=Mix, num_classes=3))\n"
    with pytest.raises(ValueError, match=text):
        runs.run_training(runs.config_of(tmp_path, source, options), tmp_path / "run")


def test_the_student_alone_sees_the_same_draws(tmp_path: Path) -> None:
    section = config(tmp_path).train_dataloader
    loader = build_loader(section, 0, draws=2)
    loader.sampler.set_epoch(5)
    assert {draw for _, draw in loader.sampler} == {1}
    alone = f"{runs.PLAIN}\nfrom xkd.data.cache import TeacherCache\nteacher_cache = dict(type=TeacherCache, draws=2)\n"
    page = io.StringIO()
    runs.run_training(runs.config_of(tmp_path, alone, {"train_cfg.max_epochs": 1}), tmp_path / "run", Console(file=page))
    assert "teacher cache" not in page.getvalue()


def test_rounded_and_shrunk_answers_train_nearly_alike(tmp_path: Path) -> None:
    runs.run_training(config(tmp_path, LIVE), tmp_path / "live")
    runs.run_training(config(tmp_path, {"teacher_cache.dtype": "float16"}), tmp_path / "cached")
    exact, rounded = (runs.read(tmp_path / name / "epoch_3.pth")["state_dict"] for name in ("live", "cached"))
    assert unlike(tmp_path / "live", tmp_path / "cached")
    for name in exact:
        torch.testing.assert_close(rounded[name], exact[name], atol=0.05, rtol=0.2)
