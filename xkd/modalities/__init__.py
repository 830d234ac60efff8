"""Sensors, one per file: how to read them, vary them and show them. A new sensor is a new file and a line in `SENSORS`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from types import NoneType
from typing import Any, Final, get_args, get_origin, get_type_hints

from xkd.modalities.clip import Clip
from xkd.modalities.depth import Depth
from xkd.modalities.lidar import LiDAR
from xkd.modalities.multispectral import Multispectral
from xkd.modalities.noise import Noise
from xkd.modalities.rgb import RGB
from xkd.modalities.thermal import Thermal
from xkd.modality import Clues, Modality, Sensor, Shot

__all__ = ["RGB", "SENSORS", "Clip", "Depth", "LiDAR", "Multispectral", "Noise", "Thermal", "clues", "modality"]

SENSORS: Final[Mapping[str, type[Sensor]]] = {  # as a manifest.toml names them
    "rgb": RGB,
    "thermal": Thermal,
    "multispectral": Multispectral,
    "lidar": LiDAR,
    "depth": Depth,
}


def modality(name: str, table: Mapping[str, Any]) -> Modality:
    """The sensor that a `[modalities.NAME]` table describes: `sensor` and any field of its class.

    Raises `ValueError` for an unknown sensor or key and for a missing key, naming the legal ones.
    """
    sensor, values = _settings(name, table)
    required = sensor.requires(values)
    if missing := [key for key in required if key not in values]:
        raise ValueError(f"[modalities.{name}]: sensor '{table['sensor']}' needs {missing[0]!r} (and {list(required)} in all)")
    build: Any = sensor
    built: Modality = build(name=name, **values)
    return built


def clues(name: str, table: Mapping[str, Any], shots: Sequence[Shot]) -> Clues:
    """What some shots say of settings that their `[modalities.NAME]` table lacks; raises what `modality` does, but for missing keys."""
    sensor, values = _settings(name, table)
    return sensor.clues(values, shots)


def _settings(name: str, table: Mapping[str, Any]) -> tuple[type[Sensor], dict[str, Any]]:
    """The table's sensor, and its settings as the class takes them."""
    kind = str(table.get("sensor"))
    if kind not in SENSORS:
        raise ValueError(f"[modalities.{name}]: unknown sensor {kind!r}; sensors are {sorted(SENSORS)}")
    sensor: Any = SENSORS[kind]
    legal = [field.name for field in fields(sensor) if field.name != "name"]
    values = {key: _frozen(value) for key, value in table.items() if key != "sensor"}
    if unknown := [key for key in values if key not in legal]:
        raise ValueError(f"[modalities.{name}]: unknown key {unknown[0]!r}; sensor '{kind}' takes {legal}")
    hints = get_type_hints(sensor)
    for key, value in values.items():
        if not _fits(value, hints[key]):
            raise ValueError(f"[modalities.{name}]: {key} must be {_words(hints[key])}, got {table[key]!r}")
    return sensor, values


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a TOML value can be given to a field of this type; a whole number serves as a float, and TOML has no None."""
    arguments = get_args(hint)
    if NoneType in arguments:
        return _fits(value, arguments[0])
    if get_origin(hint) is tuple:
        if not isinstance(value, tuple) or (arguments[-1] is not Ellipsis and len(value) != len(arguments)):
            return False
        parts = (arguments[0],) * len(value) if arguments[-1] is Ellipsis else arguments
        return all(map(_fits, value, parts))
    if arguments:  # a Literal
        return value in arguments
    return isinstance(value, (int, float) if hint is float else hint) and (hint is bool or not isinstance(value, bool))


def _words(hint: Any) -> str:
    """What a field of this type is, to a person."""
    arguments = get_args(hint)
    if NoneType in arguments:
        return _words(arguments[0])
    if get_origin(hint) is tuple:
        if get_origin(arguments[0]) is tuple:
            return f"lists of {_words(arguments[0])}"
        several = _words(arguments[0]).removeprefix("a ") + "s"
        return several if arguments[-1] is Ellipsis else f"{len(arguments)} {several}"
    if arguments:
        return f"one of {list(arguments)}"
    return {str: "text", bool: "true or false", int: "a whole number"}.get(hint, "a number")
