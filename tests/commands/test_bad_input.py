"""What a user's mistakes get: exit code 2, one short message that names the thing and what is legal, nothing half-written."""

from __future__ import annotations

from pathlib import Path

import engine_runs as runs
import pytest
import torch
from torch import Tensor

from xkd import cli
from xkd.losses import CrossEntropy


def fails(capsys: pytest.CaptureFixture[str], command: str, *arguments: str | Path) -> str:
    """The one message of a command that must fail; its length is a person's patience."""
    assert cli.run(command, [str(argument) for argument in arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"xkd {command}: ")
    assert "Traceback" not in message
    assert message.count("\n") == 1, message
    assert len(message) < 1000, message
    return message


def test_missing_image(trained: Path, own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own_data / "rgb" / "02.png").unlink()
    message = fails(capsys, "train", trained / "student.py", "--work-dir", tmp_path / "run")
    assert "rgb/02.png: no such file; row 'train-2' of manifest.csv names it" in message


@pytest.mark.parametrize("workers", [0, 1])
def test_corrupt_image(workers: int, trained: Path, own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = own_data / "rgb" / "02.png"
    image.write_bytes(image.read_bytes()[:200])
    options = ["--cfg-options", f"train_dataloader.num_workers={workers}"]
    message = fails(capsys, "train", trained / "student.py", "--work-dir", tmp_path / "run", *options)
    assert "row 'train-2'" in message
    assert "rgb/02.png: the file is cut off" in message
    assert not list((tmp_path / "run").glob("*.pth"))


def test_sizes_that_differ_within_a_pair(trained: Path, own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import cv2

    image = own_data / "thermal" / "02.png"
    cv2.imwrite(str(image), cv2.imread(str(image), cv2.IMREAD_UNCHANGED)[:, :-4])
    message = fails(capsys, "train", trained / "student.py", "--work-dir", tmp_path / "run")
    assert "row 'train-2': sizes differ within the pair: rgb 48x40, thermal 44x40" in message


def test_unknown_class(trained: Path, own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = own_data / "manifest.csv"
    manifest.write_text(manifest.read_text("utf-8").replace(",disc,", ",disk,", 1), "utf-8")
    message = fails(capsys, "train", trained / "student.py", "--work-dir", tmp_path / "run")
    assert "manifest.csv, line 3, row 'train-1': unknown class 'disk'; manifest.toml has ['blank', 'disc', 'bar']" in message


def test_no_data(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("XKD_DATA_ROOT", str(tmp_path))
    message = fails(capsys, "train", trained / "student.py", "--work-dir", tmp_path / "run")
    assert "tiny/manifest.toml: no such file" in message
    assert "XKD_DATA_ROOT" in message


OPTIONS = {
    "teacher that does not fit": (["distiller.branches.thermal.model.width=20"], ["teacher.pth: 9 of 16 tensors match CNN", "in may_miss"]),
    "teacher's file": (["distiller.branches.thermal.weights.path=absent.pth"], ["no checkpoint absent.pth"]),
    "tap": (["distiller.terms.kd.student=rgb.deeep"], ["term 'kd' reads 'rgb.deeep': no tap 'deeep'; rgb has ['output']"]),
    "branch": (["distiller.terms.kd.teacher=lidar.output"], ["no branch 'lidar'; there are ['rgb', 'thermal', 'batch']"]),
    "student": (["distiller.student=lidar"], ["no branch 'lidar' to be the student; there are ['rgb', 'thermal']"]),
    "split": (["train_dataloader.dataset.split=training"], ["unknown split 'training'; legal are ['train', 'val', 'test']"]),
    "key": (["train_cfg.max_epoch=1"], ["train_cfg has no key 'max_epoch' (did you mean 'max_epochs'?)"]),
}


@pytest.mark.parametrize(("options", "parts"), OPTIONS.values(), ids=list(OPTIONS))
def test_what_is_not_there(options: list[str], parts: list[str], trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = fails(capsys, "train", trained / "student.py", "--work-dir", tmp_path / "run", "--cfg-options", *options)
    for part in parts:
        assert part in message
    assert not (tmp_path / "run").exists()


FILES = {
    "module of a tap": (
        "weights=dict(type=Random)",
        'weights=dict(type=Random), taps=dict(deep=dict(type=Tap, path="deeep"))',
        "no module 'deeep' in CNN; near it: ['deep'",
    ),
    "frozen without weights": (
        'weights=dict(type=Checkpoint, path="teacher.pth")',
        "weights=dict(type=Random)",
        "a frozen branch on view 'thermal' has random weights",
    ),
    "argument": ("tau=2.0", "tua=2.0", "KD takes no argument 'tua' (did you mean 'tau'?)"),
}


@pytest.mark.parametrize(("right", "wrong", "part"), FILES.values(), ids=list(FILES))
def test_a_graph_that_cannot_be(right: str, wrong: str, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert right in runs.STUDENT
    config = runs.write(tmp_path, student=runs.STUDENT.replace(right, wrong))
    assert part in fails(capsys, "train", config, "--work-dir", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_files_that_are_not_there(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no config absent.py" in fails(capsys, "train", "absent.py")
    assert "no checkpoint absent.pth" in fails(capsys, "test", trained / "student.py", "absent.pth")
    (tmp_path / "text.pth").write_text("not a checkpoint", "utf-8")
    assert "text.pth is not a readable weights-only checkpoint" in fails(capsys, "test", trained / "student.py", tmp_path / "text.pth")
    assert "holds no branch 'rgb'; it has ['thermal']" in fails(capsys, "test", trained / "student.py", trained / "teacher.pth")


def test_a_loss_that_is_not_a_number(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forward, calls = CrossEntropy.forward, iter(range(100))

    def poisoned(loss: CrossEntropy, student: Tensor, target: Tensor) -> Tensor:
        return forward(loss, student, target) * (torch.nan if next(calls) > 5 else 1.0)

    monkeypatch.setattr(CrossEntropy, "forward", poisoned)
    message = fails(capsys, "train", trained / "student.py", "--work-dir", tmp_path / "run")
    assert "term ce, which compares rgb.output (3,) and batch.target (), is not finite" in message
    assert sorted(path.name for path in (tmp_path / "run").glob("epoch_*.pth")) == ["epoch_1.pth"]


def test_the_tool_as_a_process(tmp_path: Path, tiny_dataset: Path) -> None:
    tool, folder = runs.REPOSITORY / "tools" / "prepare_dataset.py", tmp_path / "absent"  # the one that imports least
    done = runs.run_python([str(tool), "folders", "--sensor", f"rgb={folder}", "--out", str(tmp_path / "out")], tiny_dataset)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("xkd prepare-dataset: ")
    assert str(folder) in done.stderr
    assert "Traceback" not in done.stderr
