"""The order of a plan's stages: that of the file, in which a stage stands below those that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


def check_order(path: Path, needs: Mapping[str, Sequence[str]]) -> None:
    """`KeyError` for a stage that is not there, `ValueError` for stages that need each other, and for one that needs a later one."""
    for name, needed in needs.items():
        for other in needed:
            if other not in needs:
                raise KeyError(f"{path}: stages.{name} names '{other}', which is no stage; there are {list(needs)}")
    if circle := _circle(needs):
        raise ValueError(f"{path}: stages need each other, {' -> '.join(circle)}: one of them must begin with something else")
    done: list[str] = []
    for name, needed in needs.items():
        for other in needed:
            if other not in done:
                raise ValueError(f"{path}: stages.{name} needs '{other}', which stands below it: move '{other}' up, above '{name}'")
        done.append(name)


def _circle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Names in which each needs the next and the last is the first; empty where there is no circle."""
    over: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        for other in needs[name] if name not in over else ():
            if found := walk(other, [*way, name]):
                return found
        over.add(name)
        return []

    return next((found for name in needs if (found := walk(name, []))), [])
