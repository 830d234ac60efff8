"""Files that are the old one or the new one, whatever happens in between."""

from __future__ import annotations

import glob
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_TEMPORARY: Final = ".tmp"


def write_atomically(path: Path, content: bytes) -> None:
    """Write one file, its folder too where that is not there; `OSError` names it."""
    write_together({path: content})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Each under a temporary name, renamed when all of them are on the disk; `OSError` names the one that could not be written."""
    temporary = {path: path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}{_TEMPORARY}") for path in files}
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


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed processes of this machine have left in it; others may share the folder."""
    for path in folder.glob(f".*.{glob.escape(platform.node())}.*{_TEMPORARY}"):
        owner = path.name.removesuffix(_TEMPORARY).rpartition(".")[2]
        if owner.isdigit() and not _is_running(int(owner)):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name == "nt":  # there the call below would interrupt it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
