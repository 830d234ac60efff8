"""A model's folder, a run's or as Hugging Face and timm lay it out: where its weights are, and with which statistics it was trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

# one file has the whole network; safetensors are preferred, as their hubs do; best.pth is that of a run of xkd
_WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin", "best.pth")
_ENDINGS: Final = (".safetensors", ".pth", ".pt", ".bin")


def find_weights(path: str) -> str:
    """The file itself, or the one of weights in a folder; `FileNotFoundError` or `ValueError` says what the folder has."""
    if path.startswith("@") and not Path(path).exists():
        raise ValueError(f"'{path}' names a stage of a plan, whose checkpoint xkd plan puts in its place; here name a file")
    folder = _snapshot(Path(path))
    if not folder.is_dir():
        return path
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return str(folder / name)
    files = sorted(file.name for file in folder.iterdir() if file.suffix in _ENDINGS)
    if not files:
        raise FileNotFoundError(f"no weights in {folder}: none of {list(_WEIGHTS)}, nothing that ends with {list(_ENDINGS)}")
    if len(files) > 1:
        raise ValueError(f"{folder} has several files of weights, {files}: name one of them")
    return str(folder / files[0])


def statistics_of(path: str) -> tuple[list[float], list[float]] | None:
    """Mean and std of 0..1 that a folder states: timm's `config.json`, or Hugging Face's `preprocessor_config.json`; None of a file."""
    folder = _snapshot(Path(path))
    for name, keys in (("config.json", ("mean", "std")), ("preprocessor_config.json", ("image_mean", "image_std"))):
        stated = _read(folder / name)
        stated = stated.get("pretrained_cfg", stated)
        if all(isinstance(stated.get(key), list) for key in keys):
            return stated[keys[0]], stated[keys[1]]
    return None


def architecture_of(path: str) -> str:
    """timm's name of the network, where the folder states it."""
    return str(_read(_snapshot(Path(path)) / "config.json").get("architecture", ""))


def is_backbone(path: str) -> bool:
    """Whether a folder states that its network has no classifier."""
    return _read(_snapshot(Path(path)) / "config.json").get("num_classes") == 0


def _snapshot(folder: Path) -> Path:
    """Hugging Face's cache keeps each revision in a folder, `models--NAME/snapshots/REVISION`; `refs/main` says which is meant."""
    snapshots = folder / "snapshots"
    if not snapshots.is_dir():
        return folder
    main, revisions = folder / "refs" / "main", sorted(snapshots.iterdir())
    if main.is_file():
        return snapshots / main.read_text("utf-8").strip()
    if len(revisions) != 1:
        raise ValueError(f"{snapshots} has the revisions {[revision.name for revision in revisions]}: name the folder of one")
    return revisions[0]


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content = json.loads(path.read_text("utf-8"))
    return content if isinstance(content, dict) else {}
