"""State dicts as files hold them: read as plain data, loaded with a count of the tensors that matched."""

from __future__ import annotations

import fnmatch
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def load_file(path: str) -> dict[str, Any]:
    """A checkpoint as plain data; `FileNotFoundError` or `ValueError` names the file, also one of which a bit has flipped."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint {path}")
    try:
        check_sums(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen unrelated types for a damaged or pickled file
        held = re.search(r"Unsupported (?:global|class)\S* (?:GLOBAL )?(\S+)", str(error))
        reason = f"it pickles {held[1]}, which could run code" if held else (str(error).splitlines() or ["it is empty"])[0]
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


def load_counted(model: nn.Module, state: Mapping[str, Tensor], may_miss: Sequence[str], source: str) -> None:
    """Load what fits in name and shape; `ValueError` with the count unless all tensors but the `may_miss` patterns matched."""
    own = model.state_dict()
    fitting = {key: value for key, value in state.items() if key in own and value.shape == own[key].shape}
    missing = [key for key in own if key not in fitting and not any(fnmatch.fnmatch(key, pattern) for pattern in may_miss)]
    if missing:
        key = missing[0]
        found = f"has shape {tuple(state[key].shape)}, the model {tuple(own[key].shape)}" if key in state else "is not in it"
        raise ValueError(
            f"{source}: {len(fitting)} of {len(own)} tensors match {type(model).__name__}; '{key}' {found}"
            f" ({len(missing)} such). Give the model that these weights were trained with, or list what may miss in may_miss"
        )
    model.load_state_dict(fitting, strict=False)
