from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from mmengine.optim import CosineAnnealingLR
from torch import nn

from xkd.hints import fitted, hints_of

GOOD: list[tuple[Any, Any, Any]] = [
    (3, float, 3),
    (None, float | None, None),
    ("b", Literal["a", "b"], "b"),
    (True, bool | int, True),
    (["a", "b"], tuple[str, ...], ("a", "b")),
    ([[1, 2], [3, 4]], tuple[tuple[int, int], ...], ((1, 2), (3, 4))),
    ((1, 2), list[int], [1, 2]),
    (["a"], Sequence[str], ["a"]),
    ("a", str | Sequence[str], "a"),
    ("x.pth", str | Path, "x.pth"),
    ({"a": 1}, Mapping[str, float], {"a": 1}),
    ("anything", Any, "anything"),
]
BAD = [
    ("0.1", float, "must be a number, got '0.1'"),
    (True, float, "must be a number, got True"),
    (1, bool, "must be True or False, got 1"),
    (3.5, int, "must be a whole number, got 3.5"),
    ("no", bool | None, "must be True or False or None, got 'no'"),
    ("abc", Sequence[str], "must be a list of text, got 'abc'"),
    (["a", 1], tuple[str, ...], r"must be a tuple of text, got \['a', 1\]"),
    ([1, 2, 3], tuple[int, int], r"must be a tuple \(a whole number, a whole number\), got \[1, 2, 3\]"),
    ({"a": "b"}, Mapping[str, float], "must be a dict of a number by text, got {'a': 'b'}"),
    ("c", Literal["a", "b"], "must be 'a' or 'b', got 'c'"),
    (3, nn.Module, "must be Module, got 3"),
    ("x", Callable[[int], int] | float, "must be Callable or a number, got 'x'"),
]


@pytest.mark.parametrize(("value", "hint", "expected"), GOOD)
def test_a_value_that_fits_comes_back_as_it_is_wanted(value: Any, hint: Any, expected: Any) -> None:
    given = fitted(value, hint)
    assert given == expected
    assert type(given) is type(expected)


@pytest.mark.parametrize(("value", "hint", "message"), BAD)
def test_a_value_that_does_not_fit_is_an_error_that_says_what_would(value: Any, hint: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}"):
        fitted(value, hint)


@dataclass(frozen=True)
class Named:
    name: str


def test_the_hints_of_dataclasses_functions_and_of_parents_that_are_given_the_rest() -> None:
    assert hints_of(Named)["name"] is str
    assert hints_of(fitted)["value"] is Any
    schedule = hints_of(CosineAnnealingLR)  # an own argument, and one that goes up with **kwargs
    assert schedule["T_max"] == int | None
    assert schedule["by_epoch"] is bool
    assert hints_of(len) == {}
