"""The check in brief says what the whole check says of pairs and rows, without a scan of files."""

from __future__ import annotations

from pathlib import Path

from shape_pairs import make_set

from xkd.data.check.brief import brief
from xkd.data.manifest import Manifest


def test_sound_pairs_and_shifted_ones(sound: Path, tmp_path: Path) -> None:
    result = brief(Manifest.load(sound))
    assert result.balance.rows["train"] > 0
    assert not [one for one in result.findings if one.severity != "note"]
    assert len(result.residuals) == 1
    shifted = brief(Manifest.load(make_set(tmp_path / "shifted", (7.0, 0.0))))
    assert any(one.subject == "registration" and one.severity != "note" for one in shifted.findings)


def test_rows_that_cannot_be_read_are_counted(copy: Path) -> None:
    broken = next((copy / "rgb").iterdir())
    broken.write_bytes(b"no image")
    findings = [one for one in brief(Manifest.load(copy)).findings if one.subject == "files"]
    assert len(findings) == 1
    assert broken.name in findings[0].text
