"""Words by which people call splits: of folders, of lists, in a column."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

from xkd.data.rows import SPLITS

_WORDS: Final = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_ADDED: Final = re.compile(r"[-_ ]?(set|split|images|[0-9]{4})$")  # val2017, test_set


def named_split(word: str) -> str:
    """The split that a word means, whatever its case, such as val for `Validation`; empty where it means none."""
    plain = word.strip().casefold()
    return _WORDS.get(plain) or _WORDS.get(_ADDED.sub("", plain), "")


def split_of(path: str) -> str:
    """The split that a folder of this relative path (with `/`) names, empty where none does; `ValueError` where two are named."""
    folders = PurePosixPath(path).parts[:-1]
    found = [split for split in SPLITS if split in map(named_split, folders)]
    if len(found) > 1:
        raise ValueError(f"'{path}' lies in folders of two splits, {' and '.join(found)}; which holds? Rename one, or write --split-lists")
    return found[0] if found else ""


def class_folders(paths: Iterable[str]) -> dict[str, str]:
    """Relative path -> its innermost folder that names no split, empty where there is none.

    Words for splits are names of classes where one of them alone occurs, and not in every path: a class called `test` beside `control`.
    """
    folders = {path: PurePosixPath(path).parts[:-1] for path in paths}
    splits = {path: {split for folder in those if (split := named_split(folder))} for path, those in folders.items()}
    skip = len(set().union(*splits.values())) > 1 or all(splits.values())
    return {path: next((folder for folder in reversed(those) if not (skip and named_split(folder))), "") for path, those in folders.items()}
