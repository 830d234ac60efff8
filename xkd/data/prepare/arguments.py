"""What a person types about sensors, names and numbers, as objects."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xkd.data.prepare.guess import guess
from xkd.data.prepare.listing import Source
from xkd.data.prepare.masks import Colour, MaskFolder, held
from xkd.data.prepare.pattern import places
from xkd.data.prepare.records import Table
from xkd.data.prepare.shared import check_shared
from xkd.modalities import SENSORS


def parse_sources(words: Sequence[str], settings: Sequence[str]) -> dict[str, Source]:
    """`COLUMN=PLACE` or `COLUMN=PLACE:SENSOR` (`COLUMN=PLACE,PLACE` for one file per band) with the settings of their tables.

    A place is a folder or a pattern, see `pattern`.
    """
    sources: dict[str, Source] = {}
    for column, rest in named(words, "--sensor"):
        folders, _, kind = rest.rpartition(":")
        named_so = bool(folders) and kind in SENSORS
        if not named_so and ":" in rest and not Path(rest).is_dir():
            raise ValueError(f"--sensor {column}={rest}: write COLUMN=FOLDER:SENSOR; sensors are {sorted(SENSORS)}")
        if not (column.isascii() and column.isidentifier()):
            raise ValueError(f"--sensor {column}={rest}: a column is plain letters, digits and _, not first a digit")
        if column in sources:
            raise ValueError(f"--sensor {column} is there twice")
        paths, why = places(folders if named_so else rest), ""
        if not named_so:
            kind, why = guess(column, paths)
        if len(paths) > 1 and kind != "multispectral":
            raise ValueError(
                f"--sensor {column}={rest}: a row has one file of sensor '{kind}'; several folders or braces are bands of a multispectral"
                f" one. '*' or '**' in place of what differs takes them all: {column}={_common(paths)}:{kind}"
            )
        sources[column] = Source(paths, {"sensor": kind}, why)
    check_shared(sources)
    tables = with_settings({column: source.table for column, source in sources.items()}, settings)
    return {column: replace(source, table=tables[column]) for column, source in sources.items()}


def with_settings(tables: Mapping[str, Table], settings: Sequence[str]) -> dict[str, Table]:
    """`COLUMN.KEY=VALUE` put into the tables; a value is TOML, and whatever is no TOML is text: `K`, `8-bit counts`."""
    changed = {column: dict(table) for column, table in tables.items()}
    for name, text in named(settings, "--set"):
        column, dot, key = name.partition(".")
        if not dot or column not in changed:
            raise ValueError(f"--set {name}={text}: write COLUMN.KEY=VALUE; columns are {list(changed)}")
        changed[column][key] = _value(text)
    return dict(changed)


def parse_numbers(words: Sequence[str], flag: str) -> dict[str, float]:
    """`NAME=NUMBER` of a flag."""
    numbers = {}
    for name, text in named(words, flag):
        try:
            numbers[name] = float(text)
        except ValueError as error:
            raise ValueError(f"{flag} {name}={text}: write NAME=NUMBER") from error
    return numbers


def parse_masks(folder: Path | None, values: Sequence[str], colours: Sequence[str], positive: Sequence[str]) -> MaskFolder | None:
    """The masks' folder with codes `NAME=CODE` or colours `NAME=RED,GREEN,BLUE`; the one name beside `background` is of interest."""
    if folder is None:
        if values or colours or positive:
            raise ValueError("--mask-values, --mask-colours and --mask-positive say what the files of --masks DIR mean; it is not given")
        return None
    codes = {name: int(code) for name, code in parse_numbers(values, "--mask-values").items() if code.is_integer()}
    if len(codes) < len(values) or not all(0 <= code <= 255 for code in codes.values()):
        raise ValueError(f"--mask-values: codes are whole numbers, 0 to 255; got {list(values)}")
    palette = {name: _colour(name, text) for name, text in named(colours, "--mask-colours")}
    if not codes and not palette:
        raise ValueError(f"{folder}: the masks' names are in no file; they hold {held(folder)}")
    others = [name for name in (*codes, *palette) if name != "background"]
    return MaskFolder(folder, tuple(positive or (others if len(others) == 1 else ())), codes, palette)


def named(words: Sequence[str], flag: str) -> list[tuple[str, str]]:
    """`NAME=TEXT` as (name, text)."""
    pairs = []
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name or not text:
            raise ValueError(f"{flag} {word}: write NAME=VALUE")
        pairs.append((name, text))
    return pairs


def _common(paths: Sequence[Path]) -> Path:
    """The paths as one pattern."""
    return Path(*("*" if len(set(parts)) > 1 else parts[0] for parts in zip(*(path.parts for path in paths), strict=False)))


def _colour(name: str, text: str) -> Colour:
    words = text.split(",")
    if len(words) != 3 or not all(word.isdecimal() and int(word) <= 255 for word in words):
        raise ValueError(f"--mask-colours {name}={text}: write NAME=RED,GREEN,BLUE, each 0 to 255")
    return int(words[0]), int(words[1]), int(words[2])


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
