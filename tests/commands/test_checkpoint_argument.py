"""A checkpoint may be named by the folder of its run, or of its comparison."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from xkd.commands.checkpoint_argument import add_arm, checkpoint_of


def asked(place: Path, *arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    parser.add_argument("checkpoint")
    add_arm(parser)
    return parser.parse_args(["configs/student.py", str(place), *arguments])


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    for run in ("alone/seed0_a1", "distilled/seed0_b1", "distilled/seed1_b2"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "best.pth").touch()
    return tmp_path


def test_a_file_a_run_and_an_arm(comparison: Path) -> None:
    run = comparison / "distilled" / "seed1_b2"
    for place, arguments in ((run / "best.pth", ()), (run, ()), (comparison, ("--arm", "distilled", "--seed", "1"))):
        assert checkpoint_of(asked(place, *arguments)) == str(run / "best.pth")


def test_what_is_not_there_is_named_with_what_is(comparison: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments in ((), ("--arm", "distiled"), ("--arm", "alone", "--seed", "1")):
        with pytest.raises(ValueError, match="name one of --arm alone --seed 0, --arm distilled --seed 0, --arm distilled --seed 1"):
            checkpoint_of(asked(comparison, *arguments))
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty holds no finished run"):
        checkpoint_of(asked(tmp_path / "empty"))
    monkeypatch.chdir(tmp_path)
    broken_off, finished = (tmp_path / "work_dirs" / name for name in ("student", "compare_student"))
    for file in (broken_off / "epoch_3.pth", finished / "alone" / "seed0_a1" / "best.pth"):
        file.parent.mkdir(parents=True)
        file.touch()
    with pytest.raises(FileNotFoundError, match=r"student holds no finished run.*; a run that is not finished has left .*epoch_3\.pth"):
        checkpoint_of(asked(broken_off))
    with pytest.raises(FileNotFoundError, match=r"no checkpoint gone\.pth; there are the folders work_dirs/compare_student, which"):
        checkpoint_of(asked(Path("gone.pth")))
