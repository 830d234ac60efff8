from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from core_models import CLASSES, CNN, RGB_VIEW, make_batch
from torch import Tensor, nn

from xkd.graph.branch import Branch
from xkd.graph.class_map import ClassMap
from xkd.graph.weights import Random
from xkd.networks import Logits
from xkd.taps import Tap
from xkd.tasks import Classification, Segmentation

Named = namedtuple("Named", ["features", "logits"])


@dataclass
class Answer:
    """As Hugging Face's outputs: some of its parts are no tensors."""

    logits: Tensor
    loss: Tensor | None = None
    hidden_states: tuple[Tensor, ...] = ()


class Wrapped(nn.Module):
    """A network whose output is made into something else."""

    def __init__(self, shape: Any) -> None:
        super().__init__()
        self.inner, self.shape = CNN(), shape

    def forward(self, images: Tensor) -> Any:
        return self.shape(self.inner(images))


IMAGES = torch.rand(2, 3, 16, 16)


@pytest.mark.parametrize(
    ("shape", "key"),
    [
        (lambda x: Answer(x, None, (x,)), "logits"),
        (lambda x: {"logits": x}, "logits"),
        (lambda x: {"out": x, "aux": x + 1}, "out"),
        (lambda x: (x + 1, x), 1),
        (lambda x: [x], 0),
        (lambda x: Named(x + 1, x), "logits"),
        (lambda x: Named(x + 1, x), 1),
        (lambda x: SimpleNamespace(logits=x), "logits"),
    ],
)
def test_the_tensor_of_an_output_is_taken_by_key_attribute_or_position(shape: Any, key: str | int) -> None:
    network = Wrapped(shape).eval()
    assert torch.equal(Logits(network, key)(IMAGES), network.inner(IMAGES))


@pytest.mark.parametrize(
    ("shape", "key", "message"),
    [
        (lambda x: {"out": x, "aux": x}, "logits", r"Wrapped gives dict without a tensor at key='logits'; .* \['out', 'aux'\]"),
        (lambda x: Answer(x, None, (x,)), "hidden_states", r"gives Answer without a tensor at key='hidden_states'; .* \['logits'\]"),
        (lambda x: (x,), 1, r"gives tuple without a tensor at key=1; it has tensors at \[0\]"),
        (lambda x: x, "logits", r"gives Tensor without a tensor at key='logits'; it has tensors at \[\]"),
    ],
)
def test_another_key_names_those_that_there_are(shape: Any, key: str | int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Logits(Wrapped(shape), key)(IMAGES)


@pytest.mark.parametrize("task", [Classification(CLASSES), Segmentation(CLASSES)])
@pytest.mark.parametrize("class_map", [None, ClassMap(CLASSES)])
def test_a_task_that_is_given_no_tensor_names_the_wrapper(task: Any, class_map: ClassMap | None) -> None:
    branch = Branch(Wrapped(Answer), RGB_VIEW, Random(), class_map=class_map)
    with pytest.raises(ValueError, match=r"the network gives Answer with the tensors \['logits'\]: .* xkd.Logits\(network, key='logits'\)"):
        branch.bind(task)


def test_an_output_without_a_tensor_says_so() -> None:
    with pytest.raises(ValueError, match=r"the network gives str with the tensors \[\]: make it give its logits, a tensor"):
        Classification(CLASSES).call(Wrapped(str), IMAGES, make_batch(2))


def test_a_wrapped_network_is_a_branch_like_any_other_and_tapped_inside() -> None:
    branch = Branch(Logits(Wrapped(Answer)), RGB_VIEW, Random(), taps={"deep": Tap("network.inner.deep")})
    readings = branch.bind(Classification(CLASSES))
    assert readings["output"].shape == (2, 3)
    assert readings["deep"].ndim == 4
