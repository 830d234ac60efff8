"""A plan's file: what its stages name, the order of them, the tests that each can answer, and mistakes."""

from __future__ import annotations

from pathlib import Path

import engine_runs as runs
import pytest

from xkd.engine.config import as_plain, load_config
from xkd.engine.links import check_unlinked, linked, links_of
from xkd.evidence.plan.stages import Plan, can_answer, read_plan, task_of
from xkd.graph.folders import find_weights

HEAD = 'from xkd import Checkpoint, Random, Trained\nWEIGHTS = "distiller.branches.thermal.weights.path"\n'
TWO = """
stages = dict(
    teacher=dict(config="teacher.py"),
    student=dict(config="student.py", options={WEIGHTS: "@teacher"}),
)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of configs; read-only but for plans."""
    made = tmp_path_factory.mktemp("plans")
    runs.write(made, teacher=runs.TEACHER, student=runs.STUDENT, plain=runs.PLAIN)
    return made


def plan_of(folder: Path, text: str) -> Plan:
    return read_plan(runs.write(folder, plan=HEAD + text))


def test_the_runs_in_their_order_and_what_they_load(folder: Path) -> None:
    made = plan_of(folder, TWO + 'stages["late"] = dict(config="plain.py", after="student")\n')
    assert [(arm.name, arm.branch, list(arm.linked), arm.needs) for arm in made.arms] == [
        ("teacher", "thermal", [], []),
        ("student", "rgb", ["teacher"], ["teacher"]),
        ("late", "rgb", [], ["student"]),
    ]
    assert as_plain(made.arms[1].config().compare) == {"cluster": "frame"}, "pictures are not asked"
    assert [stage.name for stage in made.chains["plan"]] == ["teacher", "student", "late"]


def test_a_name_may_stand_anywhere_and_a_file_beside_the_best(folder: Path) -> None:
    options = """{
        "distiller.branches.thermal.weights": dict(type=Trained, start=dict(type=Checkpoint, path="@teacher")),
        "distiller.branches.rgb.weights": dict(type=Checkpoint, path="@teacher/epoch_2.pth"),
    }"""
    text = f'stages = dict(teacher=dict(config="teacher.py"), student=dict(config="student.py", options={options}))'
    config = plan_of(folder, text).arms[1].config()
    assert sorted(links_of(config)) == ["distiller.branches.rgb.weights.path", "distiller.branches.thermal.weights.start.path"]
    of = linked(config, {"teacher": folder / "there"}).distiller.branches
    assert (of.thermal.weights.start.path, of.rgb.weights.path) == (str(folder / "there/best.pth"), str(folder / "there/epoch_2.pth"))
    assert config.distiller.branches.rgb.weights.path == "@teacher/epoch_2.pth", "the plan's own config stays"


@pytest.mark.parametrize(("classes", "can"), [((), True), (("disc",), True), (("disc", "ring"), False)])
def test_who_can_answer_a_test_knows_its_classes(classes: tuple[str, ...], can: bool, folder: Path) -> None:
    config = load_config(folder / "plain.py")
    config.test_dataloader.dataset.classes = classes
    assert can_answer(config, task_of(config)) is can


MISTAKES = {
    "no stage": (
        TWO.replace("@teacher", "@techer"),
        KeyError,
        r"stages\.student names 'techer', which is no stage; there are \['teacher', 'student'\]",
    ),
    "later": (
        'stages = dict(a=dict(config="student.py", options={WEIGHTS: "@b"}), b=dict(config="teacher.py"))',
        ValueError,
        "stages.a needs 'b', which stands below it: move 'b' up, above 'a'",
    ),
    "circle": (
        'stages = dict(a=dict(config="plain.py", after="c"), b=dict(config="plain.py", after="a"), c=dict(config="plain.py", after="b"))',
        ValueError,
        "stages need each other, a -> c -> b -> a",
    ),
    "itself": ('stages = dict(a=dict(config="plain.py", after="a"))', ValueError, "a -> a"),
    "after nobody": (
        'stages = dict(a=dict(config="plain.py", after=("z",)))',
        KeyError,
        r"names 'z', which is no stage; there are \['a'\]",
    ),
    "a key": (TWO.replace("options=", "option="), KeyError, r"stages\.student has no key 'option' \(did you mean 'options'\?\)"),
    "no config": ("stages = dict(a=dict(options={}))", KeyError, r"stages\.a needs config"),
    "a file": (TWO.replace("teacher.py", "teachers.py"), FileNotFoundError, r"stages\.teacher \(teachers\.py\): no config "),
    "an option": (
        TWO.replace("WEIGHTS", 'WEIGHTS.replace("thermal", "thermals")'),
        KeyError,
        r"stages\.student \(student\.py\): no key 'distiller\.branches\.thermals'",
    ),
    "no stages": ("stage = dict()", KeyError, r"unknown section 'stage' \(did you mean 'stages'\?\)"),
    "a config": ("distiller = dict()", KeyError, "it is a config: run it by xkd train"),
    "empty": ("stages = dict()", ValueError, "stages is empty"),
    "a list": ("stages = [1]", TypeError, "must be a dict of dicts"),
    "a text": ('stages = dict(a="plain.py")', TypeError, r"stages\.a must be a dict such as"),
    "a name": ('stages = {"a/b": dict(config="plain.py")}', ValueError, "the name is a folder's too"),
    "the store": ('stages = dict(trained=dict(config="plain.py"))', ValueError, "and not 'trained'"),
    "learns": (
        TWO + 'stages["student"]["learns"] = "one"\ntests = dict(other=dict())',
        KeyError,
        r"learns names 'one', which is no test; there are \['other'\]",
    ),
    "a test": (
        TWO + 'tests = dict(one=dict(options={"train_cfg.max_epochs": 2}))',
        ValueError,
        r"tests\.one: 'train_cfg\.max_epochs' is no key of test_dataloader",
    ),
    "broken": ("stages = dict(", ValueError, "not a plan that can be read"),
}


@pytest.mark.parametrize(("text", "kind", "message"), MISTAKES.values(), ids=list(MISTAKES))
def test_mistakes(text: str, kind: type[Exception], message: str, folder: Path) -> None:
    with pytest.raises(kind, match=message):
        plan_of(folder, text)


def test_a_plan_is_no_config(folder: Path) -> None:
    with pytest.raises(KeyError, match="it is a plan: run it by xkd plan"):
        load_config(runs.write(folder, plan=HEAD + TWO))


def test_a_config_that_names_a_stage_is_run_by_its_plan(folder: Path) -> None:
    config = load_config(folder / "student.py", {"distiller.branches.thermal.weights.path": "@teacher"})
    with pytest.raises(ValueError, match=r"distiller\.branches\.thermal\.weights\.path names '@teacher', a stage of a plan"):
        check_unlinked(config)
    with pytest.raises(ValueError, match="names '@teacher', a stage of a plan"):
        runs.run_training(config, folder / "work")
    assert not (folder / "work").exists()
    with pytest.raises(ValueError, match="'@teacher' names a stage of a plan"):
        find_weights("@teacher")
