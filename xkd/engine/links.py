"""`@stage` in a config of a plan: the best checkpoint of another stage's run; `@stage/file` is a file in its folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from mmengine.config import Config

from xkd.engine.config import as_names, as_plain, copied
from xkd.engine.sections import SECTIONS

BEST: Final = "best.pth"
_LINK: Final = re.compile(r"@([A-Za-z0-9_-]+)(/.*)?")


def links_of(config: Config) -> dict[str, str]:
    """The stage that each place of a config names, by dotted key: {"distiller.branches.big.weights.path": "teacher"}."""
    plain = {name: as_plain(config[name]) for name in SECTIONS if config.get(name) is not None}
    return {place: match[1] for place, text in _texts(plain, "") if (match := _LINK.fullmatch(text))}


def linked(config: Config, folders: Mapping[str, Path]) -> Config:
    """A copy with files in the place of links, given the folder of each stage's run."""
    made = copied(config)
    for name in [name for name in SECTIONS if made.get(name) is not None]:
        made[name] = as_names(_resolved(as_plain(made[name]), folders))
    return made


def check_unlinked(config: Config) -> None:
    """`ValueError` where a config names a stage and is run by itself."""
    for place, stage in links_of(config).items():
        raise ValueError(
            f"{config.filename}: {place} names '@{stage}', a stage of a plan, and this run is of none: run the plan that has it (xkd plan"
            " FILE), or name a file"
        )


def _texts(node: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, str):
        yield place, node
    elif isinstance(node, Mapping | list | tuple):
        for key, value in node.items() if isinstance(node, Mapping) else enumerate(node):
            yield from _texts(value, f"{place}.{key}" if place else str(key))


def _resolved(node: Any, folders: Mapping[str, Path]) -> Any:
    if isinstance(node, Mapping):
        return {key: _resolved(value, folders) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return type(node)(_resolved(value, folders) for value in node)
    if isinstance(node, str) and (match := _LINK.fullmatch(node)):
        return str(folders[match[1]] / (BEST if match[2] is None else match[2][1:]))
    return node
