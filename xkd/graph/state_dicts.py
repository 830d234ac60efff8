"""State dicts as files hold them: read as plain data, found under whatever prefix, loaded with a count of the tensors that matched."""

from __future__ import annotations

import argparse
import fnmatch
import logging
import re
import zipfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file as load_safetensors
from torch import Tensor, nn

FOUND: Final = "found"  # a prefix that is looked for
_NAMED = 3  # tensors that a message names


def load_file(path: str) -> dict[str, Any]:
    """A checkpoint as plain data; `FileNotFoundError` or `ValueError` names the file, also one of which a bit has flipped."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint {path}")
    try:
        if path.endswith(".safetensors"):
            return dict(load_safetensors(path))
        check_sums(path)
        with torch.serialization.safe_globals([argparse.Namespace]):  # plain data too, with which timm's script says how it trained
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen unrelated types for a damaged or pickled file
        held = re.search(r"Unsupported (?:global|class)\S* (?:GLOBAL )?(\S+)", str(error))
        reason = (
            f"it pickles {held[1]}, which could run code: where you trust it, save its state_dict alone,"
            ' torch.save(torch.load(path, weights_only=False)["state_dict"], other)'
            if held
            else (str(error).splitlines() or ["it is empty"])[0]
        )
        raise ValueError(f"{path} is not a readable weights-only checkpoint: {reason}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds {type(content).__name__}, not a checkpoint (a dict)")
    return content


def check_sums(path: str) -> None:
    """`BadZipFile` where a file of torch, a zip archive, is not what was written: torch writes its checksums and does not look at them."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken:
            raise zipfile.BadZipFile(f"the checksum of {broken} does not fit, it has changed since it was written")


def tensors_of(content: Mapping[Any, Any], where: str = "") -> dict[str, Tensor]:
    """Every tensor of nested mappings by its dotted name: {"ema": {"module": {"fc.bias": b}}} is "ema.module.fc.bias"."""
    tensors: dict[str, Tensor] = {}
    for key, value in content.items():
        if isinstance(value, Tensor):
            tensors[f"{where}{key}"] = value
        elif isinstance(value, Mapping):
            tensors.update(tensors_of(value, f"{where}{key}."))
    return tensors


def prefixes(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, tuple[int, int]]:
    """By each prefix under which some of `own` stand, how many of them fit in name and shape, and how many in name."""
    named, alike = Counter[str](), Counter[str]()
    for name, tensor in tensors.items():
        starts = [0, *(at + 1 for at, letter in enumerate(name) if letter == ".")]
        for at in starts:
            if name[at:] in own:
                named[name[:at]] += 1
                alike[name[:at]] += tensor.shape == own[name[at:]].shape
    return {prefix: (alike[prefix], count) for prefix, count in named.items()}


def under(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], prefix: str, source: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it; `FOUND` is the prefix under which most of `own` stand.

    `ValueError` where several fit equally well (an average beside what it averages, two networks), or where none begins so; both name
    the prefixes that would fit.
    """
    fits = prefixes(tensors, own)
    if prefix != FOUND:
        chosen = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        if not any(name in own for name in chosen):
            best = sorted(fits, key=fits.__getitem__, reverse=True)[:_NAMED]
            would = f"{_told(best, fits, own)} would" if best else f"none would: the file has {_some(list(tensors))}"
            raise ValueError(f"{source}: none of the network's tensors stands under prefix='{prefix}'; {would}")
        return chosen
    best = [one for one in fits if fits[one] == max(fits.values())]
    if len(best) > 1 and "" not in best:
        raise ValueError(f"{source} holds several sets of tensors that fit: {_told(best, fits, own)}; choose one with prefix='{best[-1]}'")
    if not best or "" in best or 2 * fits[best[0]][1] < len(own):  # the names of the file say more than a few that happen to fit
        return dict(tensors)
    logging.getLogger("xkd").info(f"{source}: found under prefix '{best[0]}'")
    return under(tensors, own, best[0], source)


def fit(model: nn.Module, content: Mapping[str, Any], prefix: str, source: str) -> dict[str, Tensor]:
    """A file's tensors by the names that they have in the model, whose own wrapper (`Logits`, say) the file need not know."""
    tensors, own = tensors_of(content), model.state_dict()
    if prefix == FOUND and all(name in tensors for name in own):
        return tensors
    wrapper = wrapper_of(own)
    inside = {name.removeprefix(wrapper): tensor for name, tensor in own.items()}
    return {f"{wrapper}{name}": tensor for name, tensor in under(tensors, inside, prefix, source).items()}


def wrapper_of(names: Collection[str]) -> str:
    """What all names begin with, whole modules alone: "network." of "network.stem.weight" and "network.fc.bias"."""
    levels = zip(*(name.split(".")[:-1] for name in names), strict=False)  # as deep as the shortest name
    return "".join(f"{modules[0]}." for modules in takewhile(lambda level: len(set(level)) == 1, levels))


def unlike(state: Mapping[str, Tensor], own: Mapping[str, Tensor], name: str) -> bool:
    """Whether a tensor of the model is in the file in another shape, or not at all."""
    return name in own and (name not in state or state[name].shape != own[name].shape)


def load_counted(model: nn.Module, state: Mapping[str, Tensor], may_miss: Sequence[str], source: str) -> None:
    """Load what fits in name and shape; `ValueError` with the count unless all tensors but the `may_miss` patterns matched.

    However much may miss, weights of which less than half of the learned tensors fit are those of another network.
    """
    own = model.state_dict()
    fitting = {key: value for key, value in state.items() if key in own and value.shape == own[key].shape}
    count = f"{source}: {len(fitting)} of {len(own)} tensors match {type(model).__name__}"
    lacking = [key for key in own if key not in fitting]
    missing = [key for key in lacking if not any(fnmatch.fnmatch(key, pattern) for pattern in may_miss)]
    spare = [key for key in state if key not in own]
    if missing:
        key = missing[0]
        reason = f"has shape {tuple(state[key].shape)}, the model {tuple(own[key].shape)}" if key in state else "is not in it"
        instead = f"; the file has {_some(spare)} instead" if spare else ""
        raise ValueError(
            f"{count}; '{key}' {reason} ({len(missing)} such){instead}. Give the model that these weights were trained with, or list what"
            " may miss in may_miss"
        )
    learned = [name for name, _ in model.named_parameters()]
    if 2 * sum(name in fitting for name in learned) < len(learned):
        raise ValueError(
            f"{count}, less than half of what it learns, so these are another network's weights, whatever may_miss={list(may_miss)} says"
        )
    for note in (f"{_some(lacking)} stay as they were" if lacking else "", f"{_some(spare)} are not used" if spare else ""):
        if note:
            logging.getLogger("xkd").info(f"{count}; {note}")
    model.load_state_dict(fitting, strict=False)


def _told(best: Sequence[str], fits: Mapping[str, tuple[int, int]], own: Mapping[str, Tensor]) -> str:
    return ", ".join(f"prefix='{one}' ({fits[one][0]} of {len(own)} tensors)" for one in best)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:_NAMED]) + more
