"""What a plan will do before it does it: which runs are reused, which are resumed, which are new, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from xkd.engine.fingerprint import MADE_OF
from xkd.engine.hooks import checkpoints
from xkd.engine.resume import ABSENT, changes_in_words, flat
from xkd.engine.stages import is_finished
from xkd.evidence.arm import Arm
from xkd.evidence.runs import arm_folder, origin_of, run_key

State = Literal["reused", "resumed", "new"]


@dataclass(frozen=True)
class Ahead:
    """What becomes of a stage with one seed; `why` it is new, or from where it goes on."""

    stage: str
    seed: int
    folder: Path
    state: State
    why: str = ""


def outlook(arms: Sequence[Arm], seeds: Sequence[int], root: Path, settings: Mapping[str, Any]) -> list[Ahead]:
    """Every run in the order of the stages. Nothing is trained, and nothing is written: folders have names before they are there."""
    folders: dict[str, Path] = {}
    ahead = []
    for arm in arms:
        for seed in seeds:
            done = {name: folders[run_key(name, seed)] for name in arm.loaded}
            folder = folders[run_key(arm.name, seed)] = arm_folder(arm, seed, root, done, settings)
            ahead.append(_ahead(arm, seed, folder, origin_of(arm, seed, done, settings)))
    return ahead


def show(ahead: Sequence[Ahead], console: Console) -> None:
    """A line for each stage, or for each of its seeds where these differ."""
    seeds: dict[tuple[str, State, str], list[str]] = {}
    for one in ahead:
        seeds.setdefault((one.stage, one.state, one.why), []).append(str(one.seed))
    for (stage, state, why), of in seeds.items():
        named = f"seed{'s' * (len(of) > 1)} {', '.join(of)}"
        console.print(f"{stage}, {named}: {state}{f', {why}' if why else ''}")


def _ahead(arm: Arm, seed: int, folder: Path, origin: Mapping[str, Any]) -> Ahead:
    if is_finished(folder):
        return Ahead(arm.name, seed, folder, "reused")
    if there := checkpoints(folder):
        return Ahead(arm.name, seed, folder, "resumed", f"from {there[0].name}")
    if folder.exists():
        return Ahead(arm.name, seed, folder, "new", "it was begun before, and no epoch was finished")
    return Ahead(arm.name, seed, folder, "new", _why(arm, seed, folder.parent, origin))


def _others(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Files whose content differs or is on one side alone; what was only moved is on both."""

    def moved(file: str) -> bool:
        one, other = (was, now) if file in was else (now, was)
        return file not in other and one[file] in other.values()

    return [file for file in {**was, **now} if was.get(file) != now.get(file) and not moved(file)]


def _why(arm: Arm, seed: int, parent: Path, origin: Mapping[str, Any]) -> str:
    """What differs from the latest run of the stage with this seed."""
    earlier = sorted(parent.glob(f"seed{seed}_*/{MADE_OF}"), key=lambda file: file.stat().st_mtime_ns)
    if not earlier:
        return "it was not run before"
    return difference(json.loads(earlier[-1].read_text("utf-8")), origin, arm.loaded)


def difference(was: Mapping[str, Any], now: Mapping[str, Any], loaded: Sequence[str]) -> str:
    """The first thing in which what two fingerprints were made of differs, in words; "" where they are the same.

    `loaded` are the stages whose folders `now["loads"]` names, in its order.
    """
    old, new = (dict(flat(of["config"])) for of in (was, now))
    both = {key: (old.get(key, ABSENT), new.get(key, ABSENT)) for key in {**new, **old}}
    if changed := {key: of for key, of in both.items() if of[0] != of[1]}:
        first = next(iter(changed))
        more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        return f"its config changed: {changes_in_words({first: changed[first]})}{more}"
    if len(was["loads"]) != len(now["loads"]):
        return "it loads other stages than before"
    if others := [name for name, one, other in zip(loaded, was["loads"], now["loads"], strict=False) if one != other]:
        return f"an earlier stage changed: {', '.join(others)}"
    for kind, words in (("data", "the data changed"), ("weights", "weights that it begins with changed")):
        if files := _others(was[kind], now[kind]):
            return f"{words}: {files[0]}"
    if was["settings"] != now["settings"]:
        options = {f"--{key}": (value, now["settings"].get(key)) for key, value in was["settings"].items()}
        return f"settings changed: {changes_in_words({key: of for key, of in options.items() if of[0] != of[1]})}"
    return f"another version of xkd: {was['version']} -> {now['version']}" if was["version"] != now["version"] else ""
