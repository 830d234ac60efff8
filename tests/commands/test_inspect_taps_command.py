"""The list of taps: every line that is not a comment can be pasted into a config and gives the shape beside it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import timm
import torch

from xkd.commands.inspect_taps import main
from xkd.taps import Tap, Taps


def pasted(text: str) -> dict[str, tuple[Tap, tuple[int, ...]]]:
    taps = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            code, shape = line.split("  # ")
            table: dict[str, Any] = eval(f"dict({code})", {"Tap": Tap})  # our own line
            ((name, entry),) = table.items()
            taps[name] = (entry.pop("type")(**entry), tuple(map(int, re.findall(r"\d+", shape))))
    return taps


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("test_resnet", {"stage0", "stage4"}),
        ("test_vit", {"stage5", "attention5"}),
        ("pvt_v2_b0", {"stage3", "attention3"}),
        ("twins_svt_small", {"stage3"}),
    ],
)
def test_its_lines_can_be_pasted(name: str, names: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 0
    taps = pasted(capsys.readouterr().out)
    assert names <= set(taps)
    model = timm.create_model(name).eval()
    images = torch.zeros(1, *model.pretrained_cfg["input_size"])
    for key, (tap, shape) in taps.items():
        taps = Taps(model, {key: tap})
        with torch.no_grad():
            taps(images)
        assert tuple(taps.read(images.shape)[key].shape[1:]) == shape
        taps.close()


def test_taps_of_networks_on_clips(capsys: pytest.CaptureFixture[str]) -> None:
    main(["test_resnet", "--frames", "4", "--size", "64", "96", "--channels", "1"])
    text = capsys.readouterr().out
    assert "test_resnet, input (4, 64, 96)" in text
    assert pasted(text)["stage4"] == (Tap("stage:4"), (96, 2, 3))
    main(["mc3_18", "--frames", "2", "--size", "16", "16"])
    assert pasted(capsys.readouterr().out)["stage3"] == (Tap("stage:3"), (512, 1, 1))
    with pytest.raises(KeyError, match="'mc3_18' is a network over time, of torchvision: say for clips of how many frames, --frames 8"):
        main(["mc3_18"])


def test_what_cannot_be_read_is_a_comment_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    main(["test_resnet", "--all", "--size", "64", "96"])
    text = capsys.readouterr().out
    assert 'stage0=dict(type=Tap, path="stage:0"),  # (32, 32, 48)' in text
    assert pasted(text)
    main(["xcit_nano_12_p16_224"])
    assert re.search(r"# attention0=.*does not attend between positions", capsys.readouterr().out)


def test_a_model_of_one_size_is_made_for_the_views(capsys: pytest.CaptureFixture[str]) -> None:
    main(["test_vit", "--size", "96", "128", "--channels", "1"])
    text = capsys.readouterr().out
    assert text.startswith("# test_vit, input (1, 96, 128)")
    assert 'stage5=dict(type=Tap, path="stage:5"),  # (64, 6, 8)' in text
    with pytest.raises(ValueError, match=r"test_vit cannot be made with --model-args patch_sze=8: .*'patch_sze'"):
        main(["test_vit", "--model-args", "patch_sze=8"])


def test_an_unknown_model_names_what_is_near() -> None:
    with pytest.raises(KeyError, match="timm has no model 'resnet18x'; near it: "):
        main(["resnet18x"])
