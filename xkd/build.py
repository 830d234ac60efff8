"""The only code that turns configuration into objects: every `dict(type=...)` is called, innermost first."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any


def build(config: Any, where: str = "config") -> Any:
    """Call each `dict(type=callable, **arguments)` of a nested configuration; dicts without `type`, lists and tuples are kept as such.

    `TypeError` with the legal names for an unknown or a missing argument; errors of the callables themselves pass through.
    """
    if isinstance(config, Mapping):
        arguments = {key: build(value, f"{where}.{key}") for key, value in config.items() if key != "type"}
        return call(config["type"], arguments, where) if "type" in config else arguments
    if isinstance(config, list | tuple):
        return type(config)(build(value, f"{where}[{position}]") for position, value in enumerate(config))
    return config


def call(target: Any, arguments: dict[str, Any], where: str) -> Any:
    if not callable(target):
        raise TypeError(f"{where}: type must be a class or a function, got {target!r}")
    name = getattr(target, "__name__", repr(target))
    parameters = inspect.signature(target).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    legal = [key for key, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for key in arguments:
        if key not in legal and not open_ended:
            near = difflib.get_close_matches(key, legal, n=1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            raise TypeError(f"{where}: {name} takes no argument '{key}'{hint}; it takes {legal}")
    missing = [key for key in legal if parameters[key].default is inspect.Parameter.empty and key not in arguments]
    if missing:
        raise TypeError(f"{where}: {name} needs {missing}; it takes {legal}")
    return target(**arguments)
