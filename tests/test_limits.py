"""The house's limits: a file that outgrows them holds two ideas, a function does two things."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(path for room in ("xkd", "tools", "datasets") for path in (ROOT / room).rglob("*.py"))
MOST_LINES = {"file": 300, "function": 50}


def too_long(path: Path, name: str) -> list[str]:
    """The file and those of its functions that have more lines than they may."""
    text = path.read_text("utf-8")
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    lengths = [(f"{name}:{function.name}", (function.end_lineno or 0) - function.lineno + 1) for function in functions]
    whole = [name] if len(text.splitlines()) > MOST_LINES["file"] else []
    return whole + [function for function, lines in lengths if lines > MOST_LINES["function"]]


def test_files_and_functions_are_short() -> None:
    assert [name for path in FILES for name in too_long(path, str(path.relative_to(ROOT)))] == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("x = 1\n" * 300, []),
        ("x = 1\n" * 301, ["a.py"]),
        ("def f() -> None:\n" + "    x = 1\n" * 49, []),
        ("class A:\n    def f(self) -> None:\n" + "        x = 1\n" * 50, ["a.py:f"]),
    ],
)
def test_what_is_too_long_is_named(text: str, names: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(text, "utf-8")
    assert too_long(tmp_path / "a.py", "a.py") == names


def test_a_class_has_a_name_of_its_own() -> None:
    files = [path for path in FILES if path.is_relative_to(ROOT / "xkd")]
    names = [node.name for path in files for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ClassDef)]
    assert sorted({name for name in names if names.count(name) > 1}) == []
