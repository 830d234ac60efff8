"""Splits by group, stratified by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final

from xkd.data.rows import SPLITS

_ENOUGH: Final = 3  # groups from which a class should be in every split
_ALL: Final = ""  # all rows count as one more class, so that the splits' sizes keep their shares too


def parse_shares(shares: Mapping[str, float]) -> dict[str, float]:
    """The shares of train, val and test; `ValueError` where they do not add up to 1, or nothing is left to train on."""
    if unknown := [name for name in shares if name not in SPLITS]:
        raise ValueError(f"unknown split '{unknown[0]}'; legal are {list(SPLITS)}")
    full = {name: shares.get(name, 0.0) for name in SPLITS}
    if min(full.values()) < 0 or abs(sum(full.values()) - 1) > 1e-6 or full["train"] <= 0:
        raise ValueError(f"shares are 0 or more, train above 0, and add up to 1; got {full}")
    return full


def split_by_group(rows: Iterable[tuple[str, frozenset[str]]], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Group -> split, for rows given as (group, classes); no group is divided, and the answer depends on nothing else.

    The largest group goes first, each to the split that lacks most of what it holds: the sum over classes of its rows times the
    split's deficit, each as a share of the class. Then classes that are in three groups or more are brought into the splits
    that lack them (into train always, into others where no other class loses its last group in the split it comes from).
    """
    return apportion(rows, parse_shares(shares), seed)


def apportion(rows: Iterable[tuple[str, frozenset[str]]], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Group -> part, as `split_by_group` has it, for parts of any names; `shares` add up to 1."""
    held: dict[str, Counter[str]] = {}
    for group, kinds in rows:
        held.setdefault(group, Counter()).update({_ALL, *kinds})
    totals: Counter[str] = Counter()
    for counts in held.values():
        totals.update(counts)
    open_splits = [name for name, share in shares.items() if share > 0]
    lacking = {name: {kind: shares[name] * total for kind, total in totals.items()} for name in open_splits}
    chosen: dict[str, str] = {}
    for group in sorted(held, key=lambda group: (-held[group][_ALL], _lot(group, seed))):
        counts = held[group]
        weights = {kind: number / totals[kind] ** 2 for kind, number in counts.items()}
        deficits = {name: sum(weight * lacking[name][kind] for kind, weight in weights.items()) for name in open_splits}
        chosen[group] = max(open_splits, key=deficits.__getitem__)  # the first of equals: train
        for kind, number in counts.items():
            lacking[chosen[group]][kind] -= number
    _spread(held, chosen, open_splits, seed)
    return chosen


def _spread(held: Mapping[str, Counter[str]], chosen: dict[str, str], open_splits: list[str], seed: int) -> None:
    """Move groups so that each class of enough groups is in each split, train first."""
    groups_of: dict[str, list[str]] = {}
    for group in sorted(held, key=lambda group: (held[group][_ALL], _lot(group, seed))):
        for kind in held[group]:
            groups_of.setdefault(kind, []).append(group)
    number = Counter((chosen[group], kind) for group, counts in held.items() for kind in counts)
    for split in open_splits:
        for kind in sorted(groups_of):
            if number[split, kind] or len(groups_of[kind]) < _ENOUGH:
                continue
            spare = [group for group in groups_of[kind] if all(number[chosen[group], other] > 1 for other in held[group])]
            movable = spare or (groups_of[kind] if split == "train" else [])
            if movable:
                group = max(movable, key=lambda group: number[chosen[group], kind])  # the smallest of those in the best served split
                number.subtract((chosen[group], other) for other in held[group])
                chosen[group] = split
                number.update((split, other) for other in held[group])


def _lot(group: str, seed: int) -> bytes:
    return blake2b(f"{seed}:{group}".encode(), digest_size=8).digest()
