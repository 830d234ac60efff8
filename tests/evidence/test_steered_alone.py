"""A student that masks alone steer is compared with the student alone, and with one that is steered by masks of other rows."""

from __future__ import annotations

from pathlib import Path

import engine_runs as runs
import pytest

from xkd.engine.config import as_plain
from xkd.engine.loaders import build_loader
from xkd.engine.outline import Outline
from xkd.evidence.arms import make_arms
from xkd.evidence.page import caveats as page_caveats
from xkd.evidence.purpose import purpose_of
from xkd.statistics import Purpose

STEERED = (
    runs.PLAIN.replace("from xkd.losses import KD", "from xkd.losses import KD, MaskEnergy")
    .replace("weights=dict(type=Random))", 'weights=dict(type=Random), taps=dict(deep=dict(type=Tap, path="deep")))')
    .replace("terms=dict(", 'terms=dict(mask=dict(type=Term, loss=dict(type=MaskEnergy), student="rgb.deep", teacher="batch.mask"), ')
    + '\ncompare = dict(cluster="frame", attention=dict(rgb="grad_cam:deep"), variants=dict(half={"distiller.terms.mask.weight": 0.5}))\n'
)


def test_the_arms_of_a_student_that_masks_alone_steer(tmp_path: Path) -> None:
    path = runs.write(tmp_path, steered=STEERED)
    made = {arm.name: arm for arm in make_arms(path, {})}
    assert [name for name, arm in made.items() if not arm.control] == ["alone", "distilled", "shuffled_masks", "half"]
    assert [name for name, arm in made.items() if arm.control] == ["smoothed"]
    assert made["distilled"].title == "student, steered by masks"
    assert list(made["alone"].config().distiller.terms) == ["ce"]
    assert as_plain(made["shuffled_masks"].config().distiller) == as_plain(made["distilled"].config().distiller)
    own, strange = (build_loader(made[name].config().train_dataloader, 0).dataset for name in ("distilled", "shuffled_masks"))
    masks = [{row.id: (row.mask, sample.mask.sum().item()) for row, sample in zip(of.rows, of, strict=True)} for of in (own, strange)]
    assert masks[0].keys() == masks[1].keys()
    assert sum(masks[0][row] != masks[1][row] for row in masks[0]) > len(masks[0]) / 3, "some rows get a mask of their own class"


def test_what_nothing_is_added_to_is_not_compared(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no teacher to compare with, and no peer; and no term draws 'rgb' to 'batch\.mask'"):
        make_arms(runs.write(tmp_path, alone=runs.PLAIN + '\ncompare = dict(cluster="frame")\n'), {})


def test_a_teacher_or_a_peer_beside_the_masks_is_more_than_steering(tmp_path: Path) -> None:
    masked = runs.STUDENT.replace("import KD", "import KD, MaskEnergy").replace(
        "terms=dict(", 'terms=dict(mask=dict(type=Term, loss=dict(type=MaskEnergy), student="rgb.deep", teacher="batch.mask"), '
    )
    cases = {"steered": (STEERED, True), "taught": (masked, False), "plain": (runs.PLAIN, False), "peers": (runs.GRAPH, False)}
    for name, (text, steers) in cases.items():
        assert Outline.of(runs.load_config(runs.write(tmp_path, **{name: text}))).steers == steers, name


def test_what_a_comparison_is_about(tmp_path: Path) -> None:
    steered = runs.write(tmp_path, steered=STEERED)
    assert purpose_of(runs.load_config(steered)) == Purpose("attention", "steered")
    assert purpose_of(runs.load_config(steered, {"compare.about": "gain"})) == Purpose("gain", "steered")
    runs.write(tmp_path, teacher=runs.TEACHER)
    taught = runs.write(tmp_path, taught=runs.STUDENT)
    assert purpose_of(runs.load_config(taught)) == Purpose("gain", "distilled")
    assert purpose_of(runs.load_config(taught, {"compare.about": "attention"})).about == "attention"
    with pytest.raises(ValueError, match=r"compare\.about is one of \['gain', 'attention'\], got 'speed'"):
        make_arms(taught, {"compare.about": "speed"})
    with pytest.raises(ValueError, match=r"compare\.about = 'attention' needs a map of the student.*it names those of \['thermal'\]"):
        make_arms(taught, {"compare.about": "attention", "compare.attention": {"thermal": "grad_cam:deep"}})


def test_the_page_misses_no_arm_of_masks_where_there_is_no_teacher(tmp_path: Path, tiny_dataset: Path) -> None:
    arms = make_arms(runs.write(tmp_path, steered=STEERED), {})
    manifest = page_caveats.Manifest.load(str(tiny_dataset))
    assert page_caveats.CAVEAT_MASKS not in page_caveats.caveats(manifest, 3, arms)
    few = [arm for arm in arms if arm.name != "shuffled_masks"]
    assert page_caveats.CAVEAT_STRANGE_MASKS in page_caveats.caveats(manifest, 3, few)
