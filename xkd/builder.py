"""The only code that turns configuration into objects: every `dict(type=...)` is called, innermost first."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import timm

from xkd.hints import fitted, hints_of, parameters


def build(config: Any, where: str = "config") -> Any:
    """Call each `dict(type=callable, **arguments)` of a nested configuration; dicts without `type`, lists and tuples are kept as such.

    `TypeError` with the legal names for an unknown or a missing argument, and with the annotation for a value that is not of its type
    (lists become tuples where those are asked for); a `ValueError` or `TypeError` of a callable says where it stood.
    """
    if isinstance(config, Mapping):
        arguments = {key: build(config[key], f"{where}.{key}") for key in config if key != "type"}
        if "type" not in config:
            return arguments
        check_names(config["type"], arguments, where)
        arguments = with_types(config["type"], arguments, where)
        try:
            return config["type"](**arguments)
        except RuntimeError as error:  # timm's word for a name that it does not know
            near = difflib.get_close_matches(str(arguments.get("model_name")), timm.list_models())
            hint = f"; near it: {near}" if near and "Unknown model" in str(error) else ""
            raise ValueError(f"{where}: {getattr(config['type'], '__name__', config['type'])}: {error}{hint}") from error
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        except TypeError as error:
            raise TypeError(f"{where}: {getattr(config['type'], '__name__', config['type'])}: {error}") from error
    if isinstance(config, list | tuple):
        return type(config)(build(value, f"{where}[{position}]") for position, value in enumerate(config))
    return config


def check_arguments(config: Any, where: str = "config") -> None:
    """The check of `build` for a whole configuration, before anything is called; missing arguments are left to the call."""
    if isinstance(config, Mapping):
        for key in config:
            check_arguments(config[key], f"{where}.{key}")
        if "type" in config and not isinstance(config["type"], str):
            names = [key for key in config if key != "type"]
            check_names(config["type"], names, where, complete=False)
            for key, default in default_parts(config["type"]).items():
                value = config.get(key, default)
                if not isinstance(value, type(default)) and not (isinstance(value, Mapping) and "type" in value):
                    raise TypeError(f"{where}.{key} is made by dict(type={type(default).__name__}, ...), got {value!r}")
            with_types(config["type"], {key: config[key] for key in names if not is_to_be_made(config[key])}, where)
    elif isinstance(config, list | tuple):
        for position, value in enumerate(config):
            check_arguments(value, f"{where}[{position}]")


def check_names(target: Any, names: Iterable[str], where: str, complete: bool = True) -> None:
    """Whether `target` can be called with arguments of these names: all of them legal and, if `complete`, none missing."""
    if not callable(target):
        raise TypeError(f"{where}: type must be a class or a function, got {target!r}")
    called = getattr(target, "__name__", repr(target))
    takes = parameters(target)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in takes.values())
    legal = [key for key, p in takes.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    given = list(names)
    for key in given:
        if key not in legal and not open_ended:
            raise TypeError(f"{where}: {called} takes no argument '{key}'{_hint(key, legal, target)}; it takes {legal}")
    missing = [key for key in legal if takes[key].default is inspect.Parameter.empty and key not in given]
    if missing and complete:
        raise TypeError(f"{where}: {called} needs {missing}; it takes {legal}")


def with_types(target: Any, arguments: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The arguments as the annotations of `target` want them; `TypeError` for one that is of another type."""
    hints, takes, typed = hints_of(target), parameters(target), dict(arguments)
    for key, value in arguments.items():
        if key in hints and not (key in takes and value is takes[key].default):  # "rate: float = None" is common
            try:
                typed[key] = fitted(value, hints[key])
            except TypeError as error:
                raise TypeError(f"{where}.{key} {error}, an argument of {getattr(target, '__name__', target)}") from None
    return typed


def is_to_be_made(value: Any) -> bool:
    """Whether a `dict(type=...)` stands in it."""
    if isinstance(value, Mapping):
        return "type" in value or any(map(is_to_be_made, value.values()))
    return isinstance(value, list | tuple) and any(map(is_to_be_made, value))


def _hint(key: str, legal: Iterable[str], target: Any) -> str:
    """The legal argument that is nearest to `key`, be it an argument of a part."""
    meant = {name: f"'{name}'" for name in legal}
    for name, part in default_parts(target).items():
        for field in fields(part):
            place = f"{name}.{field.name}"
            meant[place] = f"'{place}', in a config {name}=dict(type={type(part).__name__}, {field.name}=...)"
    near = difflib.get_close_matches(key, meant, n=1)
    return f" (did you mean {meant[near[0]]}?)" if near else ""


def default_parts(target: Any) -> dict[str, Any]:
    """The arguments of `target` whose default is an object with fields of its own, a dataclass's, by name."""
    defaults = {name: parameter.default for name, parameter in parameters(target).items()}
    return {name: default for name, default in defaults.items() if is_dataclass(default) and not isinstance(default, type)}
