"""Made-up recordings, and the command that makes a data set of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from prepare_calls import Answer, Prepare, write_image

from xkd.cli import run


@pytest.fixture
def prepare(capsys: pytest.CaptureFixture[str]) -> Prepare:
    """`xkd prepare-dataset ...` with any words, as `Answer`; texts without line breaks."""

    def call(*words: str | Path) -> Answer:
        code = run("prepare-dataset", [str(word) for word in words])
        texts = capsys.readouterr()
        return Answer(code, " ".join(texts.out.split()), " ".join(texts.err.split()))

    return call


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """`rgb/plantN_K_rgb.png` and `thermal/plantN_K_th.png` of 12 plants with two pictures each; plant 3's first lacks thermal,
    plant 4's second lacks rgb. `labels.csv` labels three plants in four as rust or healthy, by turns.
    """
    root = tmp_path / "recordings"
    lines = ["id,label,height"]
    for plant in range(12):
        for picture in range(2):
            stem = f"plant{plant}_{picture}"
            if (plant, picture) != (4, 1):
                write_image(root / f"rgb/{stem}_rgb.png", 2 * plant + picture)
            if (plant, picture) != (3, 0):
                write_image(root / f"thermal/{stem}_th.png", 2 * plant + picture, "thermal")
            if plant % 4 != 3:
                lines.append(f"{stem},{'rust' if plant % 2 else 'healthy'},{plant}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return root
