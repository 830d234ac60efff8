"""What happens in a step of the Runner: the loss, what is logged of it, precision, clipping, accumulation, stopping."""

from __future__ import annotations

import io
import json
import re
from multiprocessing import get_all_start_methods, get_start_method, set_start_method
from pathlib import Path
from typing import Any

import cv2
import engine_runs as runs
import numpy as np
import pytest
import torch
from rich.console import Console
from torch import Tensor

from xkd.data.mix import Mix
from xkd.engine import precision
from xkd.engine.loaders import build_distiller, build_loader
from xkd.engine.model import DistillerModel
from xkd.graph.distiller import Distiller
from xkd.graph.gates import Confident
from xkd.losses import CrossEntropy
from xkd.tasks import Classification

Steps = list[dict[str, float]]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Each step's values as the optimiser gets them."""
    seen: Steps = []
    parse = DistillerModel.parse_losses

    def record(model: DistillerModel, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        total, logged = parse(model, losses)
        seen.append({"total": total.item(), **{name: float(value) for name, value in logged.items()}})
        return total, logged

    monkeypatch.setattr(DistillerModel, "parse_losses", record)
    return seen


def scalars(run: Path) -> list[dict[str, float]]:
    (path,) = run.glob("*/vis_data/scalars.json")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_term_called_loss_counts_once(steps: Steps, tmp_path: Path) -> None:
    runs.run_training(runs.config_of(tmp_path, runs.GRAPH, {"train_cfg.max_epochs": 1}), tmp_path / "run")
    assert len(steps) == 4
    for step in steps:
        assert step["total"] == step["loss"]
        assert step["loss"] == pytest.approx(step["term_ce"] + step["term_kd"] + 0.5 * step["term_loss_mean"], rel=1e-5)


def test_mixed_batches_are_the_same_whoever_makes_them_and_train_to_the_end(steps: Steps, tmp_path: Path) -> None:
    mixed = {"train_dataloader.mix": {"type": Mix, "num_classes": 3}, "train_cfg.max_epochs": 1}
    starts = get_all_start_methods()
    for start in ["alone", *starts]:
        workers = {"train_dataloader.multiprocessing_context": start, "train_dataloader.num_workers": 1} if start in starts else {}
        runs.run_training(runs.config_of(tmp_path, runs.GRAPH, {**mixed, **workers}), tmp_path / start, seed=3)
    alone = steps[:4]
    assert steps[4:] == len(starts) * alone
    assert all(np.isfinite(step["term_ce"]) for step in alone)


@pytest.mark.parametrize("start", get_all_start_methods())
def test_a_run_leaves_it_to_the_process_how_it_starts_others(start: str, tmp_path: Path) -> None:
    before = get_start_method()
    try:
        set_start_method(start, force=True)
        runs.run_training(
            runs.config_of(tmp_path, runs.PLAIN, {"env_cfg": {"mp_cfg": {"opencv_num_threads": 1}}}), tmp_path / "run", smoke=True
        )
        assert get_start_method() == start
        assert cv2.getNumThreads() == 1
    finally:
        set_start_method(before, force=True)


def test_what_is_logged_is_the_mean_of_the_interval(steps: Steps, tmp_path: Path) -> None:
    runs.run_training(runs.config_of(tmp_path, runs.GRAPH), tmp_path / "run")
    logged = [entry for entry in scalars(tmp_path / "run") if "loss" in entry]
    assert [entry["iter"] for entry in logged] == [2, 4, 6, 8, 10, 12]
    for place, entry in enumerate(logged):
        for name in ("loss", "term_ce", "term_kd", "term_loss_mean"):
            mean = np.mean([step[name] for step in steps[2 * place : 2 * place + 2]])
            assert entry[name] == pytest.approx(mean, rel=1e-5), (place, name)


def test_the_runner_takes_the_steps_of_a_hand_written_loop(steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xkd.engine.train.build_distiller", runs.double)
    config = runs.config_of(tmp_path, runs.GRAPH, {"param_scheduler": None})
    runs.run_training(config, tmp_path / "run", seed=3)
    loader, distiller = build_loader(config.train_dataloader, seed=3), runs.double(config.distiller, 3)
    optimizer = torch.optim.AdamW([p for p in distiller.parameters() if p.requires_grad], lr=3e-3, weight_decay=0.01)
    by_hand = []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        torch.manual_seed(int(np.random.SeedSequence([3, epoch, 0]).generate_state(1)[0]))
        for batch in loader:
            step = distiller(batch)
            optimizer.zero_grad()
            step.loss.backward()
            torch.nn.utils.clip_grad_norm_(distiller.parameters(), 5.0)
            optimizer.step()
            distiller.after_step()
            by_hand.append(step.loss.item())
    assert len(by_hand) == 12
    assert [step["loss"] for step in steps] == pytest.approx(by_hand, rel=1e-9)


def test_a_smoke_run_takes_labelled_rows_first(tmp_path: Path) -> None:
    """Train rows 9 to 14 are unlabelled; a split that begins with such rows would leave a smoke run nothing to measure."""
    config = runs.config_of(tmp_path, runs.GRAPH, {"train_dataloader.sampler.shuffle": False})
    smoke = build_loader(config.train_dataloader, seed=0, steps=2)
    assert torch.cat([batch.labelled for batch in smoke]).tolist() == [True] * 12
    assert not torch.cat([batch.labelled for batch in build_loader(config.train_dataloader, seed=0)]).all()


def test_a_term_that_is_not_a_number_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, calls = CrossEntropy.forward, iter(range(100))

    def poisoned(loss: CrossEntropy, student: Tensor, target: Tensor) -> Tensor:
        value = forward(loss, student, target)
        # the first call is the dry run, and each epoch begins with a look at its gradients: this is step 6, the second of epoch 2
        return value * torch.nan if next(calls) == 8 else value

    monkeypatch.setattr(CrossEntropy, "forward", poisoned)
    config = runs.config_of(tmp_path, runs.GRAPH, {"log_interval": 4})
    # by the end of the interval every term of the student is not a number
    message = (
        r"epoch 2, iteration 6: term ce, which compares rgb.output \(3,\) and batch.target \(\), is not finite \(.*; lr .*last checkpoint"
    )
    with pytest.raises(FloatingPointError, match=message) as error:
        runs.run_training(config, tmp_path / "run")
    assert "\n" not in str(error.value)
    state = runs.read(tmp_path / "run" / "epoch_1.pth")["state_dict"]
    assert all(value.isfinite().all() for value in state.values())
    assert not (tmp_path / "run" / "epoch_2.pth").exists()


@pytest.mark.parametrize("pays", [True, False], ids=["where it pays", "always"])
def test_amp_runs_networks_in_bfloat16_and_losses_in_float32(
    pays: bool, steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs: list[torch.dtype] = []
    losses: list[torch.dtype] = []
    call, forward = Classification.call, CrossEntropy.forward

    def spy_call(task: Classification, model: Any, images: Tensor, batch: Any) -> Tensor:
        output = call(task, model, images, batch)
        if torch.is_grad_enabled():  # the student learns; validation and the teacher do not
            outputs.append(output.dtype)
        return output

    def spy_loss(loss: CrossEntropy, student: Tensor, target: Tensor) -> Tensor:
        losses.append(torch.bfloat16 if torch.is_autocast_enabled("cpu") else student.dtype)
        return forward(loss, student, target)

    monkeypatch.setattr(precision, "bfloat16_pays", lambda: pays)  # where it does not, --amp alone stays in float32
    monkeypatch.setattr(Classification, "call", spy_call)
    monkeypatch.setattr(CrossEntropy, "forward", spy_loss)
    options: dict[str, Any] = {"train_cfg.max_epochs": 1}
    if not pays:
        options.update({"optim_wrapper.type": "xkd.engine.precision.BF16OptimWrapper", "optim_wrapper.always": True})
    runs.run_training(runs.config_of(tmp_path, runs.GRAPH, options), tmp_path / "run", amp=pays)
    assert set(outputs) == {torch.bfloat16}
    assert set(losses) == {torch.float32}
    assert all(value.dtype != torch.bfloat16 for value in runs.read(tmp_path / "run" / "best.pth")["state_dict"].values())


def test_accumulation_takes_fewer_optimiser_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    followed: list[int] = []
    follow = Distiller.after_step
    monkeypatch.setattr(Distiller, "after_step", lambda distiller: (followed.append(1), follow(distiller))[1])
    options = {"train_cfg.max_epochs": 1, "optim_wrapper.accumulative_counts": 2}
    runs.run_training(runs.config_of(tmp_path, runs.GRAPH, options), tmp_path / "run")
    assert len(followed) == 2


def test_the_rows_are_counted_aloud(tmp_path: Path) -> None:
    page = io.StringIO()
    console = Console(file=page, width=200)
    options = {"train_cfg.max_epochs": 1, "train_dataloader.dataset.labels.fraction": 0.5}
    runs.run_training(runs.config_of(tmp_path, runs.PLAIN, options), tmp_path / "run", console)
    output = page.getvalue()
    assert re.search(r"train: 23 rows, \d of them labelled \(labels.fraction 0.5\)", output)
    assert re.search(r"val: \d+ rows, \d+ of them labelled\n", output)


def test_gradients_are_clipped(tmp_path: Path) -> None:
    sgd = runs.PLAIN.replace("from torch.optim import AdamW", "from torch.optim import SGD").replace(
        "type=AdamW, lr=3e-3, weight_decay=0.01", "type=SGD, lr=1.0"
    )
    options = {"optim_wrapper.clip_grad.max_norm": 1e-6, "param_scheduler": None, "train_cfg.max_epochs": 1}
    config = runs.config_of(tmp_path, sgd, options)
    before = build_distiller(config.distiller, 0).state_dict()
    runs.run_training(config, tmp_path / "run")
    after = runs.read(tmp_path / "run" / "epoch_1.pth")["state_dict"]
    parameters = [name for name, _ in build_distiller(config.distiller, 0).named_parameters()]
    moved = torch.cat([(after[f"distiller.{name}"] - before[name]).flatten() for name in parameters]).norm()
    assert 0 < moved < 5e-6
    assert all("grad_norm" in entry for entry in scalars(tmp_path / "run") if "loss" in entry)


def test_early_stopping_class_weights_and_tensorboard(tmp_path: Path) -> None:
    text = (
        runs.PLAIN.replace("from mmengine.optim", "from mmengine.hooks import EarlyStoppingHook\nfrom mmengine.optim", 1)
        .replace("from torch.optim", "from mmengine.visualization import TensorboardVisBackend\nfrom torch.optim", 1)
        .replace("type=CrossEntropy", "type=CrossEntropy, weight=(1.0, 2.0, 3.0)", 1)
        + 'stop = dict(type=EarlyStoppingHook, monitor="val/accuracy", rule="greater", min_delta=2.0, patience=2, priority="LOW")\n'
        + "custom_hooks = [stop]\n"
        + "vis_backends = [dict(type=TensorboardVisBackend)]\n"
    )
    config = runs.config_of(tmp_path, text, {"train_cfg.max_epochs": 9, "optim_wrapper.paramwise_cfg": dict(bias_decay_mult=0.0)})
    weighted = build_distiller(config.distiller, 0).terms["ce"].loss.weight
    assert isinstance(weighted, Tensor)
    assert weighted.tolist() == [1.0, 2.0, 3.0]
    result = runs.run_training(config, tmp_path / "run")
    assert result.epochs == 3
    assert list((tmp_path / "run").glob("*/vis_data/events.out.tfevents.*"))


def test_default_hooks_are_changed_by_key(tmp_path: Path) -> None:
    text = f"{runs.PLAIN}\ndefault_hooks = dict(checkpoint=dict(max_keep_ckpts=3))\n"
    runs.run_training(runs.config_of(tmp_path, text), tmp_path / "run")
    assert len(list((tmp_path / "run").glob("epoch_*.pth"))) == 3
    assert (tmp_path / "run" / "best.pth").is_file()


def test_the_share_of_each_terms_gradient_is_logged_and_a_drowned_term_named(tmp_path: Path) -> None:
    config = runs.config_of(tmp_path, runs.GRAPH, {"train_cfg.max_epochs": 2, "log_interval": 1})
    name = next(name for name in config.distiller.terms if name != "ce")
    config.distiller.terms[name]["weight"] = 1e-6
    screen = io.StringIO()
    runs.run_training(config, tmp_path / "run", Console(file=screen, width=400))
    log = next((tmp_path / "run").glob("*/vis_data/scalars.json")).read_text().splitlines()
    shares = [json.loads(line) for line in log if f"gradient_{name}" in line]
    assert len(shares) >= 2
    assert sum(value for key, value in shares[0].items() if key.startswith("gradient_")) == pytest.approx(1)
    output = screen.getvalue()
    assert "gradient at " in output
    assert output.count(f"epoch 1: term '{name}' has ") == 1, "once"
    assert "does not reach" not in output


def test_a_term_that_reaches_nothing_is_told(tmp_path: Path) -> None:
    gate = {"type": Confident, "reading": "thermal.output", "threshold": 0.999999}
    config = runs.config_of(tmp_path, runs.GRAPH, {"train_cfg.max_epochs": 2, "distiller.terms.kd.gate": gate})
    screen = io.StringIO()
    runs.run_training(config, tmp_path / "run", Console(file=screen, width=400))
    assert (
        screen.getvalue().count("epoch 1: term 'kd' does not reach the student: in this batch no row has rgb.output and thermal.output")
        == 1
    )


def test_what_a_peer_learns_by_is_not_called_out_of_the_students_reach(tmp_path: Path) -> None:
    terms = 'peers=dict(type=Term, loss=dict(type=CrossEntropy), student="peer.output", teacher="batch.target"), ce='
    peer = "peer=dict(type=Branch, model=dict(type=CNN), view=rgb, weights=dict(type=Random))"
    text = runs.PLAIN.replace("branches=dict(rgb=", f"branches=dict({peer}, rgb=")
    config = runs.config_of(tmp_path, text.replace("terms=dict(ce=", f"terms=dict({terms}"), {"train_cfg.max_epochs": 1})
    assert set(config.distiller.terms) == {"ce", "peers"}
    screen = io.StringIO()
    runs.run_training(config, tmp_path / "run", Console(file=screen, width=400))
    assert "peers 0 %" in screen.getvalue()
    assert "does not reach" not in screen.getvalue()
