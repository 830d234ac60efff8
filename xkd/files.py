"""Files that are the old one or the new one, whatever happens in between."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write one file, its folder too where that is not there; `OSError` names it."""
    write_together({path: content})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Each under a temporary name, renamed when all of them are on the disk; `OSError` names the one that could not be written."""
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in files}
    path = next(iter(files))
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary[path], "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for path in files:
            os.replace(temporary[path], path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}; what was there is untouched") from error
    finally:
        for name in temporary.values():
            name.unlink(missing_ok=True)
