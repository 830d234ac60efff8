"""What a forward pass and a term cost, against operations counted by hand."""

from __future__ import annotations

import pytest
import timm
from core_models import RGB_VIEW, TASK, rgb_branch
from offline_distiller import offline
from torch import Tensor, nn

from xkd.batch import View
from xkd.graph.branch import Branch
from xkd.graph.distiller import count_flops
from xkd.graph.term import Term
from xkd.graph.weights import Random
from xkd.losses import FitNet
from xkd.projectors import Conv1x1
from xkd.taps import Tap


class TestCost:
    def test_a_term_costs_what_its_projector_costs_for_one_image(self) -> None:
        distiller = offline(hint=Term(FitNet(), "rgb.deep", "thermal.deep", Conv1x1()))
        distiller.bind()
        assert distiller.term_flops == {"ce": 0, "kd": 0, "hint": 2 * 12 * 20 * 4 * 4}

    def test_a_loss_that_multiplies_matrices_is_counted_too(self) -> None:
        class Gram(nn.Module):
            def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
                return (student @ student.mT - teacher @ teacher.mT).mean()

        distiller = offline(gram=Term(Gram(), "rgb.output", "thermal.output"))
        distiller.bind()
        assert distiller.term_flops["gram"] == 2 * (2 * 2 * 3), "two products, two rows each for one image, three classes"

    def test_a_convolution_and_a_linear_layer_are_counted_as_by_hand(self) -> None:
        by_hand = 2 * (3 * 9 * 10 * 8 * 8 + 10 * 9 * 12 * 4 * 4 + 12 * 3)
        branch = rgb_branch()
        assert count_flops(branch, TASK) == by_hand
        assert branch.training

    def test_the_first_look_at_the_taps_is_not_counted(self) -> None:
        view = View("rgb", RGB_VIEW.modality, (32, 32))
        tapped, plain = (
            Branch(timm.create_model("test_resnet", num_classes=3), view, Random(), taps) for taps in ({"deep": Tap("stage:-1")}, {})
        )
        assert count_flops(tapped, TASK) == count_flops(plain, TASK)

    def test_a_transformer_is_counted_with_its_attention(self) -> None:
        dim, depth, tokens, hidden = 48, 2, 4 * 4 + 1, 4 * 48
        model = timm.create_model("vit_tiny_patch16_224", num_classes=3, img_size=32, patch_size=8, depth=depth, embed_dim=dim, num_heads=3)
        view = View("rgb", RGB_VIEW.modality, (32, 32))
        linear = tokens * (3 * dim * dim + dim * dim + 2 * dim * hidden)
        attention = 2 * tokens * tokens * dim
        by_hand = 2 * (16 * 3 * 64 * dim + depth * (linear + attention) + 3 * dim)
        assert count_flops(Branch(model, view, Random()), TASK) == pytest.approx(by_hand, rel=1e-6)
