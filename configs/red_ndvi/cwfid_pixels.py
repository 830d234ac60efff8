"""CWFID, pixel by pixel: an NDVI ResNet-18 teaches a ResNet-10t on the red band where crop and weed are."""

from mmengine.config import read_base

from xkd.graph.branch import Branch
from xkd.graph.distiller import Distiller
from xkd.graph.term import Term
from xkd.graph.weights import Checkpoint, Random
from xkd.losses import CWD, KD, CrossEntropy

with read_base():
    from .._base_.cwfid_pixels import *
    from .._base_.runtime import *

distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(
        ndvi=dict(
            type=Branch,
            model=teacher_network,
            view=ndvi,
            weights=dict(type=Checkpoint, path="work_dirs/cwfid_pixels_teacher/best.pth"),
            frozen=True,
        ),
        rgb=dict(type=Branch, model=student_network, view=rgb, weights=dict(type=Random)),
    ),
    terms=dict(
        # most pixels are soil
        ce=dict(type=Term, loss=dict(type=CrossEntropy, weight=(1.0, 4.0, 4.0)), student="rgb.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=KD, tau=4.0), student="rgb.output", teacher="ndvi.output"),
    ),
)
train_cfg.merge(dict(max_epochs=100, val_interval=10))
save_best = "val/mean_iou"
compare = dict(
    teachers=dict(ndvi="cwfid_pixels_teacher.py"),
    attention=dict(ndvi="grad_cam:backbone.layer2", rgb="grad_cam:backbone.layer2"),
    # each class map by itself, so the soil that most pixels are weighs no more than the plants; weight and tau are the authors' for logits
    variants=dict(
        channel_wise={
            "distiller.terms.kd": dict(type=Term, loss=dict(type=CWD, tau=4.0), student="rgb.output", teacher="ndvi.output", weight=3.0)
        }
    ),
)
