from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from core_models import CLASSES, CNN, RGB, RGB_VIEW, THERMAL_VIEW, Sensor, rgb_branch, thermal_branch
from torch import Tensor, nn

from xkd.batch import View
from xkd.graph.branch import Branch
from xkd.graph.state_dicts import load_file
from xkd.graph.weights import EMA, Checkpoint, Pretrained, Random, Weights


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    path = tmp_path / "plain.pth"
    torch.save(CNN().state_dict(), path)
    return path


def run_of_xkd(path: Path, branches: dict[str, Branch], student: str) -> None:
    tensors = {f"distiller.branches.{name}.{key}": value for name, branch in branches.items() for key, value in branch.state_dict().items()}
    torch.save({"meta": {"xkd": {"student": student}}, "state_dict": tensors, "epoch": 3}, path)


class TestCheckpoint:
    @pytest.mark.parametrize("wrapped", [False, True])
    def test_a_state_dict_saved_by_anyone_is_loaded_with_the_sensors_statistics(self, plain: Path, wrapped: bool) -> None:
        saved = load_file(str(plain))
        if wrapped:
            torch.save({"state_dict": saved, "epoch": 7}, plain)
        branch = rgb_branch(weights=Checkpoint(str(plain)), frozen=True)
        assert all(torch.equal(value, saved[key]) for key, value in branch.model.state_dict().items())
        assert branch.mean.flatten().tolist() == list(RGB.mean)

    def test_a_run_of_xkd_gives_its_student_and_the_statistics_that_it_was_trained_with(self, tmp_path: Path) -> None:
        other = View("rgb", Sensor(mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0)), (16, 16))
        student, teacher = Branch(CNN(), other, Random()), thermal_branch()
        run_of_xkd(tmp_path / "run.pth", {"rgb": student, "thermal": teacher}, "rgb")
        branch = rgb_branch(weights=Checkpoint(str(tmp_path / "run.pth")))
        assert all(torch.equal(value, student.model.state_dict()[key]) for key, value in branch.model.state_dict().items())
        assert branch.mean.flatten().tolist() == [1.0, 2.0, 3.0]
        assert branch.std.flatten().tolist() == [4.0, 5.0, 6.0]

    def test_another_branch_of_a_run_can_be_named_and_an_unknown_one_lists_them(self, tmp_path: Path) -> None:
        teacher = thermal_branch()
        run_of_xkd(tmp_path / "run.pth", {"rgb": rgb_branch(), "thermal": teacher}, "rgb")
        branch = thermal_branch(weights=Checkpoint(str(tmp_path / "run.pth"), branch="thermal"))
        assert torch.equal(branch.model.fc.weight, teacher.model.fc.weight)
        with pytest.raises(KeyError, match=r"run.pth holds no branch 'thermla'; it has \['rgb', 'thermal'\]"):
            thermal_branch(weights=Checkpoint(str(tmp_path / "run.pth"), branch="thermla"))

    def test_a_run_has_branches_and_a_plain_file_has_prefixes(self, tmp_path: Path, plain: Path) -> None:
        run_of_xkd(tmp_path / "run.pth", {"rgb": rgb_branch()}, "rgb")
        with pytest.raises(ValueError, match=r"run.pth is a run of xkd: use branch='rgb', not prefix='module.'"):
            rgb_branch(weights=Checkpoint(str(tmp_path / "run.pth"), prefix="module."))
        with pytest.raises(ValueError, match=r"plain.pth is no run of xkd, so it has no branch 'thermal': use prefix=..."):
            rgb_branch(weights=Checkpoint(str(plain), branch="thermal"))

    def test_heads_and_taps_of_the_run_do_not_matter_to_the_loaded_network(self, tmp_path: Path) -> None:
        student = rgb_branch()
        run_of_xkd(tmp_path / "run.pth", {"rgb": student}, "rgb")
        content = load_file(str(tmp_path / "run.pth"))
        content["state_dict"]["distiller.branches.rgb.heads.exit.layers.0.weight"] = torch.zeros(3, 8)
        torch.save(content, tmp_path / "run.pth")
        rgb_branch(weights=Checkpoint(str(tmp_path / "run.pth")))

    def test_statistics_of_another_number_of_channels_do_not_broadcast(self, tmp_path: Path) -> None:
        run_of_xkd(tmp_path / "run.pth", {"rgb": rgb_branch()}, "rgb")
        with pytest.raises(ValueError, match=r"3 channels.*view 'thermal' has 1"):
            Branch(CNN(3), THERMAL_VIEW, Checkpoint(str(tmp_path / "run.pth")))

    def test_what_does_not_fit_is_counted_and_the_first_is_named(self, plain: Path) -> None:
        with pytest.raises(
            ValueError, match=r"14 of 16 tensors match CNN; 'fc.weight' has shape \(3, 12\), the model \(5, 12\) \(2 such\)"
        ):
            Checkpoint(str(plain)).load(CNN(num_classes=5), RGB_VIEW)

    def test_what_is_missing_is_counted(self, plain: Path) -> None:
        saved = load_file(str(plain))
        torch.save({key: value for key, value in saved.items() if not key.startswith("deep.")}, plain)
        with pytest.raises(ValueError, match=r"9 of 16 tensors match CNN; 'deep.0.weight' is not in it \(7 such\).*may_miss"):
            Checkpoint(str(plain)).load(CNN(), RGB_VIEW)

    def test_a_file_of_something_else_matches_nothing(self, plain: Path) -> None:
        torch.save({"optimizer": {"lr": 0.1}}, plain)
        with pytest.raises(ValueError, match="0 of 16 tensors match CNN"):
            Checkpoint(str(plain)).load(CNN(), RGB_VIEW)

    def test_a_refused_file_leaves_the_model_as_it_was(self, plain: Path) -> None:
        model = CNN(num_classes=5)
        before = model.stem[0].weight.clone()
        with pytest.raises(ValueError, match="14 of 16"):
            Checkpoint(str(plain)).load(model, RGB_VIEW)
        assert torch.equal(model.stem[0].weight, before)

    def test_what_may_miss_is_named_by_patterns_and_the_rest_is_loaded(self, plain: Path) -> None:
        model = CNN(num_classes=5)
        Checkpoint(str(plain), may_miss=["fc.*"]).load(model, RGB_VIEW)
        assert torch.equal(model.stem[0].weight, load_file(str(plain))["stem.0.weight"])


class TestFiles:
    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"no checkpoint .*nowhere.pth"):
            rgb_branch(weights=Checkpoint(str(tmp_path / "nowhere.pth")))

    def test_a_pickled_object_is_refused_unrun(self, tmp_path: Path) -> None:
        path = tmp_path / "pickled.pth"
        torch.save({"model": CNN()}, path)
        with pytest.raises(ValueError, match=r"pickled.pth is not a readable weights-only checkpoint"):
            load_file(str(path))

    @pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
    def test_a_truncated_file_is_refused(self, plain: Path, keep: float) -> None:
        content = plain.read_bytes()
        plain.write_bytes(content[: int(keep * len(content))])
        with pytest.raises(ValueError, match=r"plain.pth is not a readable weights-only checkpoint"):
            load_file(str(plain))

    def test_a_lone_tensor_is_refused(self, plain: Path) -> None:
        torch.save(torch.zeros(3), plain)
        with pytest.raises(ValueError, match=r"plain.pth holds Tensor, not a checkpoint \(a dict\)"):
            load_file(str(plain))


def published(tmp_path: Path, name: str, channels: int = 3, classes: int = 10) -> tuple[nn.Module, nn.Module]:
    """A donor whose weights lie in a file, as timm would have fetched it, and a fresh model whose pretrained weights are that file."""
    torch.manual_seed(2)
    donor = timm.create_model(name, num_classes=10)
    torch.save(donor.state_dict(), tmp_path / f"{name}.pth")
    overlay = {"file": str(tmp_path / f"{name}.pth"), "num_classes": 10}
    return donor.eval(), timm.create_model(name, num_classes=classes, in_chans=channels, pretrained_cfg_overlay=overlay).eval()


RESNET = "test_resnet"


class TestPretrained:
    def test_every_tensor_and_the_published_statistics_in_the_sensors_unit(self, tmp_path: Path) -> None:
        donor, model = published(tmp_path, RESNET)
        branch = Branch(model, RGB_VIEW, Pretrained())
        assert all(torch.equal(value, donor.state_dict()[key]) for key, value in model.state_dict().items())
        config = model.pretrained_cfg
        assert branch.mean.flatten().tolist() == pytest.approx([255 * m for m in config["mean"]])
        assert branch.std.flatten().tolist() == pytest.approx([255 * s for s in config["std"]])

    def test_another_number_of_classes_gets_a_fresh_classifier_and_everything_else(self, tmp_path: Path) -> None:
        donor, model = published(tmp_path, RESNET, classes=len(CLASSES))
        before = model.fc.weight.clone()
        Pretrained().load(model, RGB_VIEW)
        assert torch.equal(model.fc.weight, before)
        assert torch.equal(model.layer1[0].conv1.weight, donor.layer1[0].conv1.weight)

    @pytest.mark.slow
    def test_two_classifiers_of_a_distilled_transformer(self, tmp_path: Path) -> None:
        donor, model = published(tmp_path, "deit_tiny_distilled_patch16_224", classes=len(CLASSES))
        Pretrained().load(model, View("rgb", RGB, (224, 224)))
        assert torch.equal(model.blocks[0].attn.qkv.weight, donor.blocks[0].attn.qkv.weight)

    def test_a_transformer_for_another_image_size_gets_its_positions_resized(self, tmp_path: Path) -> None:
        name = "test_vit"
        donor, _ = published(tmp_path, name)
        overlay = {"file": str(tmp_path / f"{name}.pth"), "num_classes": 10}
        model = timm.create_model(name, num_classes=10, img_size=(32, 48), pretrained_cfg_overlay=overlay)
        Pretrained().load(model, View("rgb", RGB, (32, 48)))
        assert torch.equal(model.blocks[0].attn.qkv.weight, donor.blocks[0].attn.qkv.weight)
        assert model.pos_embed.shape[1] == 1 + 2 * 3
        assert torch.allclose(model.pos_embed[:, :1], donor.pos_embed[:, :1])

    def test_a_sensor_with_other_channels_needs_a_named_policy(self, tmp_path: Path) -> None:
        _, model = published(tmp_path, RESNET, channels=1)
        with pytest.raises(ValueError, match=r"the weights expect 3 channels, the sensor has 1; use .*'average'.*'inflate'"):
            Pretrained().load(model, THERMAL_VIEW)

    @pytest.mark.parametrize(
        ("policy", "channels"), [("average", 1), ("average", 2), ("average", 5), ("inflate", 4), ("inflate", 5), ("inflate", 6)]
    )
    def test_a_constant_image_answers_alike_whatever_the_number_of_channels(self, tmp_path: Path, policy: Any, channels: int) -> None:
        donor, model = published(tmp_path, RESNET, channels=channels)
        sensor = Sensor("many", channels, "counts", (0.0, 255.0), (100.0,) * channels, (50.0,) * channels)
        Pretrained(channels=policy).load(model, View("many", sensor, (32, 32)))
        with torch.no_grad():
            torch.testing.assert_close(model(torch.full((1, channels, 32, 32), 0.7)), donor(torch.full((1, 3, 32, 32), 0.7)))

    def test_inflating_keeps_the_channels_apart(self, tmp_path: Path) -> None:
        donor, model = published(tmp_path, RESNET, channels=6)
        sensor = Sensor("six", 6, "counts", (0.0, 255.0), (100.0,) * 6, (50.0,) * 6)
        Pretrained(channels="inflate").load(model, View("six", sensor, (32, 32)))
        first = f"{model.pretrained_cfg['first_conv']}.weight"
        old = donor.state_dict()[first]
        assert torch.allclose(model.state_dict()[first], torch.cat([old, old], 1) / 2)

    def test_fewer_channels_cannot_be_inflated(self, tmp_path: Path) -> None:
        _, model = published(tmp_path, RESNET, channels=1)
        with pytest.raises(ValueError, match=r"'inflate' repeats 3 channels, the sensor has 1; use channels='average'"):
            Pretrained(channels="inflate").load(model, THERMAL_VIEW)

    def test_statistics_become_those_of_a_sensor_with_another_range(self, tmp_path: Path) -> None:
        _, model = published(tmp_path, RESNET, channels=1)
        mean, std = Pretrained(channels="average").load(model, THERMAL_VIEW)
        config, (low, high) = model.pretrained_cfg, THERMAL_VIEW.modality.range
        assert mean == pytest.approx((low + (high - low) * sum(config["mean"]) / 3,))
        assert std == pytest.approx(((high - low) * sum(config["std"]) / 3,))

    def test_a_network_that_nobody_published_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"Pretrained\(\) needs one timm model .* got CNN, which is none; use Checkpoint"):
            rgb_branch(weights=Pretrained())

    def test_a_timm_model_without_published_weights_is_refused_and_not_left_random(self) -> None:
        model = timm.create_model("ghostnet_050", num_classes=3)
        with pytest.raises(ValueError, match=r"timm has no pretrained weights of ghostnet_050; take another network, or a file"):
            Pretrained().load(model, RGB_VIEW)


class TestNamed:
    def test_a_frozen_branch_needs_weights(self) -> None:
        with pytest.raises(ValueError, match=r"a frozen branch on view 'rgb' has random weights: .*Checkpoint.*Random\(frozen=True\)"):
            rgb_branch(frozen=True)

    def test_or_the_word_that_random_is_meant(self) -> None:
        assert rgb_branch(weights=Random(frozen=True), frozen=True).frozen

    def test_each_keeps_the_protocol(self) -> None:
        assert all(isinstance(weights, Weights) for weights in (Random(), EMA("rgb"), Pretrained(), Checkpoint("x")))

    def test_a_users_own_weights_serve_too(self) -> None:
        class Zeros:
            def load(self, model: nn.Module, view: View) -> tuple[tuple[float, ...], tuple[float, ...]]:
                for tensor in model.parameters():
                    nn.init.zeros_(tensor)
                return (0.0,) * 3, (1.0,) * 3

        def total(tensors: list[Tensor]) -> float:
            return float(sum(tensor.detach().abs().sum() for tensor in tensors))

        assert total(list(rgb_branch(weights=Zeros()).model.parameters())) == 0
