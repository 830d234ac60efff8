"""leafsim's command: a set is never half made and never overwritten, and wrong arguments are named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from leafsim_sets import NUM_SCENES, made, rows, run


def test_second_run_keeps_the_set(root: Path) -> None:
    before = (root / "manifest.csv").stat().st_mtime_ns
    done = run("--out", root, "--num-scenes", NUM_SCENES)
    assert done.returncode == 0
    assert "already holds" in done.stdout
    assert (root / "manifest.csv").stat().st_mtime_ns == before


def test_another_set_is_not_overwritten(root: Path, tmp_path: Path) -> None:
    done = run("--out", root, "--num-scenes", NUM_SCENES, "--seed", 7)
    assert done.returncode == 1
    assert "'seed': 0" in done.stderr
    assert "'seed': 7" in done.stderr
    (tmp_path / "thesis.txt").write_text("mine")
    done = run("--out", tmp_path, "--num-scenes", 11)
    assert done.returncode == 1
    assert "something else" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_set_with_fewer_sensors_says_what_to_do(root: Path, tmp_path: Path) -> None:
    fewer = made(tmp_path / "fewer", num_scenes=11, sensors="rgb thermal")
    done = run("--out", fewer, "--num-scenes", 11)
    assert done.returncode == 1
    assert "as seen by rgb thermal, without ndvi lidar: remove it" in done.stderr
    assert "--sensors rgb thermal" in done.stderr
    more = run("--out", root, "--num-scenes", NUM_SCENES, "--sensors", "rgb", "ndvi")
    assert more.returncode == 0
    assert "already holds" in more.stdout


def test_the_table_of_contrasts_can_be_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import contrast

    monkeypatch.setattr(sys, "argv", ["contrast.py", "--num-scenes", "8"])
    contrast.main()
    assert len([line for line in capsys.readouterr().out.splitlines() if line.startswith("| hard")]) == 3


def test_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import prepare

    def interrupted(*_: Any) -> str:
        """Stops when all images are there and the manifest is not."""
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prepare, "describe", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made(tmp_path / "leafsim", num_scenes=11)
    assert list(tmp_path.iterdir()) == []
    assert rows(made(tmp_path / "leafsim", num_scenes=11))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--seed", -1), "--seed must be 0 or more, got -1"),
        (("--num-scenes", 3), "--num-scenes must be 11 or more"),
        (("--workers", 0), "--workers must be 1 or more"),
        (("--difficulty", "brutal"), "invalid choice: 'brutal'"),
        (("--sensors", "radar"), "invalid choice: 'radar'"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, flags: tuple[str, str | int], message: str) -> None:
    done = run("--out", tmp_path / "leafsim", *flags)
    assert done.returncode == 2
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("--out", tmp_path / "file" / "leafsim", "--num-scenes", 11)
    assert done.returncode == 1
    assert done.stderr.startswith("error:")
