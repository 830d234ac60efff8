"""All that a run's result depends on: a mark of it names the run's folder, and the folder keeps what the mark was made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from mmengine.config import Config

import xkd
from xkd.data.manifest import manifest_files
from xkd.engine.config import as_plain
from xkd.engine.panel_hook import PanelHook
from xkd.engine.sections import SECTIONS
from xkd.graph.folders import find_weights
from xkd.graph.weights import Checkpoint, Pretrained

MADE_OF: Final = "made_of.json"


def folder_of(config: Config, parent: Path, seed: int, loaded: Sequence[str], settings: Mapping[str, Any]) -> Path:
    return parent / f"seed{seed}_{fingerprint(config, seed, loaded, settings)[:8]}"


def fingerprint(config: Config, seed: int, loaded: Sequence[str], settings: Mapping[str, Any]) -> str:
    """Changes with anything that a result depends on: config, weights, manifest, seed, settings (a smoke run), version.

    `loaded` are the folders' names of the runs that it loads. The place of a folder changes nothing: of an absolute path the last name
    counts, and the content of the file, of the data set's manifest or of the weights that are there.
    """
    sections = _sections(config)
    text = json.dumps(placeless(sections), default=_name, sort_keys=True)
    digest = hashlib.sha256(f"{text} {seed} {list(loaded)} {sorted(_told(settings).items())} {xkd.__version__}".encode())
    for file in _manifests(config):
        digest.update(file.read_bytes())
    for file in _weights(sections):
        digest.update(_digest(file))
    return digest.hexdigest()


def made_of(config: Config, seed: int, loaded: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a fingerprint is made of, as plain data; of files their digests."""
    sections = _sections(config)
    return {
        "config": json.loads(json.dumps(placeless(sections), default=_name)),
        "seed": seed,
        "loads": list(loaded),
        "settings": _told(settings),
        "version": xkd.__version__,
        "data": {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in _manifests(config)},
        "weights": {str(file): _digest(file).hex() for file in _weights(sections)},
    }


def _sections(config: Config) -> dict[str, Any]:
    """Those by which a result is made."""
    # tests have their own key, a search its candidates; the others change what is shown, not what is learned
    shown = ("compare", "log_interval", "search", "vis_backends")
    sections = {name: as_plain(config.get(name)) for name in SECTIONS if name not in shown}
    sections["custom_hooks"] = [hook for hook in sections["custom_hooks"] or [] if hook.get("type") is not PanelHook]
    (sections["teacher_cache"] or {}).pop("folder", None)  # where answers are kept changes none
    for loader in [of for name, of in sections.items() if name.endswith("_dataloader")]:
        for read in ("multiprocessing_context", "num_workers", "persistent_workers", "prefetch_factor"):
            loader.pop(read, None)  # rows and draws are the same whoever reads them
    return sections


def _told(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {"amp": False, "smoke": False, **settings}


def _manifests(config: Config) -> list[Path]:
    return [file for split in ("train", "val", "test") for file in manifest_files(config[f"{split}_dataloader"].dataset)]


def placeless(node: Any) -> Any:
    """The same with names in the place of absolute paths of files, data sets and weights.

    What another folder holds is not known here: its path stays, and says which one is meant.
    """
    if isinstance(node, Mapping):
        return {key: placeless(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [placeless(value) for value in node]
    return Path(node).name if _held(node) else node


def _held(node: Any) -> list[Path]:
    """The files that an absolute path stands for; [] of any other text."""
    if not isinstance(node, str) or not (path := Path(node)).is_absolute() or not path.exists():
        return []
    if manifest := [file for file in manifest_files({"root": node}) if file.is_file()]:
        return manifest
    try:
        return [Path(find_weights(node))]
    except (OSError, ValueError):  # a folder without weights
        return []


def _weights(sections: Mapping[str, Any]) -> list[Path]:
    """And what else the config names by an absolute path."""
    weights = list(_files_of_weights(sections["distiller"]["branches"]))
    return weights + [file for file in dict.fromkeys(_files_by_place(sections)) if file not in weights]


def _files_by_place(node: Any) -> Iterator[Path]:
    if isinstance(node, Mapping | list | tuple):
        for child in node.values() if isinstance(node, Mapping) else node:
            yield from _files_by_place(child)
    else:
        yield from _held(node)


def _files_of_weights(node: Any) -> Iterator[Path]:
    """Those that branches begin with and that are there: another file under the same name makes another run."""
    if not isinstance(node, Mapping):
        return
    kind = node.get("type")
    named = {Pretrained: "file", Checkpoint: "path"}.get(kind) if isinstance(kind, type) else None
    path = node.get(named, "") if named else ""
    if path and Path(path).exists():
        yield Path(find_weights(path))
    for child in node.values():
        yield from _files_of_weights(child)


def _digest(file: Path) -> bytes:
    return _content(file, (of := file.stat()).st_mtime_ns, of.st_size)


@lru_cache
def _content(file: Path, _changed: int, _size: int) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', repr(value))}"
