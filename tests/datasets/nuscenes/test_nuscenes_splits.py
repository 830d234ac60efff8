"""The splits of nuScenes: the authors', drawn or named, and scenes of one log together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import nuscenes_street as street
import pytest


def test_splits(script: ModuleType, source: Path, tmp_path: Path) -> None:
    assert len(script.authors_val("v1.0-trainval")) == 150
    assert script.authors_val("v1.0-mini") == {"scene-0103", "scene-0916"}
    tables = script.read_tables(source / "v1.0-mini")
    drawn = [script.split_of_scenes(tables, "v1.0-mini", (), (), seed) for seed in (0, 0, 1, 2, 3, 4)]
    assert drawn[0] == drawn[1]
    assert len({tuple(sorted(splits.items())) for splits in drawn}) > 1
    assert {Counter(splits.values())["val"] for splits in drawn} == {1}
    assert {splits["scene-0103"] for splits in drawn} == {"test"}
    named = script.split_of_scenes(tables, "v1.0-mini", ["scene-0103"], ["scene-0061", "scene-0553"], 0)
    assert Counter(named.values()) == {"test": 2, "train": 2, "val": 1}
    with pytest.raises(ValueError, match=r"no scene 'scene-1'; there are \['scene-0061', 'scene-0103'"):
        script.prepare(source, tmp_path / "out", val=["scene-1"])
    with pytest.raises(ValueError, match="a scene belongs to one split"):
        script.prepare(source, tmp_path / "out", val=["scene-0061"], test=["scene-0061"])
    with pytest.raises(ValueError, match=r"no scene for \['val'\]"):
        script.prepare(source, tmp_path / "out", test=["scene-0061", "scene-0553", "scene-0655"])
    (source / "v1.0-mini").rename(source / "v1.0-other")
    with pytest.raises(ValueError, match=r"no scene for \['test'\]"):
        script.prepare(source, tmp_path / "out", version="v1.0-other", val=["scene-0061"])


def test_scenes_of_one_log_are_drawn_together(script: ModuleType, source: Path) -> None:
    def same_log(records: list[dict[str, Any]]) -> None:
        records[1]["log_token"] = records[0]["log_token"]

    street.rewrite(source, "scene", same_log)
    tables = script.read_tables(source / "v1.0-mini")
    for seed in range(8):
        splits = script.split_of_scenes(tables, "v1.0-mini", (), (), seed)
        assert splits["scene-0061"] == splits["scene-0553"]
