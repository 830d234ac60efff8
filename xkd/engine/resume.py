"""A resumed run is the uninterrupted run of the config that it writes down: what would make it another is refused by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from mmengine.config import Config
from mmengine.hooks import EarlyStoppingHook
from rich.console import Console

from xkd.data.manifest import data_root, manifest_files
from xkd.engine.config import as_names, as_plain
from xkd.engine.panel_hook import PanelHook
from xkd.engine.sections import SECTIONS
from xkd.graph.state_dicts import load_file

_OPEN_SECTIONS: Final = ("compare", "env_cfg", "log_interval", "search", "test_dataloader", "vis_backends")
_OPEN_KEYS: Final = (
    "default_hooks.checkpoint",
    "default_hooks.logger",
    "default_hooks.runtime_info",
    "teacher_cache.folder",
    "train_cfg.max_epochs",
    "train_cfg.val_begin",
    "train_cfg.val_interval",
    "train_dataloader.dataset.cache",
    "val_dataloader.batch_size",
    "val_dataloader.dataset.cache",
    *(f"{split}_dataloader.{key}" for split in ("train", "val") for key in ("multiprocessing_context", "num_workers")),
    *(f"{split}_dataloader.{key}" for split in ("train", "val") for key in ("persistent_workers", "prefetch_factor")),
)
ABSENT: Final = "<absent>"
_PLAIN: Final = (str, int, float, type(None))
_SILENT: Final = ("compare", "search", "test_dataloader")  # questions that are asked of a trained student


def settings_of(config: Config, amp: bool) -> dict[str, Any]:
    """What a run was told, by dotted key, as plain data for its checkpoints; schedules say where they end."""
    sections = {name: as_names(as_plain(config[name])) for name in SECTIONS if config.get(name) is not None and name not in _SILENT}
    sections["custom_hooks"] = [hook for hook in as_plain(config.get("custom_hooks") or []) if not _follows(hook)]
    schedules: list[dict[str, Any]] = sections.get("param_scheduler", [])
    ends = {"end": config.train_cfg.max_epochs}
    sections["param_scheduler"] = [{**ends, **one} if one.get("by_epoch", True) else one for one in schedules]
    return {"--amp": amp, **_manifests(config), **dict(flat(as_names(sections)))}


def _manifests(config: Config) -> dict[str, str]:
    """What marks the content of the manifests that a run reads: labels, splits and numbers may change where no key does."""
    marks = {}
    for name in ("train_dataloader", "val_dataloader"):
        files = manifest_files((config.get(name) or {}).get("dataset") or {})
        if files and all(file.is_file() for file in files):
            marks[f"{name}.dataset (its manifest)"] = blake2b(b"".join(file.read_bytes() for file in files), digest_size=4).hexdigest()
    return marks


def _follows(hook: Mapping[str, Any]) -> bool:
    """A hook that draws, or that is told all validations again: the run is the same whatever it was before."""
    return isinstance(hook["type"], type) and issubclass(hook["type"], PanelHook | EarlyStoppingHook)


def flat(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, list | tuple) and all(isinstance(value, _PLAIN) for value in node):
        yield place, list(node)
    elif isinstance(node, Mapping | list | tuple):
        for key, value in node.items() if isinstance(node, Mapping) else enumerate(node):
            yield from flat(value, f"{place}.{key}" if place else str(key))
    elif isinstance(node, _PLAIN):
        yield place, node
    else:
        text = repr(node)
        yield place, f"{type(node).__module__}.{type(node).__qualname__}" if " at 0x" in text else text


def resumed(config: Config, last: str, amp: bool, console: Console) -> Config:
    """The config of a run that goes on from checkpoint `last`, its schedules ending where they did.

    `ValueError` names each key that differs and cannot be taken over in the middle of a run, with both values and the remedy.
    """
    meta = load_file(last)["meta"]
    was = meta.get("xkd", {}).get("settings")
    if was is None:
        console.print(f"{last} does not say its settings: those of the config are believed to be the same", style="yellow")
        return config
    kept = _with_ends_of(config, was)
    now = settings_of(kept, amp)
    changed = {key: (was.get(key, ABSENT), now.get(key, ABSENT)) for key in {**was, **now}}
    changed = {key: (one, other) for key, (one, other) in changed.items() if one != other}
    closed = {key: both for key, both in changed.items() if not _is_open(key) and not _is_elsewhere(key, *both)}
    if closed:
        raise ValueError(
            f"{last} was trained with other settings, which a run cannot change on its way: {changes_in_words(closed)}. Leave them as"
            " they were, or start a new run in another --work-dir, if you like with this one's weights:"
            f" weights=dict(type=Checkpoint, path='{last}')."
            " --resume takes over train_cfg.max_epochs, val_begin and val_interval, what is logged, saved and shown, how rows are read, and"
            " the places of files"
        )
    epoch, epochs = meta["epoch"], kept.train_cfg.max_epochs
    if epochs < epoch:
        raise ValueError(f"train_cfg.max_epochs is {epochs}, and {last} has {epoch} epochs behind it: there is nothing to go on with")
    if changed:
        console.print(f"changed for the rest of the run: {changes_in_words(changed)}")
    ends = [one["end"] for one in kept.get("param_scheduler") or [] if one.get("by_epoch", True)]
    if "train_cfg.max_epochs" in changed and ends:
        console.print(
            f"the schedule ends at epoch {max(ends)} of {epochs}, as it did when the run began, and the learning rate then stays; for one"
            " over all epochs start a new run in another --work-dir",
            style="yellow",
        )
    return kept


def _with_ends_of(config: Config, was: Mapping[str, Any]) -> Config:
    """A copy whose schedules that name no `end` have that of the run that goes on, not one by the new number of epochs."""
    kept = Config({name: as_names(as_plain(config[name])) for name in config}, filename=config.filename)
    for place, one in enumerate(kept.get("param_scheduler") or []):
        end = was.get(f"param_scheduler.{place}.end")
        if one.get("by_epoch", True) and "end" not in one and end is not None:
            one["end"] = end
    return kept


def _is_open(key: str) -> bool:
    return key.split(".")[0] in _OPEN_SECTIONS or any(f"{key}.".startswith(f"{one}.") for one in _OPEN_KEYS)


def _is_elsewhere(key: str, was: Any, now: Any) -> bool:
    """Whether a file or data set has another name, and is no other: the first is gone, or its content is the same."""
    last = key.rpartition(".")[2]
    places = last == "root" or (".weights." in key and last in ("path", "file"))
    if not places or not isinstance(was, str) or not isinstance(now, str):
        return False
    old, new = (data_root(one) / "manifest.csv" if last == "root" else Path(one) for one in (was, now))
    return not old.is_file() or (new.is_file() and old.read_bytes() == new.read_bytes())


def changes_in_words(changed: Mapping[str, tuple[Any, Any]]) -> str:
    def word(value: Any) -> str:
        return "left out" if value == ABSENT else repr(value)

    return ", ".join(f"{key} {word(was)} -> {word(now)}" for key, (was, now) in sorted(changed.items()))
