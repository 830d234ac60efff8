"""Rounding is ONNX's, element by element; its gradient goes straight through."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor

from xkd.changes.rounding import on_grid, range_grid, symmetric_scale


def by_onnxruntime(values: Tensor, scale: Tensor, zero: Tensor, axis: int, kind: int) -> Tensor:
    """`values` through QuantizeLinear and DequantizeLinear."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], axis=axis),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"], axis=axis),
    ]
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(values.shape)) for name in "xy"]
    whole = np.uint8 if kind == TensorProto.UINT8 else np.int8
    known = [onnx.numpy_helper.from_array(scale.numpy(), "scale"), onnx.numpy_helper.from_array(zero.numpy().astype(whole), "zero")]
    graph = helper.make_graph(nodes, "g", shapes[:1], shapes[1:], known)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session: Any = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"x": values.numpy()})[0])


@pytest.mark.parametrize("scale", [0.25, 0.0123])  # of a quarter many values lie in the middle of two steps
def test_activations_are_rounded_as_onnxruntime_does(scale: float) -> None:
    values = torch.cat([3 * torch.randn(5000, generator=torch.Generator().manual_seed(0)), torch.arange(-400, 400) * scale / 2])
    step, zero = torch.tensor(scale), torch.tensor(101.0)
    assert torch.equal(on_grid(values, step, -zero, 255 - zero), by_onnxruntime(values, step, zero, 1, TensorProto.UINT8))


def test_weights_are_rounded_as_onnxruntime_does() -> None:
    weight = torch.randn((6, 5, 3, 3), generator=torch.Generator().manual_seed(0)) * torch.arange(6.0).reshape(-1, 1, 1, 1)
    scale, most = symmetric_scale(weight, 8), torch.tensor(127.0)
    assert torch.equal(on_grid(weight, scale, -most, most), by_onnxruntime(weight, scale.flatten(), torch.zeros(6), 0, TensorProto.INT8))


def test_a_range_has_zero_on_its_grid_and_ends_near_its_own() -> None:
    for low, high, bits in ((-1.0, 2.5, 8), (0.0, 6.0, 3), (-4.0, 0.0, 4), (0.0, 0.0, 8)):
        scale, zero = range_grid(torch.tensor(low), torch.tensor(high), bits)
        assert float(zero) == round(float(zero))
        assert 0 <= zero <= 2**bits - 1
        ends = torch.stack([-zero, 2**bits - 1 - zero]) * scale
        if high > low:
            assert torch.allclose(ends, torch.tensor([low, high]), atol=float(scale) / 2 + 1e-6)


def test_the_gradient_is_one_on_the_grid_and_none_beyond_its_ends() -> None:
    values = torch.tensor([-9.0, -0.3, 0.5, 2.4, 3.4, 9.0], dtype=torch.float64, requires_grad=True)
    rounded = on_grid(values, torch.tensor(1.0), torch.tensor(-1.0), torch.tensor(3.0))
    assert rounded.tolist() == [-1.0, -0.0, 0.0, 2.0, 3.0, 3.0]
    rounded.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_largest_weight_of_a_channel_learns_too(bits: int) -> None:
    weight = torch.randn((40, 30), generator=torch.Generator().manual_seed(0), requires_grad=True)
    most = torch.tensor(2.0 ** (bits - 1) - 1)
    rounded = on_grid(weight, symmetric_scale(weight, bits), -most, most)
    rounded.sum().backward()
    assert weight.grad is not None
    assert (weight.grad == 1).all()
    assert max(len(row.unique()) for row in rounded) <= 2 * most + 1
