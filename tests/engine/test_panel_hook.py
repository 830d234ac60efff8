"""Pictures of attention while a run trains; the run itself must not notice."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import engine_runs as runs
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from xkd.engine.panel_hook import PanelHook
from xkd.engine.panels import test_samples as samples_of

LOOKED = f"""from mmengine.visualization import TensorboardVisBackend
from xkd.engine.panel_hook import PanelHook
{runs.GRAPH}
vis_backends = [dict(type=TensorboardVisBackend)]
custom_hooks = [dict(type=PanelHook, interval=2, num=2)]
compare = dict(attention=dict(rgb="grad_cam:deep", thermal="attention:stem", average="attention:deep"))
"""


def test_pictures_go_to_the_backends_and_the_run_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    runs.run_training(runs.config_of(tmp_path, LOOKED), tmp_path / "looked")
    runs.run_training(runs.config_of(tmp_path, runs.GRAPH), tmp_path / "blind")
    pictures = sorted(path for path in (tmp_path / "looked").rglob("attention_*.png"))
    assert [path.name for path in pictures] == ["attention_2.png", "attention_3.png"], "every second epoch, and the last"
    image = cv2.imread(str(pictures[0]))
    assert image is not None
    assert image.shape[1] > image.shape[0] > 100
    shown = events(tmp_path / "looked").Images("attention")
    assert [(one.step, one.height, one.width) for one in shown] == [(epoch, *image.shape[:2]) for epoch in (2, 3)]
    one, other = (runs.read(tmp_path / name / "epoch_3.pth") for name in ("looked", "blind"))
    assert not runs.differences(one["state_dict"], other["state_dict"])
    assert not runs.differences(one["optimizer"], other["optimizer"])


def events(folder: Path) -> EventAccumulator:
    (file,) = folder.rglob("events.out.tfevents.*")
    return EventAccumulator(str(file)).Reload()


def test_a_hook_that_never_draws_is_refused() -> None:
    with pytest.raises(ValueError, match="draws 6 samples every 0 epochs; both must be 1 or more"):
        PanelHook(interval=0)


def test_rows_that_cannot_be_read_are_passed_over(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "data" / "tiny"
    shutil.copytree(data_root, root)
    monkeypatch.setenv("XKD_DATA_ROOT", str(root.parent))
    config = runs.config_of(tmp_path, LOOKED, {"val_dataloader.dataset.on_broken": "skip", "train_cfg.max_epochs": 1})
    whole, _ = samples_of(config, "val", 3)
    first, *rest = (sample.meta["id"] for sample in whole)
    files = {line.split(",")[0]: line.split(",")[3] for line in (root / "manifest.csv").read_text("utf-8").splitlines()}
    (root / files[first]).write_bytes(b"")
    assert [sample.meta["id"] for sample in samples_of(config, "val", 2)[0]] == rest
    runs.run_training(config, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").rglob("attention_*.png")] == ["attention_1.png"]
    for path in (root / "rgb").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="the val split has no row that can be read and shown"):
        samples_of(config, "val", 2)
