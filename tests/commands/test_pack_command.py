"""`xkd pack`: what it says, and that other commands take what it makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from xkd import cli


def test_pack_and_unpack_tell_what_they_did(own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = own_data / "rgb" / "02.png"
    large.write_bytes(large.read_bytes() + bytes(2**20))
    assert cli.run("pack", ["tiny", "--out", str(tmp_path / "packed"), "--shard-size", "1"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "files into 1 shard, " in told
    assert "1 file is larger than a shard, gains nothing from one and stays loose beside them: rgb/02.png" in told
    assert cli.run("pack", [str(tmp_path / "packed"), "--unpack", "--out", str(tmp_path / "loose")]) == 0
    assert (tmp_path / "loose" / "rgb" / "01.png").read_bytes() == (own_data / "rgb" / "01.png").read_bytes()
    assert cli.run("pack", ["tiny", "--out", str(tmp_path / "packed")]) == 2
    assert cli.run("pack", ["tiny", "--out", str(tmp_path / "other"), "--shard-size", "0"]) == 2
    told = capsys.readouterr().err
    assert "packed: is there already" in told
    assert "--shard-size is in MiB, a whole number from 1 on; got 0" in told
