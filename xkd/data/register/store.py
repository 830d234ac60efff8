"""`[registration.SENSOR]` in manifest.toml: written or replaced, with everything else left as its author wrote it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from xkd.data.prepare.toml import to_toml
from xkd.data.registration import Registration
from xkd.files import write_atomically

# a line of a matrix begins with a bracket too, but no name follows
_HEADER: Final = re.compile(r"^[ \t]*\[{1,2}[ \t]*[A-Za-z_\"']", re.MULTILINE)


def store(path: Path, sensor: str, registration: Registration) -> None:
    """Write the block of `sensor` into the manifest.toml at `path`, in the place of the one that is there.

    `ValueError`, and nothing written, where its text cannot be told apart from the rest.
    """
    write_atomically(path, with_block(path, path.read_bytes().decode("utf-8"), sensor, registration).encode())


def with_block(path: Path, text: str, sensor: str, registration: Registration) -> str:
    """The text of manifest.toml with the block; `path` is for the message alone."""
    entry = {key: value for key, value in asdict(registration).items() if value is not None}
    comment = f"from a pixel of {registration.reference} to the pixel of {sensor} that sees the same, centres on whole numbers"
    section = to_toml({"registration": {sensor: entry}}, {}).strip()
    head, _, body = section.partition("\n")
    block = f"{head}\n# {comment}\n{body}\n"
    ending = "\r\n" if "\r\n" in text else "\n"
    plain = text.replace("\r\n", "\n")
    place = re.search(rf"^[ \t]*\[[ \t]*registration[ \t]*\.[ \t]*[\"']?{re.escape(sensor)}[\"']?[ \t]*\]", plain, re.MULTILINE)
    if place is None:
        new = f"{plain.rstrip()}\n\n{block}"
    else:
        after = _HEADER.search(plain, place.end())
        old = plain[place.start() : after.start() if after else len(plain)]
        new = plain[: place.start()] + block + _trailing(old) + (plain[after.start() :] if after else "")
    if not _is_alone(plain, new, sensor, entry):
        raise ValueError(
            f"{path}: cannot replace [registration.{sensor}] without touching other lines; remove it by hand and run this again"
        )
    return new.replace("\n", ending)


def _trailing(section: str) -> str:
    """Its last blank lines and comments, which belong to what follows."""
    lines = section.splitlines(keepends=True)
    while lines and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
        lines.pop()
    return section[len("".join(lines)) :]


def _is_alone(old: str, new: str, sensor: str, entry: dict[str, Any]) -> bool:
    """Whether nothing but the block has changed."""
    before = tomllib.loads(old)
    try:
        after = tomllib.loads(new)
    except tomllib.TOMLDecodeError:
        return False
    block = after.get("registration", {}).pop(sensor, None)
    before.get("registration", {}).pop(sensor, None)
    others = [{key: value for key, value in table.items() if key != "registration" or value} for table in (before, after)]
    return others[0] == others[1] and block == tomllib.loads(to_toml(entry, {}))
