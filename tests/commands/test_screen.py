"""What is piped is read by programs and copied by people."""

from pathlib import Path

import pytest
from rich.table import Table

import xkd
from xkd.engine.screen import Screen


def test_a_line_is_never_broken_and_a_table_keeps_to_the_width(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/data/" + "a-long-folder/" * 20 + "best.pth"
    screen = Screen(60)
    screen.print(f"best 0.9 after 3 epochs: {path}")
    assert path in capsys.readouterr().out
    table = Table("file")
    table.add_row(path)
    screen.print(table)
    assert max(map(len, capsys.readouterr().out.splitlines())) == 60


def test_a_quiet_screen_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Screen(quiet=True).print("unseen")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("text", ["stage:-1: the last one", "say so in [flips] of manifest.toml"])
def test_colons_are_no_pictures_and_brackets_no_markup(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    Screen().print(text)
    assert capsys.readouterr().out == f"{text}\n"


def test_no_command_writes_markup_which_the_screen_does_not_read() -> None:
    sources = {path.name: path.read_text("utf-8") for path in Path(xkd.__file__).parent.rglob("*.py")}
    assert [name for name, text in sources.items() if "[/]" in text or "rich.markup" in text] == []
