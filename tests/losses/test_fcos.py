from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models import detection
from torchvision.models.detection.fcos import FCOSHead

from xkd.losses import FCOS
from xkd.losses.boxes import IGNORED, assigned, example_boxes, example_output, parts_of

WIDTH, HEIGHT = 640, 512
LEVELS = (8, 16, 32)  # strides


def places() -> Tensor:
    """(N, 4) of a pyramid on an image that is not square."""
    cells = []
    for stride in LEVELS:
        across, down = WIDTH // stride, HEIGHT // stride
        cells += [[(x + 0.5) / across, (y + 0.5) / down, 1 / across, 1 / down] for y in range(down) for x in range(across)]
    return torch.tensor(cells, dtype=torch.float64)


def pixels(boxes: Tensor) -> Tensor:
    return boxes * torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT], dtype=torch.float64)


def theirs(distances: Tensor, centreness: Tensor, logits: Tensor, boxes: list[Tensor], labels: list[Tensor]) -> Tensor:
    """torchvision's whole loss, its assignment among it, in pixels."""
    place = places()
    centre, cell = place[:, :2], place[:, 2:]
    anchors = pixels(torch.cat([centre - cell / 2, centre + cell / 2], 1))
    count = [(WIDTH // stride) * (HEIGHT // stride) for stride in LEVELS]
    detector = detection.FCOS.__new__(detection.FCOS)
    torch.nn.Module.__init__(detector)
    detector.head, detector.center_sampling_radius = FCOSHead(32, 1, logits.shape[2]), 1.5
    head = {"cls_logits": logits, "bbox_regression": distances, "bbox_ctrness": centreness.unsqueeze(2)}
    targets = [{"boxes": pixels(of), "labels": label} for of, label in zip(boxes, labels, strict=True)]
    return torch.stack(list(detector.compute_loss(targets, head, [anchors] * len(boxes), count).values())).sum()


@pytest.mark.parametrize("counts", [(5, 0, 9), (1, 1, 1), (0, 0, 0)])
def test_it_is_torchvisions_loss_to_the_last_digits(counts: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(sum(counts))

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    place = places().expand(len(counts), -1, -1)
    # no distance of 0, where box and place would have the same edge
    distances = (6 * draw(*place.shape) + 0.1).requires_grad_()
    centreness, logits = (draw(*place.shape[:2]) - 0.5).requires_grad_(), (4 * draw(*place.shape[:2], 3) - 4).requires_grad_()
    corners = [0.7 * draw(count, 2) for count in counts]
    boxes = [torch.cat([corner, corner + 0.05 + 0.25 * draw(len(corner), 2)], 1) for corner in corners]
    labels = [torch.randint(3, (count,), generator=generator) for count in counts]
    target = torch.full((len(counts), max(counts), 5), -1.0, dtype=torch.float64)
    for row, (of, label) in enumerate(zip(boxes, labels, strict=True)):
        target[row, : len(of)] = torch.cat([of, label[:, None]], 1)
    reached = distances * place[..., 2:].repeat(1, 1, 2) * torch.tensor([-1, -1, 1, 1])
    output = torch.cat([place[..., :2].repeat(1, 1, 2) + reached, centreness.unsqueeze(2), logits, place], 2)
    ours, reference = FCOS()(output, target), theirs(distances, centreness, logits, boxes, labels)
    assert reference.item() > 0.01
    assert abs(ours.item() - reference.item()) < 1e-10
    leaves = [distances, centreness, logits]
    for one, other in zip(
        torch.autograd.grad(ours, leaves, retain_graph=True), torch.autograd.grad(reference, leaves, allow_unused=True), strict=True
    ):
        torch.testing.assert_close(one, torch.zeros_like(one) if other is None else other, rtol=1e-7, atol=1e-10)


def test_the_assignment_of_three_boxes_by_hand() -> None:
    """Two levels, 4 x 4 cells of a quarter and 2 x 2 of a half: an object that reaches more than 8 finer cells there is none."""
    dense = parts_of("FCOS", example_output(torch.Generator().manual_seed(0))[:1])
    target = torch.tensor(
        [[[0.05, 0.05, 0.45, 0.45, 0.0], [0.10, 0.10, 0.20, 0.20, 1.0], [0.60, 0.55, 0.90, 0.95, 2.0], [0.0, 0.0, 1.0, 1.0, -1.0]]],
        dtype=torch.float64,
    )
    which = assigned(dense, target)[0]
    fine = which[:16].reshape(4, 4)
    # cell centres are 0.125, 0.375, ...: the first is in both boxes of the corner, and the smaller one has it
    assert fine.tolist() == [[1, 0, -1, -1], [0, 0, -1, -1], [-1, -1, 2, 2], [-1, -1, 2, 2]]
    # what reaches less than four cells is left to the finest level
    assert which[16:].tolist() == [-1, -1, -1, -1]


def test_a_level_alone_takes_objects_of_every_size() -> None:
    dense = parts_of("FCOS", example_output(torch.Generator().manual_seed(0))[:1, 16:])
    for box in ([0.2, 0.2, 0.3, 0.3], [-9.0, -9.0, 9.5, 9.5]):
        assert (assigned(dense, torch.tensor([[[*box, 0.0]]], dtype=torch.float64)) == 0).any()


def test_the_class_of_the_object_is_what_is_learned() -> None:
    generator = torch.Generator().manual_seed(0)
    output, target = example_output(generator).requires_grad_(), example_boxes(generator)
    positive = assigned(parts_of("FCOS", output), target) >= 0
    (slope,) = torch.autograd.grad(FCOS()(output, target), output)
    labels = target[..., 4].gather(1, assigned(parts_of("FCOS", output), target).clamp(min=0)).long()
    own = F.one_hot(labels, 3).bool() & positive.unsqueeze(2)
    assert own.any()
    assert (slope[..., 5:-4][own] < 0).all(), "the score of the object's class rises"
    assert (slope[..., 5:-4][~own] > 0).all(), "all others fall"
    assert (slope[..., :4][~positive] == 0).all()
    assert (slope[..., 4][~positive] == 0).all()


def test_nothing_is_learned_within_a_region_to_ignore_but_of_objects_that_reach_into_it() -> None:
    generator = torch.Generator().manual_seed(0)
    output, target = example_output(generator).requires_grad_(), example_boxes(generator)
    target = torch.cat([target, torch.tensor([0.0, 0.0, 1.0, 1.0, IGNORED], dtype=torch.float64).expand(4, 1, 5)], 1)
    positive = assigned(parts_of("FCOS", output), target) >= 0
    (slope,) = torch.autograd.grad(FCOS()(output, target), output)
    assert (slope[..., 5:-4][positive] != 0).all()
    assert (slope[..., 5:-4][~positive] == 0).all()


def test_targets_without_any_box_and_without_room_for_one() -> None:
    output = example_output(torch.Generator().manual_seed(0))
    padded = torch.full((4, 2, 5), -1.0, dtype=torch.float64)
    none = FCOS()(output, padded[:, :0])
    assert torch.equal(none, FCOS()(output, padded))
    assert none.isfinite()


@pytest.mark.parametrize(
    ("shape", "target", "message"),
    [
        ((4, 20), (4, 1, 5), r"FCOS needs a DenseDetector's output \(batch, locations, 9 \+ classes\), got \(4, 20\)"),
        ((4, 20, 9), (4, 1, 5), r"9 \+ classes\), got \(4, 20, 9\)"),
        ((4, 20, 12), (4,), r"FCOS needs targets \(4, objects, 5\), .* got \(4,\): target='boxes'"),
    ],
)
def test_other_shapes_are_refused(shape: tuple[int, ...], target: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FCOS()(torch.zeros(shape), torch.zeros(target))


@pytest.mark.parametrize("arguments", [{"alpha": 1.5}, {"gamma": -1.0}])
def test_impossible_weights_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="alpha is a share"):
        FCOS(**arguments)
