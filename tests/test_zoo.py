"""A sample of the zoo: tools/zoo.py runs all of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from tools import zoo
from xkd.taps import Taps


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("square", [True, False])
@pytest.mark.parametrize(
    ("module", "name", "attention"),
    [
        ("resnet", "test_resnet", "energy of the last stage"),
        ("vision_transformer", "test_vit", "blocks.5.attn"),
        ("xcit", "xcit_nano_12_p16_224", "cls_attn_blocks.1.attn"),
        ("pvt_v2", "pvt_v2_b0", "stages.3.blocks.1.attn"),
        ("levit", "levit_128s", "energy of the last stage"),
        ("convnext", "test_convnext", "energy of the last stage"),
    ],
)
def test_teachers_of_every_kind_teach_a_student(module: str, name: str, attention: str, square: bool) -> None:
    teacher = zoo.captured(module, name, square)
    assert (teacher.failure, teacher.attention) == ("", attention)
    assert (teacher.size[0] == teacher.size[1]) == square
    branch = zoo.student("mobilenetv3_small_050")
    before = {key: value.clone() for key, value in branch.model.named_parameters()}
    assert zoo.step(teacher, branch) == ""
    assert all(torch.equal(before[key], value) for key, value in branch.model.named_parameters()), "the next teacher finds it as it was"


def test_what_fails_is_told_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = zoo.captured("resnet", "test_resnet", square=True)
    branch = zoo.student("lcnet_050")
    nothing = {**teacher.capture, "output": teacher.capture["output"] * float("inf")}
    assert zoo.step(replace(teacher, capture=nothing), branch).startswith("'teacher.output' (2, 5) is not finite")
    assert zoo.step(teacher, branch) == "", "one teacher's failure is not the next one's"
    flat = {**teacher.capture, "map": teacher.capture["map"].mean((2, 3))}
    assert "Conv1x1 projects maps (C, H, W) to maps" in zoo.step(replace(teacher, capture=flat), branch)

    def refuse(self: Taps, *inputs: torch.Tensor) -> None:
        raise ValueError("this network cannot be read")

    monkeypatch.setattr(Taps, "__call__", refuse)
    broken = zoo.captured("resnet", "test_resnet", square=True)
    assert broken.failure == "this network cannot be read"
    text = zoo.report([(broken, 0, broken.failure)], {"huge": "x has 900 million parameters"}, 3, Counter(worked=0, all=3))
    assert text.startswith("0 of 3 pairs work (0.0%)")
    assert "Left out: huge, x has 900 million parameters." in text
    assert "| resnet | test_resnet | 160 x 160 |  | 0 of 3 | this network cannot be read |" in text


def test_the_smallest_network_of_a_module_is_taken_and_a_large_one_left_out() -> None:
    console = Console(quiet=True)
    assert zoo.smallest(["ghostnet"], 1e9, console) == ({"ghostnet": "ghostnet_050"}, {})
    chosen, left_out = zoo.smallest(["ghostnet"], 1e3, console)
    assert not chosen
    assert "ghostnet_050 has 3 million parameters" in left_out["ghostnet"]


def test_the_command_writes_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "zoo.md"
    assert zoo.main(["--teachers", "ghostnet", "--students", "lcnet_050", "--out", str(out)]) == 0
    assert out.read_text("utf-8").startswith("2 of 2 pairs work (100.0%), timm ")
    assert "ghostnet_050" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="timm has no module 'resnett'"):
        zoo.main(["--teachers", "resnett"])


def test_an_error_without_a_message_says_where_it_was_raised() -> None:
    def breaks() -> None:
        assert 1 + 1 == 3

    with pytest.raises(AssertionError) as caught:
        breaks()
    caught.value.args = ()
    assert zoo.one_line(caught.value).startswith("AssertionError in test_zoo.py: assert 1 + 1 == 3")
