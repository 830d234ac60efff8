"""What the page of a comparison says beside its numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import engine_runs as runs
import numpy as np

from xkd import compare
from xkd.data.manifest import Manifest
from xkd.data.redraw import with_boxes
from xkd.engine import page
from xkd.engine.arms import ArmRun, make_arms

MASKED = runs.STUDENT.replace("from xkd.losses import ", "from xkd.losses import MaskEnergy\nfrom xkd.losses import ", 1).replace(
    "terms=dict(", 'terms=dict(mask=dict(type=Term, loss=dict(type=MaskEnergy), student="rgb.deep", teacher="batch.mask"), '
)


def test_caveats_name_the_controls_that_are_missing(data_root: Path, tmp_path: Path) -> None:
    manifest = replace(Manifest.load(str(data_root)), source="a greenhouse")
    plain = make_arms(runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT), {})
    masked = make_arms(runs.write(tmp_path, masked=MASKED), {})
    few = [arm for arm in masked if arm.name in ("teacher", "alone", "distilled")]
    assert page.caveats(manifest, 3, plain) == []
    assert page.caveats(manifest, 3, masked) == []
    assert page.caveats(manifest, 3, few) == [page.CAVEAT_MASKS, page.CAVEAT_SHUFFLED]
    assert page.caveats(manifest, 1, few[:-1] + plain[2:]) == [page.CAVEAT_SEEDS]
    assert len(page.caveats(replace(manifest, source="simulated by us"), 3, plain)) == 1


def test_the_unit_that_the_interval_is_over(tmp_path: Path) -> None:
    rows = np.arange(6).astype(str)
    tested = compare.TestRun(rows, np.zeros((6, 3)), np.zeros(6, int), np.array(list("aabbcc")))
    run = ArmRun(tmp_path, tmp_path, tested, 0.0, 0.0)
    config = runs.load_config(runs.write(tmp_path, student=runs.STUDENT))
    assert page.resampled(config, run) == "3 values of 'frame' of 6 test rows"
    config.compare.cluster = "id"
    assert page.resampled(config, replace(run, test=replace(tested, clusters=rows))) == "6 test rows"


def test_maps_that_are_empty_are_told(data_root: Path, tmp_path: Path) -> None:
    arms = make_arms(runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT), {})
    few, many = (compare.Estimate(share, 0.0, share, share) for share in (0.02, 0.624))
    scores = {arm.name: {"no_map": few} for arm in arms}
    assert page.empty_maps(arms, scores) == ""
    told = page.empty_maps(arms, {**scores, "distilled": {"no_map": many}, "teacher": {}})
    assert told.endswith("where they score 0: student distilled 62 %. Look at the panels.")
    assert page.empty_maps(arms, {arm.name: {} for arm in arms}) == ""


def test_whether_the_arms_learn_from_the_same_labels(data_root: Path, tmp_path: Path) -> None:
    with_boxes(Manifest.load(str(data_root)), {}, tmp_path / "boxes")
    path = runs.write(tmp_path, teacher=runs.TEACHER, student=runs.STUDENT)
    same = "All arms have the same labels, 100 % of those of the training rows."
    assert page.labels_note(make_arms(path, {})) == same
    boxes = {"train_dataloader.dataset.root": str(tmp_path / "boxes")}
    assert page.labels_note(make_arms(path, boxes)) == same, "what a detector drew is no label"
    table = tmp_path / "boxes/manifest.csv"
    lines = table.read_text("utf-8").splitlines(keepends=True)
    train = next(at for at, line in enumerate(lines) if ",train," in line)
    table.write_text("".join(lines[:train] + lines[train + 1 :]), "utf-8")
    assert "except that these have others: " in page.labels_note(make_arms(path, boxes))
    half = make_arms(path, {"train_dataloader.dataset.label_fraction": 0.5})
    others = "teacher on thermal (100 %), student alone, all labels (100 %)"
    assert page.labels_note(half) == same.replace("100", "50").replace(".", f", except that these have others: {others}.")
