"""Names of classes that look like a slip: one class written in two ways, or several classes in one name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

_JOINTS: Final = ";,|/+&"  # between labels; a blank, '_' or '-' may as well belong to a name
_WEAK: Final = (" ", "_", "-")
_EMPTY: Final = ("nan", "na", "n/a", "#n/a", "<na>", "null", "undefined", "?", "unlabelled", "unlabeled")  # as tools write an empty cell


def twins(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that differ in upper and lower case, blanks, quotes, `_` and `-` alone."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(re.sub(r"[\s_-]+", " ", name.strip(" '\"")).casefold(), []).append(name)
    return [tuple(sorted(those)) for those in alike.values() if len(those) > 1]


def joined(names: Sequence[str]) -> dict[str, str]:
    """Name -> the joint, of those that hold another class's name before or after it: "scab,rust" beside "scab".

    A blank, `_` or `-` is one where all of its parts are classes.
    """
    known, found = set(names), {}
    for name in names:
        for joint in (*_JOINTS, *_WEAK):
            parts = [part.strip() for part in name.split(joint) if part.strip()]
            of_class = [part in known for part in parts]
            if len(parts) > 1 and (all(of_class) if joint in _WEAK else any(of_class)):
                found[name] = joint
                break
    return found


def remarks(names: Sequence[str]) -> list[str]:
    """A sentence for each kind of slip that there is."""
    said = [
        f"classes {' and '.join(map(repr, those))} differ in case, blanks or quotes alone: are they one class?" for those in twins(names)
    ]
    said += [
        f"class {name!r} reads like an empty cell; leave the cell empty where nobody looked" for name in names if name.casefold() in _EMPTY
    ]
    if several := joined(names):
        listed = ", ".join(map(repr, list(several)[:4]))
        said.append(f"a class's name holds others' names, joined by {next(iter(several.values()))!r} ({listed}): are these several labels?")
    return said
