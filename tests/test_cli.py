"""The console command: its commands, its exit codes, one short message for a user's mistake."""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path

import pytest

from xkd import cli

TOOLS = Path(__file__).parent.parent / "tools"


@pytest.mark.parametrize("arguments", [[], ["trian"]], ids=["none", "unknown"])
def test_an_unknown_command_lists_the_known(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["xkd", *arguments])
    assert cli.main() == 2
    assert "train,test,diagnose,compare" in capsys.readouterr().err


def test_help_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["xkd", "--help"])
    assert cli.main() == 0


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_a_module_a_tool_and_help(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = command.replace("-", "_")
    assert callable(importlib.import_module(f"xkd.commands.{name}").main)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(TOOLS / f"{name}.py"), run_name="__main__")
    assert stop.value.code == 0
    assert f"xkd {command}" in capsys.readouterr().out


WORKER = "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  File 'x'\nValueError: cut off\n"
ERRORS = {
    "value": (ValueError("a.png: cut off"), "xkd train: a.png: cut off\n", 2),
    "key without quotes": (KeyError("no tap 'x'; there are ['y']"), "xkd train: no tap 'x'; there are ['y']\n", 2),
    "worker": (ValueError(WORKER), "xkd train: cut off\n", 2),
    "chained in a worker": (ValueError(f"{WORKER}\nThe above\nValueError: row 'a': cut off\n"), "xkd train: row 'a': cut off\n", 2),
    "not a number": (FloatingPointError("term ce is not finite"), "xkd train: term ce is not finite\n", 2),
    "full disk": (OSError("cannot write a: No space left on device"), "xkd train: cannot write a: No space left on device\n", 2),
    "interrupt": (KeyboardInterrupt(), "xkd train: interrupted; what was finished is kept\n", 130),
}


@pytest.mark.parametrize(("error", "message", "code"), ERRORS.values(), ids=list(ERRORS))
def test_a_mistake_is_one_message(
    error: BaseException, message: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: list[str]) -> int:
        raise error

    monkeypatch.setattr(importlib.import_module("xkd.commands.train"), "main", fail)
    assert cli.run("train", []) == code
    assert capsys.readouterr().err == message


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: list[str]) -> int:
        raise AssertionError("ours")

    monkeypatch.setattr(importlib.import_module("xkd.commands.train"), "main", fail)
    with pytest.raises(AssertionError):
        cli.run("train", [])
