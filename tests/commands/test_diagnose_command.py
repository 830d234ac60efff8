"""`xkd diagnose`: from a config to advice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xkd import cli


def test_questions_reasons_and_advice(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("diagnose", [str(trained / "student.py"), "--share", "0.1", "--work-dir", str(tmp_path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in ("Do the pairs of", "Is the teacher on", "better?", "permutation of"):
        assert part in shown
    diagnosis = json.loads((tmp_path / "diagnosis.json").read_text("utf-8"))
    assert diagnosis["advice"] in ("for", "against", "unclear")
    assert len(diagnosis["answers"]) in (3, 4), "one more where the teacher is no better than the student"


def test_a_share_that_is_none(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run("diagnose", [str(trained / "student.py"), "--share", "0", "--work-dir", str(tmp_path / "work")]) == 2
    assert "above 0 and at most 1, got 0.0" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()
