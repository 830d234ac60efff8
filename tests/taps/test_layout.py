"""Features, however a network lays them out: NCHW on the model's own grid, or an error that says what to state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from networks import CONVNEXT, HIERA, SIZE, SWIN, Users, network, read, resnet, vit
from torch import Tensor, nn

from xkd.taps import Tap, Taps
from xkd.taps.layout import token_grid


class TestFeatures:
    @pytest.mark.parametrize(
        ("make", "path", "shape"),
        [
            (resnet, "layer2", (8, 8, 12)),
            (resnet, "stage:0", (64, 32, 48)),
            (resnet, "stage:-1", (16, 2, 3)),
            (lambda: network("convnext_atto", **CONVNEXT), "stage:1", (8, 8, 12)),
            (lambda: network("mobilenetv3_small_050"), "stage:-1", (288, 2, 3)),
            (lambda: network("swin_tiny_patch4_window7_224", img_size=SIZE, **SWIN), "stage:0", (12, 16, 24)),
            (lambda: network("swin_tiny_patch4_window7_224", img_size=SIZE, **SWIN), "layers.2.blocks.0", (48, 4, 6)),
            (lambda: torchvision.models.resnet18().eval(), "layer3", (256, 4, 6)),
            (vit, "blocks.1", (48, 4, 6)),
            (vit, "stage:-1", (48, 4, 6)),
            (vit, "norm", (48, 4, 6)),
            (lambda: vit("deit_tiny_distilled_patch16_224"), "blocks.0", (48, 4, 6)),
            (lambda: vit("vit_base_patch14_reg4_dinov2"), "blocks.0", (48, 4, 6)),
            (lambda: vit("vit_medium_patch16_reg4_gap_256"), "blocks.0", (48, 4, 6)),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_they_are_nchw_on_the_models_own_grid(self, make: Callable[[], nn.Module], path: str, shape: tuple[int, ...]) -> None:
        assert read(make(), Tap(path)).shape == (2, *shape)

    @pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "vit_base_patch14_reg4_dinov2"])
    def test_patch_tokens_equal_timms_own_and_no_prefix_token_is_among_them(self, name: str) -> None:
        model, images = vit(name), torch.randn(2, 3, *SIZE)
        taps = Taps(model, {"it": Tap("blocks.0")})
        with torch.no_grad():
            taps(images)
            ours = taps.read(images.shape)["it"]
            theirs = model.forward_intermediates(images, indices=[0], intermediates_only=True)[0]
        assert torch.equal(ours, theirs)

    def test_the_grid_is_the_models_own_where_patches_are_not_square(self) -> None:
        # 4 x 12 tokens of an image of 2:3, where the aspect alone allows no grid
        assert read(vit(patch_size=(16, 8)), Tap("blocks.0")).shape == (2, 48, 4, 12)

    @pytest.mark.parametrize(
        ("tokens", "size", "grid"),
        [(49, (224, 224), (7, 7)), (77, (224, 336), (7, 11)), (24, (64, 96), (4, 6)), (15, (80, 48), (5, 3)), (54, (96, 144), (6, 9))],
    )
    def test_tokens_lie_on_the_one_grid_of_the_images_aspect(self, tokens: int, size: tuple[int, int], grid: tuple[int, int]) -> None:
        assert token_grid(nn.Identity(), tokens, size, "it") == (0, grid)

    @pytest.mark.parametrize(("tokens", "size"), [(50, (224, 224)), (56, (224, 224)), (13, (64, 96))])
    def test_other_numbers_of_tokens_are_refused(self, tokens: int, size: tuple[int, int]) -> None:
        with pytest.raises(ValueError, match=rf"{tokens} tokens of an image .* could be any grid of"):
            token_grid(nn.Identity(), tokens, size, "it")

    def test_channels_last_maps_equal_timms_own(self) -> None:
        model, images = network("swin_tiny_patch4_window7_224", img_size=SIZE, **SWIN), torch.randn(2, 3, *SIZE)
        taps = Taps(model, {"it": Tap("stage:1")})
        with torch.no_grad():
            taps(images)
            ours = taps.read(images.shape)["it"]
            theirs = model.forward_intermediates(images, indices=[1], intermediates_only=True)[0]
        assert torch.equal(ours, theirs)

    @pytest.mark.parametrize("last", [False, True])
    def test_a_users_network_needs_no_declaration_where_one_layout_is_plausible(self, last: bool) -> None:
        assert read(Users(last), Tap("maps")).shape == (2, 5, 16, 24)

    def test_an_ambiguous_map_is_an_error_that_names_the_candidates_and_a_declaration_settles_it(self) -> None:
        model = Users(channels=16)  # 16x16x16: anything may be the channels
        with pytest.raises(ValueError, match=r"tap 'it': shape \(2, 16, 16, 16\) may be \['NCHW', 'NHWC'\]; choose one"):
            read(model, Tap("maps"), (64, 64))
        declared = Taps(model, {"first": Tap("maps", layout="NCHW"), "last": Tap("maps", layout="NHWC")})
        declared(torch.randn(2, 3, 64, 64))
        readings = declared.read((2, 3, 64, 64))
        assert torch.equal(readings["last"], readings["first"].permute(0, 3, 1, 2))

    def test_vectors_pass_as_they_are(self) -> None:
        assert read(resnet(), Tap("global_pool")).shape == (2, 16)

    def test_activation_energy_is_the_mean_of_squares_over_channels(self) -> None:
        model = resnet()
        taps = Taps(model, {"maps": Tap("layer2"), "energy": Tap("layer2", "attention")})
        taps(torch.randn(2, 3, *SIZE))
        readings = taps.read((2, 3, *SIZE))
        assert readings["energy"].shape == (2, 1, 8, 12)
        assert torch.allclose(readings["energy"][:, 0], (readings["maps"] ** 2).sum(1) / 8)

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("xcit_nano_12_p16_224", {"depth": 2}),
            ("mixer_s32_224", {}),
            ("regnetx_002", {}),
            ("levit_128s", {"img_size": 224}),
        ],
    )
    def test_stages_of_any_timm_model_equal_its_own_intermediates(self, name: str, options: dict[str, Any]) -> None:
        """Tokens, talking blocks, stages that are no module of their own: timm knows them all."""
        model, images = network(name, **options), torch.randn(1, 3, 224, 224)
        taps = Taps(model, {"first": Tap("stage:0"), "last": Tap("stage:-1"), "energy": Tap("stage:-1", "energy")})
        with torch.no_grad():
            output = taps(images)
            readings = taps.read(images.shape)
            first, *_, last = model.forward_intermediates(images, intermediates_only=True)
            assert torch.equal(output, model(images))
        assert torch.equal(readings["first"], first)
        assert torch.equal(readings["last"], last)
        assert torch.allclose(readings["energy"], last.pow(2).mean(1, keepdim=True))

    def test_a_stage_with_a_stated_layout_is_read_from_its_module(self) -> None:
        model = network("swin_tiny_patch4_window7_224", img_size=SIZE, **SWIN)
        taps = Taps(model, {"stage": Tap("stage:1", layout="NHWC"), "module": Tap("layers.1", layout="NHWC")})
        taps(torch.randn(2, 3, *SIZE))
        readings = taps.read((2, 3, *SIZE))
        assert torch.equal(readings["stage"], readings["module"])

    def test_prefix_tokens_that_a_network_does_not_tell_of_can_be_stated(self) -> None:
        model = torchvision.models.VisionTransformer(64, 16, 1, 2, 32, 64, num_classes=3).eval()
        path = "encoder.layers.encoder_layer_0"
        assert read(model, Tap(path), (64, 64)).shape == (2, 32, 4, 4), "torchvision's class token is known"
        model = Renamed(model)
        path = f"inside.{path}"
        with pytest.raises(ValueError, match=r"tap 'it': 17 tokens of an image \(64, 64\) could be .* state how many with Tap\(prefix="):
            read(model, Tap(path), (64, 64))
        assert read(model, Tap(path, prefix=1), (64, 64)).shape == (2, 32, 4, 4)
        with pytest.raises(ValueError, match="prefix must be the number of prefix tokens, got -3"):
            Tap(path, prefix=-3)

    def test_early_stages_of_a_network_that_would_stop_there(self) -> None:
        model = network("hiera_tiny_224", **HIERA)
        assert read(model, Tap("stage:0")).shape == (2, 8, 16, 24)
        assert read(model, Tap("stage:-1"), rows=1).shape == (1, 64, 2, 3)

    def test_tokens_in_an_order_of_their_own_are_refused(self) -> None:
        model = network("hiera_tiny_224", **HIERA)
        with pytest.raises(ValueError, match=r"tap 'it' \(blocks.0\): Hiera keeps its tokens in an order of its own there: tap its stages"):
            read(model, Tap("blocks.0"))
        last = read(model, Tap("blocks.3"))
        assert last.shape == (2, 64, 2, 3), "by then they lie row by row"

    def test_a_model_speaks_of_its_stages_alone(self) -> None:
        model = network("convnext_atto", conv_mlp=False, **CONVNEXT)
        square = (32, 32)  # 8 x 8 maps of 8 channels
        with pytest.raises(ValueError, match=r"tap 'it': shape \(2, 8, 8, 8\) may be \['NCHW', 'NHWC'\]; choose one with Tap\(layout="):
            read(model, Tap("stages.0.blocks.0.norm"), square)
        torch.manual_seed(1)
        whole = read(model, Tap("stages.0.blocks.0.norm", layout="NHWC"), square)
        torch.manual_seed(1)
        assert torch.equal(whole, read(model, Tap("stages.0.blocks.0.norm", layout="NCHW"), square).permute(0, 3, 1, 2))
        assert read(model, Tap("stages.0.blocks.0.conv_dw"), square).shape == (2, 8, 8, 8), "a convolution is NCHW"
        assert read(model, Tap("stages.0"), square).shape == (2, 8, 8, 8)


class Renamed(nn.Module):
    """A network that does not tell what it has inside."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, images: Tensor) -> Tensor:
        output: Tensor = self.inside(images)
        return output
