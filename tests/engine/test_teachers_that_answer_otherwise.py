"""What a run says of teachers before they teach, where they answer another question or see what others make."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import engine_runs as runs
from rich.console import Console

SEVERAL = f"""{runs.BOXED}
import math
from xkd.ensembles import Mean
from xkd.graph.ensemble import Ensemble

distiller["ensembles"] = dict(team=dict(type=Ensemble, of=("thermal.output",), by=dict(type=Mean, tau=math.inf)))
distiller["terms"]["kd"]["teacher"] = "team.output"
teacher_cache = None
"""

OTHER = f"""{runs.GRAPH}
from xkd.ensembles import Mean
from xkd.graph.ensemble import Ensemble
from xkd.losses import FitNet

hours = dict(type=Classification, classes=("dawn", "noon", "dusk"))
distiller["branches"]["thermal"]["task"] = hours
distiller["branches"]["learner"] = dict(type=Branch, model=dict(type=CNN), view=rgb, weights=dict(type=Random), task=hours)
distiller["ensembles"] = dict(team=dict(type=Ensemble, of=("thermal.output",), by=dict(type=Mean)))
distiller["terms"]["kd"].update(student="learner.output", teacher="team.output")
train_cfg.update(max_epochs=1)
"""

MADE = f"""{runs.GRAPH}
from core_models import Painter
from xkd.graph.inputs import Eats
from xkd.modalities import RGB
from xkd.tasks import Features

made = dict(type=View, name="made", modality=dict(type=RGB, name="nobody_has_it"), size=(16, 16))
distiller["branches"]["maker"] = dict(type=Branch, model=dict(type=Painter), view=rgb, weights=dict(type=Random), task=dict(type=Features))
distiller["branches"]["judge"] = dict(
    type=Branch, model=dict(type=CNN), view=made, weights=dict(type=Random, frozen=True), frozen=True,
    eats=dict(type=Eats, reading="maker.output", gradient=1.0),
)
distiller["terms"]["real"] = dict(type=Term, loss=dict(type=CrossEntropy), student="judge.output", teacher="batch.target")
train_cfg.update(max_epochs=1)
"""


def said(folder: Path, text: str, **options: Any) -> str:
    page = io.StringIO()
    runs.run_training(runs.config_of(folder, text, options), folder / "run", Console(file=page, width=400))
    return page.getvalue()


def test_an_ensemble_of_answers_for_boxes_teaches_and_is_not_measured(tmp_path: Path) -> None:
    text = said(tmp_path, SEVERAL)
    assert "teacher 'thermal' on val: accuracy" in text
    assert "teacher 'team' answers by Classification(" in text


def test_an_ensemble_of_answers_to_another_question_is_not_measured_by_the_runs_labels(tmp_path: Path) -> None:
    text = said(tmp_path, OTHER)
    assert "teacher 'team' on val" not in text
    assert "teacher 'team' answers by Classification(classes=('dawn'" in text


def test_a_frozen_judge_of_images_that_the_data_lack_is_not_measured(tmp_path: Path) -> None:
    assert "teacher 'judge' eats 'maker.output', and no row of val has its view 'made': not measured" in said(tmp_path, MADE)
