"""A student rounded to few bits: what do labels, the student in full precision, or the thermal teacher give back of what it lost?

    xkd compare configs/rgb_thermal/leafsim_rounded.py --seeds 3 --arms teacher_thermal teacher_full alone distilled full after unrounded \
        --cfg-options distiller.branches.rgb.changes.1.weights=3 --work-dir work_dirs/rounded

Each arm begins with the float student of its seed, `teacher_full`. `alone` learns on by labels, `distilled` by labels and the thermal
teacher, `full` by labels and the float student; `after` does not learn: one epoch of training rows shows it the ranges of its activations.
`unrounded` is `distilled` in full precision: what thermal brings apart from rounding. In one --work-dir, other bits reuse what they share.
"""

from mmengine.config import read_base

from xkd import Checkpoint, Folded, Rounded

with read_base():
    from .._base_.leafsim_small import *

teacher = dict(
    distiller.branches.thermal,
    weights=dict(type=Trained, epochs=16, options={"optim_wrapper.optimizer.lr": 1e-3}),
    taps={},
)
full = dict(resnet10, weights=dict(type=Checkpoint, path="work_dirs/leafsim_float/best.pth"))
few = [dict(type=Folded), dict(type=Rounded, weights=4, activations=8)]
labels = dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target")
kd = dict(type=Term, loss=dict(type=KD, tau=4.0), student="rgb.output", teacher="thermal.output")
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(thermal=teacher, full=dict(full, frozen=True), rgb=dict(full, changes=few)),
    terms=dict(labels=labels, kd=kd),
)
train_dataloader.merge(dict(dataset=dict(views=[rgb, thermal])))
train_cfg.merge(dict(max_epochs=6))
optim_wrapper.merge(dict(optimizer=dict(lr=2e-4)))
compare = dict(
    teachers=dict(full="leafsim_float.py"),
    variants=dict(
        full={"distiller.terms.kd.teacher": "full.output"},
        after={
            "distiller.terms": dict(labels=labels),
            "optim_wrapper.optimizer.lr": 0.0,
            "param_scheduler": [],
            "train_cfg.max_epochs": 1,
        },
        unrounded={"distiller.branches.rgb.changes": few[:1]},
    ),
)
