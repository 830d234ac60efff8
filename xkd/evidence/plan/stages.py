"""A plan's file, read and checked: its stages as arms, what each learns, the tests that each can answer."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from mmengine.config import Config
from mmengine.config.utils import ConfigParsingError

from xkd.builder import build
from xkd.engine.config import as_names, as_plain, copied, load_config, overridden
from xkd.engine.links import links_of
from xkd.engine.sections import check_keys
from xkd.engine.stages import STORE
from xkd.evidence.arm import Arm
from xkd.evidence.plan.order import check_order
from xkd.tasks import Task

STAGE_KEYS: Final = ("after", "chain", "config", "learns", "options")
TEST_KEYS: Final = ("config", "options")
_SECTIONS: Final = ("stages", "tests")
_TESTED: Final = "test_dataloader"  # what a test may change
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")


OWN: Final = ""  # the test by a stage's own config


@dataclass(frozen=True)
class Stage:
    """A run of a plan: `chains` are the sequences that it belongs to, `learns` the tests whose content it is trained on."""

    arm: Arm
    task: Task
    chains: tuple[str, ...] = ()
    learns: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.arm.name


@dataclass(frozen=True)
class Plan:
    """The stages in the order in which they are run, and the names of the tests."""

    path: Path
    stages: tuple[Stage, ...]
    tests: tuple[str, ...] = ()

    @property
    def arms(self) -> list[Arm]:
        return [stage.arm for stage in self.stages]

    @property
    def chains(self) -> dict[str, list[Stage]]:
        """The stages of each chain; all are one, "plan", where none names a chain."""
        names = list(dict.fromkeys(name for stage in self.stages for name in stage.chains))
        chains = {name: [stage for stage in self.stages if name in stage.chains] for name in names}
        return chains or {"plan": list(self.stages)}

    @property
    def compared(self) -> tuple[str, ...]:
        """The tests of chains: the plan's, or each stage's own where chains are named and tests are not."""
        return self.tests or ((OWN,) if any(stage.chains for stage in self.stages) else ())


def read_plan(path: str | Path, options: Mapping[str, Any] | None = None) -> Plan:
    """The plan of a file; `options` override every stage's config.

    `KeyError` names what is legal in the place of what is not, a stage that is not there too; `ValueError` shows stages that need each
    other, and one that names a later one.
    """
    path = Path(path)
    content = _content(path)
    stages, tests = content["stages"], content.get("tests", {})
    _check_entries(path, "stages", stages, STAGE_KEYS)
    _check_entries(path, "tests", tests, TEST_KEYS)
    configs = {name: _reader(path, name, of, options or {}) for name, of in stages.items()}
    links = {name: list(dict.fromkeys(links_of(config()).values())) for name, config in configs.items()}
    after = {name: _texts(of.get("after", ()), f"{path}: stages.{name}.after") for name, of in stages.items()}
    check_order(path, {name: [*links[name], *after[name]] for name in stages})
    made = []
    for name, of in stages.items():
        config, task = configs[name], task_of(configs[name]())
        silent = not task.measures().main
        asked = {} if silent else {test: _tested(path, test, tests[test], config) for test in tests}
        asked = {test: changed for test, changed in asked.items() if can_answer(changed(), task)}
        arm = Arm(name, name, config, config().distiller.student, linked=links[name], after=after[name], tests=asked, silent=silent)
        learns = _texts(of.get("learns", ()), f"{path}: stages.{name}.learns")
        _check_learns(path, name, learns, list(tests), arm, task)
        made.append(Stage(arm, task, _texts(of.get("chain", ()), f"{path}: stages.{name}.chain"), learns))
    return Plan(path, tuple(made), tuple(tests))


def arms_of(path: str | Path, options: Mapping[str, Any]) -> list[Arm]:
    """What a process of its own makes anew."""
    return read_plan(path, options).arms


def task_of(config: Config) -> Task:
    task: Task = build(as_plain(config.distiller.task), "distiller.task")
    return task


def can_answer(config: Config, task: Task) -> bool:
    """Whether the network knows the classes that a test names, `test_dataloader.dataset.classes`; one that names none asks everybody."""
    asked = as_plain(config[_TESTED].dataset).get("classes", ())
    return set(asked) <= set(task.names)


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"no plan {path}")
    try:
        read = Config.fromfile(str(path), lazy_import=True)
        content = {name: as_plain(read[name]) for name in read if not callable(read[name])}
    except (SyntaxError, ImportError, NameError, AttributeError, ConfigParsingError) as error:
        raise ValueError(f"{path}: not a plan that can be read: {error}") from error
    for name in content:
        if name not in _SECTIONS and (near := difflib.get_close_matches(name, _SECTIONS, n=1, cutoff=0.8)):
            raise KeyError(f"{path}: unknown section '{name}' (did you mean '{near[0]}'?); a plan has {list(_SECTIONS)}")
    if "stages" not in content:
        hint = "; it is a config: run it by xkd train" if "distiller" in content else ""
        raise KeyError(f"{path}: section 'stages' is missing; it has {list(content)}{hint}")
    if not content["stages"]:
        raise ValueError(f"{path}: stages is empty: name at least one, stages=dict(teacher=dict(config='teacher.py'))")
    return content


def _check_entries(path: Path, section: str, entries: Any, legal: Sequence[str]) -> None:
    if not isinstance(entries, Mapping):
        raise TypeError(f"{path}: {section} must be a dict of dicts, got {entries!r}")
    for name, entry in entries.items():
        where = f"{path}: {section}.{name}"
        if not _NAME.fullmatch(str(name)) or (name == STORE and section == "stages"):
            raise ValueError(f"{where}: the name is a folder's too: letters, digits, '_' and '-', and not '{STORE}'")
        if not isinstance(entry, Mapping):
            raise TypeError(f"{where} must be a dict such as dict(config='x.py', options={{...}}), got {entry!r}")
        check_keys(entry, legal, where)
        if section == "stages" and "config" not in entry:
            raise KeyError(f"{where} needs config, a path beside the plan's file; it has {list(entry)}")
        if not isinstance(entry.get("options", {}), Mapping):
            raise TypeError(f"{where}.options must be a dict of dotted keys, got {entry['options']!r}")


def _reader(path: Path, name: str, entry: Mapping[str, Any], options: Mapping[str, Any]) -> Callable[[], Config]:
    """The stage's config, a copy for each caller; it is read once."""
    file = path.parent / entry["config"]

    @cache
    def read() -> Config:
        config = load_config(file, {**as_names(entry.get("options", {})), **options}, f"{path}: stages.{name} ({file.name})")
        # where a stage looks is not asked
        config["compare"] = {key: of for key, of in (as_plain(config.get("compare")) or {}).items() if key == "cluster"}
        return config

    return lambda: copied(read())


def _tested(path: Path, name: str, entry: Mapping[str, Any], config: Callable[[], Config]) -> Callable[[], Config]:
    """The stage's config with another test split."""
    options, where = as_names(entry.get("options", {})), f"{path}: tests.{name}"
    if strange := [key for key in options if key.split(".")[0] != _TESTED]:
        raise ValueError(f"{where}: '{strange[0]}' is no key of {_TESTED}, and a test changes nothing else of a trained stage")

    @cache
    def read() -> Config:
        changed = config()
        if "config" in entry:
            changed[_TESTED] = as_names(as_plain(load_config(path.parent / entry["config"])[_TESTED]))
        return overridden(changed, options, where)

    return lambda: copied(read())


def _texts(value: Any, where: str) -> tuple[str, ...]:
    """A text is one of them."""
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{where} must be a text or a tuple of texts, got {value!r}")
    return tuple(texts)


def _check_learns(path: Path, stage: str, learns: Sequence[str], tests: Sequence[str], arm: Arm, task: Task) -> None:
    for name in learns:
        if name not in tests:
            raise KeyError(f"{path}: stages.{stage}.learns names '{name}', which is no test; there are {tests}")
        if name not in arm.tests:
            raise ValueError(f"{path}: stages.{stage}.learns names '{name}', whose classes it cannot answer: it knows {list(task.names)}")
