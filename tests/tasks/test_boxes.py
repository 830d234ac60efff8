from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from xkd.deploy import boxes as deployed
from xkd.tasks.boxes import Selection, detections


def dense(rows: int = 2, places: int = 300, classes: int = 3, seed: int = 0) -> Tensor:
    """Boxes in clusters, so that many overlap."""
    generator = torch.Generator().manual_seed(seed)
    around = torch.rand((rows, 8, 2), generator=generator).repeat_interleave(places // 8 + 1, 1)[:, :places]
    centre = around + 0.03 * torch.randn((rows, places, 2), generator=generator)
    half = 0.05 + 0.1 * torch.rand((rows, places, 2), generator=generator)
    scores = torch.randn((rows, places, 1 + classes), generator=generator)
    return torch.cat([centre - half, centre + half, scores, centre, half], 2)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("score", "overlap", "most"), [(0.05, 0.6, 100), (0.6, 0.3, 5), (0.999, 0.6, 100)])
def test_what_stands_beside_an_exported_file_finds_the_same_boxes(seed: int, score: float, overlap: float, most: int) -> None:
    output = dense(seed=seed)
    ours = detections(output, Selection(score, overlap, most))
    theirs = deployed.detections(output.numpy(), score, overlap, most)
    assert ours.shape == (2, most, 6)
    assert len(theirs) == 2
    for one, other in zip(ours, theirs, strict=True):
        found = one[one[:, 5] >= 0].numpy()
        assert (len(found) > 2) == (score < 0.9)
        np.testing.assert_allclose(found, other, atol=1e-6)
        assert (one[len(found) :] == torch.tensor([0, 0, 0, 0, 0, -1.0])).all()
        assert (np.diff(found[:, 4]) <= 0).all()
        assert (found[:, :4] >= 0).all()
        assert (found[:, :4] <= 1).all()


def test_what_is_copied_beside_an_exported_file_needs_numpy_alone() -> None:
    path = Path(deployed.__file__)
    imports = {line.split()[1].split(".")[0] for line in path.read_text("utf-8").splitlines() if line.startswith(("import", "from"))}
    assert imports - sys.stdlib_module_names == {"numpy"}
    assert len(runpy.run_path(str(path))["detections"](dense().numpy())) == 2


def test_the_best_of_what_overlaps_stays_and_other_classes_do_not_matter() -> None:
    box, shifted = [0.1, 0.1, 0.5, 0.5], [0.12, 0.1, 0.52, 0.5]
    places = [[*box, 2.0, 1.0, -9.0], [*shifted, 2.0, 2.0, -9.0], [*shifted, 2.0, -9.0, 0.5], [0.6, 0.6, 1.2, 0.9, 2.0, 0.0, -9.0]]
    output = torch.tensor([[[*place, 0.0, 0.0, 0.1, 0.1] for place in places]])
    found = detections(output, Selection(score=0.3))[0]
    assert found[:, 5].tolist()[:4] == [0, 1, 0, -1]
    torch.testing.assert_close(found[:3, :4], torch.tensor([shifted, shifted, [0.6, 0.6, 1.0, 0.9]]))
    wanted = (torch.tensor([2.0, 0.5, 0.0]).sigmoid() * torch.tensor(2.0).sigmoid()).sqrt()
    torch.testing.assert_close(found[:3, 4], wanted)


@pytest.mark.parametrize("arguments", [{"score": 1.0}, {"overlap": 0.0}, {"most": 0}, {"most": 2000}])
def test_impossible_selections_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"shares, 0\.\.1|1 <= most <= candidates"):
        Selection(**arguments)
