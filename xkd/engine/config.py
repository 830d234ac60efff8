"""Configs: new-style Python files, overridden on the command line; an unknown key is an error that names the legal ones."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from xkd.build import check_arguments

SECTIONS = (
    "compare",
    "custom_hooks",
    "default_hooks",
    "distiller",
    "env_cfg",
    "log_interval",
    "optim_wrapper",
    "param_scheduler",
    "save_best",
    "test_dataloader",
    "train_cfg",
    "train_dataloader",
    "val_dataloader",
    "vis_backends",
)
REQUIRED = ("distiller", "train_dataloader", "val_dataloader", "test_dataloader", "optim_wrapper", "train_cfg", "save_best")


def load_config(path: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """The config with `options` ("distiller.terms.kd.weight": 2.0) applied; errors name the file, the key and the legal keys."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no config {path}")
    config = Config.fromfile(str(path))
    for key, value in (options or {}).items():
        override(config, key, value, str(path))
    for name in config:
        near = difflib.get_close_matches(name, SECTIONS, n=1, cutoff=0.8)
        if near and name not in SECTIONS and not callable(config[name]):  # an imported class is a name of the config too
            raise KeyError(f"{path}: unknown section '{name}' (did you mean '{near[0]}'?); the sections are {list(SECTIONS)}")
    missing = [name for name in REQUIRED if name not in config]
    if missing:
        raise KeyError(f"{path}: sections {missing} are missing; it has {[name for name in config if name in SECTIONS]}")
    for name in SECTIONS:
        check_arguments(as_plain(config.get(name)), f"{path}: {name}")
    return config


def parse_options(arguments: Sequence[str]) -> dict[str, Any]:
    """["a.b=2", "c=adam"] -> {"a.b": 2, "c": "adam"}; values are Python literals, anything else is text."""
    options: dict[str, Any] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals or not key:
            raise ValueError(f"--cfg-options takes KEY=VALUE, such as train_cfg.max_epochs=5; got '{argument}'")
        try:
            options[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            options[key] = text
    return options


def override(config: Config, key: str, value: Any, where: str) -> None:
    """Set one value; every part of the dotted key but the last must exist, and the last too unless it is an argument of a `type`."""
    *parents, last = key.split(".")
    node: Any = config
    for position, part in enumerate(parents):
        node = _child(node, part, ".".join(parents[: position + 1]), where)
    if isinstance(node, list):
        if not last.isdigit() or int(last) >= len(node):
            raise KeyError(f"{where}: no '{key}'; there are {len(node)} entries, counted from 0")
        node[int(last)] = value
        return
    if not hasattr(node, "keys"):
        raise KeyError(f"{where}: '{key}' lies inside {'.'.join(parents)} = {node!r}, which has no keys")
    if last not in node and "type" not in node:
        raise KeyError(f"{where}: no key '{key}' to override; {'.'.join(parents) or 'the config'} has {_keys(node)}")
    node[last] = value


def _child(node: Any, part: str, path: str, where: str) -> Any:
    if isinstance(node, list | tuple) and part.isdigit() and int(part) < len(node):
        return node[int(part)]
    if hasattr(node, "keys") and part in node:
        return node[part]
    raise KeyError(f"{where}: no key '{path}'; there are {_keys(node)}")


def _keys(node: Any) -> list[str]:
    if isinstance(node, list | tuple):
        return [str(position) for position in range(len(node))]
    return [key for key in node if key != "type"] if hasattr(node, "keys") else []


def as_plain(node: Any) -> Any:
    """A section as plain dicts, lists and tuples whose `type`s are the classes themselves."""
    if isinstance(node, Mapping):
        return {key: as_plain(node[key]) for key in node}
    if isinstance(node, list | tuple):
        return type(node)(as_plain(value) for value in node)
    return node
