from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xkd.files import sweep, write_atomically, write_together


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "report.json"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match=r"cannot write .*report\.json: No space left on device; what was there is untouched"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_of_several_files_none_is_there_before_all_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, card = tmp_path / "new" / "model.onnx", tmp_path / "new" / "card.json"
    write_together({model: b"weights", card: b"words"})
    assert [path.read_bytes() for path in (model, card)] == [b"weights", b"words"]
    synced = []

    def full(_file: int) -> None:
        synced.append(1)
        if len(synced) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*card\.json"):
        write_together({model: b"other weights", card: b"other words"})
    assert [path.read_bytes() for path in (model, card)] == [b"weights", b"words"]
    assert sorted(path.name for path in model.parent.iterdir()) == ["card.json", "model.onnx"]


def test_what_killed_processes_of_this_machine_left_is_swept_away(tmp_path: Path) -> None:
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    here = platform.node()
    own, left = tmp_path / f".a.pth.{here}.{os.getpid()}.tmp", tmp_path / f".a.pth.{here}.{finished.pid}.tmp"
    others = [tmp_path / name for name in (".hidden", "a.tmp", ".mine.tmp", f".a.pth.{here}-2.{finished.pid}.tmp")]
    for path in (own, left, *others):
        path.write_bytes(b"")
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([own, *others])
