"""The check of a data set of clips: strips of unlike lengths are no stretched images, and a row is looked at by its middle frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from xkd.data.check.files import file_findings, scan_files
from xkd.data.check.frames import read_frame
from xkd.data.manifest import Manifest

HEADER = "id,split,group,rgb,rgb.fps,rgb.frames,label"
TOML = 'name = "clips"\nclasses = ["a"]\n\n[modalities.rgb]\nsensor = "rgb"\n'


def test_strips_of_unlike_lengths(tmp_path: Path) -> None:
    rng, lines = np.random.default_rng(0), [HEADER]
    for number, frames in enumerate((8, 8, 8, 3)):
        strip = rng.integers(0, 255, (24, 32 * frames, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), strip)
        lines.append(f"{number},train,{number},{number}.png,8,{frames},a")
    (tmp_path / "manifest.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "manifest.toml").write_text(TOML)
    manifest = Manifest.load(tmp_path)
    assert not [one.text for one in file_findings(manifest, scan_files(manifest, lambda: None)) if "proportions" in one.text]
    frame = read_frame(manifest, manifest.rows[3])
    assert frame.size("rgb") == (24, 32)
    assert np.array_equal(frame.placed("rgb"), strip[:, 32:64, ::-1])
