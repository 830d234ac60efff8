from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from core_models import unchecked
from networks import CONVNEXT, SIZE, SWIN, Users, network, read, resnet, vit
from torch import Tensor, nn

from xkd.taps import Tap, Taps, find_module
from xkd.taps.layout import token_grid


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


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
        with pytest.raises(ValueError, match=r"tap 'it': shape \(2, 16, 16, 16\) may be \['NCHW', 'NHWC'\]; say which"):
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
        with pytest.raises(ValueError, match=r"tap 'it': 17 tokens of an image \(64, 64\) could be .* say how many with Tap\(prefix="):
            read(model, Tap(path), (64, 64))
        assert read(model, Tap(path, prefix=1), (64, 64)).shape == (2, 32, 4, 4)
        with pytest.raises(ValueError, match="prefix must be the number of prefix tokens, got -3"):
            Tap(path, prefix=-3)


class Staged(nn.Module):
    """A network as timm's: `feature_info`, and two ways to its output."""

    feature_info = ({"module": "one"}, {"module": "two"})

    def __init__(self, overwrites: bool = False, differs: bool = False) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 5, 3, 2, 1)
        self.overwrites, self.differs = overwrites, differs

    def forward_intermediates(
        self, x: Tensor, indices: list[int], output_fmt: str, intermediates_only: bool = False, stop_early: bool = False
    ) -> Any:
        assert output_fmt == "NCHW"
        maps = [self.one(x)]
        if not stop_early or max(indices) > 0:
            maps.append(self.two(maps[0].relu_() if self.overwrites else maps[0].relu()))
        chosen = [maps[index] for index in indices]
        return chosen if intermediates_only else (maps[1], chosen)

    def forward_head(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.two(self.one(x).relu()).mean((2, 3))
        return output + 1 if self.differs else output


class TestStages:
    def test_a_stage_that_the_next_one_overwrites_is_an_error(self) -> None:
        assert read(Staged().eval(), Tap("stage:0")).min() < 0
        with pytest.raises(ValueError, match=r"tap 'it' \(stage:0\) was overwritten in place .*: tap a module inside stage 'one'"):
            read(Staged(overwrites=True).eval(), Tap("stage:0"))
        assert read(Staged(overwrites=True).eval(), Tap("stage:1")).shape == (2, 5, 16, 24)

    def test_a_network_whose_two_ways_differ_is_an_error(self) -> None:
        with pytest.raises(ValueError, match=r"Staged does not give its own output by forward_intermediates.*\['one', 'two'\]"):
            read(Staged(differs=True).eval(), Tap("stage:1"))

    def test_weights_that_are_no_numbers_are_not_called_another_network(self) -> None:
        model = Staged().eval()
        nn.init.constant_(model.one.weight, torch.nan)
        assert read(model, Tap("stage:1")).isnan().any()

    def test_it_is_checked_once_and_never_while_it_learns(self) -> None:
        model = Staged(differs=True)
        taps = Taps(model, {"it": Tap("stage:1")})
        taps(torch.randn(2, 3, *SIZE))  # in train mode dropout would make two passes differ
        assert taps.read((2, 3, *SIZE))["it"].shape == (2, 5, 16, 24)
        model.eval()
        with pytest.raises(ValueError, match="does not give its own output"):
            taps(torch.randn(2, 3, *SIZE))
        model.differs = False
        taps(torch.randn(2, 3, *SIZE))
        taps.read((2, 3, *SIZE))
        calls = []
        model.one.register_forward_hook(lambda *_: calls.append(1))
        taps(torch.randn(2, 3, *SIZE))
        assert len(calls) == 1

    def test_the_model_called_behind_their_back_is_an_error(self) -> None:
        taps = Taps(model := Staged().eval(), {"it": Tap("stage:0")})
        model(torch.randn(2, 3, *SIZE))
        with pytest.raises(ValueError, match="is read by calling the taps, or their branch, in place of the model"):
            taps.read((2, 3, *SIZE))

    def test_a_gradient_reaches_the_stage(self) -> None:
        taps = Taps(model := Staged(), {"it": Tap("stage:0")})
        taps(torch.randn(2, 3, *SIZE))
        taps.read((2, 3, *SIZE))["it"].pow(2).sum().backward()
        assert model.one.weight.grad is not None
        assert model.two.weight.grad is None

    def test_stages_and_modules_are_read_in_one_pass(self) -> None:
        taps = Taps(vit(), {"stage": Tap("stage:1"), "block": Tap("blocks.1"), "look": Tap("stage:1", "attention")})
        taps(torch.randn(2, 3, *SIZE))
        readings = taps.read((2, 3, *SIZE))
        assert torch.equal(readings["stage"], readings["block"])
        assert readings["look"].shape == (2, 3, 4, 6)


class TestWrongTaps:
    def test_an_unknown_path_names_what_is_near(self) -> None:
        with pytest.raises(KeyError, match=r"no module 'layer5' in ResNet; near it: \['layer[1-4]'.*stages: \['act1', 'layer1'"):
            Taps(resnet(), {"it": Tap("layer5")})

    def test_an_unknown_path_without_anything_near_names_the_children(self) -> None:
        with pytest.raises(KeyError, match=r"no module 'qqqq' in Users; near it: \['body', 'maps'\]; stages: none"):
            Taps(Users(), {"it": Tap("qqqq")})

    @pytest.mark.parametrize("stage", ["stage:5", "stage:-6", "stage:x", "stage:"])
    def test_an_unknown_stage_names_the_stages(self, stage: str) -> None:
        with pytest.raises(KeyError, match=rf"no tap '{stage}': ResNet has stages -5, .*, 4"):
            find_module(resnet(), stage)

    def test_a_network_without_stages_says_so(self) -> None:
        with pytest.raises(KeyError, match="Users has stages none; give a module path"):
            find_module(Users(), "stage:0")

    @pytest.mark.parametrize("wrong", [{"kind": "atention"}, {"layout": "NWHC"}])
    def test_kind_and_layout_are_checked_at_once(self, wrong: dict[str, Any]) -> None:
        with unchecked(), pytest.raises(ValueError, match=r"tap 'layer1': (kind|layout) must be one of .* got '(atention|NWHC)'"):
            Tap("layer1", **wrong)

    def test_a_module_that_runs_twice(self) -> None:
        class Twice(Users):
            def forward(self, images: Tensor) -> Tensor:
                return self.maps(self.maps(self.body(images)))

        with pytest.raises(ValueError, match=r"tap 'it' \(maps\) fired 2 times"):
            read(Twice(), Tap("maps"))

    def test_a_module_that_never_runs(self) -> None:
        model = Users()
        model.unused = nn.Identity()
        with pytest.raises(ValueError, match=r"tap 'it' \(unused\) fired 0 times"):
            read(model, Tap("unused"))

    def test_an_output_that_is_no_tensor(self) -> None:
        class Pair(nn.Module):
            def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
                return maps, maps

        class Model(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.pair = Pair()

            def forward(self, images: Tensor) -> Tensor:
                return self.pair(images)[0]

        with pytest.raises(ValueError, match=r"tap 'it' \(pair\) gives tuple, not a tensor"):
            read(Model(), Tap("pair"))

    @pytest.mark.parametrize("grad", [False, True])
    def test_a_map_that_is_overwritten_in_place(self, grad: bool) -> None:
        model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        taps = Taps(model, {"it": Tap("1")})
        with torch.set_grad_enabled(grad):
            taps(torch.randn(2, 3, 8, 8))
        with pytest.raises(ValueError, match=r"tap 'it' \(1\) was overwritten in place"):
            taps.read((2, 3, 8, 8))
        assert read(model, Tap("2"), (8, 8)).min() >= 0, "the module that overwrites can be tapped"

    def test_a_tensor_of_five_dimensions(self) -> None:
        model = nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Flatten())
        with pytest.raises(ValueError, match=r"tap 'it' gives a tensor of shape \(2, 1, 3, 8, 8\); a reading has 2, 3 or 4"):
            read(model, Tap("0"), (8, 8))

    def test_three_dimensions_that_may_be_tokens_or_channels_first(self) -> None:
        model = nn.Sequential(nn.Conv2d(3, 64, 4, 4), nn.Flatten(2)).eval()  # (B, 64, 256): 8 x 8 tokens, or a map of 16 x 16
        with pytest.raises(ValueError, match=r"\(2, 64, 256\) may be \(B, tokens, channels\) or .*say Tap\(layout='tokens'\)"):
            read(model, Tap("1"), (64, 64))
        assert read(model, Tap("1", layout="tokens"), (64, 64)).shape == (2, 256, 8, 8)
        assert read(model, Tap("0"), (64, 64)).shape == (2, 64, 16, 16)

    def test_tokens_that_fit_no_grid(self) -> None:
        class Tokens(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                return images.flatten(2)[:, :, :6].transpose(1, 2)

        with pytest.raises(ValueError, match=r"6 tokens of an image \(8, 8\) could be any grid of"):
            read(nn.Sequential(Tokens()), Tap("0"), (8, 8))


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
            (
                lambda: network("swin_tiny_patch4_window7_224", img_size=SIZE, **SWIN),
                {"maps": Tap("stage:1"), "look": Tap("layers.0.blocks.0", "attention")},
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
        model, images = make(), torch.randn(2, 3, *SIZE)
        taps = Taps(model, taps)
        with torch.no_grad():
            taps(images)
            eager = taps.read(images.shape)
            torch.compile(taps.__call__, backend="aot_eager")(images)
            compiled = taps.read(images.shape)
        for name, reading in eager.items():
            torch.testing.assert_close(compiled[name], reading, rtol=1e-5, atol=1e-6)
