"""Runs that others start from: a teacher with `weights=Trained()` is derived, trained once, reused, and shown like any arm."""

from __future__ import annotations

import io
import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import engine_runs as runs
import pytest
from rich.console import Console

from xkd import cli
from xkd.engine.config import as_plain
from xkd.engine.fingerprint import fingerprint, made_of
from xkd.engine.outline import Outline
from xkd.engine.stages import run_once, teacher_config
from xkd.evidence.arms import make_arms
from xkd.graph.state_dicts import load_file
from xkd.graph.weights import Checkpoint, Random, Trained

TRAINED = (
    runs.STUDENT.replace('weights=dict(type=Checkpoint, path="teacher.pth")', "weights=dict(type=Trained{})")
    .replace("import EMA, Checkpoint, Random", "import EMA, Checkpoint, Random, Trained")
    .replace('compare = dict(teachers=dict(thermal="teacher.py"), ', "compare = dict(")
)


def trained(more: str = "") -> str:
    return TRAINED.replace("type=Trained{}", f"type=Trained{more}")


def test_the_derived_run_is_what_a_person_would_write_for_the_teacher(tmp_path: Path) -> None:
    derived = teacher_config(runs.config_of(tmp_path, trained()), "thermal")
    written = runs.config_of(tmp_path, runs.TEACHER)
    for section in ("distiller", "val_dataloader", "test_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "save_best"):
        assert as_plain(derived[section]) == as_plain(written[section]), section
    assert [view["name"] for view in as_plain(derived.train_dataloader.dataset.views)] == ["thermal"]
    assert as_plain(derived.compare) == {"cluster": "frame", "attention": {"thermal": "grad_cam:deep"}}


def test_every_step_of_a_teacher_is_of_labelled_rows(tmp_path: Path) -> None:
    config = runs.config_of(tmp_path, trained(), {"train_dataloader.sampler.labelled_share": 0.5})
    assert teacher_config(config, "thermal").train_dataloader.sampler.labelled_share == 1.0
    assert config.train_dataloader.sampler.labelled_share == 0.5, "the student's stays"


def test_a_teacher_may_have_its_own_epochs_augmentation_and_settings(tmp_path: Path) -> None:
    more = ', epochs=5, augment=dict(flip=0.0, rotate=9.0), options={"optim_wrapper.optimizer.lr": 0.25, "train_dataloader.batch_size": 3}'
    made = teacher_config(runs.config_of(tmp_path, trained(more)), "thermal")
    assert (made.train_cfg.max_epochs, made.optim_wrapper.optimizer.lr, made.train_dataloader.batch_size) == (5, 0.25, 3)
    assert (made.train_dataloader.dataset.augment.flip, made.train_dataloader.dataset.augment.rotate) == (0.0, 9.0)


def test_weights_of_its_terms_are_the_students_matter(tmp_path: Path) -> None:
    config = runs.config_of(tmp_path, trained(), {"distiller.terms.ce.weight": 0.1, "distiller.terms.kd.weight": 7.0})
    assert list(as_plain(teacher_config(config, "thermal").distiller.terms)) == ["ce"]
    assert "weight" not in teacher_config(config, "thermal").distiller.terms.ce


MISTAKES: dict[str, tuple[str, dict[str, Any], str]] = {
    "learns": (trained().replace("), frozen=True", ")"), {}, "weights=Trained\\(\\) and learns"),
    "nested": (trained(", start=dict(type=Trained)"), {}, "begins with Random\\(\\), Pretrained\\(\\) or Checkpoint"),
    "no labels": (trained().replace('teacher="batch.target"', 'teacher="thermal.output"'), {}, "no term compares"),
    "a key": (trained(', options={"optim_wrapper.optimiser.lr": 1.0}'), {}, "no key 'optim_wrapper.optimiser'"),
    "an argument": (trained(", augment=dict(flipp=0.1)"), {}, "takes no argument 'flipp'"),
    "another argument": (trained(", epoch=3"), {}, "takes no argument 'epoch'"),
}


@pytest.mark.parametrize(("text", "options", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_mistakes(text: str, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, KeyError, TypeError), match=message):
        teacher_config(runs.config_of(tmp_path, text, options), "thermal")


def test_a_loop_of_ones_own_is_told_what_to_name() -> None:
    from core_models import CNN, THERMAL_VIEW

    with pytest.raises(ValueError, match=r"weights=Checkpoint\(path\)"):
        Trained().load(CNN(1), THERMAL_VIEW)


def test_training_a_student_trains_its_teacher_first_and_once(tmp_path: Path) -> None:
    config = runs.write(tmp_path, student=trained())
    console = Console(record=True, width=200, file=io.StringIO())
    first = runs.run_training(runs.load_config(config), tmp_path / "work" / "student", console)
    (teacher,) = (tmp_path / "work" / "trained" / "thermal").iterdir()
    assert "teacher 'thermal' is trained first" in (output := console.export_text(clear=True))
    assert "teacher 'thermal' on val: accuracy" in output
    had = load_file(first.checkpoint)["meta"]["xkd"]["teachers"]
    assert had == {"thermal": str(teacher / "best.pth")}
    before = (teacher / "best.pth").stat().st_mtime_ns
    runs.run_training(runs.load_config(config, {"distiller.terms.kd.weight": 2.0}), tmp_path / "work" / "other", console)
    assert (teacher / "best.pth").stat().st_mtime_ns == before, "another student of the same teacher"
    assert "teacher 'thermal' was trained before" in console.export_text(clear=True)
    runs.run_training(runs.load_config(config), tmp_path / "work" / "seed1", console, seed=1)
    assert len(list(teacher.parent.iterdir())) == 2, "another seed, another teacher"


def test_a_teacher_is_shown_from_where_the_run_had_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = runs.write(tmp_path, student=trained())
    done = runs.run_training(runs.load_config(config, {"train_cfg.max_epochs": 1, "param_scheduler": []}), tmp_path / "work" / "student")
    call = [str(config), done.checkpoint, "--num", "1", "--out", str(tmp_path / "panels")]
    assert cli.run("visualize", call) == 0
    for file in (tmp_path / "work" / "trained").rglob("best.pth"):
        file.unlink()
    assert cli.run("visualize", call) == 2
    assert "the teacher 'thermal' cannot be shown" in capsys.readouterr().err


def test_a_smoke_run_trains_no_teacher(tmp_path: Path) -> None:
    runs.run_training(runs.config_of(tmp_path, trained()), tmp_path / "work" / "student", smoke=True)
    assert not (tmp_path / "work" / "trained").exists()


def test_a_comparison_needs_no_second_file(tmp_path: Path) -> None:
    made = {arm.name: arm for arm in make_arms(runs.write(tmp_path, student=trained()), {})}
    assert [name for name, arm in made.items() if not arm.control] == ["teacher", "alone", "distilled", "shuffled"]
    assert made["distilled"].teachers == {"thermal": "teacher"}
    assert "same_sensor" not in made, "this network does not say its channels by in_chans"


def test_the_same_sensor_control_is_derived_where_a_network_says_its_channels(tmp_path: Path) -> None:
    timm_model = 'model=dict(type=timm.create_model, model_name="resnet10t", in_chans=1, num_classes=3)'
    text = trained().replace("model=dict(type=CNN, channels=1)", timm_model).replace("from core_models", "import timm\nfrom core_models")
    text = text.replace(', attention=dict(rgb="grad_cam:deep", thermal="grad_cam:deep")', "")
    made = {arm.name: arm for arm in make_arms(runs.write(tmp_path, student=text), {})}
    teacher, taught = made["same_sensor_teacher"].config(), made["same_sensor"].config()
    assert as_plain(teacher.distiller.branches.thermal)["view"]["name"] == "rgb"
    assert teacher.distiller.branches.thermal.model.in_chans == 3
    assert as_plain(taught.distiller.branches.thermal)["view"]["name"] == "rgb"
    assert made["same_sensor"].teachers == {"thermal": "same_sensor_teacher"}
    assert made["same_sensor"].control
    assert made["teacher"].config().distiller.branches.thermal.model.in_chans == 1


def test_no_fingerprint_knows_the_place_of_a_folder(tmp_path: Path, tiny_dataset: Path) -> None:
    """A plan puts an absolute path in the place of `start=Checkpoint("@stage")`; roots of data may be absolute too."""

    def key(place: str, weights: bytes = b"weights") -> tuple[str, str]:
        folder = tmp_path / place / "tiny"
        shutil.copytree(tiny_dataset, folder, ignore=shutil.ignore_patterns("*.png"), dirs_exist_ok=True)
        (folder / "best.pth").write_bytes(weights)
        text = trained(f", start=dict(type=Checkpoint, path={str(folder / 'best.pth')!r})").replace('root="tiny"', f"root={str(folder)!r}")
        assert text.count(str(folder)) > 1
        made = teacher_config(runs.config_of(tmp_path, text), "thermal")
        return fingerprint(made, 0, (), {}), json.dumps(made_of(made, 0, (), {})["config"])

    here = key("here")
    assert here == key("there")
    assert str(tmp_path) not in here[1]
    assert here[0] != key("there", b"others")[0]


def test_a_fingerprint_is_of_what_a_teacher_depends_on(tmp_path: Path) -> None:
    def key(options: dict[str, Any], text: str = trained()) -> str:
        return fingerprint(teacher_config(runs.config_of(tmp_path, text, options), "thermal"), 0, (), {})

    plain = key({})
    assert plain == key({"distiller.terms.kd.weight": 3.0, "compare.cluster": "group"}), "the student's matters"
    assert plain != key({"train_cfg.max_epochs": 4})
    assert plain != key({}, trained(", epochs=4"))


def test_other_weights_under_the_same_name_make_another_run(tmp_path: Path) -> None:
    file = tmp_path / "start.pth"
    text = trained(f', start=dict(type=Checkpoint, path="{file}")')

    def key() -> str:
        return fingerprint(teacher_config(runs.config_of(tmp_path, text), "thermal"), 0, (), {})

    absent = key()
    file.write_bytes(b"one")
    one = key()
    file.write_bytes(b"another")
    assert len({absent, one, key()}) == 3
    file.write_bytes(b"one")
    assert key() == one, "what is in the file counts, not when it was written"


def test_the_outline_of_a_graph(tmp_path: Path) -> None:
    outline = Outline.of(runs.config_of(tmp_path, trained()))
    assert (outline.student, outline.teachers, outline.trained) == ("rgb", ["thermal"], ["thermal"])
    assert outline.has_pairs
    assert outline.taught_by("thermal")
    assert str(outline.edges["kd"].teacher[0]) == "thermal.output"
    plain = Outline.of(runs.config_of(tmp_path, runs.PLAIN))
    assert (plain.teachers, plain.has_pairs, plain.distils) == ([], False, False)
    assert issubclass(outline.branches["rgb"]["weights"]["type"], Random)
    assert not issubclass(outline.branches["thermal"]["weights"]["type"], Checkpoint)


def slow(config: Any, folder: Path, name: str) -> None:
    with (folder / "calls").open("a") as file:
        file.write("x")
    time.sleep(0.5)
    (folder / "result.json").write_text(json.dumps({}))


def once(folder: Path) -> None:
    run_once(None, folder, "run", slow, {})  # the trainer here asks nothing of it


def test_two_that_want_the_same_run_train_it_once(tmp_path: Path) -> None:
    both = [threading.Thread(target=once, args=(tmp_path / "run",)) for _ in range(2)]  # a lock of files is of whoever opens them
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert (tmp_path / "run" / "calls").read_text() == "x"
