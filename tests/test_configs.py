"""Every shipped config: loaded, run for one step on noise of its classes and sensors, dumped, reloaded; the arms of its comparison made."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from engine_runs import run_training
from mmengine.config import Config

from xkd.builder import build
from xkd.data.manifest import sensor
from xkd.data.prepare.guess import called_so
from xkd.data.prepare.toml import to_toml
from xkd.engine.config import as_plain, load_config
from xkd.engine.loaders import without_weights
from xkd.engine.outline import Outline
from xkd.evidence.arms import make_arms
from xkd.evidence.plan.stages import read_plan
from xkd.graph.branch import Branch, Capture
from xkd.modalities import SENSORS, Clip
from xkd.tasks import Segmentation

CONFIGS = Path(__file__).parent.parent / "configs"
PLANS = sorted(CONFIGS.glob("plans/*.py"))
SHIPPED = sorted(path for path in CONFIGS.rglob("*.py") if "_base_" not in path.parts and path not in PLANS)

SIDE = 72  # pixels


def columns_of(node: Any) -> Iterator[str]:
    """The column of every `dict(type=sensor, ...)` of a config."""
    if isinstance(node, Mapping):
        if node.get("type") is sensor:
            yield node["column"]
        for value in node.values():
            yield from columns_of(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from columns_of(value)


def clips_of(node: Any) -> set[str]:
    """The columns of which a config takes clips."""
    if isinstance(node, Mapping):
        own = set(columns_of(node["sensor"])) if node.get("type") is Clip else set()
        return own.union(*map(clips_of, node.values()))
    return set().union(*map(clips_of, node)) if isinstance(node, list | tuple) else set()


def write_noise(root: Path, column: str, number: int, rng: np.random.Generator) -> tuple[dict[str, Any], str, str]:
    """An example of the sensor that the column is a name for: its table, and the row's cell and calibration."""
    folder = root / column / str(number)
    folder.mkdir(parents=True)
    [kind] = called_so(column)
    table, shot = SENSORS[kind].example(folder, (SIDE, SIDE), rng)
    cell = ";".join(path.relative_to(root).as_posix() for path in shot.paths)
    return {"sensor": kind, **table}, cell, shot.calibration.relative_to(root).as_posix() if shot.calibration else ""


def make_data(config: Config, parent: Path) -> Path:
    """A folder in which noise with the config's classes and sensors is found by its `data_root`: two rows per class and split."""
    task = as_plain(config.distiller.task)
    classes = task.get("classes", ())  # none where rows are labelled with numbers
    sections = [as_plain(config[name]) for name in ("train_dataloader", "val_dataloader", "test_dataloader", "distiller")]
    columns, clips = sorted(set(columns_of(sections))), sorted(clips_of(sections))
    # a detector's boxes make another data set; blank rows have none
    roots = sorted({section["dataset"]["root"] for section in sections[:3] if "root" in section["dataset"]})
    folder = parent / hashlib.sha256(repr((roots, classes, task["type"], columns, clips)).encode()).hexdigest()[:12]
    for name in roots if not folder.exists() else ():  # many configs are of one data set
        write_data(config, folder / name, classes, columns, clips)
    return folder


def write_data(config: Config, root: Path, classes: Sequence[str], columns: list[str], clips: Sequence[str] = ()) -> None:
    rates = [f"{column}.fps" for column in clips]
    header = ["id", "split", "group", *columns, *rates, "mask", "boxes", "label", "calibration", "frame", "bout"]
    rng, rows, tables = np.random.default_rng(0), [",".join(header)], {}
    (root / "mask").mkdir(parents=True)
    for number in range(2 * 3 * (len(classes) or 3)):
        split, label = ("train", "val", "test")[number % 3], classes[number // 3 % len(classes)] if classes else str(number % 5)
        noise = {column: write_noise(root, column, number, rng) for column in columns}
        tables = {column: table for column, (table, _, _) in noise.items()}
        cv2.imwrite(str(root / f"mask/{number}.png"), rng.integers(0, 2, (SIDE, SIDE), dtype=np.uint8))
        cells = [cell for _, cell, _ in noise.values()] + ["8"] * len(clips)  # frames a second, of a clip of one frame
        calibration = "".join(name for _, _, name in noise.values())
        more = [f"mask/{number}.png", f"8 8 40 40 {label if classes else '*'}", label, calibration, f"frame-{number}", f"bout-{number}"]
        rows.append(",".join([str(number), split, f"group-{number}", *cells, *more]))
    pixels = as_plain(config.distiller.task)["type"] is Segmentation
    codes = {name: code for code, name in enumerate(classes if pixels else ("background", "object"))}
    values = ", ".join(f"{name} = {code}" for name, code in codes.items())
    mask = f'[mask]\nvalues = {{ {values} }}\npositive = ["{list(codes)[-1]}"]\n'
    about = f'name = "noise"\nlicence = "Apache-2.0"\nsource = "made by the tests"\nclasses = {list(classes)}\n'
    about += "" if classes else 'labels = "number"\n'
    mask += "" if classes else '[numbers.number]\nunit = "of it"\nrange = [0.0, 5.0]\n'
    (root / "manifest.toml").write_text(about + to_toml({"modalities": tables}, {}) + mask, "utf-8")
    (root / "manifest.csv").write_text("\n".join(rows) + "\n", "utf-8")


# the losses of roadscene_few_losses once more, at other sizes and by another teacher
SAME_LOSSES = ("coffee_losses", "coffee_losses_vit", "kitti_drive52_pairs_losses", "roadscene_few_losses_vit")
# another config once more: with fewer labels, fewer epochs, smaller images, other classes, other sensors of those that are trained
SAME_GRAPH = (
    "coffee_masks",
    "coffee_steered",
    "coffee_step",
    "cwfid",
    "cwfid_few",
    "cwfid_pairs",
    "digits_few_made",
    "digits_generalist",
    "digits_special_06",
    "digits_special_2358",
    "digits_special_479",
    "digits_taught",
    "digits_wide",
    "fir_indoor_reverse",
    "kitti_drive52",
    "leafsim_born_again_2",
    "leafsim_demo",
    "leafsim_fields",
    "leafsim_lidar",
    "leafsim_low_eighth",
    "leafsim_low_half",
    "leafsim_ndvi",
    "leafsim_search",
    "roadscene_boxes_few",
    "roadscene_crops_rgb",
    "roadscene_few",
    "roadscene_few_pairs",
    "roadscene_few_reverse",
    "roadscene_few_vit",
    "roadscene_vit",
)
# what another config's comparison trains as its teachers, which compares nothing itself
TEACHERS = (
    "digits_generalist",
    "digits_special_06",
    "digits_special_2358",
    "digits_special_479",
    "digits_wide",
    "leafsim_float",
    "roadscene_crops_rgb",
    "roadscene_crops_thermal",
)

# one network and no teacher, no real image to be alone with, or a stage of a plan: nothing to compare
ALONE = ("coffee_detector", "coffee_step", "cwfid_ndvi", "digits_dfq", "digits_step", "leafsim_fields")


def shipped_but(*slow: str, without: Sequence[str] = ()) -> list[Any]:
    """Every shipped config, those named `slow` in the slow suite alone."""
    kept = [path for path in SHIPPED if path.stem not in without]
    return [pytest.param(path, marks=[pytest.mark.slow] * (path.stem in slow), id=path.stem) for path in kept]


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("noise")


@pytest.fixture
def shipped(request: pytest.FixtureRequest, noise: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shipped config, with data to run on."""
    path: Path = request.param
    config = load_config(path)
    folder = make_data(config, noise)
    own = {config[f"{split}_dataloader"].dataset.get("root") for split in ("train", "val", "test")}
    columns = sorted(set(columns_of([as_plain(config.distiller), as_plain(config.train_dataloader)])))
    for file in (config.get("compare") or {}).get("teachers", {}).values():  # some have learned from another data set
        teacher = load_config(path.parent / file)
        if (root := teacher.train_dataloader.dataset.root) not in own and not (folder / root).exists():
            write_data(teacher, folder / root, as_plain(teacher.distiller.task)["classes"], columns)
    monkeypatch.setenv("XKD_DATA_ROOT", str(folder))
    return path


@pytest.mark.parametrize("shipped", shipped_but(*SAME_LOSSES, *SAME_GRAPH), indirect=True)
def test_a_shipped_config_survives_a_dump_and_trains(shipped: Path, tmp_path: Path) -> None:
    config = load_config(shipped)
    config.train_dataloader.batch_size = config.val_dataloader.batch_size = 4  # the stand-in is smaller than a shipped batch
    run_training(config, tmp_path / "run", smoke=True)
    again = load_config(tmp_path / "run" / shipped.name)  # as the run itself dumped it
    assert again.pretty_text == config.pretty_text
    assert text_of(smoked(again)) == text_of(smoked(config))


BUILT: set[str] = set()  # arms of many configs have the same graph


def smoked(config: Config) -> dict[str, Any]:
    """The graph of a smoke run, in which no teacher is trained."""
    plain = as_plain(config.distiller)
    return {**plain, "branches": {name: without_weights(branch) for name, branch in plain["branches"].items()}}


def text_of(section: Any) -> str:
    """All that whoever builds the section is told; a name that a dump has made a string of is another text."""
    return json.dumps(as_plain(section), default=repr, sort_keys=True)


@pytest.fixture
def binds_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dry run of a branch that several arms have is the first arm's: what takes time is the network."""
    bind, readings = Branch.bind, {}

    def once(branch: Branch, *of: Any, **more: Any) -> Capture:
        if branch not in readings:
            readings[branch] = bind(branch, *of, **more)
        return readings[branch]

    monkeypatch.setattr(Branch, "bind", once)


def try_graph(config: Config, made: dict[str, Branch]) -> None:
    """What `build_distiller` does for a smoke run, with the branches that other arms have `made`."""
    plain = smoked(config)
    told = [plain["task"], plain["branches"][plain["student"]]["view"]]
    branches = {}
    for name, section in plain["branches"].items():
        key = text_of({"name": name, "branch": section, "told": told})
        if key not in made:
            made[key] = build(section, f"distiller.branches.{name}")
        branches[name] = made[key]
    build({**plain, "branches": branches}, "distiller").bind()


@pytest.mark.parametrize("shipped", shipped_but(*SAME_LOSSES, without=(*TEACHERS, *ALONE)), indirect=True)
@pytest.mark.usefixtures("binds_once")
def test_each_arm_of_a_shipped_comparison_can_be_run(shipped: Path) -> None:
    arms, made = make_arms(shipped, {}), {}
    given = load_config(shipped)
    trained = set() if shipped.stem in SAME_GRAPH else {text_of(given.distiller)}  # by the test above
    outline, teachers = Outline.of(given), [arm.branch for arm in arms if arm.name.startswith("teacher")]
    assert len(teachers) == len(outline.teachers)
    assert set(outline.trained) <= set(teachers)
    for arm in arms:
        config = arm.config()
        graph = text_of(config.distiller)
        if (arm.variant or arm.control or not arm.teachers) and graph not in BUILT | trained:
            try_graph(config, made)
            BUILT.add(graph)
        if arm.name == "alone":  # a run dumps its config, whatever was taken out of it
            ast.parse(config.pretty_text)


# the stages of the digits are made as those of coffee leaves are
@pytest.mark.parametrize(
    "path", [pytest.param(one, marks=[pytest.mark.slow] * (one.stem == "digits_lifelong"), id=one.stem) for one in PLANS]
)
def test_each_stage_of_a_shipped_plan_can_be_run(path: Path, noise: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Branch] = {}
    for arm in read_plan(path).arms:
        config = arm.config()
        monkeypatch.setenv("XKD_DATA_ROOT", str(make_data(config, noise)))
        if (graph := text_of(config.distiller)) not in BUILT:
            try_graph(config, made)
            BUILT.add(graph)


def parts_of(node: Any) -> Iterator[str]:
    """Classes and networks that a config names."""
    if isinstance(node, Mapping):
        if "type" in node:
            yield " ".join([getattr(node["type"], "__name__", str(node["type"])), *filter(None, [node.get("model_name")])])
        node = list(node.values())
    for value in node if isinstance(node, list | tuple) else ():
        yield from parts_of(value)


@pytest.mark.slow
def test_a_config_that_the_slow_suite_trains_names_no_class_or_network_of_its_own() -> None:
    parts = {path: {*parts_of(as_plain(load_config(path).to_dict()))} for path in SHIPPED if path.stem not in SAME_LOSSES}
    trained = set().union(*(named for path, named in parts.items() if path.stem not in SAME_GRAPH))
    assert {path.stem: named - trained for path, named in parts.items() if named - trained} == {}


@pytest.mark.parametrize("path", [path for path in SHIPPED if path.stem in SAME_LOSSES], ids=lambda path: path.stem)
def test_every_name_and_argument_of_a_config_that_the_slow_suite_runs_is_legal(path: Path) -> None:
    load_config(path)


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.py")), ids=lambda path: path.stem)
def test_a_config_imports_what_a_person_types(path: Path) -> None:
    tree = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    modules = {of.name for node in tree if isinstance(node, ast.Import) for of in node.names}
    modules |= {node.module or "" for node in tree if isinstance(node, ast.ImportFrom) and not node.level}
    assert {name for name in modules if name.split(".")[0] not in ("mmengine", "timm", "torch")} <= {"xkd"}


def test_there_are_shipped_configs() -> None:
    assert SHIPPED
