"""RoadScene with all labels, out of fold: each training row is taught by the thermal network that has not seen its recording.

    xkd compare configs/rgb_thermal/roadscene_out_of_fold.py --seeds 5

Three networks learn without a third of the recordings each. Distilled: a row's answer is that of the one without its recording. Variants:
the mean of all three, two of which have learned from the row; one of the three for all rows; the one network that has learned from all.
"""

from mmengine.config import read_base

from xkd import Ensemble, Fold, Mean, TeacherCache

with read_base():
    from .roadscene import *

teacher = dict(type=Branch, model=teacher_network, view=thermal, frozen=True)
whole = dict(type=Trained, epochs=16)
without = "train_dataloader.dataset.without"
three = ("first.output", "second.output", "third.output")
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        whole=dict(teacher, weights=whole),
        first=dict(teacher, weights=dict(whole, options={without: dict(type=Fold, number=0, of=3)})),
        second=dict(teacher, weights=dict(whole, options={without: dict(type=Fold, number=1, of=3)})),
        third=dict(teacher, weights=dict(whole, options={without: dict(type=Fold, number=2, of=3)})),
        rgb=distiller.branches.rgb,
    ),
    ensembles=dict(
        out_of_fold=dict(type=Ensemble, of=three, by=dict(type=Mean, tau=4.0), need="unseen"),
        together=dict(type=Ensemble, of=three, by=dict(type=Mean, tau=4.0)),
    ),
    terms=dict(
        ce=distiller.terms.ce,
        kd=dict(type=Term, loss=dict(type=KD, tau=4.0), student="rgb.output", teacher="out_of_fold.output"),
    ),
)
teacher_cache = dict(type=TeacherCache, draws=8)
compare.merge(
    dict(
        variants=dict(
            together={"distiller.terms.kd.teacher": "together.output"},
            first={"distiller.terms.kd.teacher": "first.output"},
            whole={"distiller.terms.kd.teacher": "whole.output"},
        ),
        answers=dict(distilled=("together",)),
    )
)
