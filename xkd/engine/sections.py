"""The sections of a config, and what each may hold: an unknown key is an error that names the legal ones."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from multiprocessing import get_all_start_methods
from typing import Any, Final

from mmengine.hooks import EMAHook
from mmengine.runner import EpochBasedTrainLoop
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from xkd.builder import check_arguments, with_types
from xkd.data.loader import DrawSampler
from xkd.engine.hooks import COPIES, PlainCheckpointHook
from xkd.engine.interval import IntervalInfoHook
from xkd.hints import fitted, parameters

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
    "search": _DICT,
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
_HOOKS: Final = {"runtime_info": IntervalInfoHook, "checkpoint": PlainCheckpointHook}  # those that need no type


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
    match name:
        case "train_dataloader" | "val_dataloader" | "test_dataloader":
            if "mix" in section and name != "train_dataloader":
                raise KeyError(f"{where}: samples are mixed in train_dataloader alone, evaluation sees them as they are")
            _check_loader(section, where)
        case "env_cfg":
            if "mp_start_method" in ((section or {}).get("mp_cfg") or {}):
                raise KeyError(
                    f"{where}.mp_cfg.mp_start_method: each loader says how its workers start, train_dataloader.multiprocessing_context"
                )
            _check_type(section or {}, "cudnn_benchmark", bool, where)
        case "train_cfg":
            _check_loop(section, where)
        case "optim_wrapper":
            clip = section.get("clip_grad") or {}
            function = clip_grad_value_ if clip.get("type") == "value" else clip_grad_norm_
            check_keys(clip, ["type", *parameters_of(function, "parameters")], f"{where}.clip_grad")
            with_types(function, {key: value for key, value in clip.items() if key != "type"}, f"{where}.clip_grad")
            section = {key: value for key, value in section.items() if key not in ("constructor", "paramwise_cfg")}
        case "param_scheduler":
            for position, entry in enumerate(section or []):
                _check_scheduler(entry, f"{where}[{position}]")
        case "custom_hooks" | "default_hooks":
            section = _hooks(section or [], where)
    check_arguments(section, where)


def _hooks(section: Any, where: str) -> dict[str, Any]:
    """By name or number, with their types; one that averages the whole model is a `ValueError`."""
    hooks = dict(section.items() if isinstance(section, Mapping) else enumerate(section))
    for at, hook in hooks.items():
        kind = (hook or {}).get("type")
        if kind == "EMAHook" or (inspect.isclass(kind) and issubclass(kind, EMAHook)):
            raise ValueError(f"{where}.{at}: {COPIES.format(hook=getattr(kind, '__name__', kind))}")
    own = {str(at): {k: v for k, v in (hook or {}).items() if k != "priority"} for at, hook in hooks.items()}
    return {at: {"type": _HOOKS[at], **hook} if at in _HOOKS else hook for at, hook in own.items()}


def _check_loader(section: Any, where: str) -> None:
    check_keys(section, LOADER_KEYS, where)
    if missing := [key for key in ("dataset", "batch_size") if key not in section]:
        raise KeyError(f"{where} needs {missing}; it takes {list(LOADER_KEYS)}")
    for key, least in (("batch_size", 1), ("num_workers", 0), ("prefetch_factor", 1)):
        value, words = section.get(key, least), () if key == "batch_size" else ("auto",)
        if value not in words and (type(value) is not int or value < least):
            raise ValueError(f"{where}.{key} must be a whole number from {least} on{' or auto' if words else ''}, got {value!r}")
    for key in ("drop_last", "persistent_workers"):
        _check_type(section, key, bool, where)
    starts = sorted(get_all_start_methods())
    if section.get("multiprocessing_context", starts[0]) not in starts:
        raise ValueError(f"{where}.multiprocessing_context says how workers start, {starts}; got {section['multiprocessing_context']!r}")
    check_keys(section.get("sampler", {}), parameters_of(DrawSampler, "dataset", "seed", "rank", "world_size"), f"{where}.sampler")
    with_types(DrawSampler, section.get("sampler", {}), f"{where}.sampler")


def _check_loop(section: Any, where: str) -> None:
    check_keys(section, ["by_epoch", *parameters_of(EpochBasedTrainLoop, "runner", "dataloader")], where)
    if "max_epochs" not in section:
        raise KeyError(f"{where} needs max_epochs; it has {list(section)}")
    _check_type(section, "by_epoch", bool, where)
    if not section.get("by_epoch", True):
        raise ValueError(f"{where}: runs are counted in epochs, by_epoch must be True")
    for key in ("max_epochs", "val_interval", "val_begin"):
        if (value := section.get(key, 1)) is not None and (type(value) is not int or value < 1):
            raise ValueError(f"{where}.{key} must be a whole number from 1 on, got {value!r}")
    with_types(EpochBasedTrainLoop, section, where)
    if section.get("val_begin", 1) > section["max_epochs"]:
        raise ValueError(
            f"{where}: val_begin {section['val_begin']} lies after max_epochs {section['max_epochs']}: nothing would be chosen"
        )


def _check_scheduler(entry: Any, where: str) -> None:
    # mmengine's schedulers hand their arguments up with **kwargs, so the legal ones are those of all parents
    parents = getattr(entry.get("type"), "__mro__", ())
    legal = {key: None for parent in parents for key in parameters_of(parent, "self", "optimizer", "args", "kwargs")}
    check_keys(entry if parents else (), ["type", *legal, "convert_to_iter_based"], where)
    _check_type(entry, "convert_to_iter_based", bool, where)


def _check_type(section: Mapping[str, Any], key: str, hint: Any, where: str) -> None:
    try:
        fitted(section.get(key, hint()), hint)
    except TypeError as error:
        raise TypeError(f"{where}.{key} {error}") from None


def check_keys(section: Iterable[str], legal: Sequence[str], where: str) -> None:
    for key in section:
        if key not in legal:
            near = difflib.get_close_matches(key, legal, n=1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            raise KeyError(f"{where} has no key '{key}'{hint}; it takes {list(legal)}")


def parameters_of(function: Any, *without: str) -> list[str]:
    return [name for name in parameters(function) if name not in without]
