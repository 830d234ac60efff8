from __future__ import annotations

import pytest
import torch
from core_models import RGB, make_batch, unchecked

from xkd.batch import View
from xkd.modalities import Thermal
from xkd.modality import Modality


@pytest.mark.parametrize("size", [(0, 4), (4, -1), (4,), (4, 4, 4)])
def test_a_view_has_a_positive_height_and_width(size: tuple[int, int]) -> None:
    with unchecked(), pytest.raises(ValueError, match=r"view 'rgb': size must be \(height, width\)"):
        View("rgb", RGB, size)


def test_a_view_that_no_memory_holds_is_refused() -> None:
    with pytest.raises(ValueError, match=r"view 'rgb': size \(height, width\) is \(100000, 100000\), more than 67 million pixels"):
        View("rgb", RGB, (100_000, 100_000))


def test_shipped_sensors_and_a_users_own_keep_the_protocol() -> None:
    assert isinstance(Thermal(), Modality)
    assert isinstance(RGB, Modality)


def test_moving_a_batch_moves_what_is_computed_with_and_keeps_row_flags_on_the_cpu() -> None:
    batch = make_batch(4, cached={"thermal.output": torch.zeros(4, 3)})
    moved = batch.to("meta")
    tensors = [*moved.views.values(), *moved.cached.values(), moved.target, moved.mask, moved.index, moved.draw]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert {flags.device.type for flags in [*moved.present.values(), moved.labelled, moved.masked]} == {"cpu"}
    assert batch.target.device.type == "cpu", "the batch itself must stay as it was"
    assert len(moved) == 4
