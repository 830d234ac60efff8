"""Writing a data set: all of it, or nothing."""

from __future__ import annotations

import csv
import io
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from xkd.data.manifest import Manifest
from xkd.data.text import read_text


def check_new(out: Path) -> None:
    if out.exists():
        raise FileExistsError(f"{out}: is there already; remove it to make it anew, or name another folder")


@contextmanager
def new_dataset(out: Path) -> Iterator[Path]:
    """A folder to write a data set into; it is verified and becomes `out` when the block ends well, and is gone when it does not.

    Raises `FileExistsError` where `out` is there already, and whatever `Manifest.load` finds wrong.
    """
    check_new(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    draft.chmod(0o755)
    try:
        yield draft
        Manifest.load(draft.absolute())
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_rows(folder: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """`manifest.csv` of rows that all have the first one's columns."""
    if not rows:
        raise ValueError(f"{folder}: no rows to write")
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file with a header; `FileNotFoundError` and `ValueError` name the file."""
    return list(csv.DictReader(io.StringIO(read_text(path))))
