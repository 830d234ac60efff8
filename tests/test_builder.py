from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import timm
import torch
from torch.optim import AdamW

from xkd.builder import build, check_arguments
from xkd.graph.term import Term
from xkd.losses import KD
from xkd.taps import Tap

ORDER: list[str] = []


@dataclass(frozen=True)
class Part:
    name: str
    inner: Any = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        ORDER.append(self.name)


DEFAULT = Part("default")


@dataclass(frozen=True)
class Whole:
    part: Part = DEFAULT
    weight: float = 1.0


def opened(first: int, **rest: int) -> dict[str, int]:
    return {"first": first, **rest}


def added(first: Any) -> Any:
    return first + 1


def test_it_calls_innermost_first_at_any_depth() -> None:
    ORDER.clear()
    built = build({"type": Part, "name": "outer", "inner": {"list": [{"type": Part, "name": "deep"}, ({"type": Part, "name": "deeper"},)]}})
    assert ORDER == ["deep", "deeper", "outer"]
    assert built == Part("outer", {"list": [Part("deep"), (Part("deeper"),)]})


def test_what_has_no_type_is_kept_as_it_is() -> None:
    assert build({"a": [1, "x", (2.0, None)], "b": {}}) == {"a": [1, "x", (2.0, None)], "b": {}}
    tap = Tap("layer4")
    assert build([tap])[0] is tap


def test_a_config_is_not_changed_by_being_built() -> None:
    config = {"type": Part, "name": "a", "inner": {"type": Part, "name": "b"}}
    build(config)
    assert config == {"type": Part, "name": "a", "inner": {"type": Part, "name": "b"}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"type": KD, "tua": 4.0}, r"^config: KD takes no argument 'tua' \(did you mean 'tau'\?\); it takes \['tau', 'standardize'\]"),
        ({"type": KD, "zzz": 4.0}, r"^config: KD takes no argument 'zzz'; it takes \['tau', 'standardize'\]"),
        ({"type": Part}, r"^config: Part needs \['name'\]; it takes \['name', 'inner', 'weight'\]"),
        ({"terms": [{"type": KD}, {"type": KD, "tauu": 1}]}, r"^config.terms\[1\]: KD takes no argument 'tauu'"),
        ({"type": "KD"}, r"^config: type must be a class or a function, got 'KD'"),
        ({"type": Whole, "weigth": 4.0}, r"^config: Whole takes no argument 'weigth' \(did you mean 'weight'\?\)"),
        ({"type": Whole, "part_weight": 4.0}, r"\(did you mean 'part\.weight', in a config part=dict\(type=Part, weight=\.\.\.\)\?\)"),
        ({"a": {"type": None}}, r"^config.a: type must be a class or a function, got None"),
    ],
)
def test_a_wrong_argument_is_named_with_its_place_and_the_legal_ones(config: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        build(config)


def test_a_function_that_takes_anything_is_given_anything() -> None:
    assert build({"type": opened, "first": 1, "other": 2}) == {"first": 1, "other": 2}


def test_errors_of_the_callables_say_where_they_stood() -> None:
    with pytest.raises(ValueError, match=r"^config\.terms\.kd: tau must be positive"):
        build({"terms": {"kd": {"type": KD, "tau": -1.0}}})
    with pytest.raises(TypeError, match=r"^config\.first: added: can only concatenate"):
        build({"first": {"type": added, "first": "x"}})


def test_timms_word_for_an_unknown_model_is_a_users_mistake() -> None:
    with pytest.raises(ValueError, match=r"^model: create_model: Unknown model \(resnet99\); near it: \['.*resnet.*'\]$"):
        build({"type": timm.create_model, "model_name": "resnet99"}, "model")


def test_the_whole_config_is_checked_before_anything_is_called() -> None:
    ORDER.clear()
    config = {"first": {"type": Part, "name": "made"}, "second": {"type": KD, "tua": 1.0}}
    with pytest.raises(TypeError, match=r"^config.second: KD takes no argument 'tua'"):
        check_arguments(config)
    check_arguments({"first": config["first"]})
    check_arguments({"type": Whole, "part": {"type": Part, "name": "made"}})
    assert ORDER == []


@pytest.mark.parametrize("wrong", ["boxes", {"weight": 2.0}])
def test_a_part_is_made_by_its_class(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^config\.part is made by dict\(type=Part, \.\.\.\), got "):
        check_arguments({"type": Whole, "part": wrong})


WRONG = [
    ({"type": KD, "tau": "hot"}, r"^config\.tau must be a number, got 'hot', an argument of KD$"),
    ({"type": KD, "standardize": "false"}, r"^config\.standardize must be True or False, got 'false'"),
    ({"type": KD, "tau": True}, r"^config\.tau must be a number, got True"),
    ({"type": Tap, "path": 3}, r"^config\.path must be text, got 3, an argument of Tap$"),
    ({"type": Tap, "path": "layer4", "kind": "map"}, r"^config\.kind must be 'features' or 'attention' or .*, got 'map'"),
    ({"terms": [{"type": Part, "name": "a", "weight": [1.0]}]}, r"^config\.terms\[0\]\.weight must be a number, got \[1\.0\]"),
    ({"type": AdamW, "lr": "0.1"}, r"^config\.lr must be a number or Tensor, got '0\.1', an argument of AdamW$"),
    ({"type": timm.create_model, "model_name": "resnet18", "pretrained": "no"}, r"^config\.pretrained must be True or False, got 'no'"),
]


@pytest.mark.parametrize(("config", "message"), WRONG)
def test_a_value_of_the_wrong_type_is_named_with_its_place_and_the_right_one(config: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        check_arguments(config)
    whole = {**config, "params": [torch.zeros(1)]} if config.get("type") is AdamW else config
    with pytest.raises(TypeError, match=message):
        build(whole)


def test_an_object_of_the_wrong_type_is_found_when_it_is_made() -> None:
    config = {"type": Term, "loss": {"type": Tap, "path": "layer4"}, "student": "a.output", "teacher": "b.output"}
    check_arguments(config)
    with pytest.raises(TypeError, match=r"^config\.loss must be Module, got Tap\("):
        build(config)


def test_what_an_argument_leaves_out_may_be_said() -> None:
    check_arguments({"type": implicit, "rate": None})
    check_arguments({"type": Term, "loss": {"type": KD}, "student": ["a.one", "a.two"], "teacher": "b.output", "weight": 2})


def implicit(rate=None):
    return rate


implicit.__annotations__ = {"rate": float, "return": float}  # what timm's "rate: float = None" says
