"""A table as TOML that a person reads: lists on one line, every text escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def to_toml(table: Mapping[str, Any], comments: Mapping[str, str], section: str = "") -> str:
    """TOML 1.0 of texts, numbers, truth values, lists and tables; `comments` stand above the section that they name.

    `tomllib.loads` gives the same table back.
    """
    # a bare value after a [section] would belong to it, so tables come last
    values = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    lines = [f"{_key(key)} = {to_value(value)}" for key, value in values.items()]
    if section:
        lines.insert(0, f"[{section}]")
    lines[:0] = [f"# {line}" for line in comments.get(section, "").splitlines()]
    parts = ["\n".join(lines) + "\n"] if values else []
    for key, value in table.items():
        if isinstance(value, Mapping):
            parts.append(to_toml(value, comments, f"{section}.{_key(key)}" if section else _key(key)))
    return "\n".join(parts)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text(key)


def _text(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def to_value(value: Any) -> str:
    """What stands behind the `=` of a key."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(to_value, value)) + "]"
    raise TypeError(f"{value!r} has no place in a TOML file of ours")
