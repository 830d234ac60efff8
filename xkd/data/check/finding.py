"""What the check has to say, and how grave it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["error", "warning", "note"]

_NAMED: Final = 4  # examples that a sentence gives


@dataclass(frozen=True)
class Finding:
    """An error is what training would refuse or evaluate blindly; a warning wants a person's look; a note is good to know."""

    severity: Severity
    subject: str  # "reading", "files", "registration", "time", "exposure", "leaks", "labels", "masks" or "normalisation"
    text: str


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
