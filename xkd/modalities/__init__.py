"""Sensors, one per file: how to read them, vary them and show them. A new sensor is a new file and a line in `SENSORS`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, Final

from xkd.batch import Modality
from xkd.modalities.rgb import RGB
from xkd.modalities.thermal import Thermal

__all__ = ["RGB", "SENSORS", "Thermal", "modality"]

# sensor of a manifest.toml -> its class, and the keys that the file must give because no default could be right
SENSORS: Final[Mapping[str, tuple[type, tuple[str, ...]]]] = MappingProxyType(
    {"rgb": (RGB, ()), "thermal": (Thermal, ("unit", "scale", "range"))}
)


def modality(name: str, table: Mapping[str, Any]) -> Modality:
    """The sensor that a `[modalities.NAME]` table describes: `sensor` and any field of its class.

    Raises `ValueError` for an unknown sensor or key and for a missing key, naming the legal ones.
    """
    kind = str(table.get("sensor"))
    if kind not in SENSORS:
        raise ValueError(f"[modalities.{name}]: unknown sensor {kind!r}; sensors are {sorted(SENSORS)}")
    sensor, required = SENSORS[kind]
    legal = [field.name for field in fields(sensor) if field.name != "name"]
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items() if key != "sensor"}
    if unknown := [key for key in values if key not in legal]:
        raise ValueError(f"[modalities.{name}]: unknown key {unknown[0]!r}; sensor '{kind}' takes {legal}")
    for key, value in values.items():
        if not all(isinstance(part, str if key == "unit" else (int, float)) for part in (value if isinstance(value, tuple) else (value,))):
            raise ValueError(f"[modalities.{name}]: {key} must be {'text' if key == 'unit' else 'a number or numbers'}, got {value!r}")
    if missing := [key for key in required if key not in values]:
        raise ValueError(f"[modalities.{name}]: sensor '{kind}' needs {missing[0]!r} (and {list(required)} in all)")
    built: Modality = sensor(name=name, **values)
    return built
