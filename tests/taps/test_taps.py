"""The hooks of the taps: nothing is left behind, and compiled readings equal eager ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from networks import CONVNEXT, SIZE, SWIN, Users, network, resnet, vit
from torch import nn

from xkd.taps import Tap, Taps


class TestHooks:
    def test_a_forward_pass_that_broke_or_was_not_read_leaves_nothing_behind(self) -> None:
        model = Users()
        taps = Taps(model, {"it": Tap("maps")})
        taps(torch.randn(1, 3, *SIZE))
        taps.forget()
        taps(torch.randn(2, 3, *SIZE))
        assert taps.read((2, 3, *SIZE))["it"].shape[0] == 2
        with pytest.raises(ValueError, match="fired 0 times"):
            taps.read((2, 3, *SIZE))

    def test_close_removes_every_hook(self) -> None:
        model = vit()
        before = [len(module._forward_hooks) for module in model.modules()]
        taps = Taps(model, {"maps": Tap("blocks.0"), "look": Tap("blocks.1", "attention")})
        assert [len(module._forward_hooks) for module in model.modules()] != before
        taps.close()
        assert [len(module._forward_hooks) for module in model.modules()] == before

    def test_inference_mode_can_be_read(self) -> None:
        model = Users()
        taps = Taps(model, {"it": Tap("maps")})
        with torch.inference_mode():
            taps(torch.randn(1, 3, *SIZE))
            assert taps.read((1, 3, *SIZE))["it"].shape == (1, 5, 16, 24)

    @pytest.mark.parametrize(
        ("make", "taps"),
        [
            (vit, {"maps": Tap("blocks.0"), "stage": Tap("stage:0"), "look": Tap("blocks.1", "attention")}),
            pytest.param(
                lambda: network("swin_tiny_patch4_window7_224", img_size=SIZE, **SWIN),
                {"maps": Tap("stage:1"), "look": Tap("layers.0.blocks.0", "attention")},
                marks=pytest.mark.slow,
            ),
            (resnet, {"maps": Tap("stage:2"), "energy": Tap("layer3", "energy"), "last": Tap("layer4")}),
            (lambda: vit("vit_medium_patch16_reg4_gap_256"), {"maps": Tap("blocks.0"), "look": Tap("blocks.1", "attention")}),
            (lambda: vit("deit_tiny_distilled_patch16_224"), {"maps": Tap("blocks.1"), "look": Tap("blocks.0", "attention")}),
            (lambda: vit(img_size=32, dynamic_img_size=True), {"maps": Tap("blocks.1"), "look": Tap("blocks.0", "attention")}),
            (lambda: network("convnext_atto", **CONVNEXT), {"maps": Tap("stages.1"), "stage": Tap("stage:-1")}),
        ],
        ids=["vit", "swin", "resnet", "registers", "distilled", "dynamic size", "channels last inside"],
    )
    def test_compiled_taps_equal_eager_ones(self, make: Callable[[], nn.Module], taps: dict[str, Tap]) -> None:
        model, images = make().double(), torch.randn(2, 3, *SIZE, dtype=torch.float64)
        taps = Taps(model, taps)
        with torch.no_grad():
            taps(images)
            eager = taps.read(images.shape)
            torch.compile(taps.__call__, backend="aot_eager")(images)
            compiled = taps.read(images.shape)
        for name, reading in eager.items():
            torch.testing.assert_close(compiled[name], reading)
