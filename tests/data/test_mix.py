"""Mixing: the same partner, share and rectangle in every view, mask and box; targets to match; a function of the batch alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from xkd.data.mix import Mix
from xkd.data.sample import Sample


def _sample(index: int, label: int = 0, **changes: Any) -> Sample:
    """Each view, the mask and the box say which row they are of."""
    level = 10.0 * (index + 1)
    sample = Sample(
        views={
            "rgb": torch.full((3, 32, 48), int(level), dtype=torch.uint8),
            "thermal": torch.full((1, 16, 24), 290.0 + level),
        },
        present={"rgb": True, "thermal": True},
        target=torch.tensor(label),
        labelled=True,
        mask=torch.full((1, 32, 48), 0.01 * level),
        masked=True,
        index=index,
        draw=3,
        boxes=torch.tensor([[0.1, 0.1, 0.3, 0.3], [0.6, 0.6, 0.9, 0.9]]) + 0.001 * index,
        meta={"id": str(index)},
    )
    return replace(sample, **changes)


def _batch(count: int = 6) -> list[Sample]:
    return [_sample(index, index % 3) for index in range(count)]


@pytest.mark.parametrize("cutmix_share", [0.0, 1.0])
def test_every_view_and_the_target_are_mixed_alike(cutmix_share: float) -> None:
    before = _batch()
    shares = []
    for row, sample in enumerate(Mix(3, cutmix_share=cutmix_share, seed=2)(before)):
        one, other = before[row], before[(row + 1) % len(before)]
        # how much of the row itself is left, by what each part shows on average
        mixed_shares = [
            ((part.float().mean() - theirs.float().mean()) / (mine.float().mean() - theirs.float().mean())).item()
            for part, mine, theirs in [
                (sample.views["thermal"], one.views["thermal"], other.views["thermal"]),
                (sample.mask, one.mask, other.mask),
            ]
        ]
        rgb, mine, theirs = (part.views["rgb"].float().mean() for part in (sample, one, other))
        assert mixed_shares[0] == pytest.approx(mixed_shares[1], abs=1e-3)
        tolerance = 0.051 if cutmix_share == 0 else 1e-3  # 8 bits round to half a count of ten
        assert ((rgb - theirs) / (mine - theirs)).item() == pytest.approx(mixed_shares[0], abs=tolerance)
        assert sample.target[one.target].item() == pytest.approx(mixed_shares[0], abs=1e-3)
        assert sample.target[other.target].item() == pytest.approx(1 - mixed_shares[0], abs=1e-3)
        assert sample.views["rgb"].dtype == torch.uint8
        shares.append(mixed_shares[0])
    assert max(shares) - min(shares) > 0.2, "each row has a draw of its own"


def test_cutmix_pastes_one_rectangle_into_all_views_and_keeps_the_boxes_that_can_be_seen() -> None:
    before = _batch()
    for row, sample in enumerate(Mix(3, cutmix_share=1.0, seed=5)(before)):
        other = before[(row + 1) % len(before)]
        coarse = (sample.views["thermal"] == other.views["thermal"])[0]
        for part, theirs in ((sample.views["rgb"], other.views["rgb"]), (sample.mask, other.mask)):
            fine = (part == theirs).all(0)
            assert torch.equal(fine, coarse.repeat_interleave(2, 0).repeat_interleave(2, 1))
        for box in sample.boxes:
            x, y = ((box[:2] + box[2:]) / 2).tolist()
            pasted = bool(coarse[int(y * 16), int(x * 24)])
            source = round(((box[0].item() * 10) % 1) / 0.01)
            assert source == (other.index if pasted else row)


def test_the_same_batch_is_mixed_alike_and_another_draw_otherwise() -> None:
    mix = Mix(3, seed=1)
    first, again = mix(_batch()), mix(_batch())
    assert all(torch.equal(one.views["rgb"], two.views["rgb"]) for one, two in zip(first, again, strict=True))
    later = mix([replace(sample, draw=4) for sample in _batch()])
    assert any(not torch.equal(one.views["thermal"], two.views["thermal"]) for one, two in zip(first, later, strict=True))


def test_a_row_keeps_its_own_beside_one_of_another_kind() -> None:
    rows = [
        _sample(0),
        _sample(1, labelled=False, target=torch.tensor(-1)),
        _sample(2, labelled=False, target=torch.tensor(-1)),
        _sample(3, masked=False),
        _sample(4, present={"rgb": True, "thermal": False}),
    ]
    mixed = Mix(3, seed=1)(rows)
    changed = [not torch.equal(before.views["rgb"], after.views["rgb"]) for before, after in zip(rows, mixed, strict=True)]
    assert changed == [False, True, False, False, False]
    assert mixed[1].target.tolist() == [0, 0, 0]
    assert mixed[0].target.tolist() == [1, 0, 0], "soft all the same"


def test_evaluation_and_probability_zero_leave_pixels_alone() -> None:
    for mix, draw in ((Mix(3), -1), (Mix(3, probability=0.0), 3)):
        rows = [replace(sample, draw=draw) for sample in _batch()]
        after = mix(rows)
        assert all(torch.equal(one.views["rgb"], two.views["rgb"]) for one, two in zip(rows, after, strict=True))
        assert after[1].target.tolist() == [0, 1, 0]


def test_impossible_settings_and_classes_are_named() -> None:
    with pytest.raises(ValueError, match=r"probability and cutmix_share are 0..1"):
        Mix(3, probability=1.5)
    with pytest.raises(ValueError, match="row '2' has class 2, Mix has num_classes=2"):
        Mix(2)(_batch())
