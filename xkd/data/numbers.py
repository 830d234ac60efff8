"""Numbers that rows are labelled with: what manifest.toml says of them, and the cells that hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from xkd.batch import Number


def read_numbers(path: Path, table: Mapping[str, Any]) -> tuple[Number, ...]:
    """[numbers.NAME] with unit and range, where `labels = "number"`; `ValueError` says what is missing."""
    tables = table.get("numbers", {})
    if (table.get("labels") == "number") != bool(tables):
        raise ValueError(f'{path}: labels = "number" goes with a table [numbers.NAME] for each number, with its unit and range')
    found = []
    for name, entry in tables.items():
        if not isinstance(entry, dict) or set(entry) - {"unit", "range"} or not isinstance(entry.get("range"), list):
            raise ValueError(f"{path}: [numbers.{name}] needs range = [lowest, highest] and may have a unit, got {entry}")
        try:
            found.append(Number(name, str(entry.get("unit", "")), tuple(entry["range"])))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: [numbers.{name}]: {error}") from error
    return tuple(found)


def parse_numbers(text: str, wanted: Sequence[Number]) -> tuple[float, ...]:
    """One for each of the `wanted`, joined by `;`, within its range; () where nobody looked."""
    if not text:
        return ()
    parts = text.split(";")
    if len(parts) != len(wanted):
        raise ValueError(f"label '{text}' must be {len(wanted)} numbers joined by ';', {[number.name for number in wanted]}, or empty")
    return tuple(_checked(part.strip(), number) for part, number in zip(parts, wanted, strict=True))


def _checked(text: str, number: Number) -> float:
    low, high = number.range
    legal = f"write a number from {low:g} to {high:g}" + (f" ({number.unit})" if number.unit else "")
    try:
        value = float(text)
    except ValueError as error:
        raise ValueError(f"{number.name} is '{text}', {legal}") from error
    if not isfinite(value) or not low <= value <= high:
        raise ValueError(f"{number.name} is {text}, {legal}, or leave the cell empty where nobody looked")
    return value
