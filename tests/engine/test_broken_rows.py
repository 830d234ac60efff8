"""Files that cannot be read end a run, or their rows are left out and told, as the data set says."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import engine_runs as runs
import numpy as np
import pytest
from rich.console import Console

from xkd.batch import View
from xkd.data.augment import Augment
from xkd.data.loader import DrawSampler, collate
from xkd.data.manifest import sensor
from xkd.data.paired import PairedDataset
from xkd.engine import broken_rows
from xkd.engine.loaders import build_loader

SKIP = {"train_dataloader.dataset.on_broken": "skip", "val_dataloader.dataset.on_broken": "skip", "train_cfg.max_epochs": 2}


@pytest.fixture
def damaged(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny data set with one cut image in train and one empty one in val."""
    root = tmp_path / "data" / "tiny"
    shutil.copytree(data_root, root)
    monkeypatch.setenv("XKD_DATA_ROOT", str(root.parent))
    for split, content in (("train", b"\x89PNG cut"), ("val", b"")):
        dataset = PairedDataset(str(root), split, [View("rgb", sensor(root="tiny", column="rgb"), (16, 16))], Augment())
        row = next(row for row in dataset.rows if "rgb" in row.files and row.labels)
        (root / row.files["rgb"][0]).write_bytes(content)
    return root


def test_a_broken_row_is_told_and_left_out(damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broken_rows, "MOST_BROKEN", 0.2)
    page = io.StringIO()
    config = runs.config_of(tmp_path, runs.GRAPH, {**SKIP, "train_dataloader.num_workers": 1})
    assert runs.run_training(config, tmp_path / "run", Console(file=page, width=400)).epochs == 2
    output = page.getvalue()
    assert len(re.findall(r"left out: row 'train-\d+': .*png: the file is cut off after 8 bytes", output)) == 1
    assert len(re.findall(r"left out: row 'val-\d+': .*png: not an image that OpenCV can decode", output)) == 1
    assert "2 rows could not be read and were left out" in output
    state = runs.read(tmp_path / "run" / "best.pth")["state_dict"]
    assert all(value.isfinite().all() for value in state.values())


def test_a_broken_row_has_nothing(damaged: Path, tmp_path: Path) -> None:
    section = runs.config_of(tmp_path, runs.GRAPH, SKIP).train_dataloader
    dataset: Any = build_loader(section, 0).dataset
    (number,) = [number for number in range(len(dataset)) if dataset[number].broken]
    whole = next(number for number in range(len(dataset)) if dataset[number].labelled and all(dataset[number].present.values()))
    batch = collate([dataset[number, 0], dataset[whole, 0]])
    assert batch.broken == [dataset[number].broken]
    assert batch.labelled.tolist() == batch.present["rgb"].tolist() == batch.present["thermal"].tolist() == [False, True]
    assert not batch.masked[0]
    assert not batch.views["rgb"][0].any()
    assert batch.meta[0]["id"] == dataset.rows[number].id


def encoded(suffix: str, pixels: Any) -> bytes:
    return bytes(cv2.imencode(suffix, pixels)[1])


HOSTILE: dict[str, tuple[str, bytes, str]] = {
    "empty": ("rgb", b"", "not an image that OpenCV can decode"),
    "cut off": ("rgb", encoded(".jpg", np.full((40, 48, 3), 90, np.uint8))[:-300], "the file is cut off after"),
    "a text": ("rgb", b"<html>404</html>", "not an image that OpenCV can decode"),
    "16 bits where 8 are expected": ("rgb", encoded(".png", np.full((40, 48, 3), 9000, np.uint16)), "is uint16; state in manifest.toml"),
    "another size than its pair": ("rgb", encoded(".png", np.full((41, 48, 3), 90, np.uint8)), "sizes differ within the pair"),
    "8 bits where 16 are expected": ("thermal", encoded(".png", np.full((40, 48), 90, np.uint8)), "far outside range"),
    "mislabelled, and not a number": ("thermal", encoded(".tiff", np.full((40, 48), np.nan, np.float32)), "no pixel was measured"),
}


@pytest.mark.parametrize(("column", "content", "why"), HOSTILE.values(), ids=list(HOSTILE))
def test_a_hostile_file_is_named_and_its_row_left_out(column: str, content: bytes, why: str, damaged: Path, tmp_path: Path) -> None:
    section = runs.config_of(tmp_path, runs.GRAPH, SKIP).train_dataloader
    dataset: Any = build_loader(section, 0).dataset
    number, row = next((at, row) for at, row in enumerate(dataset.rows) if at and {"rgb", "thermal"} <= set(row.files))
    (damaged / row.files[column][0]).write_bytes(content)
    sample = dataset[number, 0]
    assert not any(sample.present.values())
    assert f"row '{row.id}'" in sample.broken
    assert why in sample.broken


def test_a_broken_row_ends_a_run_unless_it_is_told_otherwise(damaged: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"row 'train-\d+': .*cut off after 8 bytes"):
        runs.run_training(runs.config_of(tmp_path, runs.GRAPH), tmp_path / "run")
    with pytest.raises(TypeError, match=r"on_broken must be 'stop' or 'skip', got 'ignore'"):
        build_loader(runs.config_of(tmp_path, runs.GRAPH, {"train_dataloader.dataset.on_broken": "ignore"}).train_dataloader, 0)


def test_too_many_broken_rows_end_a_run(damaged: Path, tmp_path: Path) -> None:
    for path in sorted((damaged / "rgb").iterdir())[:10]:
        path.write_bytes(np.random.default_rng(0).bytes(50))
    with pytest.raises(ValueError, match=r"\d of 23 rows could not be read, more than 5%: row 'train-\d+': .*; see xkd check-pairs"):
        runs.run_training(runs.config_of(tmp_path, runs.GRAPH, SKIP), tmp_path / "run")


RANK = """
import sys
from xkd import cli
from xkd.engine import broken_rows

broken_rows.MOST_BROKEN = float(sys.argv[2])
sys.exit(cli.run("train", sys.argv[3:]))
"""


def in_two_processes(most: float, spoilt: dict[str, list[tuple[int, int]]], data: Path, folder: Path) -> tuple[list[int], list[str], Any]:
    """Exit codes, all that was said, and the rows that were made unreadable, by the (rank, place) at which a split's are read."""
    config = runs.config_of(folder, runs.GRAPH, SKIP)
    ids = []
    for split, places in spoilt.items():
        section = config[f"{split}_dataloader"]
        dataset: Any = build_loader(section, 0).dataset
        orders = [[i for i, _ in DrawSampler(dataset, shuffle=split == "train", rank=rank, world_size=2)] for rank in (0, 1)]
        for rank, place in places:
            readable = [i for i in orders[rank] if "rgb" in dataset.rows[i].files and i not in orders[1 - rank]]
            row = dataset.rows[readable[place]]
            (data / row.files["rgb"][0]).write_bytes(b"")
            ids.append(row.id)
    options = [f"{key}={value}" for key, value in (SKIP | {"train_cfg.max_epochs": 1}).items()]
    arguments = [f"{most}", str(folder / "config.py"), "--work-dir", str(folder / "run"), "--cfg-options", *options]
    ended = runs.launched(arguments, data, folder, RANK)
    return [process.code for process in ended], [re.sub(r"\s+", " ", process.out + process.err) for process in ended], ids


def test_the_first_of_two_processes_tells_what_the_second_could_not_read(tiny_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "data" / "tiny"
    shutil.copytree(tiny_dataset, root)
    codes, outputs, ids = in_two_processes(0.2, {"train": [(0, 0), (1, 0)], "val": [(1, 0)]}, root, tmp_path)
    assert codes == [0, 0], outputs
    assert re.findall(r"left out: row '(\S+)'", outputs[0]) == ids
    assert "3 rows could not be read and were left out" in outputs[0]
    assert "left out" not in outputs[1], "it is silent"


def test_too_few_for_one_process_to_stop_are_too_many_together(tiny_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "data" / "tiny"
    shutil.copytree(tiny_dataset, root)
    codes, outputs, _ = in_two_processes(0.05, {"train": [(0, 0), (1, 0)]}, root, tmp_path)
    assert codes == [2, 2], outputs
    for text in outputs:
        assert re.search(r"xkd train: 2 of 23 rows could not be read, more than 5%: row 'train-\d+': .*; see xkd check-pairs", text), text
