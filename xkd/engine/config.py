"""Configs: new-style Python files, read and overridden on the command line; sections as plain dicts."""

from __future__ import annotations

import ast
import difflib
import math
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from mmengine.config import Config
from mmengine.config.utils import ConfigParsingError

from xkd.builder import default_parts
from xkd.engine.sections import REQUIRED, SECTIONS, check_kind, check_schedule, check_section, parameters_of

_MEANT: Final = {"true": True, "false": False, "none": None, "inf": math.inf, "nan": math.nan}


def load_config(path: str | Path, options: Mapping[str, Any] | None = None, where: str = "") -> Config:
    """The config with `options` ("distiller.terms.kd.weight": 2.0) applied; errors name the file, the key and the legal keys.

    `where` is what they call it, in place of the file.
    """
    where = where or str(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f"no config {path}" if where == str(path) else f"{where}: no config {path}")
    try:
        config = Config.fromfile(str(path))
        for name in config:
            as_plain(config[name])  # imports what the file names
    except (SyntaxError, ImportError, NameError, AttributeError, ConfigParsingError) as error:
        raise ValueError(f"{where}: not a config that can be read: {error}") from error
    return overridden(config, options or {}, where)


@contextmanager
def naming_commands(config: Config) -> Iterator[None]:
    """A file that is not there is named together with the commands that the config's docstring has, which make it."""
    try:
        yield
    except FileNotFoundError as error:
        if not (commands := _commands_of(config.filename or "")):
            raise
        raise FileNotFoundError(f"{error}; what makes it stands at the top of {config.filename}: {'; '.join(commands)}") from error


def _commands_of(path: str) -> list[str]:
    text = (ast.get_docstring(ast.parse(Path(path).read_text("utf-8"))) or "") if Path(path).is_file() else ""
    lines = (" ".join(line.partition("  #")[0].split()) for line in text.splitlines())
    return [line for line in lines if line.startswith(("xkd ", "python "))]


def overridden(config: Config, options: Mapping[str, Any], where: str) -> Config:
    """The config itself with `options` applied."""
    for key, value in options.items():
        override(config, key, value, where)
    return checked(config, where)


def checked(config: Config, where: str) -> Config:
    """The config itself, whose sections and arguments are all legal, without the names that its sections are made of."""
    for name in [name for name in config if name not in SECTIONS and not callable(config[name])]:  # an imported class is a name too
        if near := difflib.get_close_matches(name, SECTIONS, n=1, cutoff=0.8):
            raise KeyError(f"{where}: unknown section '{name}' (did you mean '{near[0]}'?); the sections are {list(SECTIONS)}")
    missing = [name for name in REQUIRED if config.get(name) is None]
    if missing:
        hint = "; it is a plan: run it by xkd plan" if "stages" in config else ""
        raise KeyError(f"{where}: sections {missing} are missing; it has {[name for name in config if name in SECTIONS]}{hint}")
    for name, kind in SECTIONS.items():
        check_kind(config.get(name), kind, f"{where}: {name}")
    if isinstance(config.get("param_scheduler"), Mapping):
        config.param_scheduler = [config.param_scheduler]
    config.train_cfg.setdefault("by_epoch", True)
    for name in SECTIONS:
        check_section(name, as_plain(config.get(name)), where)
    check_schedule(as_plain(config.get("param_scheduler") or []), config.train_cfg.get("max_epochs"), where)
    for name in [name for name in config if name not in SECTIONS]:
        config.pop(name)  # what the sections are made of stands in them
    return config


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
    """["a.b=2", "c=adam"] -> {"a.b": 2, "c": "adam"}; see `read_value`."""
    options: dict[str, Any] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals or not key:
            raise ValueError(f"--cfg-options takes KEY=VALUE, such as train_cfg.max_epochs=5; got '{argument}'")
        try:
            options[key] = read_value(text)
        except ValueError as error:
            raise ValueError(f"--cfg-options {key}: {error}") from error
    return options


def read_value(text: str) -> Any:
    """A Python literal, or as mmengine's own tools read it: true, false and none in any case, `[a, b]` and `a,b` without quotes.

    Anything else is text; `ValueError` where brackets hold what is neither.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
        value = ast.literal_eval(_Words().visit(tree))
    except (ValueError, SyntaxError, TypeError) as error:
        if text.strip()[:1] in ("[", "(", "{"):
            raise ValueError(f"{text} is no list, tuple or dict that can be read; put the texts in it into quotes") from error
        return text
    return list(value) if isinstance(value, tuple) and not text.strip().startswith("(") else value


class _Words(ast.NodeTransformer):
    """Bare words as what they mean."""

    def visit_Name(self, node: ast.Name) -> ast.Constant:
        return ast.Constant(_MEANT.get(node.id.lower(), node.id))

    def visit_Attribute(self, node: ast.Attribute) -> ast.Constant:
        return ast.Constant(ast.unparse(node))


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
    left_out = called and part in parameters_of(called)
    whole = f"; it is left out, so name all of it: {path}={{'type': 'package.Class', ...}}" if left_out else ""
    raise KeyError(f"{where}: no key '{path}'; there are {_keys(node)}{whole}")


def _keys(node: Any) -> list[str]:
    if isinstance(node, list | tuple):
        return [str(position) for position in range(len(node))]
    names = SECTIONS if isinstance(node, Config) else node
    return [key for key in names if key != "type" and key in node] if hasattr(node, "keys") else []


def copied(config: Config) -> Config:
    """Another one with the same sections, to be changed."""
    return Config({name: as_names(as_plain(config[name])) for name in config}, filename=config.filename)


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
