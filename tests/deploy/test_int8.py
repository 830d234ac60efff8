"""int8: smaller, near the float network, and in a file that says which runtime it needs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import timm
import torch
from edge_folders import CLASSES

from xkd.batch import View
from xkd.deploy.card import CardNotes, card_markdown
from xkd.deploy.export import Network, network_of
from xkd.deploy.folder import write_folder
from xkd.deploy.int8 import behind_the_weights, milliseconds, rounded, session_of, told
from xkd.graph.branch import Branch
from xkd.graph.weights import Random
from xkd.modalities import RGB
from xkd.tasks import Classification

VIEW = View("rgb", RGB(), (32, 32))
TASK = Classification(CLASSES)


def images(rows: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (rows, 3, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def branch() -> Branch:
    torch.manual_seed(0)
    return Branch(timm.create_model("test_resnet", num_classes=3), VIEW, Random()).eval()


@pytest.fixture(scope="module")
def network(branch: Branch) -> Network:
    return network_of(branch, TASK, CardNotes("made up"))


@pytest.fixture(scope="module")
def small(network: Network) -> Network:
    return rounded(network, [images(16)], "processors")


def logits(network: Network, of: np.ndarray) -> np.ndarray:
    answer: np.ndarray = session_of(network.content).run(["logits"], {"images": of})[0]
    return answer


def test_its_answers_are_near(network: Network, small: Network) -> None:
    before, after = logits(network, images(16)), logits(small, images(16))
    assert 0 < np.abs(after - before).max() < 0.1 * np.ptp(before)
    assert len(small.content) < 0.5 * len(network.content)


def test_weights_are_rounded_and_answers_are_not(small: Network) -> None:
    graph = onnx.load_model_from_string(small.content).graph
    makers = {output: node for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions
    assert all(makers[node.input[1]].op_type == "DequantizeLinear" for node in convolutions)
    assert not any(node.op_type == "BatchNormalization" for node in graph.node)
    last = makers["probabilities"]
    assert last.op_type == "Softmax"


def test_what_follows_the_last_weights() -> None:
    node = onnx.helper.make_node
    nodes = [node("Relu", ["x"], ["a"], "first"), node("Conv", ["a", "w"], ["b"], "conv"), node("Softmax", ["b"], ["y"], "last")]
    nodes.append(node("Shape", ["x"], ["n"], "aside"))
    assert behind_the_weights(onnx.helper.make_graph(nodes, "g", [], [])) == ["last", "aside"]


def test_only_the_domains_that_it_uses(small: Network) -> None:
    model = onnx.load_model_from_string(small.content)
    assert {entry.domain for entry in model.opset_import} == {node.domain for node in model.graph.node}
    assert json.loads(next(one.value for one in model.metadata_props if one.key == "xkd"))["precision"] == "int8"
    assert small.card.needs["onnxruntime"] == "1.18"


def test_for_tensorrt_all_is_signed_and_symmetric(network: Network) -> None:
    graph = onnx.load_model_from_string(rounded(network, [images(8)], "tensorrt").content).graph
    values = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    zeros = [values[node.input[2]] for node in graph.node if node.op_type.endswith("QuantizeLinear") or node.op_type == "DequantizeLinear"]
    assert zeros
    assert all(zero.dtype == np.int8 and not zero.any() for zero in zeros)


def test_the_card_has_both(small: Network) -> None:
    scores = {"val": {"float32": {"accuracy": 0.8}, "int8": {"accuracy": 0.79}}}
    times, sizes = {"float32": 0.5, "int8": 0.2}, {"float32": 4e6, "int8": 1e6}
    facts = {"for": "processors", "calibrated_on": 16, "scores": scores, "milliseconds_here": times, "bytes": sizes}
    card = told(small, facts, {"accuracy": 0.79}).card
    page = card_markdown(card, "model.onnx")
    assert card.metrics == {"accuracy": 0.79}
    for part in ("calibrated on 16 training rows", "| val accuracy, float32 and int8 | 0.8 and 0.79 |", "0.500 and 0.200", "4.00 and 1.00"):
        assert part in page


def test_time_is_of_each(network: Network, small: Network) -> None:
    times = milliseconds({"float32": network.content, "int8": small.content}, images(1))
    assert 0 < min(times.values()) <= max(times.values()) < 1000


def test_a_folder_of_it_checks_itself(
    branch: Branch, network: Network, small: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xkd.deploy.folder.network_of", lambda *_: network)
    write_folder(branch, TASK, tmp_path / "edge", CardNotes("made up"), lambda _: small)
    plan = json.loads((tmp_path / "edge" / "plan.json").read_text("utf-8"))
    assert plan["precision"] == "int8"
    assert TASK.tolerance < plan["tolerance"]["answers"] < 0.2
    wrong = replace(small, content=network.content[:-1])
    with pytest.raises(Exception, match=r"(?i)protobuf|parse|invalid"):
        write_folder(branch, TASK, tmp_path / "other", CardNotes("made up"), lambda _: wrong)
    assert not (tmp_path / "other").exists()
