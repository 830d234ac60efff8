"""All of it in one call: data, config, runs, answer, model; a second call does nothing twice."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
import torch
from rich.console import Console
from rich.progress import Progress

from xkd import cli
from xkd.engine.progress import Display
from xkd.evidence import distill as module
from xkd.evidence.distill import Distilled, distill
from xkd.init import choices

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def quick() -> object:
    """Networks and schedules of seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choices, "_EPOCHS", (12, 12))
        patch.setattr(choices, "_SIDE", {"quick": 32, "cpu": 32, "gpu": 32})
        patch.setattr("xkd.evidence.jobs.default_jobs", lambda number: 1)
        yield


def display() -> Display:
    console = Console(file=io.StringIO(), width=200)
    return Display(console, Progress(console=console, disable=True))


@pytest.fixture(scope="module")
def done(quick: object, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Distilled, Display]:
    screen = display()
    folder = tmp_path_factory.mktemp("distill") / "work"
    networks = {"teacher": "resnet10t", "student": "resnet10t"}
    return distill(tiny_dataset, teacher="thermal", student="rgb", networks=networks, quick=True, work_dir=folder, display=screen), screen


@pytest.mark.slow
def test_everything_is_there(done: tuple[Distilled, Display]) -> None:
    distilled, screen = done
    assert set(distilled.summary.arms) == {"teacher", "alone", "distilled", "shuffled"}
    for file in (
        distilled.report,
        distilled.checkpoint,
        distilled.config,
        distilled.exported.model,
        distilled.folder / "check" / "pairs.html",
    ):
        assert file.is_file()
    assert isinstance(screen.console.file, io.StringIO)
    lines = screen.console.file.getvalue()
    assert distilled.summary.finding in lines
    assert "next: xkd.distill(..., seeds=3)" in lines
    assert len(distilled.lines()) <= 10
    assert str(distilled.config) in lines


@pytest.mark.slow
def test_the_student_is_a_plain_module_that_answers_as_predict_does(done: tuple[Distilled, Display], tiny_dataset: Path) -> None:
    distilled, _ = done
    images = sorted((tiny_dataset / "rgb").glob("*.png"))[:3]
    (first, *_) = distilled.predict(images)
    view = distilled.load().branch.view
    batch = torch.zeros((2, view.modality.channels, *view.size))
    logits, probabilities = distilled.student(batch)
    assert logits.shape == probabilities.shape == (2, 3)
    assert first.answer.chosen[0] in ("blank", "disc", "bar")


@pytest.mark.slow
def test_a_second_call_trains_nothing_and_keeps_the_config(done: tuple[Distilled, Display], tiny_dataset: Path) -> None:
    distilled, _ = done
    stamps = {path: path.stat().st_mtime_ns for path in distilled.folder.rglob("best.pth")}
    screen = display()
    networks = {"teacher": "resnet10t", "student": "resnet10t"}
    distill(tiny_dataset, teacher="thermal", student="rgb", networks=networks, quick=True, work_dir=distilled.folder, display=screen)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert isinstance(screen.console.file, io.StringIO)
    assert "is used as it is" in screen.console.file.getvalue()


def test_data_that_training_would_refuse_stop_it_before_anything_is_trained(tiny_dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_dataset, tmp_path / "tiny")
    next((tmp_path / "tiny" / "rgb").glob("*.png")).write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"errors? in the data, the first: "):
        distill(tmp_path / "tiny", teacher="thermal", student="rgb", work_dir=tmp_path / "work", display=display())
    assert not (tmp_path / "work" / "runs").exists()


def test_who_teaches_whom_must_be_named(tiny_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"name who teaches whom, teacher= and student=, of \['rgb', 'thermal'\]"):
        distill(tiny_dataset, work_dir=tmp_path, display=display())


def test_the_command_hands_on_what_it_was_told(tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("xkd.commands.distill.distill", lambda *arguments, **options: calls.append((arguments, options)))
    assert cli.run("distill", [str(tiny_dataset), "--teacher", "thermal", "--student", "rgb", "--quick", "--seeds", "2"]) == 0
    ((data,), options) = calls[0]
    assert data == str(tiny_dataset)
    assert (options["teacher"], options["student"], options["quick"], options["seeds"]) == (("thermal",), "rgb", True, 2)
    assert module.ARMS == ("alone", "distilled", "shuffled", "shuffled_masks")
