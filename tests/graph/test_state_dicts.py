"""Files as other tools save them."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from core_models import CNN, RGB_VIEW
from safetensors.torch import save_file
from torch import Tensor, nn

from xkd.graph.state_dicts import load_file, tensors_of, wrapper_of
from xkd.graph.weights import Checkpoint
from xkd.networks import Logits

State = dict[str, Tensor]


@pytest.fixture
def state() -> State:
    torch.manual_seed(1)
    return CNN().state_dict()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outside.pth"


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was logged so far, without what is assumed of the normalisation."""
    caplog.set_level(logging.INFO, "xkd")
    return lambda: [message for message in caplog.messages if "normalised" not in message]


def named(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def other() -> State:
    torch.manual_seed(2)
    return CNN().state_dict()


def load(path: Path, model: nn.Module | None = None, **settings: Any) -> nn.Module:
    model = model or CNN()
    Checkpoint(str(path), **settings).load(model, RGB_VIEW)
    return model


def same(model: nn.Module, state: State) -> bool:
    return all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


WRAPPED: dict[str, tuple[Callable[[State], Any], str]] = {
    "DataParallel": (lambda s: named("module.", s), "module."),
    "torch.compile": (lambda s: named("_orig_mod.", s), "_orig_mod."),
    "compiled in DDP": (lambda s: named("module._orig_mod.", s), "module._orig_mod."),
    "Lightning": (
        lambda s: {"epoch": 3, "state_dict": {**named("model.", s), "criterion.weight": torch.ones(3)}, "loops": {}},
        "state_dict.model.",
    ),
    "model key": (lambda s: {"model": s, "optimizer": {"state": {0: {"exp_avg": s["fc.weight"]}}, "param_groups": []}}, "model."),
    "an average of torch": (lambda s: {"n_averaged": torch.tensor(7), **named("module.", s)}, "module."),
    "an average alone": (lambda s: {"model_ema": s, "epoch": 3}, "model_ema."),
    "timm's script": (
        lambda s: {"epoch": 1, "arch": "cnn", "state_dict": s, "optimizer": {}, "args": argparse.Namespace(lr=0.1, opt="sgd")},
        "state_dict.",
    ),
    "a network inside": (lambda s: named("backbone.net.", s), "backbone.net."),
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_a_prefix_is_found_and_said(kind: str, path: Path, state: State, messages: Callable[[], list[str]]) -> None:
    wrap, prefix = WRAPPED[kind]
    torch.save(wrap(state), path)
    assert same(load(path), state)
    assert messages() == [f"{path}: found under prefix '{prefix}'"]


def test_of_a_plain_file_nothing_is_said(path: Path, state: State, messages: Callable[[], list[str]]) -> None:
    torch.save(state, path)
    assert same(load(path), state)
    assert messages() == []


@pytest.mark.parametrize(
    ("one", "two"), [("state_dict", "state_dict_ema"), ("model", "ema_state_dict"), ("student.backbone", "teacher.backbone")]
)
def test_several_that_fit_are_named_and_chosen_among(one: str, two: str, path: Path, state: State) -> None:
    torch.save(named(f"{one}.", other()) | named(f"{two}.", state), path)
    both = rf"prefix='{one}.' \(16 of 16 tensors\), prefix='{two}.' \(16 of 16 tensors\); choose one with prefix='{two}.'"
    with pytest.raises(ValueError, match=f"outside.pth holds several sets of tensors that fit: {both}"):
        load(path)
    assert same(load(path, prefix=f"{two}."), state)


def test_shapes_tell_two_networks_of_the_same_names_apart(path: Path, state: State) -> None:
    torch.save(named("small.", CNN(num_classes=9).state_dict()) | named("own.", state), path)
    assert same(load(path), state)


def test_the_files_own_names_come_before_any_prefix(path: Path, state: State, messages: Callable[[], list[str]]) -> None:
    torch.save(state | named("ema.", other()), path)
    assert same(load(path), state)
    (spare,) = messages()
    assert spare.endswith(
        "16 of 16 tensors match CNN; 'ema.stem.0.weight', 'ema.stem.0.bias', 'ema.stem.1.weight' and 13 more are not used"
    )


def test_a_wrong_prefix_names_the_one_that_would_fit(path: Path, state: State) -> None:
    torch.save(named("module.", state), path)
    with pytest.raises(
        ValueError, match=r"none of the network's tensors stands under prefix='model.'; prefix='module.' \(16 of 16 tensors\) would"
    ):
        load(path, prefix="model.")
    torch.save({"a": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"under prefix='model.'; none would: the file has 'a'"):
        load(path, prefix="model.")


def test_names_that_fit_by_accident_are_no_prefix(path: Path) -> None:
    torch.save({"head.fc.weight": torch.zeros(3, 12), "body.conv.weight": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match=r"0 of 16 tensors match CNN; .* the file has 'head.fc.weight', 'body.conv.weight' instead"):
        load(path)


@pytest.mark.parametrize("prefix", ["", "network.", "module.", "module.network."])
def test_a_wrapper_of_ones_own_need_not_be_in_the_file(prefix: str, path: Path, state: State) -> None:
    torch.save(named(prefix, state), path)
    assert same(load(path, Logits(CNN())).network, state)


def test_the_common_part_of_names_is_of_whole_modules() -> None:
    assert wrapper_of(["network.stem.weight", "network.stage.bias"]) == "network."
    assert wrapper_of(["stem.weight", "stage.weight"]) == ""
    assert wrapper_of(["weight", "bias"]) == ""


def test_nested_tensors_have_dotted_names() -> None:
    assert list(tensors_of({"ema": {"module": {"fc.bias": torch.zeros(1)}}, "epoch": 3})) == ["ema.module.fc.bias"]


@pytest.mark.parametrize("may_miss", [["*"], ["stem.*", "deep.*"]])
def test_next_to_nothing_is_refused_whatever_may_miss(may_miss: list[str], path: Path, state: State) -> None:
    torch.save({name: tensor for name, tensor in state.items() if name.startswith("fc.") or "num_batches" in name}, path)
    with pytest.raises(ValueError, match=r"of 16 tensors match CNN, less than half of what it learns, .*whatever may_miss="):
        load(path, may_miss=may_miss)
    torch.save({"conv": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match="0 of 16 tensors match CNN, less than half"):
        load(path, may_miss=["*"])


def test_what_stays_and_what_is_not_used_is_said(path: Path, state: State, messages: Callable[[], list[str]]) -> None:
    torch.save({"aux.weight": torch.zeros(2), **{name: tensor for name, tensor in state.items() if name != "fc.bias"}}, path)
    load(path, may_miss=["fc.*"])
    assert [message.rpartition("; ")[2] for message in messages()] == ["'fc.bias' stay as they were", "'aux.weight' are not used"]


def test_safetensors(tmp_path: Path, state: State) -> None:
    path = tmp_path / "outside.safetensors"
    save_file(named("model.", state), path)
    assert same(load(path), state)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"outside.safetensors is not a readable weights-only checkpoint"):
        load_file(str(path))


def test_a_pickled_object_is_refused_with_what_to_do(path: Path) -> None:
    torch.save({"model": CNN()}, path)
    with pytest.raises(
        ValueError, match=r"it pickles core_models.CNN, which could run code: where you trust it, save its state_dict alone"
    ):
        load_file(str(path))
