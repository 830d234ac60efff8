"""A network that was trained first teaches its own successor, with a tenth of the labels: the first generation of born-again networks.

xkd compare configs/rgb_rgb/leafsim_born_again.py --seeds 3
"""

from mmengine.config import read_base

with read_base():
    from .._base_.leafsim_small import *

distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(parent=dict(resnet10, weights=dict(type=Trained), frozen=True), rgb=resnet10),
    terms=dict(
        ce=dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=KD, tau=1.0), student="rgb.output", teacher="parent.output"),
    ),
)
compare = dict()
