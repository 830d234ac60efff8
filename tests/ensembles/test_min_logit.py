from __future__ import annotations

import torch
from torch import Tensor

from xkd.ensembles import Mean, MinLogit


def test_per_class_the_least_distance_to_the_label(logits: tuple[Tensor, ...], there: Tensor, target: Tensor) -> None:
    output = MinLogit()(logits, there, target)
    for row in range(7):
        label = int(target[row])
        for k in range(4):
            expected = min(float(z[row, k] - z[row, label]) for z, here in zip(logits, there[:, row], strict=True) if here)
            assert float(output[row, k]) == expected
        assert output[row, label] == 0
    torch.testing.assert_close(output[7], Mean()(logits, there)[7])


def test_no_network_is_more_critical_of_a_row(logits: tuple[Tensor, ...], target: Tensor) -> None:
    """Its cross-entropy with the label is the least of all: no single one is a better teacher of the label."""
    labelled = target[:7]
    held = tuple(one[:7] for one in logits)
    output = MinLogit()(held, torch.ones(3, 7, dtype=torch.bool), labelled)
    losses = torch.stack([torch.nn.functional.cross_entropy(one, labelled, reduction="none") for one in held])
    assert (torch.nn.functional.cross_entropy(output, labelled, reduction="none") <= losses.amin(0)).all()
