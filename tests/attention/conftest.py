from __future__ import annotations

from collections.abc import Callable

import pytest
import timm

from xkd.batch import View
from xkd.graph.branch import Branch
from xkd.graph.weights import Random
from xkd.modalities import RGB
from xkd.taps import Tap
from xkd.tasks import Classification


@pytest.fixture
def task() -> Classification:
    return Classification(("healthy", "rust", "blight"))


@pytest.fixture
def vit() -> Callable[..., Branch]:
    def make(taps: dict[str, Tap], frozen: bool = False) -> Branch:
        model = timm.create_model("vit_tiny_patch16_224", num_classes=3, img_size=(32, 48), patch_size=8, depth=2)
        return Branch(model, View("rgb", RGB(), (32, 48)), Random(frozen), taps, frozen=frozen)

    return make


@pytest.fixture
def cnn() -> Callable[..., Branch]:
    def make(taps: dict[str, Tap], frozen: bool = False, name: str = "test_resnet") -> Branch:
        return Branch(timm.create_model(name, num_classes=3), View("rgb", RGB(), (64, 96)), Random(frozen), taps, frozen=frozen)

    return make
