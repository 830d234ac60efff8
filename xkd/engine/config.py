"""Configs: new-style Python files, overridden on the command line; an unknown key is an error that names the legal ones."""

from __future__ import annotations

import ast
import difflib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from multiprocessing import get_all_start_methods
from pathlib import Path
from typing import Any, Final

from mmengine.config import Config
from mmengine.config.utils import ConfigParsingError
from mmengine.runner import EpochBasedTrainLoop
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from xkd.builder import check_arguments, default_parts
from xkd.data.loader import DrawSampler

_DICT, _DICTS, _EITHER = "a dict", "a list of dicts", "a dict or a list of dicts"
SECTIONS: Final = {
    "compare": _DICT,
    "custom_hooks": _DICTS,
    "default_hooks": _DICT,
    "distiller": _DICT,
    "env_cfg": _DICT,
    "log_interval": "a whole number",
    "optim_wrapper": _DICT,
    "param_scheduler": _EITHER,
    "save_best": "text",
    "teacher_cache": _DICT,
    "test_dataloader": _DICT,
    "train_cfg": _DICT,
    "train_dataloader": _DICT,
    "val_dataloader": _DICT,
    "vis_backends": _DICTS,
}
REQUIRED = ("distiller", "train_dataloader", "val_dataloader", "test_dataloader", "optim_wrapper", "train_cfg", "save_best")


LOADER_KEYS = (
    "batch_size",
    "dataset",
    "drop_last",
    "mix",
    "multiprocessing_context",
    "num_workers",
    "persistent_workers",
    "prefetch_factor",
    "sampler",
)


def load_config(path: str | Path, options: Mapping[str, Any] | None = None) -> Config:
    """The config with `options` ("distiller.terms.kd.weight": 2.0) applied; errors name the file, the key and the legal keys."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no config {path}")
    try:
        config = Config.fromfile(str(path))
        for name in config:
            as_plain(config[name])  # imports what the file names
    except (SyntaxError, ImportError, NameError, AttributeError, ConfigParsingError) as error:
        raise ValueError(f"{path}: not a config that can be read: {error}") from error
    for key, value in (options or {}).items():
        override(config, key, value, str(path))
    for name in config:
        near = difflib.get_close_matches(name, SECTIONS, n=1, cutoff=0.8)
        if near and name not in SECTIONS and not callable(config[name]):  # an imported class is a name of the config too
            raise KeyError(f"{path}: unknown section '{name}' (did you mean '{near[0]}'?); the sections are {list(SECTIONS)}")
    missing = [name for name in REQUIRED if config.get(name) is None]
    if missing:
        raise KeyError(f"{path}: sections {missing} are missing; it has {[name for name in config if name in SECTIONS]}")
    for name, kind in SECTIONS.items():
        check_kind(config.get(name), kind, f"{path}: {name}")
    if isinstance(config.get("param_scheduler"), Mapping):
        config.param_scheduler = [config.param_scheduler]
    config.train_cfg.setdefault("by_epoch", True)
    for name in SECTIONS:
        check_section(name, as_plain(config.get(name)), str(path))
    check_schedule(as_plain(config.get("param_scheduler") or []), config.train_cfg.get("max_epochs"), str(path))
    for name in [name for name in config if name not in SECTIONS]:
        config.pop(name)  # what the sections are made of stands in them
    return config


def check_kind(section: Any, kind: str, where: str) -> None:
    """`TypeError` where a section that is there is not of its kind."""
    is_dict = isinstance(section, Mapping)
    are_dicts = isinstance(section, list | tuple) and all(isinstance(entry, Mapping) for entry in section)
    fits = {_DICT: is_dict, _DICTS: are_dicts, _EITHER: is_dict or are_dicts, "text": isinstance(section, str)}
    if section is not None and not fits.get(kind, type(section) is int):
        raise TypeError(f"{where} must be {kind}, got {section!r}")


def check_schedule(schedulers: Any, epochs: int, path: str) -> None:
    """A schedule that begins when training has ended; mmengine says no more than "end should be larger than begin"."""
    for position, entry in enumerate(schedulers):
        if entry.get("by_epoch", True) and entry.get("begin", 0) >= epochs:
            raise ValueError(
                f"{path}: param_scheduler[{position}] begins at epoch {entry['begin']}, but train_cfg.max_epochs is {epochs}; "
                f"train for longer or let it begin earlier"
            )


def check_section(name: str, section: Any, path: str) -> None:
    """The arguments of every `type`, and of the sections that have none; `KeyError` or `TypeError` names the legal ones."""
    where = f"{path}: {name}"
    if name.endswith("_dataloader"):
        if "mix" in section and name != "train_dataloader":
            raise KeyError(f"{where}: samples are mixed in train_dataloader alone, evaluation sees them as they are")
        _check_loader(section, where)
    elif name == "env_cfg":
        if "mp_start_method" in ((section or {}).get("mp_cfg") or {}):
            raise KeyError(
                f"{where}.mp_cfg.mp_start_method: each loader says how its workers start, train_dataloader.multiprocessing_context"
            )
    elif name == "train_cfg":
        check_keys(section, ["by_epoch", *_parameters(EpochBasedTrainLoop, "runner", "dataloader")], where)
        if "max_epochs" not in section:
            raise KeyError(f"{where} needs max_epochs; it has {list(section)}")
        if not section.get("by_epoch", True):
            raise ValueError(f"{where}: runs are counted in epochs, by_epoch must be True")
        for key in ("max_epochs", "val_interval", "val_begin"):
            if (value := section.get(key, 1)) is not None and (type(value) is not int or value < 1):
                raise ValueError(f"{where}.{key} must be a whole number from 1 on, got {value!r}")
        if section.get("val_begin", 1) > section["max_epochs"]:
            raise ValueError(
                f"{where}: val_begin {section['val_begin']} lies after max_epochs {section['max_epochs']}: nothing would be chosen"
            )
    elif name == "optim_wrapper":
        clip = section.get("clip_grad") or {}
        function = clip_grad_value_ if clip.get("type") == "value" else clip_grad_norm_
        check_keys(clip, ["type", *_parameters(function, "parameters")], f"{where}.clip_grad")
        section = {key: value for key, value in section.items() if key not in ("constructor", "paramwise_cfg")}
    elif name == "param_scheduler":
        for position, entry in enumerate(section or []):
            # mmengine's schedulers hand their arguments up with **kwargs, so the legal ones are those of all parents
            parents = getattr(entry.get("type"), "__mro__", ())
            legal = {key: None for parent in parents for key in _parameters(parent, "self", "optimizer", "args", "kwargs")}
            check_keys(entry if parents else (), ["type", *legal, "convert_to_iter_based"], f"{where}[{position}]")
    elif name in ("custom_hooks", "default_hooks"):
        hooks = section.items() if isinstance(section, Mapping) else enumerate(section or [])
        section = {str(at): {k: v for k, v in hook.items() if k != "priority"} for at, hook in hooks}
    check_arguments(section, where)


def _check_loader(section: Any, where: str) -> None:
    check_keys(section, LOADER_KEYS, where)
    if missing := [key for key in ("dataset", "batch_size") if key not in section]:
        raise KeyError(f"{where} needs {missing}; it takes {list(LOADER_KEYS)}")
    for key, least in (("batch_size", 1), ("num_workers", 0), ("prefetch_factor", 1)):
        value, words = section.get(key, least), () if key == "batch_size" else ("auto",)
        if value not in words and (not isinstance(value, int) or value < least):
            raise ValueError(f"{where}.{key} must be a whole number from {least} on{' or auto' if words else ''}, got {value!r}")
    starts = sorted(get_all_start_methods())
    if section.get("multiprocessing_context", starts[0]) not in starts:
        raise ValueError(f"{where}.multiprocessing_context says how workers start, {starts}; got {section['multiprocessing_context']!r}")
    check_keys(section.get("sampler", {}), _parameters(DrawSampler, "dataset", "seed", "rank", "world_size"), f"{where}.sampler")


def check_keys(section: Iterable[str], legal: Sequence[str], where: str) -> None:
    for key in section:
        if key not in legal:
            near = difflib.get_close_matches(key, legal, n=1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            raise KeyError(f"{where} has no key '{key}'{hint}; it takes {list(legal)}")


def _parameters(function: Any, *without: str) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name not in without]


class SettledConfig(Config):
    """A config that changes no more; mmengine lays out the text of any other anew for every checkpoint, for half a second each."""

    @property
    def pretty_text(self) -> str:
        return str(self.__dict__["settled_text"])


def settle(config: Config, settings: Mapping[str, Any]) -> SettledConfig:
    """A copy with `settings` as further sections, whose text is laid out once."""
    settled = SettledConfig({**config, **settings}, filename=config.filename)
    settled.__dict__["settled_text"] = config.pretty_text
    return settled


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
    """Set one value; every part of the dotted key but the last must exist, or be an object that its owner makes by default."""
    *parents, last = key.split(".")
    if key.split(".")[0] not in SECTIONS:
        near = difflib.get_close_matches(key.split(".")[0], SECTIONS, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        # a variable of the file has already been used where it stands, so changing it now would change nothing
        raise KeyError(f"{where}: '{key}' lies in no section{hint}; the sections are {list(SECTIONS)}")
    if not parents:
        config[last] = value
        return
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
    if parents[0] == "distiller" and last not in node and "type" not in node:
        raise KeyError(f"{where}: no key '{key}' to override; {'.'.join(parents)} has {_keys(node)}")
    node[last] = value  # an argument; whether it is legal is checked with the whole section


def _child(node: Any, part: str, path: str, where: str) -> Any:
    if isinstance(node, list | tuple) and part.isdigit() and int(part) < len(node):
        return node[int(part)]
    if hasattr(node, "keys") and part in node:
        return node[part]
    called = as_plain(node).get("type") if hasattr(node, "keys") else None
    if called and (default := default_parts(called).get(part)):
        node[part] = as_names({"type": type(default)})  # what the file leaves to its default, to be changed in parts
        return node[part]
    left_out = called and part in _parameters(called)
    whole = f"; it is left out, so name all of it: {path}={{'type': 'package.Class', ...}}" if left_out else ""
    raise KeyError(f"{where}: no key '{path}'; there are {_keys(node)}{whole}")


def _keys(node: Any) -> list[str]:
    if isinstance(node, list | tuple):
        return [str(position) for position in range(len(node))]
    names = SECTIONS if isinstance(node, Config) else node
    return [key for key in names if key != "type" and key in node] if hasattr(node, "keys") else []


def as_plain(node: Any) -> Any:
    """A section as plain dicts, lists and tuples whose `type`s are the classes themselves, of a dumped config too."""
    if isinstance(node, Mapping):
        plain = {key: as_plain(node[key]) for key in node}
        if isinstance(plain.get("type"), str) and "." in plain["type"]:
            plain["type"] = _imported(plain["type"])
        return plain
    if isinstance(node, list | tuple):
        return type(node)(as_plain(value) for value in node)
    return node


def as_names(node: Any) -> Any:
    """The inverse of `as_plain`: classes and functions by their import paths, as a dumped config writes them down."""
    if isinstance(node, Mapping):
        return {key: as_names(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return type(node)(as_names(value) for value in node)
    return f"{node.__module__}.{node.__qualname__}" if callable(node) else node


def _imported(name: str) -> Any:
    try:
        return pkgutil.resolve_name(name)
    except AttributeError as error:
        raise ImportError(f"type '{name}': {error}") from error
