"""What the page says to beware of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import engine_runs as runs
import numpy as np

from xkd import statistics
from xkd.data.manifest import Manifest
from xkd.evidence.arm import Arm
from xkd.evidence.arms import make_arms
from xkd.evidence.page import caveats as page_caveats
from xkd.tasks import Classification

MASKED = runs.STUDENT.replace("from xkd.losses import ", "from xkd.losses import MaskEnergy\nfrom xkd.losses import ", 1).replace(
    "terms=dict(", 'terms=dict(mask=dict(type=Term, loss=dict(type=MaskEnergy), student="rgb.deep", teacher="batch.mask"), '
)


def test_caveats_name_the_controls_that_are_missing(data_root: Path, tmp_path: Path) -> None:
    manifest = replace(Manifest.load(str(data_root)), source="a greenhouse")
    plain = make_arms(runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT), {})
    masked = make_arms(runs.write(tmp_path, masked=MASKED), {})
    few = [arm for arm in masked if arm.name in ("teacher", "alone", "distilled")]
    assert page_caveats.caveats(manifest, 3, plain) == []
    assert page_caveats.caveats(manifest, 3, masked) == []
    assert page_caveats.caveats(manifest, 3, few) == [page_caveats.CAVEAT_MASKS, page_caveats.CAVEAT_SHUFFLED]
    assert page_caveats.caveats(manifest, 1, few[:-1] + plain[2:]) == [page_caveats.CAVEAT_SEEDS]
    assert len(page_caveats.caveats(replace(manifest, source="simulated by us"), 3, plain)) == 1


def test_maps_that_are_empty_are_told(data_root: Path, tmp_path: Path) -> None:
    arms = make_arms(runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT), {})
    few, many = (statistics.Estimate(share, 0.0, share, share) for share in (0.02, 0.624))
    scores = {arm.name: {"no_map": few} for arm in arms}
    assert page_caveats.empty_maps(arms, scores) == ""
    text = page_caveats.empty_maps(arms, {**scores, "distilled": {"no_map": many}, "teacher": {}})
    assert text.endswith("where they score 0: student distilled 62 %. Look at the panels.")
    assert page_caveats.empty_maps(arms, {arm.name: {} for arm in arms}) == ""


MEASURES = Classification(("blank", "disc", "bar")).measures()


def summary_of(arms: list[Arm], **scores: float) -> statistics.Summary:
    rows = np.arange(6).astype(str)
    columns = {name: np.full(6, score) for name, score in scores.items()}
    tested = statistics.TestRun(rows, np.eye(3, dtype=np.float32)[np.arange(6) % 3], np.arange(6) % 3, rows, columns)
    return statistics.summarise(statistics.Comparison({arm.name: [tested] for arm in arms}), MEASURES, "accuracy", arms[0].name)


def test_attention_that_nobody_asked_for_is_told_where_it_could_be_measured(data_root: Path, tmp_path: Path) -> None:
    manifest = replace(Manifest.load(str(data_root)), source="a greenhouse")
    path = runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT)
    arms = make_arms(path, {})
    (caveat,) = page_caveats.caveats(manifest, 3, arms, summary_of(arms))
    assert caveat == page_caveats.CAVEAT_ATTENTION.format(12, "rgb")
    assert "compare.attention" in caveat
    assert page_caveats.caveats(manifest, 3, arms, summary_of(arms, epg=0.5)) == []
    boxes, none = (make_arms(path, {"test_dataloader.dataset.masks.source": of}) for of in ("boxes", "none"))
    assert "though 8 test rows" in page_caveats.caveats(manifest, 3, boxes, summary_of(arms))[0]
    assert page_caveats.caveats(manifest, 3, none, summary_of(arms)) == []


def test_maps_of_random_weights_and_empty_ones_are_told(data_root: Path, tmp_path: Path) -> None:
    manifest = replace(Manifest.load(str(data_root)), source="a greenhouse")
    arms = make_arms(runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT), {})
    lines = page_caveats.caveats(manifest, 3, arms, summary_of(arms, epg=0.5, randomised=0.9, no_map=0.5))
    assert lines[0] == page_caveats.CAVEAT_RANDOMISED.format(0.9)
    assert lines[1].startswith("Attention maps are empty in many of the rows")
    assert page_caveats.caveats(manifest, 3, arms, summary_of(arms, epg=0.5, randomised=0.2, no_map=0.01)) == []


def test_the_first_of_several_teachers_is_named(data_root: Path, tmp_path: Path) -> None:
    manifest = replace(Manifest.load(str(data_root)), source="a greenhouse")
    teacher, *students = make_arms(runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT), {})
    several = [replace(teacher, name=f"teacher_{branch}", title=f"teacher on {branch}") for branch in ("thermal", "lidar")]
    (caveat,) = page_caveats.caveats(manifest, 3, [*several, *students])
    assert caveat == page_caveats.CAVEAT_TEACHERS.format("teacher on thermal")


def test_a_note_of_the_config_is_read_first(tmp_path: Path, tiny_dataset: Path) -> None:
    arms = make_arms(runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT), {"compare.note": "A short run."})
    lines = page_caveats.caveats(Manifest.load(tiny_dataset), 1, arms)
    assert lines[0] == "A short run."
