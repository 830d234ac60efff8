"""Where a sensor's files are: a folder, or a pattern that tells them from others in it.

`*` matches within a name, `**` any folders, `?` one character, `{id}` what a row is called by. `{1..5}` and `{red,nir}` are one pattern for
each, in this order. What follows no wildcard need not be written: a pattern of folders takes all files below.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from xkd.data.prepare.stems import one_form

_WILD: Final = re.compile(r"\*\*/?|\*|\?|\{id\}")
_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_RANGE: Final = re.compile(r"(\d+)\.\.(\d+)")


class Place(NamedTuple):
    """A file, its path below the place's folder, and its stem before `--strip`."""

    path: Path
    name: str
    stem: str


def is_pattern(place: Path) -> bool:
    return not place.is_dir() and bool(_WILD.search(str(place)))


def base(place: Path) -> Path:
    """The folder that a place is in: itself, or what stands before a pattern's first wildcard."""
    if not is_pattern(place):
        return place
    return Path(*itertools.takewhile(lambda part: not _WILD.search(part), place.parts))


def places(words: str) -> tuple[Path, ...]:
    """`DIR`, or several joined by commas; braces are written out: `IMG_{1..3}.tif` names three. `ValueError` for an empty one."""
    parts = [part for word in re.split(r",(?![^{}]*\})", words) for part in ([word] if Path(word).exists() else _written_out(word))]
    if not all(parts):
        raise ValueError(f"'{words}': folders or patterns are joined by ',', and one of them is empty")
    return tuple(map(Path, parts))


def files_of(place: Path) -> Iterator[Place]:
    """All visible files of a place, sorted; `NotADirectoryError` where there is no such folder, `ValueError` where none matches."""
    folder = base(place)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: no such folder")
    below = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _hidden(path.relative_to(folder))]
    if not is_pattern(place):
        yield from (Place(path, path.relative_to(folder).as_posix(), path.relative_to(folder).with_suffix("").as_posix()) for path in below)
        return
    pattern = _expression(one_form(place.relative_to(folder).as_posix()))
    found = False
    for path in below:
        name = path.relative_to(folder).as_posix()
        if match := pattern.fullmatch(one_form(name)):
            found = True
            yield Place(path, name, _stem(match, path.suffix))
    if not found:
        example = f", it holds {below[0].relative_to(folder).as_posix()} and {len(below) - 1} more" if below else ", which is empty"
        raise ValueError(f"{place}: no file of {folder} matches{example}; * matches within a name, ** any folders, {{id}} a row's name")


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _written_out(word: str) -> list[str]:
    """A word for each member of its braces, but those of `{id}`."""
    for braces in _BRACES.finditer(word):
        if braces[0] == "{id}":
            continue
        if numbers := _RANGE.fullmatch(braces[1]):
            first, last = map(int, numbers.groups())
            members = [str(number).zfill(len(numbers[1])) for number in range(first, last + 1)]
        else:
            members = braces[1].split(",")
        if len(members) < 2:
            raise ValueError(f"'{word}': braces hold several, {{1..5}} or {{red,nir}}, or are {{id}}; got '{braces[0]}'")
        return [full for member in members for full in _written_out(word[: braces.start()] + member + word[braces.end() :])]
    return [word]


def _expression(pattern: str) -> re.Pattern[str]:
    """Matches paths, upper and lower case alike. Groups in each folder or name are what its wildcards span, or `{id}` alone."""
    parts = []
    for part in re.findall(r"\*\*/|[^/]+/?", pattern):
        if part == "**/":
            parts.append("((?:[^/]+/)*)")
            continue
        wild = list(re.finditer(r"\{id\}", part)) or list(_WILD.finditer(part))
        start, end = (wild[0].start(), wild[-1].end()) if wild else (0, 0)
        inner = f"({_plain(part[start:end])})" if wild else ""
        parts.append(_plain(part[:start]) + inner + _plain(part[end:]))
    return re.compile("".join(parts) + "(?:/(?P<below>.+))?", re.IGNORECASE)


def _plain(text: str) -> str:
    """A part of a folder's or a file's name, with wildcards that take no group."""
    out, place = "", 0
    for wild in _WILD.finditer(text):
        out += re.escape(text[place : wild.start()]) + ("[^/]" if wild[0] == "?" else "[^/]+" if wild[0] == "{id}" else "[^/]*")
        place = wild.end()
    return out + re.escape(text[place:])


def _stem(match: re.Match[str], suffix: str) -> str:
    parts = [part.strip("/") for part in match.groups() if part]
    return "/".join(part for part in parts if part).removesuffix(suffix)
