"""Taps that cannot be read: the error names the tap and what is near or legal."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision
from core_models import unchecked
from networks import HIERA, SIZE, SWIN, Users, network, read, resnet
from torch import Tensor, nn

from xkd.taps import Tap, Taps, find_module


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

    @pytest.mark.parametrize("wrong", [{"kind": "atention"}, {"layout": "NWHC"}, {"time": "last"}])
    def test_kind_layout_and_time_are_checked_at_once(self, wrong: dict[str, Any]) -> None:
        with unchecked(), pytest.raises(ValueError, match=r"tap 'layer1': (kind|layout|time) must be one of .* got '(atention|NWHC|last)'"):
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
        with pytest.raises(ValueError, match=r"\(2, 64, 256\) may be \(B, tokens, channels\) or .*use Tap\(layout='tokens'\)"):
            read(model, Tap("1"), (64, 64))
        assert read(model, Tap("1", layout="tokens"), (64, 64)).shape == (2, 256, 8, 8)
        assert read(model, Tap("0"), (64, 64)).shape == (2, 64, 16, 16)

    def test_tokens_that_fit_no_grid(self) -> None:
        class Tokens(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                return images.flatten(2)[:, :, :6].transpose(1, 2)

        with pytest.raises(ValueError, match=r"6 tokens of an image \(8, 8\) could be any grid of"):
            read(nn.Sequential(Tokens()), Tap("0"), (8, 8))

    def test_a_module_that_works_on_parts_of_the_images(self) -> None:
        model = network("swin_tiny_patch4_window7_224", img_size=SIZE, window_size=4, **SWIN)
        with pytest.raises(ValueError, match=r"tap 'it' \(layers.0.blocks.0.attn\) gives \(48, 16, 12\) for 2 images: it works on parts"):
            read(model, Tap("layers.0.blocks.0.attn"))

    @pytest.mark.parametrize("path", ["features.1.0", "features.1.0.attn"])
    def test_attention_that_cannot_be_read_is_not_taken_for_a_cnn(self, path: str) -> None:
        model = torchvision.models.SwinTransformer([4, 4], 12, [1, 1], [1, 1], [4, 4], num_classes=3).eval()
        with pytest.raises(
            ValueError, match=rf"tap 'it' \({path}\): the attention of ShiftedWindowAttention cannot be read; use kind='energy'"
        ):
            Taps(model, {"it": Tap(path, kind="attention")})
        assert read(model, Tap("features.1.0", kind="energy")).shape == (2, 1, 16, 24)

    def test_a_stage_with_attention_that_cannot_be_read(self) -> None:
        with pytest.raises(ValueError, match=r"tap 'it' \(stage:-1\): the attention of .* cannot be read; use kind='energy'"):
            Taps(network("hiera_tiny_224", **HIERA), {"it": Tap("stage:-1", kind="attention")})
