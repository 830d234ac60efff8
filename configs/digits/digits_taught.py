"""A small CNN learns handwritten digits from labels and from a larger network: one step of configs/plans/assistant.py.

xkd compare configs/digits/digits_taught.py --seeds 3
"""

from mmengine.config import read_base

from xkd import KD, Checkpoint

with read_base():
    from .digits_generalist import *

large = dict(network, channels=(32, 48, 64, 96), stem_width=32)
small = dict(network, channels=(8, 8, 16, 16), stem_width=8)
learns = dict(type=Branch, view=rgb, weights=dict(type=Random))
teacher = dict(type=Branch, model=large, view=rgb, weights=dict(type=Checkpoint, path="work_dirs/digits_wide/best.pth"), frozen=True)
distiller = dict(
    type=Distiller,
    student="rgb",
    task=task,
    branches=dict(teacher=teacher, rgb=dict(learns, model=small)),
    terms=dict(
        ce=dict(type=Term, loss=dict(type=CrossEntropy), student="rgb.output", teacher="batch.target"),
        kd=dict(type=Term, loss=dict(type=KD, tau=4.0), student="rgb.output", teacher="teacher.output"),
    ),
)
compare = dict(teachers=dict(teacher="digits_wide.py"))
