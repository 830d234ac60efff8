"""What the names of a folder's files have in common, unlike those of another folder: `--strip` takes it out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set as AbstractSet


def unlike_names(stems: Mapping[str, AbstractSet[str]]) -> str:
    """How to pair sensors whose stems are all unlike, to a person: with a pattern for `--strip` if one of their own helps."""
    starts = {_shared(names) for names in stems.values()}
    ends = {_shared(name[::-1] for name in names)[::-1] for names in stems.values()}
    parts = [f"^({_either(starts)})"] if len(starts) > 1 else []
    parts += [f"({_either(ends)})$"] if len(ends) > 1 else []
    bare = [{re.sub("|".join(parts), "", name) for name in names} for names in stems.values()]
    if parts and (common := set.intersection(*bare) - {""}):
        most = max(map(len, stems.values()))
        return f"--strip '{'|'.join(parts)}' takes what differs out of the stems and pairs {len(common)} of {most}"
    return "--strip takes what differs out of the stems, such as '_rgb$|_thermal$'"


def _shared(names: Iterable[str]) -> str:
    """With what they all begin, up to its last character that is no digit: of 0010 and 0011 the shared 001 is a number's."""
    first, *_, last = sorted(names) * 2
    length = next((place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    return first[:length].rstrip("0123456789")


def _either(names: AbstractSet[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=lambda name: (-len(name), name)) if name)
