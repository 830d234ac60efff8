"""Tables, sweeps and images of nuScenes that are wrong or missing are named, and nothing is half-written."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import nuscenes_street as street
import pytest


@pytest.mark.parametrize(
    ("table", "key", "value", "message"),
    [
        ("scene", "log_token", "x", r"scene\.json, 't-scene-0061': log_token 'x' is not in log\.json"),
        ("sample", "scene_token", "x", r"sample\.json, 'scene-0061-0': scene_token 'x' is not in scene\.json"),
        (
            "sample_data",
            "ego_pose_token",
            "x",
            r"sample_data\.json, 'd-scene-0061-0-CAM_FRONT': ego_pose_token 'x' is not in ego_pose\.json",
        ),
        ("sample_data", "calibrated_sensor_token", "x", r"calibrated_sensor_token 'x' is not in calibrated_sensor\.json"),
        ("sample_annotation", "instance_token", "x", r"'a-scene-0061-0-0': instance_token 'x' is not in instance\.json"),
        ("sample_annotation", "visibility_token", "9", r"visibility_token '9' is not in visibility\.json"),
        ("sample_annotation", "size", [1.0, 2.0], r"sample_annotation\.json, 'a-scene-0061-0-0': not enough values"),
        ("visibility", "level", "some", r"visibility\.json: level 'some' is not like v40-60"),
        ("sample_data", "width", 1600, r"CAM_FRONT__\d+\.jpg: is 320x180, sample_data\.json says 1600x180"),
        ("calibrated_sensor", "camera_intrinsic", [], r"calibrated_sensor\.json and ego_pose\.json make no camera"),
        ("sample", "timestamp", None, r"sample\.json: a record lacks 'timestamp'; it has \['scene_token', 'token'\]"),
    ],
)
def test_a_wrong_record_is_named_and_nothing_is_half_written(
    script: ModuleType, source: Path, tmp_path: Path, table: str, key: str, value: Any, message: str
) -> None:
    def spoil(records: list[dict[str, Any]]) -> None:
        for record in records if table == "visibility" else records[:1]:
            if value is None:
                del record[key]
            else:
                record[key] = value

    street.rewrite(source, table, spoil)
    with pytest.raises(ValueError, match=message):
        script.prepare(source, tmp_path / "made/out", val=["scene-0553"])
    assert not (tmp_path / "made").exists()


def test_what_is_missing_or_broken_is_named(script: ModuleType, source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no camera 'CAM'; sensor\.json has \['CAM_BACK', 'CAM_FRONT'\]"):
        script.prepare(source, tmp_path / "out", cameras=["CAM"])
    with pytest.raises(FileNotFoundError, match=r"v1\.0-trainval: no such folder; nuScenes' tables lie"):
        script.prepare(source, tmp_path / "out", version="v1.0-trainval")
    sweep = next((source / "samples/LIDAR_TOP").iterdir())
    sweep.write_bytes(sweep.read_bytes()[:-4])
    with pytest.raises(ValueError, match=r"LIDAR_TOP__\d+\.pcd\.bin: \d+ numbers are not rows of 5"):
        script.prepare(source, tmp_path / "out", val=["scene-0553"])
    sweep.unlink()
    with pytest.raises(FileNotFoundError, match=r"LIDAR_TOP__\d+\.pcd\.bin: no such file"):
        script.prepare(source, tmp_path / "out", val=["scene-0553"])
    for image in (source / "samples/CAM_FRONT").iterdir():
        image.unlink()
    with pytest.raises(FileNotFoundError, match=r"CAM_FRONT__\d+\.jpg"):
        script.prepare(source, tmp_path / "out", val=["scene-0553"])
    (source / "v1.0-mini/log.json").write_text("{}")
    with pytest.raises(ValueError, match=r"log\.json: a record lacks 'token'"):
        script.prepare(source, tmp_path / "out")
    (source / "v1.0-mini/log.json").write_text("1")
    with pytest.raises(ValueError, match=r"log\.json: is no list of records"):
        script.prepare(source, tmp_path / "out")
    (source / "v1.0-mini/log.json").write_text("[{")
    with pytest.raises(ValueError, match=r"log\.json: Expecting"):
        script.prepare(source, tmp_path / "out")
    (source / "v1.0-mini/log.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks \['log\.json'\]; nuScenes has the tables"):
        script.prepare(source, tmp_path / "out")
