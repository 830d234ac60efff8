"""Each row gets its group and its split: those that somebody chose, or drawn ones; a note says which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from xkd.data.prepare.labels import group_of
from xkd.data.prepare.records import Record
from xkd.data.prepare.split import split_by_group
from xkd.data.prepare.split_names import named_split, split_of
from xkd.data.prepare.stems import Stems
from xkd.data.rows import SPLITS
from xkd.data.text import read_text

SHARES: Final[Mapping[str, float]] = {"train": 0.7, "val": 0.15, "test": 0.15}


@dataclass(frozen=True)
class Splitting:
    """How rows get groups and splits.

    `found` takes splits that the recordings come with, and draws them where there are none; `folder` asks for those of folders, `drawn`
    draws them in any case. `lists` is a folder with train.txt, val.txt and test.txt of ids or frames.
    """

    way: Literal["found", "folder", "drawn"] = "found"
    shares: Mapping[str, float] = field(default_factory=lambda: SHARES)
    seed: int = 0
    lists: Path | None = None
    group_regex: str = ""


def assigned(found: Sequence[Record], how: Splitting, left_out: Counter[str], notes: list[str]) -> list[Record]:
    """The rows that have a split, each with its group; `ValueError` names the row that has two, or whose group straddles splits."""
    records = _grouped(found, how.group_regex)
    written = any(record.split for record in records)
    if written and (how.lists is not None or how.way == "folder"):
        raise ValueError(f"splits are given twice, by a column and by {'lists' if how.lists is not None else 'folders'}; which holds?")
    if how.lists is not None:
        records = _listed(records, how.lists, left_out)
        notes.append(f"splits are those of the lists in {how.lists}")
    elif how.way != "drawn" and not written and (folders := _folders(records, how.way == "folder")):
        records = [replace(record, split=folders[record.id]) for record in records]
        notes.append(f"splits are those of the folders ({_sizes(records)}); {_anew()} draws them anew")
    elif how.way == "drawn" or not written:
        records = _drawn(records, how)
        whose = f"the {len({record.group for record in records})} groups" if any(record.group for record in found) else "single rows"
        whose = f"groups by {how.group_regex}" if how.group_regex else whose
        notes.append(f"splits were drawn with seed {how.seed}, of {whose} ({_sizes(records)})")
    else:
        notes.append(f"splits are those of the table or the annotations ({_sizes(records)}); {_anew()} draws them anew")
    left_out["row without a split"] += sum(not record.split for record in records)
    kept = _checked([record for record in records if record.split])
    if not how.group_regex:
        _check_groups(kept, {record.id for record in found if not record.group})
        if not any(record.group for record in found):
            notes.append("no groups were given: frames of one plant, scene or drive may straddle the splits; see --group-regex")
    return kept


def _grouped(records: Sequence[Record], regex: str) -> list[Record]:
    """Each with its group, that of its frame alone where nobody gave any; `ValueError` where two ways give one."""
    given = [record for record in records if record.group]
    if regex and given:
        raise ValueError(f"row '{given[0].id}' has a group, '{given[0].group}', and --group-regex is given too; which holds?")
    return [replace(record, group=group_of(record.frame, regex) if regex else record.group or record.frame) for record in records]


def _check_groups(records: Sequence[Record], without: set[str]) -> None:
    """`ValueError` where some rows have a group and others do not: those may be of a plant, scene or drive of another split."""
    lost = [record.id for record in records if record.id in without]
    if 0 < len(lost) < len(records):
        raise ValueError(
            f"{len(lost)} of {len(records)} rows have no group, such as '{lost[0]}', others have one: they may be of the same plant, scene"
            " or drive as rows of another split. Give each a line with its group in the table (an empty label leaves it unlabelled), or"
            " take --group-regex"
        )


def _folders(records: Sequence[Record], asked: bool) -> dict[str, str]:
    """Row -> the split that its files' folders name, of all rows; none where they name less than two, unless they are `asked` for.

    One alone may be a class, or all of the recordings. `ValueError` names a row whose files lie in two splits, or in none.
    """
    splits: dict[str, str] = {}
    for record in records:
        named = {column: split_of(file.name) for column, files in record.files.items() for file in files}
        if len(set(named.values())) > 1:
            raise ValueError(f"row '{record.id}': its files lie in folders of unlike splits: {named}; {_anew()} draws splits anew")
        splits[record.id] = next(iter(named.values()), "")
    there = set(splits.values()) - {""}
    if asked and not there:
        raise ValueError("--split-from-folder: no folder below the sensors' is called train, val (valid, validation, dev) or test")
    if len(there) < 2 and not asked:
        return {}
    if none := [row for row, split in splits.items() if not split]:
        raise ValueError(
            f"folders name splits ({', '.join(sorted(there))}), but {len(none)} of {len(records)} rows lie in none, such as '{none[0]}': "
            f"move them, write --split-lists, or {_anew()} draws all anew"
        )
    return splits


def _listed(records: Sequence[Record], folder: Path, left_out: Counter[str]) -> list[Record]:
    chosen: dict[str, str] = {}
    lists = {path: split for path in folder.glob("*.txt") if (split := named_split(path.stem))}
    for path, split in sorted(lists.items(), key=lambda item: SPLITS.index(item[1])):
        for name in filter(None, map(str.strip, read_text(path).split("\n"))):
            if chosen.setdefault(name, split) != split:
                raise ValueError(f"{path}: '{name}' is in {chosen[name]}.txt too")
    if not chosen:
        raise FileNotFoundError(f"{folder}: no {[f'{split}.txt' for split in SPLITS]} with ids in them")
    by_stem: dict[str, str] = {}
    stems = Stems({name for record in records for name in (record.id, record.frame)}, strip="")
    for name, split in chosen.items():
        if not (stem := stems.find(name)):
            left_out["line of a split list without a row"] += 1
        elif by_stem.setdefault(stem, split) != split:
            raise ValueError(f"{folder}: '{stem}' is in the lists of {by_stem[stem]} and {split}")
    if not by_stem:
        raise ValueError(
            f"{folder}: no line is the stem of a row or a file's name: it has '{next(iter(chosen))}', the rows '{min(stems.known)}'"
        )
    return [replace(record, split=by_stem.get(record.id, by_stem.get(record.frame, ""))) for record in records]


def _drawn(records: Sequence[Record], how: Splitting) -> list[Record]:
    chosen = split_by_group(((record.group, record.kinds) for record in records), how.shares, how.seed)
    return [replace(record, split=chosen[record.group]) for record in records]


def _checked(records: list[Record]) -> list[Record]:
    splits: dict[str, str] = {}
    for record in records:
        if record.split not in SPLITS:
            raise ValueError(f"row '{record.id}': unknown split '{record.split}'; legal are {list(SPLITS)}")
        if splits.setdefault(record.group, record.split) != record.split:
            raise ValueError(f"row '{record.id}': group '{record.group}' straddles splits '{splits[record.group]}' and '{record.split}'")
    return records


def _sizes(records: Sequence[Record]) -> str:
    sizes = Counter(record.split for record in records)
    return ", ".join(f"{split} {sizes[split]}" for split in SPLITS)


def _anew() -> str:
    return f"--split {' '.join(f'{split}={share:g}' for split, share in SHARES.items())}"
