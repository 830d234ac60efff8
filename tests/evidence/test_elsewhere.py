"""Runs that are finished, tested on another data set: another camera, another field."""

from __future__ import annotations

import shutil
from pathlib import Path

import engine_runs as runs
import numpy as np
import pytest

from xkd.evidence.compare import Compared, compare
from xkd.evidence.elsewhere import Elsewhere, Finished, compare_on

ARMS = ("teacher", "alone", "distilled")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.write(tmp_path_factory.mktemp("elsewhere"), teacher=runs.TEACHER, student=runs.STUDENT)


@pytest.fixture(scope="module")
def trained(student: Path, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    return compare(student, seeds=1, arms=ARMS, work_dir=tmp_path_factory.mktemp("runs"), smoke=True, jobs=1)


@pytest.fixture
def field(data_root: Path, tmp_path: Path) -> Path:
    """The same images, all of them in train, by a camera alone; nobody noted their frames."""
    made = shutil.copytree(data_root, tmp_path / "field")
    lines = [line.split(",") for line in (made / "manifest.csv").read_text().splitlines()]
    kept = [place for place, name in enumerate(lines[0]) if name not in ("thermal", "frame", "mask")]
    rows = [[line[place] for place in kept] for line in lines]
    split = rows[0].index("split")
    named = [[*row[:split], "train", *row[split + 1 :]] for row in rows[1:]]
    (made / "manifest.csv").write_text("\n".join(",".join(row) for row in [rows[0], *named]) + "\n")
    toml = (made / "manifest.toml").read_text()
    sections = [part for part in toml.split("\n[") if not part.startswith(("modalities.thermal", "mask", "registration"))]
    (made / "manifest.toml").write_text("\n[".join(sections))
    return made


def test_what_is_trained_is_tested_there_and_nothing_is_trained(
    student: Path, trained: Compared, field: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = Finished(1, trained.folder, ARMS, smoke=True)
    before = {path: path.stat().st_mtime_ns for path in trained.folder.rglob("*.pth")}
    there = compare_on(str(field), student, finished, split="train")
    assert {path: path.stat().st_mtime_ns for path in trained.folder.rglob("*.pth")} == before
    assert there.folder == trained.folder / "on_field_train"
    assert there.report.is_file()
    told = capsys.readouterr().out
    assert "teacher on thermal is left out" in told
    assert "no column 'frame' (compare.cluster): intervals are by group" in told
    assert list(there.runs) == ["alone", "distilled"]
    home, new = trained.runs["distilled"][0].test, there.runs["distilled"][0].test
    assert len(new.rows) > len(home.rows), "rows of all splits"
    place = {row: at for at, row in enumerate(new.rows.tolist())}
    same = [place[row] for row in home.rows.tolist()]
    np.testing.assert_allclose(new.predictions[same], home.predictions, atol=1e-5)
    again = compare(student, seeds=1, arms=ARMS, work_dir=trained.folder, smoke=True, jobs=1)
    assert again.runs["distilled"][0].test.rows.tolist() == home.rows.tolist(), "the answers at home are kept apart"


def test_what_cannot_be_tested_there_is_refused(student: Path, trained: Compared, field: Path) -> None:
    with pytest.raises(ValueError, match=r"field has no rows of split 'test'; choose by --split among \{'train': 48"):
        compare_on(str(field), student, Finished(1, trained.folder, ARMS, smoke=True))
    with pytest.raises(FileNotFoundError, match=r"no finished run of teacher, seed 1, alone, seed 1, distilled, seed 1"):
        compare_on(str(field), student, Finished(2, trained.folder, ARMS, smoke=True), split="train")
    toml = (field / "manifest.toml").read_text()
    (field / "manifest.toml").write_text(toml.replace('"blank", "disc"', '"disc", "blank"'))
    with pytest.raises(ValueError, match=r"classes \['blank', 'disc', 'bar'\] are not those of the train data's manifest .*field"):
        compare_on(str(field), student, Finished(1, trained.folder, ARMS, smoke=True), split="train")
    (field / "manifest.toml").write_text(toml.replace("modalities.rgb", "modalities.colour"))
    lines = (field / "manifest.csv").read_text().splitlines()
    (field / "manifest.csv").write_text("\n".join([lines[0].replace("rgb", "colour"), *lines[1:]]) + "\n")
    with pytest.raises(ValueError, match=r"field has no sensor 'rgb', it has \['colour'\]: the student cannot be tested on it"):
        Elsewhere.find(str(field), "train").arms(trained.arms)
