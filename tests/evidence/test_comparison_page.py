"""What the page of a comparison says beside its numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import engine_runs as runs
import numpy as np

from xkd import statistics
from xkd.batch import View
from xkd.data.blank import Blank
from xkd.data.manifest import Manifest
from xkd.data.redraw import with_boxes
from xkd.engine.config import load_config
from xkd.evidence.arm import ArmRun
from xkd.evidence.arms import make_arms
from xkd.evidence.page import write as page
from xkd.geometry import Box
from xkd.modalities import Noise


def test_the_unit_that_the_interval_is_over(tmp_path: Path) -> None:
    rows = np.arange(6).astype(str)
    tested = statistics.TestRun(rows, np.zeros((6, 3)), np.zeros(6, int), np.array(list("aabbcc")))
    run = ArmRun(tmp_path, tmp_path, tested, 0.0, 0.0)
    config = runs.load_config(runs.write(tmp_path, student=runs.STUDENT))
    assert page.resampled(config, run) == "3 values of 'frame' of 6 test rows"
    config.compare.cluster = "id"
    assert page.resampled(config, replace(run, test=replace(tested, clusters=rows))) == "6 test rows"


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
    half = make_arms(path, {"train_dataloader.dataset.labels.fraction": 0.5})
    others = "teacher on thermal (100 %), student alone, all labels (100 %)"
    assert page.labels_note(half) == same.replace("100", "50").replace(".", f", except that these have others: {others}.")
    noise = {"type": View, "name": "noise", "modality": {"type": Noise}, "size": (1, 1)}
    without = load_config(path, {"train_dataloader.dataset": {"type": Blank, "rows": 6, "views": [noise]}})
    assert page.labels_note([*make_arms(path, {}), replace(make_arms(path, {})[-1], title="made", config=lambda: without)]) == same.replace(
        ".", ", except that these have others: made (0 %)."
    )


def test_what_the_data_are_like_where_training_reads_boxes_that_a_detector_drew(data_root: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(str(data_root))
    config = runs.load_config(runs.write(tmp_path, student=runs.STUDENT))
    assert not [subject for subject in page.data_facts(manifest, config) if subject.startswith("training")]
    trained = [row.id for row in manifest.rows if row.split == "train"]
    with_boxes(manifest, {trained[0]: [(Box(2, 2, 20, 20), 0.7)]}, tmp_path / "boxes")
    config.train_dataloader.dataset.root = str(tmp_path / "boxes")
    facts = page.data_facts(manifest, config)
    assert facts["training rows with scored boxes"] == f"1 of {len(trained)}"
    assert facts["training reads another data set"] == f"{tmp_path / 'boxes'}; the rows counted here are those of tiny"
