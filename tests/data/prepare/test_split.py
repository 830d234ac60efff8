"""Splits by group: nothing straddles, classes keep their shares, and the same rows give the same splits."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from xkd.data.prepare.split import parse_shares, split_by_group

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}

Rows = list[tuple[str, frozenset[str]]]


def random_rows(seed: int) -> Rows:
    """12 to 150 groups of 1 to 11 rows; most rows of a group are of its own class, classes are of very unlike size."""
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 7))
    chances = rng.dirichlet(np.ones(classes))
    rows = []
    for group in range(int(rng.integers(12, 150))):
        own = rng.choice(classes, p=chances)
        for _ in range(int(rng.integers(1, 12))):
            kind = own if rng.random() < 0.8 else rng.choice(classes, p=chances)
            rows.append((f"g{group}", frozenset([f"class {kind}"])))
    return rows


@pytest.mark.parametrize("seed", range(50))
def test_shares_are_kept_as_well_as_groups_allow(seed: int) -> None:
    rows = random_rows(seed)
    chosen = split_by_group(rows, SHARES, seed)
    assert chosen == split_by_group(rows, SHARES, seed)
    shuffled = [rows[place] for place in np.random.default_rng(seed).permutation(len(rows))]
    assert chosen == split_by_group(shuffled, SHARES, seed)  # the order of the rows does not matter
    assert chosen.keys() == {group for group, _ in rows}  # one split per group: none straddles
    of_group: dict[str, Counter[str]] = {}
    held: Counter[tuple[str, str]] = Counter()
    for group, kinds in rows:
        for kind in (*kinds, "rows"):
            of_group.setdefault(kind, Counter())[group] += 1
            held[kind, chosen[group]] += 1
    for kind, counts in of_group.items():
        for split, share in SHARES.items():
            assert abs(held[kind, split] - share * counts.total()) <= 2 * max(counts.values())
        if len(counts) >= 3:
            assert held[kind, "train"] > 0


def test_rows_of_their_own_split_exactly() -> None:
    rows: Rows = [(f"{kind}{number}", frozenset([kind])) for kind, count in (("a", 100), ("b", 40), ("c", 20)) for number in range(count)]
    counts = Counter((group[0], split) for group, split in split_by_group(rows, SHARES, 0).items())
    expected = {"a": (70, 15, 15), "b": (28, 6, 6), "c": (14, 3, 3)}
    assert {kind: tuple(counts[kind, split] for split in SHARES) for kind in expected} == expected


def test_three_groups_of_a_rare_class_reach_all_splits() -> None:
    rows: Rows = [(f"g{number}", frozenset(["common"])) for number in range(40)]
    rows += [(f"r{number}", frozenset(["rare"])) for number in range(3) for _ in range(1 + 5 * number)]
    chosen = split_by_group(rows, SHARES, 0)
    assert {chosen[f"r{number}"] for number in range(3)} == set(SHARES)


def test_the_largest_group_finds_its_place_first() -> None:
    rows: Rows = [("giant", frozenset(["a"]))] * 30 + [(f"g{number}", frozenset(["a"])) for number in range(30)]
    chosen = split_by_group(rows, {"train": 0.5, "val": 0.25, "test": 0.25}, 0)
    assert Counter(chosen[group] for group, _ in rows) == {"train": 30, "val": 15, "test": 15}


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_class_weighs_as_much_as_a_common_one(seed: int) -> None:
    kinds = [["rare" if number < 6 and row == 0 else "common" for row in range(10)] for number in range(20)]
    rows: Rows = [(f"g{number}", frozenset([kind])) for number, group in enumerate(kinds) for kind in group]
    chosen = split_by_group(rows, {"train": 0.5, "test": 0.5}, seed)
    assert Counter(chosen[f"g{number}"] for number in range(6)) == {"train": 3, "test": 3}


def test_seeds_differ_and_a_split_of_no_share_stays_empty() -> None:
    rows: Rows = [(f"g{number}", frozenset()) for number in range(40)]
    assert split_by_group(rows, SHARES, 0) != split_by_group(rows, SHARES, 1)
    assert set(split_by_group(rows, {"train": 0.5, "test": 0.5}, 0).values()) == {"train", "test"}


def test_shares_add_up() -> None:
    assert parse_shares({"train": 0.8, "test": 0.2}) == {"train": 0.8, "val": 0.0, "test": 0.2}
    for shares, message in [({"train": 0.9}, "add up to 1"), ({"test": 1.0}, "train above 0"), ({"trian": 1.0}, "unknown split 'trian'")]:
        with pytest.raises(ValueError, match=message):
            parse_shares(shares)
