"""A student that learned with few bits: what its file of floats holds, and how it becomes one of int8."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from edge_folders import CLASSES
from torch import Tensor, nn

from xkd.batch import View
from xkd.changes import Folded, Rounded
from xkd.deploy.card import CardNotes
from xkd.deploy.export import network_of
from xkd.deploy.int8 import rounded, session_of
from xkd.engine.int8 import with_exact_inputs
from xkd.graph.branch import Branch
from xkd.graph.example import example_batch
from xkd.graph.weights import Random
from xkd.modalities import RGB
from xkd.tasks import Classification

VIEW = View("rgb", RGB(), (16, 16))
TASK = Classification(CLASSES)


def images(rows: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (rows, 3, 16, 16), dtype=np.uint8))


def learned(bits: int) -> Branch:
    """It has seen its ranges."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)]
    branch = Branch(nn.Sequential(*layers), VIEW, Random(), changes=[Folded(), Rounded(weights=bits)])
    batch = example_batch([VIEW], TASK, 8, torch.device("cpu"))
    batch.views["rgb"] = images(8)
    branch.train()(batch, TASK)
    return branch.eval()


def weights(content: bytes) -> list[np.ndarray]:
    """Of convolutions and of the linear layer, as they are multiplied with."""
    graph = onnx.load_model_from_string(content).graph
    values = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    found = []
    for name in (node.input[1] for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")):
        if name in values:
            found.append(values[name])
        else:
            whole, scale = (values[of] for of in makers[name].input[:2])
            axis = next((one.i for one in makers[name].attribute if one.name == "axis"), 1)
            found.append(whole * scale.reshape([-1 if at == axis else 1 for at in range(whole.ndim)]))
    return found


def test_a_file_of_floats_answers_as_the_rounded_network() -> None:
    branch = learned(bits=4)
    network = network_of(branch, TASK, CardNotes("made up"))
    assert max(len(np.unique(channel)) for channel in weights(network.content)[0]) <= 15
    assert [node.op_type for node in onnx.load_model_from_string(network.content).graph.node].count("Round") == 3
    assert 0 < network.tolerance < 0.1
    assert "it learned with weights of 4 bits, and 8 bits for what goes into a layer" in network.card.caveats[-1]
    batch = example_batch([VIEW], TASK, 8, torch.device("cpu"))
    batch.views["rgb"] = images(8)
    given = session_of(network.content).run(["logits"], {"images": images(8).numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(given), branch(batch, TASK)["output"].detach(), rtol=0, atol=0.05)
    with pytest.raises(ValueError, match=r"int8 holds 8 bits, and the student learned with weights of 4 and activations of 8: leave out"):
        with_exact_inputs(branch)


def test_int8_has_the_weights_that_it_learned_with() -> None:
    branch = with_exact_inputs(learned(bits=8))
    network = network_of(branch, TASK, CardNotes("made up"))
    assert network.tolerance == 0
    small = rounded(network, [images(16).numpy()], "processors")
    kinds = [node.op_type for node in onnx.load_model_from_string(small.content).graph.node]
    assert "Round" not in kinds
    assert kinds.count("DequantizeLinear") > 3
    for before, after in zip(weights(network.content), weights(small.content), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-7)


def test_a_network_that_is_not_rounded_stays_itself() -> None:
    branch = Branch(nn.Sequential(nn.Flatten(), nn.Linear(768, 3)), VIEW, Random())
    assert with_exact_inputs(branch) is branch
