"""Folders as Hugging Face and timm lay them out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from core_models import CNN, RGB_VIEW
from safetensors.torch import save_file

from xkd.graph.folders import find_weights, statistics_of
from xkd.graph.weights import Checkpoint

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.5]


def snapshot(cache: Path, revision: str, **files: object) -> Path:
    """A revision of Hugging Face's cache, with JSON files."""
    folder = cache / "snapshots" / revision
    folder.mkdir(parents=True)
    save_file(CNN().state_dict(), folder / "model.safetensors")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), "utf-8")
    return folder


def test_a_file_is_itself(tmp_path: Path) -> None:
    assert find_weights(str(tmp_path / "a.pth")) == str(tmp_path / "a.pth")
    assert statistics_of(str(tmp_path / "a.pth")) is None


@pytest.mark.parametrize("name", ["pytorch_model.bin", "best.pth", "any.safetensors"])
def test_the_one_file_of_a_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    (tmp_path / "README.md").touch()
    assert find_weights(str(tmp_path)) == str(tmp_path / name)


def test_safetensors_of_a_hub_come_first(tmp_path: Path) -> None:
    for name in ("pytorch_model.bin", "model.safetensors", "other.pth"):
        (tmp_path / name).touch()
    assert find_weights(str(tmp_path)).endswith("model.safetensors")


def test_the_best_of_a_run_is_meant(tmp_path: Path) -> None:
    for name in ("best.pth", "best_val_loss_epoch_3.pth", "epoch_4.pth"):
        (tmp_path / name).touch()
    assert find_weights(str(tmp_path)).endswith("/best.pth")


def test_none_or_several_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no weights in .*'model.safetensors'.*'.pth'"):
        find_weights(str(tmp_path))
    for name in ("resnet18.pth", "vit.pth"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"several files of weights, \['resnet18.pth', 'vit.pth'\]: name one"):
        find_weights(str(tmp_path))


def test_the_revision_of_a_cache(tmp_path: Path) -> None:
    folder = snapshot(tmp_path, "abc")
    assert find_weights(str(tmp_path)) == str(folder / "model.safetensors")
    snapshot(tmp_path, "def")
    with pytest.raises(ValueError, match=r"has the revisions \['abc', 'def'\]: name the folder of one"):
        find_weights(str(tmp_path))
    (tmp_path / "refs").mkdir()
    (tmp_path / "refs" / "main").write_text("abc\n", "utf-8")
    assert find_weights(str(tmp_path)) == str(folder / "model.safetensors")


@pytest.mark.parametrize(
    "files",
    [
        {"config": {"architecture": "cnn", "pretrained_cfg": {"mean": MEAN, "std": STD}}},
        {"config": {"model_type": "vit"}, "preprocessor_config": {"image_mean": MEAN, "image_std": STD}},
    ],
)
def test_statistics_that_a_folder_states_are_a_checkpoints(files: dict[str, object], tmp_path: Path) -> None:
    snapshot(tmp_path, "abc", **files)
    assert statistics_of(str(tmp_path)) == (MEAN, STD)
    mean, std = Checkpoint(str(tmp_path)).load(CNN(), RGB_VIEW)
    assert mean == pytest.approx([255 * value for value in MEAN])
    assert std == pytest.approx([255 * value for value in STD])
    assert Checkpoint(str(tmp_path), mean=[0.0], std=[255.0]).load(CNN(), RGB_VIEW) == ((0.0,) * 3, (255.0,) * 3)


def test_a_folder_that_states_none_has_none(tmp_path: Path) -> None:
    snapshot(tmp_path, "abc", config=["no", "settings"])
    assert statistics_of(str(tmp_path)) is None
    torch.testing.assert_close(Checkpoint(str(tmp_path)).load(CNN(), RGB_VIEW)[0], RGB_VIEW.modality.mean)
