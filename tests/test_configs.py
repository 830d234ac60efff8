"""Every shipped config: loaded, dumped, reloaded, built, and run for one step on a data set of its classes and sensors."""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from rich.console import Console
from rich.progress import Progress

from xkd.data.manifest import sensor
from xkd.data.prepare.guess import called_so
from xkd.data.prepare.toml import to_toml
from xkd.engine.config import as_plain, load_config
from xkd.engine.loaders import build_distiller
from xkd.engine.train import train
from xkd.evidence.arms import make_arms
from xkd.modalities import SENSORS
from xkd.tasks import Segmentation

CONFIGS = Path(__file__).parent.parent / "configs"
SHIPPED = sorted(path for path in CONFIGS.rglob("*.py") if "_base_" not in path.parts)

SIDE = 72  # pixels


def columns_of(node: Any) -> Iterator[str]:
    """The column of every `dict(type=sensor, ...)` of a config."""
    if isinstance(node, Mapping):
        if node.get("type") is sensor:
            yield node["column"]
        for value in node.values():
            yield from columns_of(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from columns_of(value)


def write_noise(root: Path, column: str, number: int, rng: np.random.Generator) -> tuple[dict[str, Any], str, str]:
    """An example of the sensor that the column is a name for: its table, and the row's cell and calibration."""
    folder = root / column / str(number)
    folder.mkdir(parents=True)
    [kind] = called_so(column)
    table, shot = SENSORS[kind].example(folder, (SIDE, SIDE), rng)
    cell = ";".join(path.relative_to(root).as_posix() for path in shot.paths)
    return {"sensor": kind, **table}, cell, shot.calibration.relative_to(root).as_posix() if shot.calibration else ""


def make_data(config: Config, folder: Path) -> None:
    """Noise with the config's classes and sensors, where its `data_root` is looked for: four rows per class and split."""
    classes = as_plain(config.distiller.task)["classes"]
    sections = [as_plain(config[name]) for name in ("train_dataloader", "val_dataloader", "test_dataloader", "distiller")]
    columns = sorted(set(columns_of(sections)))
    for name in {section["dataset"]["root"] for section in sections[:3]}:  # a detector's boxes make another data set
        write_data(config, folder / name, classes, columns)


def write_data(config: Config, root: Path, classes: Sequence[str], columns: list[str]) -> None:
    header = ["id", "split", "group", *columns, "mask", "boxes", "label", "calibration", "frame", "bout"]
    rng, rows, tables = np.random.default_rng(0), [",".join(header)], {}
    (root / "mask").mkdir(parents=True)
    for number in range(4 * 3 * len(classes)):
        split, label = ("train", "val", "test")[number % 3], classes[number // 3 % len(classes)]
        noise = {column: write_noise(root, column, number, rng) for column in columns}
        tables = {column: table for column, (table, _, _) in noise.items()}
        cv2.imwrite(str(root / f"mask/{number}.png"), rng.integers(0, 2, (SIDE, SIDE), dtype=np.uint8))
        cells = [cell for _, cell, _ in noise.values()]
        calibration = "".join(name for _, _, name in noise.values())
        more = [f"mask/{number}.png", f"8 8 40 40 {label}", label, calibration, f"frame-{number}", f"bout-{number}"]
        rows.append(",".join([str(number), split, f"group-{number}", *cells, *more]))
    pixels = as_plain(config.distiller.task)["type"] is Segmentation
    codes = {name: code for code, name in enumerate(classes if pixels else ("background", "object"))}
    values = ", ".join(f"{name} = {code}" for name, code in codes.items())
    mask = f'[mask]\nvalues = {{ {values} }}\npositive = ["{list(codes)[-1]}"]\n'
    about = f'name = "noise"\nlicence = "Apache-2.0"\nsource = "made by the tests"\nclasses = {list(classes)}\n'
    (root / "manifest.toml").write_text(about + to_toml({"modalities": tables}, {}) + mask, "utf-8")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n", "utf-8")


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_a_shipped_config_survives_a_dump_and_trains(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(path)
    monkeypatch.setenv("XKD_DATA_ROOT", str(tmp_path / "data"))
    make_data(config, tmp_path / "data")
    console = Console(file=io.StringIO())
    config.train_dataloader.batch_size = 8  # the stand-in is smaller than a shipped batch
    result = train(config, tmp_path / "run", console, Progress(console=console, disable=True), smoke=True)
    again = load_config(tmp_path / "run" / path.name)  # as the run itself dumped it
    assert again.pretty_text == config.pretty_text
    kept = torch.load(result.checkpoint, weights_only=True)["state_dict"]
    built = {f"distiller.{name}": value for name, value in build_distiller(again.distiller, 0, smoke=True).state_dict().items()}
    assert {name: value.shape for name, value in kept.items()}.items() <= {name: value.shape for name, value in built.items()}.items()


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_a_shipped_comparison_names_configs_that_are_there(path: Path) -> None:
    section = as_plain(load_config(path).get("compare") or {})
    for teacher in (*section.get("teachers", {}).values(), *section.get("same_sensor", {}).values()):
        assert path.parent / teacher in SHIPPED


WITH_MORE = [path for path in SHIPPED if {"variants", "same_sensor"} & set(load_config(path).get("compare") or {})]


@pytest.mark.parametrize("path", WITH_MORE, ids=[path.stem for path in WITH_MORE])
def test_variants_and_controls_of_a_shipped_comparison_fit_its_networks(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XKD_DATA_ROOT", str(tmp_path))
    make_data(load_config(path), tmp_path)
    for arm in make_arms(path, {}):
        if arm.variant or arm.control:
            build_distiller(arm.config().distiller, 0, smoke=True)
        elif arm.name == "alone":  # a run dumps its config, whatever was taken out of it
            ast.parse(arm.config().pretty_text)


def test_there_are_shipped_configs() -> None:
    assert SHIPPED
