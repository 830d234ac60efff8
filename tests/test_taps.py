from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torchvision
from core_models import unchecked
from torch import Tensor, nn

from xkd.taps import Tap, Taps, find_module

SIZE = (64, 96)
SWIN = {"depths": (1, 1, 1, 1), "embed_dim": 12, "num_heads": (1, 1, 2, 2)}
CONVNEXT = {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16)}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def network(name: str, **options: Any) -> nn.Module:
    model: nn.Module = timm.create_model(name, num_classes=3, **options)
    return model.eval()


def resnet() -> nn.Module:
    return network("resnet18", channels=(8, 8, 16, 16))


def vit(name: str = "vit_tiny_patch16_224", size: tuple[int, int] = SIZE, **options: Any) -> nn.Module:
    defaults = {"img_size": size, "depth": 2, "patch_size": 16, "embed_dim": 48, "num_heads": 3}
    return network(name, **{**defaults, **options})


def read(model: nn.Module, tap: Tap, size: tuple[int, int] = SIZE, rows: int = 2) -> Tensor:
    taps = Taps(model, {"it": tap})
    with torch.no_grad():
        model(torch.randn(rows, 3, *size))
    found = taps.read(size)["it"]
    taps.close()
    return found


class Users(nn.Module):
    """Somebody's own network: no attribute says how its maps lie."""

    def __init__(self, last: bool = False, channels: int = 5) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, channels, 3, 4, 1)
        self.maps = nn.Identity()
        self.last = last

    def forward(self, images: Tensor) -> Tensor:
        maps = self.body(images)
        maps = self.maps(maps.permute(0, 2, 3, 1) if self.last else maps)
        return maps.mean((1, 2) if self.last else (2, 3))


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
            model(images)
            ours = taps.read(SIZE)["it"]
            theirs = model.forward_intermediates(images, indices=[0], intermediates_only=True)[0]
        assert torch.equal(ours, theirs)

    def test_the_grid_is_the_models_own_where_patches_are_not_square(self) -> None:
        # 4 x 12 tokens of an image of 2:3, where the aspect alone allows no grid
        assert read(vit(patch_size=(16, 8)), Tap("blocks.0")).shape == (2, 48, 4, 12)

    def test_channels_last_maps_equal_timms_own(self) -> None:
        model, images = network("swin_tiny_patch4_window7_224", img_size=SIZE, **SWIN), torch.randn(2, 3, *SIZE)
        taps = Taps(model, {"it": Tap("stage:1")})
        with torch.no_grad():
            model(images)
            ours = taps.read(SIZE)["it"]
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
        model(torch.randn(2, 3, 64, 64))
        readings = declared.read((64, 64))
        assert torch.equal(readings["last"], readings["first"].permute(0, 3, 1, 2))

    def test_vectors_pass_as_they_are(self) -> None:
        assert read(resnet(), Tap("global_pool")).shape == (2, 16)

    def test_activation_energy_is_the_mean_of_squares_over_channels(self) -> None:
        model = resnet()
        taps = Taps(model, {"maps": Tap("layer2"), "energy": Tap("layer2", "attention")})
        model(torch.randn(2, 3, *SIZE))
        readings = taps.read(SIZE)
        assert readings["energy"].shape == (2, 1, 8, 12)
        assert torch.allclose(readings["energy"][:, 0], (readings["maps"] ** 2).sum(1) / 8)


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
        with unchecked(), pytest.raises(ValueError, match=r"tap 'layer1': (kind|layout) must be .* got '(atention|NWHC)'"):
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
            model(torch.randn(2, 3, 8, 8))
        with pytest.raises(ValueError, match=r"tap 'it' \(1\) was overwritten in place"):
            taps.read((8, 8))
        assert read(model, Tap("2"), (8, 8)).min() >= 0, "the module that overwrites can be tapped"

    def test_a_tensor_of_five_dimensions(self) -> None:
        model = nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Flatten())
        with pytest.raises(ValueError, match=r"tap 'it' gives a tensor of shape \(2, 1, 3, 8, 8\); a reading has 2, 3 or 4"):
            read(model, Tap("0"), (8, 8))

    def test_tokens_that_fit_no_grid(self) -> None:
        class Tokens(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                return images.flatten(2)[:, :, :6].transpose(1, 2)

        with pytest.raises(ValueError, match=r"6 tokens of an image \(8, 8\) could be any grid of"):
            read(nn.Sequential(Tokens()), Tap("0"), (8, 8))


def attention_probabilities(model: nn.Module, block: int, images: Tensor) -> Tensor:
    """(B, heads, N, N) as timm itself computes them with fused attention off: what its dropout layer is handed."""
    twin = copy.deepcopy(model)
    attention = twin.get_submodule(f"blocks.{block}.attn")
    attention.fused_attn = False
    kept: list[Tensor] = []
    attention.attn_drop.register_forward_hook(lambda _m, _i, output: kept.append(output))
    with torch.no_grad():
        twin(images)
    return kept[0]


class TestTokenAttention:
    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("vit_tiny_patch16_224", {}),
            ("vit_tiny_patch16_224", {"qk_norm": True}),
            ("vit_tiny_patch16_224", {"size": (32, 32)}),
            ("deit_tiny_distilled_patch16_224", {}),
            ("vit_base_patch14_reg4_dinov2", {}),
        ],
    )
    def test_it_is_what_timm_computes_without_fused_attention(self, name: str, options: dict[str, Any]) -> None:
        size = options.get("size", SIZE)
        model, images = vit(name, **options), torch.randn(2, 3, *size)
        if "qk_norm" in options:
            for norm in ("q_norm", "k_norm"):
                nn.init.uniform_(model.get_submodule(f"blocks.1.attn.{norm}").weight, 1, 4)
        taps = Taps(model, {"it": Tap("blocks.1", "attention")})
        with torch.no_grad():
            model(images)
        ours, prefix = taps.read(size)["it"], model.num_prefix_tokens
        theirs = attention_probabilities(model, 1, images)[:, :, 0, prefix:]
        torch.testing.assert_close(ours.flatten(2), theirs, rtol=1e-4, atol=1e-6)
        assert (ours.sum((2, 3)) <= 1 + 1e-6).all()
        assert (ours.sum((2, 3)) > 0.1).all()
        assert all(block.attn.fused_attn for block in model.blocks), "fused attention stays on"

    @pytest.mark.parametrize("name", ["vit_medium_patch16_reg4_gap_256", "vit_base_patch16_siglip_224"])
    def test_without_a_class_token_it_is_the_mean_over_the_patches_queries(self, name: str) -> None:
        model, images = vit(name), torch.randn(2, 3, *SIZE)
        assert model.cls_token is None
        taps = Taps(model, {"it": Tap("blocks.0", "attention")})
        with torch.no_grad():
            model(images)
        prefix = model.num_prefix_tokens
        ours = taps.read(SIZE)["it"].flatten(2)
        theirs = attention_probabilities(model, 0, images)[:, :, prefix:, prefix:].mean(2)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)

    def test_the_attention_module_itself_can_be_tapped(self) -> None:
        model = vit()
        taps = Taps(model, {"block": Tap("blocks.0", "attention"), "module": Tap("blocks.0.attn", "attention")})
        model(torch.randn(1, 3, *SIZE))
        readings = taps.read(SIZE)
        assert torch.equal(readings["block"], readings["module"])

    def test_it_keeps_double_precision(self) -> None:
        model = vit().double()
        taps = Taps(model, {"it": Tap("blocks.0", "attention")})
        model(torch.randn(1, 3, *SIZE, dtype=torch.float64))
        assert taps.read(SIZE)["it"].dtype == torch.float64

    def test_half_precision_is_widened_for_the_softmax(self) -> None:
        model = vit()
        taps = Taps(model, {"it": Tap("blocks.0", "attention")})
        with torch.autocast("cpu", torch.bfloat16):
            model(torch.randn(1, 3, *SIZE))
        assert taps.read(SIZE)["it"].dtype == torch.float32

    def test_a_gradient_reaches_the_blocks_own_q_and_k(self) -> None:
        model = vit()
        taps = Taps(model, {"it": Tap("blocks.1", "attention")})
        model(torch.randn(1, 3, *SIZE))
        taps.read(SIZE)["it"].pow(2).sum().backward()
        assert model.blocks[1].attn.qkv.weight.grad.abs().max() > 0

    @pytest.mark.parametrize(
        ("make", "path"),
        [
            (lambda: network("swin_tiny_patch4_window7_224", img_size=SIZE, **SWIN), "layers.0.blocks.0"),
            (lambda: network("vit_small_patch16_rope_224", img_size=SIZE, depth=1), "blocks.0"),
            (lambda: network("xcit_nano_12_p16_224", img_size=SIZE, depth=1), "blocks.0"),
        ],
        ids=["windows", "rotary", "channels"],
    )
    def test_attention_that_q_and_k_alone_do_not_give_is_refused_not_guessed(self, make: Callable[[], nn.Module], path: str) -> None:
        with pytest.raises(ValueError, match=r"tap 'it' .*(softmax|no fused q, k, v).*use kind='features'"):
            read(make(), Tap(path, "attention"))

    def test_a_block_without_fused_q_k_v_is_refused(self) -> None:
        model = torchvision.models.VisionTransformer(64, 16, 1, 2, 32, 64, num_classes=3).eval()
        with pytest.raises(ValueError, match=r"no fused q, k, v in this block"):
            read(model, Tap("encoder.layers.encoder_layer_0", "attention"), (64, 64))


class TestHooks:
    def test_a_forward_pass_that_broke_or_was_not_read_leaves_nothing_behind(self) -> None:
        model = Users()
        taps = Taps(model, {"it": Tap("maps")})
        model(torch.randn(1, 3, *SIZE))
        taps.forget()
        model(torch.randn(2, 3, *SIZE))
        assert taps.read(SIZE)["it"].shape[0] == 2
        with pytest.raises(ValueError, match="fired 0 times"):
            taps.read(SIZE)

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
            model(torch.randn(1, 3, *SIZE))
            assert taps.read(SIZE)["it"].shape == (1, 5, 16, 24)

    def test_compiled_taps_equal_eager_ones(self) -> None:
        model, images = vit(), torch.randn(2, 3, *SIZE)
        taps = Taps(model, {"maps": Tap("blocks.0"), "look": Tap("blocks.1", "attention")})
        with torch.no_grad():
            model(images)
            eager = taps.read(SIZE)
            torch.compile(model, backend="aot_eager")(images)
            compiled = taps.read(SIZE)
        for name, reading in eager.items():
            torch.testing.assert_close(compiled[name], reading, rtol=1e-5, atol=1e-6)
