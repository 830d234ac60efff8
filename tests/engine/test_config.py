"""Configs: overrides, and mistakes that are named together with what is legal."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import engine_runs as runs
import pytest
import torch
from yapf.yapflib.yapf_api import FormatCode

from xkd.batch import Annotation
from xkd.data.annotations import Labels, Masks
from xkd.data.mix import Mix
from xkd.data.shuffle import Shuffle
from xkd.engine.checks import check_annotation
from xkd.engine.config import as_plain, load_config, parse_options
from xkd.engine.loaders import build_loader
from xkd.engine.sections import SECTIONS
from xkd.tasks import Classification


def test_options_are_literals_or_text() -> None:
    assert parse_options(["a.b=2", "c=adam", "d=(1, 2)", "e=a=b"]) == {"a.b": 2, "c": "adam", "d": (1, 2), "e": "a=b"}
    with pytest.raises(ValueError, match=r"takes KEY=VALUE.*; got 'lr'"):
        parse_options(["lr"])

    spelled = ["a=false", "b=TRUE", "c=none", "d=[rgb, thermal]", "e=(rgb,None)", "f=a,b", "g=-inf", "h={'type': 'a.B', 'c': false}"]
    assert list(parse_options(spelled).values()) == [
        *(False, True, None, ["rgb", "thermal"], ("rgb", None), ["a", "b"], -math.inf, {"type": "a.B", "c": False})
    ]
    as_text = ["a='false'", "b=no", "c=2024-01-01", "d=work_dirs/x.pth", "e=blocks.11", "f=", "g=a b"]
    assert list(parse_options(as_text).values()) == ["false", "no", "2024-01-01", "work_dirs/x.pth", "blocks.11", "", "a b"]
    with pytest.raises(ValueError, match=r"--cfg-options a: \[blocks\.11\] is no list, tuple or dict that can be read; put the texts"):
        parse_options(["a=[blocks.11]"])


def test_options_reach_every_depth(tmp_path: Path) -> None:
    options = {
        "distiller.terms.kd.weight": 2.0,
        "distiller.terms.kd.loss.tau": 3.0,
        "train_dataloader.dataset.views.0.size": (8, 8),
        "train_dataloader.sampler.balanced": True,
        "param_scheduler.0.T_max": 9,
        "train_cfg.val_begin": 2,
        "vis_backends": [],
    }
    config = runs.config_of(tmp_path, runs.GRAPH, options)
    assert config.distiller.terms.kd.weight == 2.0  # was not in the file
    assert config.distiller.terms.kd.loss.tau == 3.0
    assert config.train_dataloader.dataset.views[0]["size"] == (8, 8)
    assert config.train_dataloader.sampler == {"shuffle": True, "balanced": True}
    assert config.param_scheduler[0]["T_max"] == 9
    assert config.train_cfg.val_begin == 2
    assert config.vis_backends == []


OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "section": ({"train_cgf.max_epochs": 1}, r"'train_cgf.max_epochs' lies in no section \(did you mean 'train_cfg'\?\); .*'distiller'"),
    "variable of the file": ({"task": 1}, r"'task' lies in no section; the sections are"),
    "part of the path": ({"distiller.term.kd.weight": 1}, r"no key 'distiller.term'; there are \['student', 'task', 'branches', 'terms'\]"),
    "name of a term": (
        {"distiller.terms.kdd": 1},
        r"no key 'distiller.terms.kdd' to override; distiller.terms has \['ce', 'kd', 'loss_mean'\]",
    ),
    "inside a number": ({"log_interval.a": 1}, r"'log_interval.a' lies inside log_interval = 2, which has no keys"),
    "place in a list": ({"param_scheduler.4": 1}, r"no 'param_scheduler.4'; there are 1 entries, counted from 0"),
    "nested argument": ({"distiller.terms.kd.loss.tua": 1}, r"KD takes no argument 'tua' \(did you mean 'tau'\?\); it takes \['tau'"),
    "loop": ({"train_cfg.max_epoch": 1}, r"train_cfg has no key 'max_epoch' \(did you mean 'max_epochs'\?\); it takes"),
    "iterations": ({"train_cfg.by_epoch": False}, r"by_epoch must be True"),
    "schedule that begins too late": (
        {"train_cfg.max_epochs": 1, "train_cfg.val_interval": 1, "param_scheduler.0.begin": 1},
        r"param_scheduler\[0\] begins at epoch 1, but train_cfg.max_epochs is 1",
    ),
    "endless": ({"train_cfg": {"by_epoch": True, "val_interval": 1}}, r"train_cfg needs max_epochs; it has \['by_epoch', 'val_interval'\]"),
    "never validated": ({"train_cfg.val_begin": 9}, r"val_begin 9 lies after max_epochs 3"),
    "no epoch": ({"train_cfg.max_epochs": 0}, r"train_cfg.max_epochs must be a whole number from 1 on, got 0"),
    "epochs as text": ({"train_cfg.max_epochs": "many"}, r"train_cfg.max_epochs must be a whole number from 1 on, got 'many'"),
    "optimiser": ({"optim_wrapper.optimizer.lrr": 1}, r"AdamW takes no argument 'lrr' \(did you mean 'lr'\?\)"),
    "wrapper": ({"optim_wrapper.accumulative_count": 1}, r"OptimWrapper takes no argument 'accumulative_count' \(did you mean"),
    "clipping": ({"optim_wrapper.clip_grad.max_nrom": 1}, r"clip_grad has no key 'max_nrom' \(did you mean 'max_norm'\?\)"),
    "schedule": (
        {"param_scheduler.0.T_maks": 1},
        r"param_scheduler\[0\] has no key 'T_maks' \(did you mean 'T_max'\?\); it takes .*'eta_min'",
    ),
    "loader": ({"train_dataloader.batchsize": 1}, r"train_dataloader has no key 'batchsize' \(did you mean 'batch_size'\?\)"),
    "batch as text": (
        {"train_dataloader.batch_size": "eight"},
        r"batch_size must be a whole number from 1 on, got 'eight'",
    ),
    "workers": ({"val_dataloader.num_workers": -1}, r"num_workers must be a whole number from 0 on or auto, got -1"),
    "start of workers": (
        {"val_dataloader.multiprocessing_context": "thread"},
        r"val_dataloader.multiprocessing_context says how workers start, \['fork', 'forkserver', 'spawn'\]; got 'thread'",
    ),
    "start of processes": (
        {"env_cfg": {"mp_cfg": {"mp_start_method": "fork"}}},
        r"env_cfg.mp_cfg.mp_start_method: each loader says how its workers start, train_dataloader.multiprocessing_context",
    ),
    "mixing in evaluation": ({"val_dataloader.mix": {"type": Mix, "num_classes": 3}}, r"samples are mixed in train_dataloader alone"),
    "mixing": ({"train_dataloader.mix": {"type": Mix, "classes": 3}}, r"Mix takes no argument 'classes' \(did you mean 'num_classes'\?\)"),
    "sampler": ({"train_dataloader.sampler.balance": 1}, r"sampler has no key 'balance' \(did you mean 'balanced'\?\)"),
    "an argument that became a part": (
        {"train_dataloader.dataset.label_fraction": 0.5},
        r"PairedDataset takes no argument 'label_fraction' \(did you mean 'labels\.fraction', in a config labels=dict\(type=L",
    ),
    "part without its class": ({"train_dataloader.dataset.masks": "boxes"}, r"dataset\.masks is made by dict\(type=Masks, \.\.\.\), got"),
    "argument of a part": (
        {"val_dataloader.dataset.masks.fracton": 0.5},
        r"Masks takes no argument 'fracton' \(did you mean 'fraction'\?\)",
    ),
    "part that is left out": (
        {"train_dataloader.dataset.shuffle.anchor": "rgb"},
        r"no key 'train_dataloader\.dataset\.shuffle'; .* it is left out, so name all of it: train_dataloader\.dataset\.shuffle=\{'type': ",
    ),
    "flag as text": (
        {"distiller.branches.thermal.frozen": "no"},
        r"branches\.thermal\.frozen must be True or False, got 'no', an",
    ),
    "weight as text": ({"distiller.terms.kd.weight": "high"}, r"terms\.kd\.weight must be a number or .*, got 'high', an argument of Term"),
    "rate as text": ({"optim_wrapper.optimizer.lr": "0.1"}, r"optimizer\.lr must be a number or Tensor, got '0\.1'"),
    "flag of a loader": ({"train_dataloader.drop_last": "off"}, r"train_dataloader\.drop_last must be True or False, got 'off'"),
    "flag as a number": ({"train_dataloader.batch_size": True}, r"batch_size must be a whole number from 1 on, got True"),
    "flag of a sampler": ({"train_dataloader.sampler.shuffle": "yes"}, r"sampler\.shuffle must be True or False, got 'yes'"),
    "flag of the loop": ({"train_cfg.by_epoch": "no"}, r"train_cfg\.by_epoch must be True or False, got 'no'"),
    "flag of a schedule": ({"param_scheduler.0.by_epoch": "no"}, r"param_scheduler\[0\]\.by_epoch must be True or False, got 'no'"),
    "flag of the schedule's unit": ({"param_scheduler.0.convert_to_iter_based": "no"}, r"convert_to_iter_based must be True or False"),
    "clipping as text": ({"optim_wrapper.clip_grad.max_norm": "five"}, r"clip_grad\.max_norm must be a number, got 'five'"),
    "default hook": ({"default_hooks": {"checkpoint": {"interval": "5"}}}, r"checkpoint\.interval must be a whole number, got '5'"),
    "default hook's argument": ({"default_hooks": {"checkpoint": {"intervall": 5}}}, r"takes no argument 'intervall' \(did you mean 'int"),
    "flag of the environment": ({"env_cfg": {"cudnn_benchmark": "off"}}, r"env_cfg\.cudnn_benchmark must be True or False, got 'off'"),
    "dataset": ({"train_dataloader.dataset.splitt": 1}, r"PairedDataset takes no argument 'splitt' \(did you mean 'split'\?\)"),
}


@pytest.mark.parametrize(("options", "message"), OPTIONS.values(), ids=list(OPTIONS))
def test_a_wrong_option_is_an_error(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises((KeyError, TypeError, ValueError), match=message) as error:
        runs.config_of(tmp_path, runs.GRAPH, options)
    assert "config.py" in str(error.value)


FILES = {
    "section": ("save_best =", "safe_best =", r"unknown section 'safe_best' \(did you mean 'save_best'\?\)"),
    "missing section": ("train_cfg =", "my_cfg =", r"sections \['train_cfg'\] are missing"),
    "argument": ('student="rgb.output"', 'students="rgb.output"', r"Term takes no argument 'students' \(did you mean 'student'\?\)"),
    "syntax": ("save_best =", "save best =", r"not a config that can be read: invalid syntax"),
    "name": ("from xkd.graph.term import Term", "from xkd.graph.term import Terms as Term", r"not a config that can be read: .*Terms"),
    "import": ("from xkd.graph.term import Term", "from xkd.terms import Term", r"not a config that can be read: .*xkd.terms"),
}


@pytest.mark.parametrize(("right", "wrong", "message"), FILES.values(), ids=list(FILES))
def test_a_wrong_file_is_an_error(right: str, wrong: str, message: str, tmp_path: Path) -> None:
    assert right in runs.PLAIN
    with pytest.raises((KeyError, TypeError, ValueError), match=message) as error:
        runs.config_of(tmp_path, runs.PLAIN.replace(right, wrong, 1))
    assert "config.py" in str(error.value)


@pytest.mark.parametrize("section", list(SECTIONS))
def test_a_section_of_another_kind_is_an_error(section: str, tmp_path: Path) -> None:
    wrong = 3 if section == "save_best" else "x"
    with pytest.raises(TypeError, match=rf"config\.py: {section} must be {SECTIONS[section]}, got {wrong!r}"):
        runs.config_of(tmp_path, runs.GRAPH, {section: wrong})


def test_hooks_are_dicts(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"custom_hooks must be a list of dicts, got \['x'\]"):
        runs.config_of(tmp_path, runs.GRAPH, {"custom_hooks": ["x"]})


def test_options_reach_into_what_a_file_leaves_to_its_default(tmp_path: Path) -> None:
    shuffle = {"type": "xkd.data.shuffle.Shuffle", "anchor": "rgb"}
    options = {"train_dataloader.dataset.labels.fraction": 0.5, "train_dataloader.dataset.shuffle": shuffle}
    config = runs.config_of(tmp_path, runs.GRAPH, options)
    assert as_plain(config.train_dataloader.dataset)["labels"] == {"type": Labels, "fraction": 0.5}
    assert "labels" not in config.val_dataloader.dataset
    dataset: Any = build_loader(config.train_dataloader, 7).dataset
    assert (dataset.labels, dataset.masks, dataset.shuffle) == (Labels(0.5, 7), Masks(seed=7), Shuffle("rgb"))
    named = runs.config_of(tmp_path, runs.GRAPH, {"train_dataloader.dataset.labels.seed": 3})
    assert build_loader(named.train_dataloader, 7).dataset.labels == Labels(seed=3)


def test_a_merge_into_a_branch_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"config\.py: not a config that can be read: .*no attribute"):
        runs.config_of(tmp_path, runs.PLAIN + "\ndistiller.branches.thermel.merge(dict(frozen=True))\n")


def test_a_loop_that_is_written_anew_counts_epochs(tmp_path: Path) -> None:
    config = runs.config_of(tmp_path, runs.PLAIN + "\ntrain_cfg = dict(max_epochs=1)\n")
    runs.run_training(config, tmp_path / "run")
    assert (tmp_path / "run" / "epoch_1.pth").is_file()


def test_no_config(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no config .*absent\.py"):
        load_config(tmp_path / "absent.py")


def test_a_checkpoint_that_is_not_there_is_named_with_the_commands_that_make_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no checkpoint teacher\.pth$"):
        runs.run_training(runs.config_of(tmp_path, runs.STUDENT), tmp_path / "run")
    told = '''"""One stage.

    python prepare.py --out data/x  # first
    xkd plan \\
        plan.py
"""
'''
    with pytest.raises(FileNotFoundError, match=r"teacher\.pth; .*config\.py: python prepare\.py --out data/x; xkd plan plan\.py$"):
        runs.run_training(runs.config_of(tmp_path, told + runs.STUDENT), tmp_path / "run")


def test_a_dumped_config_trains_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmengine.config.config.FormatCode", FormatCode)  # as users have it
    monkeypatch.setattr("xkd.engine.train.build_distiller", runs.double)
    config = load_config(runs.write(tmp_path, first=runs.GRAPH), {"train_cfg.max_epochs": 1, "distiller.terms.kd.weight": 2.0})
    config.dump(tmp_path / "dumped.py")
    runs.run_training(config, tmp_path / "a")
    runs.run_training(load_config(tmp_path / "a" / "first.py"), tmp_path / "b")  # what the run itself has written down
    runs.run_training(load_config(tmp_path / "dumped.py"), tmp_path / "c")
    states = [runs.read(tmp_path / name / "epoch_1.pth")["state_dict"] for name in "abc"]
    assert "\n                 " in (tmp_path / "dumped.py").read_text("utf-8"), "it was not laid out"
    for state in states[1:]:  # mmengine sorts keys when it dumps, so terms are added up in another order
        assert sorted(state) == sorted(states[0])
        torch.testing.assert_close({key: state[key] for key in states[0]}, dict(states[0]), rtol=1e-9, atol=1e-9)


WRONG_RUNS = {
    "score": ({"save_best": "val/f1"}, r"save_best = 'val/f1' is not measured; there are \['val/accuracy'"),
    "classes": (
        {"distiller.task.classes": ("blank", "disc", "ring")},
        r"classes \['blank', 'disc', 'ring'\] are not those of the train data",
    ),
    "order of classes": (
        {"distiller.task.classes": ("disc", "blank", "bar")},
        r"\['blank', 'disc', 'bar'\], in that order",
    ),
    "view": (
        {"distiller.branches.rgb.view.size": (8, 8)},
        r"branch 'rgb' takes View\(name='rgb'.*\(8, 8\).*train data provides .*\(16, 16\)",
    ),
    "batch": ({"train_dataloader.batch_size": 99, "train_dataloader.drop_last": True}, r"23 rows are fewer than one batch of 99"),
}


@pytest.mark.parametrize(("options", "message"), WRONG_RUNS.values(), ids=list(WRONG_RUNS))
def test_what_does_not_fit_together_is_said_before_training(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises((KeyError, ValueError), match=message):
        runs.run_training(runs.config_of(tmp_path, runs.PLAIN, options), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("several", [True, False])
def test_one_label_or_several_is_asked_of_data_and_task(several: bool, tmp_path: Path) -> None:
    manifest = SimpleNamespace(root=tmp_path)
    dataset = SimpleNamespace(annotation=Annotation("labels" if several else "label", ("a", "b")), manifest=manifest)
    check_annotation(Classification(("a", "b"), multilabel=several), {"train": SimpleNamespace(dataset=dataset)})
    with pytest.raises(
        ValueError, match=rf"the task has multilabel={not several}: use Classification\(\.\.\., multilabel={several}\), with "
    ):
        check_annotation(Classification(("a", "b"), multilabel=not several), {"train": SimpleNamespace(dataset=dataset)})
