from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from networks import SIZE, SWIN, network, read, resnet, vit
from torch import Tensor, nn

from xkd.taps import Tap, Taps


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
            taps(images)
        ours, prefix = taps.read(images.shape)["it"], model.num_prefix_tokens
        theirs = attention_probabilities(model, 1, images)[:, :, 0, prefix:]
        torch.testing.assert_close(ours.flatten(2), theirs, rtol=1e-4, atol=1e-6)
        assert (ours.sum((2, 3)) <= 1 + 1e-6).all()
        assert (ours.sum((2, 3)) > 0.1).all()
        assert [block.attn.fused_attn for block in model.blocks] == [True, False], "fused attention stays on everywhere else"
        taps.close()
        assert all(block.attn.fused_attn for block in model.blocks)

    @pytest.mark.parametrize("name", ["vit_medium_patch16_reg4_gap_256", "vit_base_patch16_siglip_224"])
    def test_without_a_class_token_it_is_the_mean_over_the_patches_queries(self, name: str) -> None:
        model, images = vit(name), torch.randn(2, 3, *SIZE)
        assert model.cls_token is None
        taps = Taps(model, {"it": Tap("blocks.0", "attention")})
        with torch.no_grad():
            taps(images)
        prefix = model.num_prefix_tokens
        ours = taps.read(images.shape)["it"].flatten(2)
        theirs = attention_probabilities(model, 0, images)[:, :, prefix:, prefix:].mean(2)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)

    def test_the_attention_module_itself_can_be_tapped(self) -> None:
        model = vit()
        taps = Taps(model, {"block": Tap("blocks.0", "attention"), "module": Tap("blocks.0.attn", "attention")})
        taps(torch.randn(1, 3, *SIZE))
        readings = taps.read((1, 3, *SIZE))
        assert torch.equal(readings["block"], readings["module"])

    def test_it_keeps_double_precision(self) -> None:
        model = vit().double()
        taps = Taps(model, {"it": Tap("blocks.0", "attention")})
        taps(torch.randn(1, 3, *SIZE, dtype=torch.float64))
        assert taps.read((1, 3, *SIZE))["it"].dtype == torch.float64

    def test_half_precision_is_widened_for_the_softmax(self) -> None:
        model = vit()
        taps = Taps(model, {"it": Tap("blocks.0", "attention")})
        with torch.autocast("cpu", torch.bfloat16):
            taps(torch.randn(1, 3, *SIZE))
        assert taps.read((1, 3, *SIZE))["it"].dtype == torch.float32

    def test_a_gradient_reaches_the_blocks_own_q_and_k(self) -> None:
        model = vit()
        taps = Taps(model, {"it": Tap("blocks.1", "attention")})
        taps(torch.randn(1, 3, *SIZE))
        taps.read((1, 3, *SIZE))["it"].pow(2).sum().backward()
        assert model.blocks[1].attn.qkv.weight.grad.abs().max() > 0


def by_hand(model: nn.Module, path: str, images: Tensor) -> Tensor:
    """(B, heads, N, N) from the q, k and mask that the module hands to torch's fused attention."""
    handed: list[tuple[Tensor, Tensor, Any]] = []
    fused = torch.nn.functional.scaled_dot_product_attention

    def listen(q: Tensor, k: Tensor, v: Tensor, attn_mask: Any = None, **options: Any) -> Tensor:
        handed.append((q, k, attn_mask))
        return fused(q, k, v, attn_mask=attn_mask, **options)

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        handle = model.get_submodule(path).register_forward_pre_hook(lambda *_: handed.clear())
        stop = model.get_submodule(path).register_forward_hook(lambda *_: handed_on.extend(handed))
        handed_on: list[tuple[Tensor, Tensor, Any]] = []
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", listen)
        model(images)
        handle.remove()
        stop.remove()
    ((q, k, mask),) = handed_on
    scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    return (scores if mask is None else scores + mask).softmax(-1)


@pytest.mark.parametrize(
    ("make", "prefix"),
    [
        (lambda: network("vit_small_patch16_rope_224", img_size=SIZE, depth=2, embed_dim=48, num_heads=3), 1),
        (lambda: network("beit_base_patch16_224", img_size=SIZE, depth=2, embed_dim=48, num_heads=3), 1),
        (lambda: network("vit_relpos_small_patch16_224", img_size=SIZE, depth=2, embed_dim=48, num_heads=3), 0),
    ],
    ids=["rotary", "relative bias", "relative bias without class token"],
)
def test_whatever_q_and_k_went_through_is_in_it(make: Callable[[], nn.Module], prefix: int) -> None:
    model, images = make(), torch.randn(2, 3, *SIZE)
    for name, parameter in model.named_parameters():
        if "rel_pos" in name or "relative_position" in name:
            nn.init.normal_(parameter)
    expected = by_hand(model, "blocks.1.attn", images)
    taps = Taps(model, {"it": Tap("blocks.1", "attention")})
    with torch.no_grad():
        taps(images)
    ours = taps.read(images.shape)["it"]
    rows = expected[:, :, 0] if prefix else expected.mean(2)
    torch.testing.assert_close(ours.flatten(2), rows[:, :, prefix:], rtol=1e-4, atol=1e-6)


class TestWindows:
    @pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "swinv2_cr_tiny_224"])
    @pytest.mark.parametrize("block", [0, 1], ids=["plain", "shifted"])
    @pytest.mark.parametrize("size", [(56, 84), (64, 96)], ids=["whole windows", "padded"])
    def test_every_position_gets_what_the_queries_of_its_window_give_it(self, name: str, block: int, size: tuple[int, int]) -> None:
        window = (7, 7) if size == (56, 84) else (5, 5)
        options = {"depths": (2, 1, 1, 1), "embed_dim": 12, "num_heads": (2, 1, 2, 2), "window_size": window}
        model = network(name, img_size=size, **options)
        first = "stages" if "_cr_" in name else "layers"
        path = f"{first}.0.blocks.{block}"
        inner = model.get_submodule(path)
        taps = Taps(model, {"it": Tap(path, "attention")})
        kept: list[Tensor] = []
        inner.attn.attn_drop.register_forward_pre_hook(lambda _m, inputs: kept.append(inputs[0]))
        images = torch.randn(2, 3, *size)
        with torch.no_grad():
            taps(images)
        ours, weights = taps.read(images.shape)["it"], kept[-1]
        tall, wide = size[0] // 4, size[1] // 4
        (high, broad), (down, across) = inner.window_size, inner.shift_size
        assert (block == 1) == any((down, across))
        expected = torch.zeros(2, 2, tall, wide)
        columns = -(-wide // broad)
        per_image = -(-tall // high) * columns

        def place(y: int, x: int) -> tuple[int, int]:
            """Which window, and which place in it, a position has after the shift."""
            y, x = (y - down) % tall, (x - across) % wide
            return (y // high) * columns + x // broad, (y % high) * broad + x % broad

        homes = {(y, x): place(y, x) for y in range(tall) for x in range(wide)}
        for (y, x), (number, key) in homes.items():
            queries = [query for other, query in homes.values() if other == number]
            for image in range(2):
                expected[image, :, y, x] = weights[image * per_image + number][:, queries, key].mean(1)
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)


class TestOtherKinds:
    def test_multihead_attention_is_asked_for_its_weights(self) -> None:
        model = torchvision.models.VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=3).eval()
        path = "encoder.layers.encoder_layer_1"
        taps = Taps(model, {"it": Tap(path, "attention", prefix=1)})
        given: list[Tensor] = []
        model.get_submodule(path).ln_1.register_forward_hook(lambda _m, _i, output: given.append(output))
        images = torch.randn(2, 3, 64, 64)
        with torch.no_grad():
            output = taps(images)
            ours = taps.read(images.shape)["it"]
            attention = model.get_submodule(path).self_attention
            _, weights = attention(given[0], given[0], given[0], average_attn_weights=False)
            taps.close()
            torch.testing.assert_close(output, model(images), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours.flatten(2), weights[:, :, 0, 1:])

    def test_a_class_token_that_joins_late(self) -> None:
        model = network("cait_xxs24_224", img_size=64, depth=1)
        path = "blocks_token_only.1"
        kept: list[Tensor] = []
        model.get_submodule(path).attn.attn_drop.register_forward_pre_hook(lambda _m, inputs: kept.append(inputs[0]))
        ours = read(model, Tap(path, "attention"), (64, 64))
        assert ours.shape == (2, 4, 4, 4)
        assert torch.equal(ours.flatten(2), kept[-1][:, :, 0, 1:])
        assert read(model, Tap("blocks.0"), (64, 64)).shape == (2, 192, 4, 4), "and patches that have none before"

    def test_fewer_keys_than_queries_lie_on_their_own_grid(self) -> None:
        ours = read(network("pvt_v2_b0"), Tap("stages.0.blocks.0", "attention"), (64, 96))
        assert ours.shape == (2, 1, 2, 3)
        torch.testing.assert_close(ours.sum((2, 3)), torch.ones(2, 1))

    def test_maps_without_any_attention_give_their_energy(self) -> None:
        model = resnet()
        assert torch.equal(read_twice(model, "attention"), read_twice(model, "energy"))

    @pytest.mark.parametrize(
        ("make", "path", "text"),
        [
            (lambda: network("xcit_nano_12_p16_224", img_size=SIZE, depth=1), "blocks.0", r"XCA does not attend between positions"),
            (lambda: network("cait_xxs24_224", img_size=SIZE, depth=1), "blocks.0", r"TalkingHeadAttn do not sum to one"),
            (lambda: network("mobilevit_xxs"), "stages.2.1.transformer.0", r"attends within parts of the image, its weights are"),
            (lambda: network("coat_tiny", img_size=64), "serial_blocks1.0", r"could be read 0 times"),
        ],
        ids=["channels", "talking heads", "patches of patches", "factorised"],
    )
    def test_what_is_no_attention_between_positions_is_refused_not_guessed(
        self, make: Callable[[], nn.Module], path: str, text: str
    ) -> None:
        size = (64, 64) if "serial" in path or "stages" in path else SIZE
        with pytest.raises(ValueError, match=rf"tap 'it'.*{text}.*use kind='energy'"):
            read(make(), Tap(path, "attention"), size)

    def test_a_stage_of_several_blocks_names_them(self) -> None:
        model = network("swin_tiny_patch4_window7_224", img_size=SIZE, **{**SWIN, "depths": (2, 1, 1, 1)})
        with pytest.raises(ValueError, match=r"\(stage:0\) holds 2 attention modules, tap one of them: \['layers.0.blocks.0.attn', "):
            Taps(model, {"it": Tap("stage:0", "attention")})
        assert read(model, Tap("layers.0.blocks.0.attn", "attention")).shape[2:] == (16, 24)

    def test_a_vector_has_no_attention(self) -> None:
        with pytest.raises(ValueError, match=r"\(global_pool\) is a vector, which has no attention: tap a layer before the pooling"):
            read(resnet(), Tap("global_pool", "attention"))


def read_twice(model: nn.Module, kind: Any) -> Tensor:
    torch.manual_seed(1)
    return read(model, Tap("layer2", kind))
