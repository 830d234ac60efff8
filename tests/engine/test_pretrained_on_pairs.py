"""Weights from pairs alone: the derived run asks for no label, is chosen by held-out pairs, and another run begins with it."""

from __future__ import annotations

import io
import json
import math
import shutil
from pathlib import Path
from typing import Any

import engine_runs as runs
import pytest
import timm
import torch
from rich.console import Console

from xkd import cli
from xkd.batch import View
from xkd.engine.config import as_plain
from xkd.engine.loaders import build_distiller
from xkd.engine.model import DistillerModel, TermMetric
from xkd.engine.outline import Outline
from xkd.engine.pairs import pairs_config
from xkd.engine.stages import first_run, teacher_config
from xkd.evidence import controls
from xkd.evidence.arms import make_arms
from xkd.graph.branch import Branch
from xkd.graph.weights import Checkpoint, Random
from xkd.modalities import Thermal
from xkd.tasks import Features, PixelHead

pytestmark = pytest.mark.usefixtures("data_root")

PAIRS = (
    runs.TEACHER.replace(
        "weights=dict(type=Random)",
        "weights=dict(type=PretrainedOnPairs, teacher=dict(type=Branch, model=dict(type=CNN), view=rgb,"
        ' weights=dict(type=Checkpoint, path="rgb.pth")), taps=("deep", ("stem", "deep")){})',
    ).replace("import EMA, Checkpoint, Random", "import EMA, Checkpoint, Random\nfrom xkd.graph.pairs import PretrainedOnPairs")
    + 'compare = dict(cluster="frame")\n'
)
"""A thermal network that a network on RGB has taught."""
FEW = {"train_dataloader.dataset.labels": {"type": "xkd.data.annotations.Labels", "fraction": 0.2}}


def on_pairs(more: str = "") -> str:
    return PAIRS.replace("{})", f"{more})")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a trained network on RGB, rgb.pth."""
    monkeypatch.chdir(tmp_path)
    done = runs.run_training(runs.config_of(tmp_path, runs.PLAIN, {"train_cfg.max_epochs": 1, "param_scheduler": []}), tmp_path / "rgb")
    Path(done.checkpoint).rename(tmp_path / "rgb.pth")
    return tmp_path


def derived(folder: Path, more: str = "", options: dict[str, Any] | None = None) -> Any:
    return pairs_config(runs.config_of(folder, on_pairs(more), options), "thermal")


def test_the_derived_run_is_a_frozen_branch_a_learning_branch_and_feature_terms(tmp_path: Path) -> None:
    made = derived(tmp_path)
    outline = Outline.of(made)
    assert (outline.student, list(outline.branches)) == ("thermal", ["teacher", "thermal"])
    assert outline.branches["teacher"]["frozen"]
    assert not outline.branches["thermal"].get("frozen", False)
    assert outline.branches["thermal"]["weights"] == {"type": Random}
    assert as_plain(made.distiller.task) == {"type": Features}
    terms = as_plain(made.distiller.terms)
    assert [(of["student"], of["teacher"]) for of in terms.values()] == [
        ("thermal.hint1", "teacher.hint1"),
        ("thermal.hint2", "teacher.hint2"),
    ]
    assert [as_plain(outline.branches[name]["taps"])["hint2"]["path"] for name in ("thermal", "teacher")] == ["stem", "deep"]
    for split in ("train", "val", "test"):
        assert [view["name"] for view in as_plain(made[f"{split}_dataloader"].dataset.views)] == ["thermal", "rgb"]
    assert made.save_best == "val/loss"


def test_one_run_serves_every_share_of_the_labels(tmp_path: Path) -> None:
    folders = [first_run(runs.config_of(tmp_path, on_pairs(), options), "thermal", tmp_path, 0, {})[1] for options in ({}, FEW)]
    assert folders[0] == folders[1]


def test_it_has_its_own_epochs_start_and_options_and_every_pair(tmp_path: Path) -> None:
    more = ', start=dict(type=Checkpoint, path="x.pth"), epochs=5, augment=dict(flip=0.0), options={"distiller.terms.hint1.weight": 2.0}'
    made = derived(tmp_path, more, {"train_dataloader.sampler.labelled_share": 0.5})
    assert made.train_cfg.max_epochs == 5
    assert made.train_dataloader.dataset.augment.flip == 0.0
    assert made.distiller.terms.hint1.weight == 2.0
    assert as_plain(made.distiller.branches.thermal)["weights"]["path"] == "x.pth"
    assert "labelled_share" not in made.train_dataloader.sampler


MISTAKES = {
    "random": ('dict(type=Checkpoint, path="rgb.pth")', "dict(type=Random, frozen=True)", "a network that knows something"),
    "untaught": ('dict(type=Checkpoint, path="rgb.pth")', "dict(type=PretrainedOnPairs)", "a network that knows something"),
    "an argument": ("taps=", "tabs=", "takes no argument 'tabs'"),
    "a type": ("taps=(", "taps=(3, ", "taps"),
    "no teacher": ("teacher=dict(", "epochs=2, augment=dict(", "teacher is missing|takes no argument"),
}


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_mistakes(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, KeyError, TypeError), match=message):
        pairs_config(runs.config_of(tmp_path, on_pairs().replace(old, new, 1)), "thermal")


def test_a_network_begins_with_what_pairs_have_taught_and_no_label_is_asked(here: Path) -> None:
    console = Console(record=True, width=200, file=io.StringIO())
    config = runs.config_of(here, on_pairs())
    done = runs.run_training(config, here / "work" / "run", console)
    (folder,) = (here / "work" / "trained" / "thermal_pairs").iterdir()
    assert "'thermal' on pairs is trained first" in (said := console.export_text())
    assert "on val loss" in said
    result = json.loads((folder / "result.json").read_text("utf-8"))
    assert result["save_best"] == "val/loss"
    state = runs.read(folder / "best.pth")
    assert state["meta"]["xkd"]["classes"] == []
    assert not any(key.startswith("distiller.branches.teacher.") for key in state["state_dict"])
    assert done.save_best == "val/macro_f1"


def test_the_best_checkpoint_has_the_least_loss_on_held_out_pairs(here: Path) -> None:
    config = derived(here)
    done = runs.run_training(config, here / "pairs")
    lines = (here / "pairs").rglob("scalars.json")
    scores = [json.loads(line)["val/loss"] for path in lines for line in path.read_text("utf-8").splitlines() if "val/loss" in line]
    assert len(scores) == 3
    assert done.best == pytest.approx(min(scores), rel=1e-5)
    assert done.best < max(scores)


def test_the_loss_on_val_is_the_mean_over_its_rows_whatever_the_batch(here: Path) -> None:
    losses = []
    for size in (12, 5):
        options = {"val_dataloader.batch_size": size, "train_cfg.max_epochs": 1, "param_scheduler": []}
        losses.append(runs.run_training(derived(here, options=options), here / f"pairs{size}").best)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_validation_leaves_the_randomness_of_training_alone(here: Path) -> None:
    ends = []
    for name, interval in (("often", 1), ("once", 3)):
        done = runs.run_training(derived(here, options={"train_cfg.val_interval": interval}), here / name)
        ends.append(runs.read(Path(done.checkpoint).parent / "epoch_3.pth")["state_dict"])
    assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())


def test_sensors_that_never_meet_are_told_before_the_first_step(here: Path, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (tiny_dataset / "manifest.csv").read_text("utf-8").splitlines()
    apart = [
        ",".join("" if place == 3 + at % 2 else cell for place, cell in enumerate(line.split(","))) for at, line in enumerate(lines[1:])
    ]
    folder = here / "data" / "tiny"
    folder.parent.mkdir()
    shutil.copytree(tiny_dataset, folder)
    (folder / "manifest.csv").write_text("\n".join([lines[0], *apart]) + "\n", "utf-8")
    monkeypatch.setenv("XKD_DATA_ROOT", str(folder.parent))
    with pytest.raises(ValueError, match="no row of split 'train' has all of \\['rgb', 'thermal'\\]"):
        runs.run_training(derived(here), here / "pairs")


def test_a_scheduled_weight_makes_losses_of_epochs_incomparable(here: Path) -> None:
    config = derived(here, ', options={"distiller.terms.hint1.weight": dict(type="xkd.graph.schedules.Ramp", weight=1.0, start=0, end=2)}')
    with pytest.raises(ValueError, match="the weight of 'hint1' changes over the run"):
        runs.run_training(config, here / "pairs")


def test_terms_that_remember_rows_judge_nothing(here: Path) -> None:
    term = 'dict(type="xkd.losses.CRD", num_rows=24, num_negatives=4)'
    both = f'{{"distiller.terms.hint1.loss": {term}, "distiller.terms.hint2.loss": {term}}}'
    with pytest.raises(ValueError, match="remember the rows of training by their number"):
        runs.run_training(derived(here, f", options={both}"), here / "pairs")


def test_any_run_may_be_chosen_by_a_term_on_val(tmp_path: Path) -> None:
    text = runs.PLAIN.replace('save_best = "val/macro_f1"', 'save_best = "val/term_ce"')
    done = runs.run_training(runs.config_of(tmp_path, text), tmp_path / "run")
    assert done.save_best == "val/term_ce"
    with pytest.raises(KeyError, match=r"'val/term_kd' is not measured; there are .*'val/macro_f1', 'val/loss', 'val/term_ce'"):
        runs.run_training(runs.config_of(tmp_path, text.replace("term_ce", "term_kd")), tmp_path / "other")


def test_alone_and_from_scratch_know_nothing_of_the_pairs(tmp_path: Path) -> None:
    path = runs.write(tmp_path, student=on_pairs(', start=dict(type=Checkpoint, path="start.pth"), epochs=2'))
    arms = {arm.name: arm for arm in make_arms(path, {})}
    assert [name for name, arm in arms.items() if not arm.control] == ["alone", "scratch", "distilled", "shuffled"]
    start = as_plain(arms["alone"].config().distiller.branches.thermal)["weights"]
    assert start["path"] == "start.pth"
    assert as_plain(arms["scratch"].config().distiller.branches.thermal)["weights"] == {"type": Random}
    assert arms["longer"].config().train_cfg.max_epochs == 5
    shuffled = pairs_config(arms["shuffled"].config(), "thermal")
    assert shuffled.train_dataloader.dataset.shuffle.anchor == "thermal"
    assert "shuffle" not in shuffled.val_dataloader.dataset, "the checkpoint is chosen on true pairs in all arms"


def test_a_teacher_may_begin_with_pairs_too(tmp_path: Path) -> None:
    text = runs.STUDENT.replace(
        'weights=dict(type=Checkpoint, path="teacher.pth")',
        "weights=dict(type=Trained, start=dict(type=PretrainedOnPairs, teacher=dict(type=Branch, model=dict(type=CNN), view=rgb,"
        ' weights=dict(type=Checkpoint, path="rgb.pth")), taps=("deep",)))',
    ).replace("import EMA, Checkpoint, Random", "import EMA, Checkpoint, Random, Trained\nfrom xkd.graph.pairs import PretrainedOnPairs")
    text = text.replace('compare = dict(teachers=dict(thermal="teacher.py"), ', "compare = dict(")
    config = runs.config_of(tmp_path, text)
    teacher = teacher_config(config, "thermal")
    assert Outline.of(teacher).on_pairs == ["thermal"]
    assert list(as_plain(pairs_config(teacher, "thermal").distiller.terms)) == ["hint1"]
    assert Outline.of(controls.alone(config)).made_first == []


def test_a_teacher_on_the_students_own_sensor_has_no_pairs_to_begin_with(tmp_path: Path) -> None:
    timm_model = 'model=dict(type=timm.create_model, model_name="resnet10t", in_chans=1, num_classes=3)'
    begun = "dict(type=PretrainedOnPairs, teacher=dict(type=Branch, model=dict(type=CNN), view=rgb, weights=dict(type=Pretrained)))"
    text = runs.STUDENT.replace("model=dict(type=CNN, channels=1)", timm_model).replace("from core_models", "import timm\nfrom core_models")
    text = text.replace('dict(type=Checkpoint, path="teacher.pth")', f"dict(type=Trained, start={begun})")
    text = text.replace("import EMA, Checkpoint, Random", "import EMA, Checkpoint, Pretrained, Random, Trained")
    text = text.replace(
        'compare = dict(teachers=dict(thermal="teacher.py"), ', "from xkd.graph.pairs import PretrainedOnPairs\ncompare = dict("
    )
    text = text.replace(', attention=dict(rgb="grad_cam:deep", thermal="grad_cam:deep")', "").replace(
        "from xkd.graph.pairs import PretrainedOnPairs\n", ""
    )
    text = text.replace("from xkd.graph.term", "from xkd.graph.pairs import PretrainedOnPairs\nfrom xkd.graph.term")
    made = {arm.name: arm for arm in make_arms(runs.write(tmp_path, student=text), {})}
    own = as_plain(made["same_sensor_teacher"].config().distiller.branches.thermal)
    assert own["view"]["name"] == "rgb"
    assert own["weights"] == {"type": Random}
    assert Outline.of(made["teacher"].config()).on_pairs == ["thermal"]


@pytest.mark.parametrize("command", ["test", "export", "predict", "compare"])
def test_features_give_no_answers(command: str, here: Path, tiny_dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = runs.run_training(derived(here), here / "pairs_run")
    config = Path(done.checkpoint).parent / "config.py"  # what the run has written down
    words = {"compare": [], "predict": [done.checkpoint, str(tiny_dataset / "thermal")]}.get(command, [done.checkpoint])
    assert cli.run(command, [str(config), *words]) == 2
    assert "knows no classes" in capsys.readouterr().err


def test_features_can_be_looked_at(here: Path) -> None:
    done = runs.run_training(derived(here), here / "pairs_run")
    config = Path(done.checkpoint).parent / "config.py"
    words = [str(config), done.checkpoint, "--num", "2", "--method", "attention:deep", "--no-teachers", "--out", str(here / "panels")]
    assert cli.run("visualize", words) == 0
    assert (here / "panels" / "contact_sheet.png").is_file()


def test_a_frozen_network_that_knows_no_classes_does_not_answer(here: Path) -> None:
    done = runs.run_training(derived(here), here / "pairs_run")
    text = runs.STUDENT.replace('path="teacher.pth"', f'path="{done.checkpoint}", may_miss=("fc.*",)')
    with pytest.raises(ValueError, match=r"'thermal\.output' is read: .* is of a run without labels"):
        runs.run_training(runs.config_of(here, text), here / "student")


def test_a_frozen_branch_on_pairs_must_be_read_at_its_taps(tmp_path: Path) -> None:
    begun = "dict(type=PretrainedOnPairs, teacher=dict(type=Branch, model=dict(type=CNN), view=rgb, weights=dict(type=Pretrained)))"
    text = runs.STUDENT.replace('dict(type=Checkpoint, path="teacher.pth")', begun)
    text = text.replace("import EMA, Checkpoint, Random", "import EMA, Checkpoint, Pretrained, Random")
    text = text.replace("from xkd.graph.term", "from xkd.graph.pairs import PretrainedOnPairs\nfrom xkd.graph.term")
    with pytest.raises(ValueError, match=r"branch 'thermal' is frozen and a term reads 'thermal\.output'"):
        pairs_config(runs.config_of(tmp_path, text), "thermal")


def test_pairs_are_of_two_views(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="branch and teacher see one view, 'thermal'"):
        pairs_config(runs.config_of(tmp_path, on_pairs().replace("view=rgb,", "view=thermal,", 1)), "thermal")


def test_a_network_for_pixels_begins_with_what_it_learned_as_one(tmp_path: Path) -> None:
    view = View("thermal", Thermal(), (32, 32))

    def network() -> PixelHead:
        return PixelHead(timm.create_model("resnet10t", in_chans=1, features_only=True, out_indices=(2,)), 2)

    learned = network()
    prefix = "distiller.branches.thermal."
    state = {f"{prefix}model.{key}": value for key, value in learned.state_dict().items()}
    state |= {f"{prefix}{name}": torch.full((1, 1, 1, 1), 2.0) for name in ("mean", "std")}
    torch.save({"meta": {"xkd": {"student": "thermal", "classes": []}}, "state_dict": state}, tmp_path / "best.pth")
    branch = Branch(network(), view, Checkpoint(str(tmp_path / "best.pth")))
    assert all(torch.equal(value, branch.model.state_dict()[key]) for key, value in learned.state_dict().items())


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_loss_that_is_not_finite_is_no_missing_row(value: float, here: Path) -> None:
    distiller = build_distiller(derived(here).distiller, 0)
    distiller.terms["hint2"].num_rows = 1
    of_rows = DistillerModel(distiller)._of_rows("hint2", torch.tensor(value), 2)
    assert of_rows.isinf().tolist() == [True, False]
    metric = TermMetric(distiller)
    metric.results = [torch.tensor([1.0, of_rows[0]]), torch.tensor([1.0, 2.0])]
    with pytest.raises(ValueError, match="term 'hint2' is not finite on val"):
        metric.compute_metrics(metric.results)
