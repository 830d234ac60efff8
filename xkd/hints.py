"""Whether a value that somebody wrote down is of the type that an argument is annotated with."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from typeguard import CollectionCheckStrategy, ForwardRefPolicy, TypeCheckError, check_type

_NUMBERS: Final = (int, float, complex)
_SERIES: Final = (Collection, Iterable, Sequence)


@cache  # a comparison reads its configs a hundred times
def parameters(target: Any) -> Mapping[str, inspect.Parameter]:
    """What a callable can be called with, by name."""
    return inspect.signature(target).parameters


@cache
def hints_of(target: Any) -> Mapping[str, Any]:
    """The annotations of a callable's arguments by name; of a class that hands its arguments up with `**kwargs`, its parents' too.

    Empty where they name what exists for type checkers alone.
    """
    if not inspect.isclass(target):
        return _hints(target)
    if is_dataclass(target):
        return _hints(target)
    hints: dict[str, Any] = {}
    for parent in target.__mro__:
        if "__init__" in vars(parent) and parent is not object:
            own = vars(parent)["__init__"]
            hints = {**_hints(own), **hints}
            if not any(p.kind is p.VAR_KEYWORD for p in parameters(own).values()):
                break
    return hints


def _hints(target: Any) -> dict[str, Any]:
    try:
        return get_type_hints(target)
    except (NameError, TypeError, AttributeError):
        return {}


def fitted(value: Any, hint: Any) -> Any:
    """The value as the annotation wants it: lists become tuples, and tuples lists, where only those fit. `TypeError` where nothing does."""
    for candidate in (value, _series(value, tuple), _series(value, list)):
        if _fits(candidate, hint):
            return candidate
    raise TypeError(f"must be {words(hint)}, got {value!r}")


def _fits(value: Any, hint: Any) -> bool:
    # a flag is a number of Python, and a text a sequence of texts; whoever writes them there means something else
    by_accident = {bool: _NUMBERS, str: _SERIES}.get(type(value), ())
    members = [member for member in _members(hint) if (get_origin(member) or member) not in by_accident]
    return any(_is(value, member) for member in members)


def _is(value: Any, hint: Any) -> bool:
    try:
        check_type(value, hint, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS, forward_ref_policy=ForwardRefPolicy.IGNORE)
    except TypeCheckError:
        return False
    return True


def _members(hint: Any) -> tuple[Any, ...]:
    """Of a union; an alias by what it stands for."""
    if isinstance(hint, typing.TypeAliasType if hasattr(typing, "TypeAliasType") else ()):
        return _members(hint.__value__)
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(member for part in get_args(hint) for member in _members(part))
    return (hint,)


def _series(value: Any, kind: type) -> Any:
    return kind(_series(part, kind) for part in value) if isinstance(value, list | tuple) else value


def words(hint: Any) -> str:
    """An annotation for a person: `float`, `'a' or 'b'`, `a tuple of int`."""
    return " or ".join(dict.fromkeys(_word(member) for member in _members(hint)))


def _word(hint: Any) -> str:
    origin, parts = get_origin(hint), get_args(hint)
    if hint is type(None) or hint is None:
        return "None"
    if origin is Literal:
        return " or ".join(map(repr, parts))
    if hint in (bool, int, float, str):
        return {bool: "True or False", int: "a whole number", float: "a number", str: "text"}[hint]
    if origin is tuple and parts:
        many = parts[-1] is Ellipsis
        return f"a tuple of {words(parts[0])}" if many else f"a tuple ({', '.join(map(words, parts))})"
    if inspect.isclass(origin) and issubclass(origin, Mapping) and parts:
        return f"a dict of {words(parts[-1])} by {words(parts[0])}"
    if inspect.isclass(origin) and issubclass(origin, Iterable) and parts:
        return f"a list of {words(parts[0])}"
    return getattr(hint, "__name__", str(hint))
