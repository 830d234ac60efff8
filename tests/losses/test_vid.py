from __future__ import annotations

import pytest
import torch
from agreement import assert_agree
from core_models import make_batch, state, unchecked
from offline_distiller import offline
from torch import Tensor
from torch.nn import functional as F
from torchdistill.losses.mid_level import VIDLoss
from torchdistill.models.wrapper import Regressor4VID

from xkd.graph.term import Term
from xkd.losses import VID


def bound(student: Tensor, teacher: Tensor, variance: float = 5.0) -> VID:
    loss = VID(variance)
    loss.bind(tuple(student.shape[1:]), tuple(teacher.shape[1:]))
    return loss.double()


def torchdistill(loss: VID, student: Tensor, teacher: Tensor) -> Tensor:
    """With our weights and scales, which it names otherwise."""
    regressor = Regressor4VID(student.shape[1], teacher.shape[1], teacher.shape[1], eps=1e-5, init_pred_var=5.0).double()
    regressor.regressor = loss.regressor
    regressor.soft_plus_param = loss.scales
    pair = {"student": {"io": "output", "path": "it"}, "teacher": {"io": "output", "path": "it"}}
    value: Tensor = VIDLoss({"pair": pair})({"it": {"output": regressor(student)}}, {"it": {"output": teacher}})
    return value


def test_value_and_gradients_equal_torchdistill() -> None:
    student, teacher = torch.randn(4, 5, 3, 2, dtype=torch.float64, requires_grad=True), torch.randn(4, 7, 3, 2, dtype=torch.float64)
    loss = bound(student, teacher)
    with torch.no_grad():
        loss.scales.add_(torch.randn(7))
    assert_agree(loss(student, teacher), torchdistill(loss, student, teacher), student, *loss.parameters())


def test_layers_are_the_authors_and_the_variance_starts_where_theirs_does() -> None:
    student, teacher = torch.randn(2, 3, 4, 4), torch.randn(2, 5, 4, 4)
    theirs, ours = Regressor4VID(3, 5, 5, eps=1e-5, init_pred_var=5.0), bound(student, teacher)
    torch.testing.assert_close(ours.scales.float(), theirs.soft_plus_param.float())
    assert str(ours.regressor).replace("ReLU()", "ReLU(inplace=True)") == str(theirs.regressor)
    smaller = F.softplus(bound(student, teacher, 0.3).scales) + 1e-5
    assert smaller.tolist() == pytest.approx([0.3] * 5, rel=1e-6)
    assert bound(student, teacher, 1e4).scales.tolist() == pytest.approx([1e4] * 5, rel=1e-6)


def test_other_grids_are_pooled_and_vectors_are_maps_of_one_position() -> None:
    student, teacher = torch.randn(2, 3, 4, 2, dtype=torch.float64), torch.randn(2, 5, 2, 4, dtype=torch.float64)
    loss = bound(student, teacher)
    down = student.reshape(2, 3, 2, 2, 2).mean(3), teacher.reshape(2, 5, 2, 2, 2).mean(4)
    assert loss(student, teacher).item() == pytest.approx(loss(*down).item(), rel=1e-12)
    vectors = student[:, :, 0, 0], teacher[:, :, 0, 0]
    of_vectors = bound(*vectors)
    assert of_vectors(*vectors).item() == pytest.approx(of_vectors(student[:, :, :1, :1], teacher[:, :, :1, :1]).item(), rel=1e-12)


def test_a_channel_that_cannot_be_predicted_becomes_uncertain() -> None:
    torch.manual_seed(0)
    student = torch.randn(64, 4)
    teacher = torch.stack([student[:, 0], 3 * torch.randn(64)], dim=1)
    loss = VID()
    loss.bind((4,), (2,))
    optimizer = torch.optim.Adam(loss.parameters(), 0.05)
    for _ in range(300):
        optimizer.zero_grad()
        value = loss(student, teacher)
        value.backward()
        optimizer.step()
    known, unknown = (F.softplus(loss.scales) + 1e-5).tolist()
    assert known < 0.5 < unknown


def test_in_a_distiller_its_scales_reach_the_optimiser() -> None:
    distiller = offline(vid=Term(VID(), "rgb.deep", "thermal.deep"))
    distiller.bind()
    loss = distiller.terms["vid"].loss
    assert loss.scales.shape == (20,)
    before = state(loss)
    optimizer = torch.optim.SGD([parameter for parameter in distiller.parameters() if parameter.requires_grad], 0.1)
    distiller(make_batch(6)).loss.backward()
    optimizer.step()
    assert [key for key, value in loss.state_dict().items() if torch.equal(value, before[key])] == []
    assert distiller.branches["rgb"].model.deep[0].weight.grad.abs().max() > 0


def test_what_it_cannot_serve() -> None:
    with pytest.raises(ValueError, match=r"VID has no layers yet: call bind\(\)"):
        VID()(torch.rand(2, 3), torch.rand(2, 3))
    for source, target in (((3, 4, 4), (3,)), ((3,), (3, 4, 4)), ((3, 4), (3, 4))):
        with pytest.raises(ValueError, match="VID predicts maps from maps or vectors from vectors, got"):
            VID().bind(source, target)
    with unchecked(), pytest.raises(ValueError, match=r"VID compares equal numbers of rows, got \(4, 3\) and \(1, 3\)"):
        bound(torch.rand(4, 3), torch.rand(1, 3))(torch.rand(4, 3), torch.rand(1, 3))
    with pytest.raises(ValueError, match="variance, where sigma"):
        VID(variance=0.0)
