"""Text files as people save them: UTF-8, with a byte order mark or without."""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path) -> str:
    """`ValueError` names a file that is in another encoding."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: save it as UTF-8: {error}") from error
