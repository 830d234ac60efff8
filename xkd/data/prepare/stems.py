"""The files' stems, found by what people write for them: names of files, paths of any system, upper and lower case as they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from unicodedata import normalize

_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}$")


def one_form(text: str) -> str:
    """The text with composed letters (NFC): disks of some systems hold "ä" as "a" and two dots."""
    return normalize("NFC", text)


class Stems:
    """Of the rows; `strip` is taken out of what people write as it was out of the files' names."""

    def __init__(self, stems: Iterable[str], strip: str) -> None:
        self.strip = strip
        self.known = set(stems)
        self.by_tail: dict[str, list[str]] = {}
        for stem in self.known:
            for tail in _tails(stem):
                self.by_tail.setdefault(tail, []).append(stem)
        self._folded = {stem.casefold() for stem in self.known}

    def find(self, text: str) -> str:
        """The stem, empty where there is none; `ValueError` names the stems where it may be several.

        It is the text itself, or with its suffix or what `strip` matches taken away; either may have more folders than the other one.
        """
        name = one_form(text.strip())
        if name in self.known:
            return name
        path = name.replace("\\", "/")
        bare = _SUFFIX.sub("", path)
        for form in dict.fromkeys((path, bare, re.sub(self.strip, "", bare) if self.strip else bare)):
            longer = self.by_tail.get(form.removeprefix("./"), []) if form else []
            if len(longer) > 1:
                raise ValueError(f"'{text}' may be {' or '.join(repr(stem) for stem in sorted(longer)[:3])}; write its folder too")
            if found := longer or [tail for tail in _tails(form) if tail in self.known]:
                return found[0]
        return ""

    def is_twin(self, text: str) -> bool:
        """Whether a stem differs from the text's in upper and lower case alone."""
        path = one_form(text.strip()).replace("\\", "/").casefold()
        return any(tail in self._folded for form in (path, _SUFFIX.sub("", path)) for tail in _tails(form))


def _tails(path: str) -> Iterator[str]:
    """The path, and it without its first folders."""
    parts = path.split("/")
    return ("/".join(parts[start:]) for start in range(len(parts)))
