"""Writing a data set: all of it, or nothing."""

from __future__ import annotations

import csv
import io
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from xkd.data.manifest import Manifest
from xkd.data.rows import Row
from xkd.data.text import read_text
from xkd.packed import is_packed, parts_of


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


def files_of(manifest: Manifest) -> dict[str, Row]:
    """Every file that a row names, by its path below the root, with the first row that does: those of a row beside each other."""
    owners: dict[str, Row] = {}
    for row in manifest.rows:
        for path in (*(path for paths in row.files.values() for path in paths), row.mask, row.calibration):
            if path:
                owners.setdefault(PurePosixPath(path).as_posix(), row)
    return owners


def link_files(manifest: Manifest, folder: Path) -> None:
    """The data set's files, packed or not, in another folder too: as links, on another disk as copies."""
    loose = [manifest.root / name for name in files_of(manifest) if not is_packed(manifest.root / name)]
    for file in (*parts_of(manifest.root), *loose):
        link(file, folder / file.relative_to(manifest.root))


def link(file: Path, target: Path) -> None:
    """`target` is the same file, or where it is on another disk a copy of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file.resolve(), target)
    except OSError:
        shutil.copyfile(file, target)


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
