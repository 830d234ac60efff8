"""What is written as TOML is read as it was."""

from __future__ import annotations

import tomllib

import pytest

from xkd.data.prepare.toml import to_toml


def test_any_table_survives() -> None:
    every = "".join(map(chr, range(0x20))) + "\"\\\x7f\x80é\u2028\U0001f33f'#[]="
    table = {
        "name": every,
        "many": [every, "b"],
        "yes": True,
        "number": -3,
        "small": 1e-12,
        "huge": 1e22,
        "nested": {"a b": {"x": [1.0, 2.5], "shifts": [[0.0, 1.0], [2.0, 3.0]]}, every: 1, "": 2},
        "last": {"empty": []},
    }
    text = to_toml(table, {"": "of all", "last": "told in\ntwo lines"})
    assert tomllib.loads(text) == table
    assert text.startswith("# of all\nname = ")
    assert "\n# told in\n# two lines\n[last]\n" in text
    assert tomllib.loads(to_toml({"endless": float("inf")}, {})) == {"endless": float("inf")}


def test_what_toml_has_no_word_for_is_refused() -> None:
    with pytest.raises(TypeError, match="has no place"):
        to_toml({"a": None}, {})
