from __future__ import annotations

import math

import pytest
import torch

from xkd.attention import attention_scores, energy_lift, energy_pointing_game, lift_within, mask_iou, pointing_game
from xkd.losses import MaskEnergy


def quarter() -> torch.Tensor:
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4, :4] = 1.0
    return mask


def test_even_attention_is_chance() -> None:
    flat = torch.full((1, 1, 8, 8), 0.3)
    assert energy_pointing_game(flat, quarter()).item() == pytest.approx(0.25)
    assert energy_lift(flat, quarter()).item() == pytest.approx(1.0)
    assert pointing_game(flat, quarter()).item() == pytest.approx(0.25), "any of the tied pixels may be the strongest"
    assert mask_iou(flat, quarter()).isnan().all(), "a flat map has no scale"


def test_perfect_attention() -> None:
    scores = attention_scores(quarter() * 5, quarter())
    assert {name: value.item() for name, value in scores.items()} == pytest.approx(
        {"no_map": 0.0, "epg": 1.0, "epg_lift": 4.0, "pointing_game": 1.0, "iou": 1.0}
    )


def test_counted_by_hand() -> None:
    attention = torch.zeros(1, 1, 8, 8)
    attention[..., 0, 0], attention[..., 7, 7], attention[..., 0, 7] = 1.0, 3.0, -9.0
    assert energy_pointing_game(attention, quarter()).item() == pytest.approx(0.25), "negative attention does not count"
    assert pointing_game(attention, quarter()).item() == 0.0
    attention[..., 1, 1] = 2.0  # above half of the maximum: looked = {(1, 1), (7, 7)}
    assert mask_iou(attention, quarter()).item() == pytest.approx(1 / 17)
    assert mask_iou(attention, quarter(), threshold=0.25).item() == pytest.approx(2 / 17)


def test_tolerance_is_a_disc_in_pixels_of_the_mask() -> None:
    attention = torch.zeros(2, 1, 8, 8)
    attention[0, 0, 5, 0] = 1.0  # two pixels below the mask
    attention[1, 0, 5, 5] = 1.0  # 2.83 pixels off its corner
    mask = quarter().expand(2, 1, 8, 8)
    assert pointing_game(attention, mask, tolerance=1.0).tolist() == [0.0, 0.0]
    assert pointing_game(attention, mask, tolerance=2.0).tolist() == [1.0, 0.0]
    assert pointing_game(attention, mask, tolerance=2.83).tolist() == [1.0, 1.0]


def test_an_empty_map_scores_nothing_and_is_counted() -> None:
    attention = torch.stack([torch.ones(1, 4, 4), torch.zeros(1, 4, 4), -torch.ones(1, 4, 4)])
    attention[0, 0, 0, 0] = 2.0
    masks = quarter().expand(3, 1, 8, 8)
    scores = attention_scores(attention, masks)
    assert scores.pop("no_map").tolist() == [0, 1, 1]
    for score in (*scores.values(), lift_within(attention, masks, torch.ones_like(masks))):
        assert score[0] > 0
        assert score[1:].tolist() == [0, 0]


def test_rows_without_a_mask_are_nan() -> None:
    attention = torch.rand(1, 1, 4, 4)
    for score in attention_scores(attention[:1], torch.zeros(1, 1, 8, 8)).values():
        assert math.isnan(score.item())


def test_small_attention_is_enlarged_and_large_attention_averaged() -> None:
    corner = torch.zeros(1, 1, 4, 4)
    corner[..., 0, 0] = 1.0
    assert energy_pointing_game(corner, quarter()).item() == pytest.approx(1.0)
    assert energy_pointing_game(quarter(), corner).item() == pytest.approx(0.25)


def test_the_loss_is_one_minus_the_score_on_a_common_grid() -> None:
    attention, mask = torch.rand(5, 1, 8, 8), torch.rand(5, 1, 8, 8)
    torch.testing.assert_close(1 - energy_pointing_game(attention, mask).mean(), MaskEnergy()(attention, mask))


def test_half_precision_does_not_overflow() -> None:
    attention = torch.full((1, 1, 8, 8), 60000.0, dtype=torch.float16)
    assert energy_pointing_game(attention, quarter()).item() == pytest.approx(0.25)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"not finite in rows \[1\]"):
        energy_pointing_game(torch.tensor([1.0, torch.nan]).reshape(2, 1, 1, 1), torch.ones(2, 1, 1, 1))
    with pytest.raises(ValueError, match="same B"):
        mask_iou(torch.ones(2, 1, 4, 4), torch.ones(3, 1, 4, 4))


def test_finding_the_leaf_alone_is_no_lift_on_the_leaf() -> None:
    leaf = torch.zeros(1, 1, 8, 8)
    leaf[..., :4, :] = 1.0  # half of the image; its left half is the lesion
    assert energy_lift(leaf, quarter()).item() == pytest.approx(2.0)
    assert lift_within(leaf, quarter(), leaf).item() == pytest.approx(1.0)
    assert lift_within(quarter(), quarter(), leaf).item() == pytest.approx(2.0)
    background = 1 - leaf
    assert lift_within(leaf + background, quarter(), leaf).item() == pytest.approx(1.0), "attention off the leaf changes nothing"
    assert lift_within(leaf, quarter(), leaf - quarter()).item() == pytest.approx(1.0), "a lesion is part of its leaf"
    assert lift_within(background, quarter(), leaf).isnan().all()
