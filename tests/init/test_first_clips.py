"""Clips in a first config: which frames are taken, and by which network; what is no clip, or no task of clips, is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from clip_rows import write_clips

from xkd.data.manifest import Manifest
from xkd.engine.config import as_plain, load_config
from xkd.evidence.first import first_config
from xkd.init.choices import Wishes
from xkd.init.clips import Taken, check_clips
from xkd.init.facts import gather
from xkd.modalities import Clip
from xkd.networks import Frames

BOTH = {"rgb": "rgb/{0000..0019}.png", "rgb.fps": "10", "thermal": "thermal/{0000..0009}.png", "thermal.fps": "4"}


def written(root: Path, rows: list[dict[str, str]]) -> Manifest:
    return Manifest.load(write_clips(root / "clips", rows))


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    names = [(split, label, place) for split in ("train", "val", "test") for label in ("left", "right", "still") for place in range(2)]
    return written(tmp_path, [BOTH | {"id": f"{s}{k}{n}", "split": s, "group": f"{s}{k}{n}", "label": k} for s, k, n in names])


def test_the_frames_of_all_sensors_span_what_clips_share(manifest: Manifest) -> None:
    assert gather(manifest, "rgb", ("thermal",)).clips == {"rgb": Taken(8, 2), "thermal": Taken(8, 1)}


def test_the_config_has_clips_and_networks_that_see_motion(manifest: Manifest, tmp_path: Path) -> None:
    wishes = Wishes("rgb", ("thermal",), networks={"teacher": "vit_tiny_patch16_224"}, quick=True)
    assert first_config(manifest, str(manifest.root), wishes, tmp_path / "first.py", "xkd init")
    branches = as_plain(load_config(tmp_path / "first.py").distiller.branches)
    for name, join, every in (("rgb", "shift", 2), ("thermal", "mean", 1)):
        modality, network = branches[name]["view"]["modality"], branches[name]["model"]
        assert (modality["type"], modality["frames"], modality["every"]) == (Clip, 8, every)
        assert (network["type"], network["frames"], network["join"]) == (Frames, 8, join)
    assert branches["rgb"]["model"]["network"]["zero_init_last"] is False


def test_pictures_among_clips_and_tasks_of_places_are_refused(manifest: Manifest, tmp_path: Path) -> None:
    both = [{**BOTH, "id": "a", "label": "left"}, {"id": "b", "label": "left", "rgb": "rgb/0001.png", "thermal": "thermal/0001.png"}]
    rows = [row | {"split": split, "id": split + row["id"], "group": split} for row in both for split in ("train", "val", "test")]
    with pytest.raises(ValueError, match=r"1 of 2 rows hold clips of rgb, the others pictures: make two data sets"):
        gather(written(tmp_path / "mixed", rows), "rgb", ("thermal",))
    with pytest.raises(ValueError, match=r"rows hold clips of \['rgb'\], and a first config of detection takes pictures"):
        check_clips({"rgb": Taken(8, 1)}, True, "detection", "here")
