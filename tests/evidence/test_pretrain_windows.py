"""Pretraining on windows of the frames: the written config draws them, its steps are counted by them, probes look at labelled rows."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
import timm
import torch
from rich.console import Console
from rich.progress import Progress
from safetensors.torch import save_file

from xkd import cli
from xkd.data.manifest import Manifest
from xkd.data.windows import Windows
from xkd.engine.config import load_config
from xkd.engine.describe import print_rows
from xkd.engine.loaders import build_distiller, build_loader
from xkd.engine.progress import Display
from xkd.engine.student import Student
from xkd.evidence.pretrain import pretrain
from xkd.evidence.probe import features
from xkd.init import choices
from xkd.init.facts import shown_size
from xkd.init.pretrain import PairWishes, choose_pairs, render_pairs

FRAMES = 21  # of train that both sensors saw, each a row


@pytest.fixture(scope="module", autouse=True)
def quick() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choices, "_SIDE", {"quick": 32, "cpu": 32, "gpu": 32})
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as timm's hub would give it."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet10t.safetensors"
    save_file(timm.create_model("resnet10t").state_dict(), path)
    return path


def wishes(windows: int) -> PairWishes:
    return PairWishes("rgb", "thermal", {"rgb": "resnet10t"}, quick=True, trusted=True, windows=windows)


def uncropped(data: Path, folder: Path) -> Path:
    """The same rows, each of which shows its whole frame."""
    shutil.copytree(data, folder)
    text = (folder / "manifest.csv").read_text("utf-8")
    (folder / "manifest.csv").write_text(text.replace("-6 4 42 44", "").replace("2.5 3.25 43.5 37.75", ""), "utf-8")
    return folder


def test_steps_are_counted_by_windows(tiny_dataset: Path) -> None:
    manifest = Manifest.load(str(tiny_dataset))
    plain, drawn = (choose_pairs(manifest, wishes(number), None) for number in (0, 8))
    assert (plain.windows.value, drawn.windows.value) == (0, 8)
    assert plain.rows == drawn.rows
    assert (plain.batch_size.value, plain.batch_size.why) == (4, "21 pairs")
    assert (drawn.batch_size.value, drawn.batch_size.why) == (32, f"{8 * FRAMES} windows")
    assert drawn.epochs.why == "5 steps each, 200 in all"
    assert drawn.windows.why == f"2 of {FRAMES} pairs are crops, of {FRAMES} frames"


def test_a_view_is_as_large_as_half_of_the_windows_ask_for(tiny_dataset: Path) -> None:
    manifest = Manifest.load(str(tiny_dataset))
    rows = [row for row in manifest.rows if row.split == "val"]
    assert shown_size(manifest, rows, "rgb") == (40, 48)
    assert shown_size(manifest, rows, "rgb", Windows()) == (18, 18), "40 times the root of 0.2"


def test_the_written_config_loads_and_draws_them(tiny_dataset: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(str(tiny_dataset))
    texts = [
        render_pairs(choose_pairs(manifest, wishes(number), None), "tiny", str(tiny_dataset), "a.py", "xkd pretrain", "")
        for number in (0, 3)
    ]
    assert "indows" not in texts[0]
    assert f"# 2 of {FRAMES} pairs are crops, of {FRAMES} frames; without labels any part of a frame teaches" in texts[1]
    (tmp_path / "config.py").write_text(texts[1], "utf-8")
    config = load_config(tmp_path / "config.py")
    train, val = build_loader(config.train_dataloader, 0), build_loader(config.val_dataloader, 0)
    assert train.dataset.windows == Windows(per_frame=3)
    assert len(train.dataset) == 3 * (FRAMES + 2), "frames of one sensor are rows too"
    assert val.dataset.windows is None
    print_rows({"train": train}, console := Console(file=io.StringIO(), width=200))
    assert "69 rows, 0 of them labelled, 3 windows of each frame" in console.file.getvalue()


def test_a_probe_looks_at_the_labelled_rows_in_whose_place_windows_are(
    tiny_dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = choose_pairs(Manifest.load(str(tiny_dataset)), wishes(3), None)
    (tmp_path / "config.py").write_text(render_pairs(chosen, "tiny", str(tiny_dataset), "a.py", "xkd pretrain", str(weights)), "utf-8")
    config = load_config(tmp_path / "config.py")
    distiller = build_distiller(config.distiller, seed=0)
    rows, targets = features(config, Student(distiller.student, distiller.task, "thermal"), "train")
    assert len(rows) == len(targets) == 16
    assert int(targets.min()) == 0
    assert not caplog.messages
    monkeypatch.setattr("xkd.evidence.probe._MOST", 10)
    with caplog.at_level("INFO", "xkd"):
        rows, _ = features(config, Student(distiller.student, distiller.task, "thermal"), "train")
    assert len(rows) == 10
    assert "the linear probe reads 10 of the 16 labelled rows of train" in caplog.text


@pytest.mark.slow
def test_a_network_learns_from_windows_and_is_probed_by_labelled_rows(
    tiny_dataset: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    console = Console(file=(said := io.StringIO()), width=200, emoji=False)
    done = pretrain(
        tiny_dataset,
        source="rgb",
        target="thermal",
        networks={"rgb": "resnet10t"},
        weights=weights,
        epochs=3,
        quick=True,
        trust_pairs=True,
        windows=2,
        work_dir=tmp_path / "work",
        display=Display(console, Progress(console=console, disable=True)),
    )
    assert "2 windows of each frame" in said.getvalue()
    assert list(done.probes) == ["rgb, the teacher", "thermal before", "thermal after"]
    assert done.checkpoint.is_file()


@pytest.mark.parametrize(
    ("cropped", "number", "message"),
    [
        (True, "-1", "--windows is how many windows of each frame take the place of the crops, 0 for none; got -1"),
        (False, "4", f"--windows 4: none of the {FRAMES} pairs of split 'train' is a crop, each shows its whole frame already"),
    ],
)
def test_mistakes_of_windows(
    cropped: bool, number: str, message: str, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tiny_dataset if cropped else uncropped(tiny_dataset, tmp_path / "tiny")
    call = [str(data), "--from", "rgb", "--to", "thermal", "--trust-pairs", "--windows", number, "--work-dir", str(tmp_path / "work")]
    assert cli.run("pretrain", call) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "work" / "config.py").exists()


def test_a_command_gives_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr("xkd.commands.pretrain.pretrain", lambda data, **options: given.update(options))
    assert cli.run("pretrain", ["some", "--from", "rgb", "--to", "thermal", "--windows", "5"]) == 0
    assert given["windows"] == 5
