from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from agreement import assert_agree
from core_models import make_batch, state
from offline_distiller import offline
from torch import Tensor, nn
from torch.nn import functional as F
from torchdistill.losses.mid_level import HierarchicalContextLoss
from torchdistill.models.wrapper import AttentionBasedFusion

from xkd.graph.term import Term
from xkd.losses import MGD, ReviewKD

Shapes = Sequence[tuple[int, ...]]


def maps(shapes: Shapes, rows: int = 3) -> tuple[Tensor, ...]:
    return tuple(torch.randn(rows, *shape, dtype=torch.float64) for shape in shapes)


def bound(student: Shapes, teacher: Shapes, width: int = 512) -> ReviewKD:
    loss = ReviewKD(width)
    loss.bind(tuple(student), tuple(teacher))
    return loss.double()


def their_fusions(loss: ReviewKD) -> list[AttentionBasedFusion]:
    """With our weights, deepest first."""
    theirs = []
    for fusion in loss.fusions:
        one = AttentionBasedFusion(
            fusion.enter.in_channels, fusion.enter.out_channels, fusion.leave.out_channels, fusion.attention is not None
        )
        one.conv1, one.conv2 = nn.Sequential(fusion.enter, fusion.enter_norm), nn.Sequential(fusion.leave, fusion.leave_norm)
        if fusion.attention is not None:
            one.attention_conv = nn.Sequential(fusion.attention, nn.Sigmoid())
        theirs.append(one.double())
    return theirs


def torchdistill(loss: ReviewKD, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...]) -> Tensor:
    """Square grids, the student's equal to the teacher's."""
    hierarchical = HierarchicalContextLoss("it", "output", "it", "output")
    deeper, total = None, torch.zeros((), dtype=torch.float64)
    for fusion, given, wanted in zip(their_fusions(loss), student[::-1], teacher[::-1], strict=True):
        predicted, deeper = fusion(given, deeper, given.shape[-1])
        total = total + hierarchical({"it": {"output": (predicted, deeper)}}, {"it": {"output": wanted}})
    return total


STUDENT = ((3, 8, 8), (4, 6, 6), (5, 4, 4), (6, 1, 1))
TEACHER = ((7, 8, 8), (5, 6, 6), (4, 4, 4), (8, 1, 1))


def test_value_and_gradients_equal_torchdistill() -> None:
    student, teacher = maps(STUDENT), maps(TEACHER)
    leaves = [each.requires_grad_() for each in student]
    loss = bound(STUDENT, TEACHER)
    assert_agree(loss(student, teacher), torchdistill(loss, student, teacher), *leaves, *loss.parameters())


def literal_hcl(student: Tensor, teacher: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
    """The whole map and the sizes in turn, each of half the weight of the one before."""
    weights = [0.5**place for place in range(len(sizes) + 1)]
    means = [F.mse_loss(student, teacher)]
    for size in sizes:
        means.append(F.mse_loss(F.adaptive_avg_pool2d(student, size), F.adaptive_avg_pool2d(teacher, size)))
    return torch.stack([weight * mean for weight, mean in zip(weights, means, strict=True)]).sum() / sum(weights)


@pytest.mark.parametrize(
    ("grid", "sizes"),
    [
        ((5, 9), [(4, 4), (2, 2), (1, 1)]),
        ((4, 7), [(4, 4), (2, 2), (1, 1)]),
        ((2, 3), [(2, 2), (1, 1)]),
        ((4, 4), [(2, 2), (1, 1)]),
        ((1, 3), [(1, 2), (1, 1)]),
        ((1, 1), []),
    ],
)
def test_levels_are_pooled_on_any_grid_of_the_teacher_and_others_left_out(grid: tuple[int, int], sizes: list[tuple[int, int]]) -> None:
    """One stage has nothing to fuse; the student's grid is another."""
    (student,), (teacher,) = maps([(3, 6, 6)]), maps([(4, *grid)])
    loss = ReviewKD()
    loss.bind((3, 6, 6), (4, *grid))
    loss.double().eval()
    fusion = loss.fusions[0]
    from_student = fusion.enter_norm(fusion.enter(student))
    shrunk = F.adaptive_avg_pool2d(from_student, (min(6, grid[0]), min(6, grid[1])))
    predicted = fusion.leave_norm(fusion.leave(F.interpolate(shrunk, grid, mode="bilinear", align_corners=False)))
    assert loss(student, teacher).item() == pytest.approx(literal_hcl(predicted, teacher, sizes).item(), rel=1e-9)


def test_pooled_vectors_are_maps_of_one_position() -> None:
    shapes = ((3, 4, 4), (6,)), ((5, 4, 4), (8,))
    student, teacher = maps(shapes[0]), maps(shapes[1])
    loss = bound(*shapes)
    as_maps = [tuple(each if each.ndim == 4 else each[:, :, None, None] for each in side) for side in (student, teacher)]
    assert loss(student, teacher).item() == pytest.approx(loss(*as_maps).item(), rel=1e-12)


def test_a_single_row_of_a_pooled_stage_has_no_statistics_and_leaves_none() -> None:
    shapes = ((3, 4, 4), (6,)), ((5, 4, 4), (8,))
    loss = bound(*shapes)
    before = state(loss)
    value = loss(maps(shapes[0], rows=1), maps(shapes[1], rows=1))
    value.backward()
    assert torch.isfinite(value)
    deepest = [key for key in before if key.startswith("fusions.0.") and "running" in key]
    assert deepest
    assert all(torch.equal(loss.state_dict()[key], before[key]) for key in deepest)
    assert all(parameter.grad is not None and torch.isfinite(parameter.grad).all() for parameter in loss.parameters())


@pytest.mark.parametrize(("width", "fused_in"), [(512, 6), (2, 2)])
def test_it_is_as_wide_as_the_deepest_stage_at_most(width: int, fused_in: int) -> None:
    assert [fusion.enter.out_channels for fusion in bound(STUDENT, TEACHER, width).fusions] == [fused_in] * 4


def test_in_a_distiller_it_reads_several_stages_and_all_its_layers_learn() -> None:
    review = Term(ReviewKD(), ("rgb.mid", "rgb.deep"), ("thermal.mid", "thermal.deep"))
    distiller = offline(review=review)
    before = state(distiller.branches["rgb"])
    distiller.bind()
    loss = distiller.terms["review"].loss
    assert [fusion.leave.out_channels for fusion in loss.fusions] == [20, 10]
    assert [fusion.size for fusion in loss.fusions] == [(4, 6), (8, 12)]
    assert all(not value.any() for key, value in loss.state_dict().items() if "running_mean" in key), "the dry run leaves no trace"
    optimizer = torch.optim.SGD([parameter for parameter in distiller.parameters() if parameter.requires_grad], 0.1)
    layers = state(loss)
    step = distiller(make_batch(6))
    step.loss.backward()
    optimizer.step()
    assert step.parts["review"] > 0
    assert [key for key, value in loss.state_dict().items() if torch.equal(value, layers[key])] == []
    now = distiller.branches["rgb"].state_dict()
    assert not torch.equal(now["model.deep.0.weight"], before["model.deep.0.weight"])


def test_in_a_distiller_one_stage_may_stand_alone() -> None:
    distiller = offline(review=Term(ReviewKD(), "rgb.deep", "thermal.deep"))
    distiller.bind()
    assert distiller(make_batch(6)).parts["review"] > 0


def test_without_a_row_its_layers_stay_in_the_graph() -> None:
    distiller = offline(review=Term(ReviewKD(), ("rgb.mid", "rgb.deep"), ("thermal.mid", "thermal.deep")))
    distiller.bind()
    batch = make_batch(4)
    batch.present["thermal"][:] = False
    distiller(batch).loss.backward()
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in distiller.terms["review"].parameters())


def test_other_learned_losses_still_serve_one_reading_a_side() -> None:
    with pytest.raises(ValueError, match="a loss with layers, serves a term with one reading on each side"):
        offline(mgd=Term(MGD(), ("rgb.mid", "rgb.deep"), ("thermal.mid", "thermal.deep"))).bind()


def test_what_it_refuses() -> None:
    with pytest.raises(ValueError, match=r"ReviewKD has no layers yet: call bind\(\)"):
        ReviewKD()(torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4))
    with pytest.raises(ValueError, match="as many maps or vectors of the student as of the teacher"):
        ReviewKD().bind(((3, 4, 4), (5, 2, 2)), ((3, 4, 4),))
    with pytest.raises(ValueError, match="as many maps or vectors of the student as of the teacher"):
        ReviewKD().bind((3, 4), (3, 4))
    with pytest.raises(ValueError, match="ReviewKD was bound to 4 readings a side, got 3 and 4"):
        bound(STUDENT, TEACHER)(maps(STUDENT[1:]), maps(TEACHER))
    with pytest.raises(ValueError, match="width, the most channels that stages are fused in, must be at least 1, got 0"):
        ReviewKD(width=0)
