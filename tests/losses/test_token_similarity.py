from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchdistill.losses.mid_level import KDLoss

from xkd.losses import TokenSimilarity


def relation(image: Tensor, tau: float) -> list[list[float]]:
    tokens = image.flatten(1).T.tolist()
    unit = [[v / math.sqrt(sum(u * u for u in token)) for v in token] for token in tokens]
    rows = [[math.exp(sum(a * b for a, b in zip(one, other, strict=True)) / tau) for other in unit] for one in unit]
    return [[v / sum(row) for v in row] for row in rows]


def literal(student: Tensor, teacher: Tensor, tau: float) -> float:
    """Mean over images and places of KL(relation of the teacher || relation of the student)."""
    total, places = 0.0, 0
    for s, t in zip(student, teacher, strict=True):
        for p_s, p_t in zip(relation(s, tau), relation(t, tau), strict=True):
            total += sum(b * math.log(b / a) for a, b in zip(p_s, p_t, strict=True))
            places += 1
    return total / places


@pytest.mark.parametrize("tau", [0.07, 1.0])
def test_the_formula_for_unlike_channels(tau: float) -> None:
    student, teacher = torch.randn(2, 3, 3, 4, dtype=torch.float64), torch.randn(2, 7, 3, 4, dtype=torch.float64)
    assert TokenSimilarity(tau)(student, teacher).item() == pytest.approx(literal(student, teacher, tau), rel=1e-10)


def test_it_is_torchdistills_kd_of_the_cosines() -> None:
    student, teacher = torch.randn(2, 3, 3, 4, dtype=torch.float64, requires_grad=True), torch.randn(2, 7, 3, 4, dtype=torch.float64)

    def cosines(maps: Tensor) -> Tensor:
        tokens = maps.flatten(2).transpose(1, 2)
        return torch.nn.functional.cosine_similarity(tokens[:, :, None], tokens[:, None], dim=3).flatten(0, 1)

    oracle = KDLoss("mid", "output", "mid", "output", temperature=0.07, alpha=0.0, reduction="batchmean")
    theirs = oracle({"mid": {"output": cosines(student)}}, {"mid": {"output": cosines(teacher)}})
    ours = TokenSimilarity()(student, teacher)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-9)
    (ours_gradient,), (theirs_gradient,) = torch.autograd.grad(ours, student), torch.autograd.grad(theirs, student)
    torch.testing.assert_close(ours_gradient, theirs_gradient, rtol=1e-9, atol=1e-9 * float(theirs_gradient.abs().max()))


def test_the_larger_map_is_averaged_down() -> None:
    student, teacher = torch.randn(2, 3, 4, 2, dtype=torch.float64), torch.randn(2, 5, 2, 4, dtype=torch.float64)
    down = student.reshape(2, 3, 2, 2, 2).mean(3), teacher.reshape(2, 5, 2, 2, 2).mean(4)
    assert TokenSimilarity(0.5)(student, teacher).item() == pytest.approx(literal(*down, 0.5), rel=1e-10)


def test_a_rotation_of_the_features_and_their_scale_do_not_matter() -> None:
    maps = torch.randn(2, 5, 3, 3, dtype=torch.float64)
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, dtype=torch.float64))
    assert TokenSimilarity()(7 * torch.einsum("dc,bchw->bdhw", rotation, maps), maps).item() == pytest.approx(0, abs=1e-12)


def test_a_place_without_activation_gives_no_nan() -> None:
    student = torch.zeros(1, 2, 2, 2, requires_grad=True)
    TokenSimilarity()(student, torch.rand(1, 2, 2, 2)).backward()
    assert torch.isfinite(student.grad).all()


def test_one_position_has_nothing_to_compare() -> None:
    with pytest.raises(ValueError, match=r"TokenSimilarity compares 2 positions or more.*\(2, 3, 1, 1\)"):
        TokenSimilarity()(torch.rand(2, 1, 4, 4), torch.rand(2, 3, 1, 1))
    with pytest.raises(ValueError, match="tau must be positive"):
        TokenSimilarity(0.0)
